"""The table of a report marks the run that takes least time, and a report's script ends where it should."""

import plotly.graph_objects as go

from prunekit.comparison.comparison import Comparison
from prunekit.reports.page import html
from prunekit.reports.pictures import Picture
from prunekit.reports.table import groups
from tests.comparison import made


def test_the_run_of_the_least_time_is_the_best():
    base = [True] * 100
    columns = tuple(made.column(letter, base, base, 50, ratio) for letter, ratio in (("A", 0.9), ("B", 0.4), ("C", 1.2)))
    found = Comparison(made.column("Dense", base, None, 100), columns, (), (), "", "", "", "digits", None, "test", 100, ())
    row = next(row for row in groups(found)["Time"] if row.label == "Times as fast as dense")
    assert [cell.best for cell in row.cells] == [False, False, True, False]


def test_no_text_of_a_picture_ends_the_script():
    base = [True] * 100
    figure = go.Figure(go.Scatter(x=[1], y=[1], name="</script><script>alert(1)</script>"))
    found = Comparison(
        made.column("Dense", base, None, 100), (made.column("A", base, base, 50),), (), (), "", "", "", "", None, "test", 1, ()
    )
    page = html(found, [Picture("</script>", "</script>", figure, "")])
    assert page.lower().count("</script") == page.count("<script>") == 2 and "alert(1)" in page
