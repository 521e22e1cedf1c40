"""Reports: one file that fetches nothing, with every number of the comparison; foreign text stays text."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import urlparse

import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

from prunekit.comparison.compare_runs import compare_runs
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.metrics import METRICS
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.paired import Difference
from prunekit.experiments.backfill import fill
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one
from prunekit.plots.compare_layers import letter_colour
from prunekit.reports.material import family, said, shapes
from prunekit.reports.page import as_csv, as_json, big_three, html, markdown, report
from prunekit.reports.pictures import Picture, View, budget, of_layers, of_masks, of_tradeoff, of_weights, pairs_of
from prunekit.reports.table import groups, table_html
from tests.comparison import made

EVIL = '<script>alert("x")</script> & **bold** </script>'


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, scripts, and text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.text, self._inside = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag in ("script", "style")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = self._inside and tag not in ("script", "style")

    def handle_data(self, data):
        if not self._inside:
            self.text.append(data)
        elif self.tags[-1][0] == "script":
            self.scripts[-1] += data


def cells(text, label):
    """Return the cells of a row of the table by its label."""
    row = next(row for row in re.findall(r"<tr[^>]*>.*?</tr>", text) if label in row)
    return [re.sub(r"<[^>]+>", " ", cell).split() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two real runs of a small model, measured, with their predictions."""
    store = RunStore(tmp_path_factory.mktemp("store") / "runs.sqlite")
    model, data = ModelId("digits_mlp"), DataId("digits", limit=120)
    specs = (PruneSpec(sparsity=0.5), PruneSpec(sparsity=0.97), PruneSpec(mode="structured", sparsity=0.4))
    for spec in (None, *specs):
        measure_one(AccuracyRequest(model, data, spec, split="test"), store)
    ids = [next(r.id for r in store.runs() if r.spec == spec.to_dict()) for spec in specs]
    dense = next(run for run in store.runs() if run.kind == "dense")
    fill([dense.id, *ids], data, "test", store)
    found = compare_runs(ids, store)
    assert said(found, store) is None, "nothing was predicted yet"
    assert said(found, store, stored=False) is not None
    return found, store


@pytest.fixture
def small(tmp_path):
    """A comparison by hand: A is half as big and as accurate, B was never measured."""
    runs = made.at(0.5, 0.75)
    store = made.store_of(tmp_path, *runs)
    right = [True] * 18 + [False] * 2
    for run in (made.dense(), runs[0]):
        store.put_measurement(made.seen(run, right))
    return compare_runs([run.id for run in runs], store), store


def test_the_report_holds_plotly_once_and_every_picture(real):
    found, store = real
    text = report(found, store)
    assert text.count(get_plotlyjs()) == 1
    page = Page(text)
    ids = [attrs["id"] for tag, attrs in page.tags if tag == "div" and "id" in attrs]
    assert len(set(ids)) == len(ids) >= 6
    assert {"classes", "lineage", "weights", "layers-sparsity", "accuracy-shipped"} <= set(ids)
    for form in ("png", "svg"):
        assert [a["data-plot"] for t, a in page.tags if t == "button" and a["data-form"] == form] == ids
    assert found.answer in " ".join(page.text)
    for column in found.all:
        assert column.run.id[:12] in text


def test_nothing_is_fetched(real):
    page = Page(report(*real))
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "http" not in policy and "*" not in policy
    links = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "action", "data")]
    assert links and {urlparse(link).scheme for link in links} == {"data"}
    assert not [tag for tag, _ in page.tags if tag in ("link", "img", "iframe", "base", "object")]


def test_foreign_text_stays_text(small):
    found, _ = small
    column = replace(found.columns[0], run=replace(found.columns[0].run, title=EVIL), gone=EVIL)
    evil = replace(found, columns=(column, *found.columns[1:]), answer=EVIL, caution=EVIL, data=EVIL, best="A")
    picture = of_tradeoff(found, View())[0]
    picture.figure.update_layout(title=EVIL)
    text = html(evil, [Picture("x", EVIL, picture.figure, EVIL)], address=EVIL)
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 2, "plotly and what draws"
    assert page.scripts[1].rstrip().endswith("};"), "no text ends the script early"
    assert markdown("a **b** <i>") == "a <b>b</b> &lt;i&gt;"


def test_the_table_holds_every_figure_dense_first(real):
    found, _ = real
    text = table_html(found)
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', text)
    assert [re.search(r"<b[^>]*>(\w+)</b>", head)[1] for head in heads] == ["Dense", "A", "B", "C"]
    for head, column in zip(re.findall(r'<th scope="col"[^>]*>', text), found.all, strict=True):
        assert letter_colour(column.letter) in head
    for name in ("params", "nonzero", "macs", "shipped", "dense", "gzip"):
        metric = METRICS[name]
        shown = [" ".join(cell) for cell in cells(text, f'scope="row">{metric.title}<')]
        for cell, column in zip(shown, found.all, strict=True):
            assert cell.startswith(metric.text(metric.value(column))), (name, column.letter)


def test_relative_figures_are_shares_of_dense(real):
    found, _ = real
    rows = {row.label: row for rows in groups(found, relative=True).values() for row in rows}
    params = rows["Parameters"].cells
    assert params[0].text.startswith("100")
    for cell, column in zip(params[1:], found.columns, strict=True):
        share = 100 * column.params / found.baseline.params
        assert float(cell.text.split("\u202f")[0]) == pytest.approx(share, abs=0.051)
    assert "Accuracy" not in rows and "Against dense, in points" in rows


def test_settings_that_differ_are_marked(real):
    found, _ = real
    rows = groups(found)["Settings"]
    assert {row.label.lower() for row in rows if row.mark == "≠"} == {name.lower() for name in found.differing}
    assert {row.label for row in rows if not row.mark} == {r.name[:1].upper() + r.name[1:] for r in found.settings if not r.differs}


def test_what_was_never_measured_says_so_and_no_run_is_best_alone(small):
    found, _ = small
    rows = {row.label: row for rows in groups(found).values() for row in rows}
    assert [cell.text for cell in rows["Accuracy"].cells[1:]] == ["90.0\u202f%", "not measured"]
    assert not any(cell.best for cell in rows["Accuracy"].cells)
    assert rows["Time"].cells[1].text == "never measured"
    assert big_three(found.column("B"), found.baseline)[0] == ("Accuracy kept", "–", "not measured")


def test_the_best_of_the_runs_is_marked_where_it_reads_better():
    base = [True] * 100
    columns = [made.column(letter, [True] * n + [False] * (100 - n), base, size) for letter, n, size in (("A", 90, 50), ("B", 95, 50))]
    dense = made.column("Dense", base, None, 100)
    found = Comparison(dense, tuple(columns), (), (), "", "", "", "digits", None, "test", 100, ())
    rows = {row.label: row for rows in groups(found).values() for row in rows}
    assert [cell.best for cell in rows["Accuracy"].cells] == [False, False, True]
    assert not any(cell.best for cell in rows[METRICS["shipped"].title].cells), "equal ones are not"
    assert isinstance(columns[0].difference, Difference)
    change = cells(table_html(found), "Against dense")
    assert change[1][0] == "−10.0" and change[1][-1] == "significant"


def test_numbers_as_csv_and_json_are_those_of_the_comparison(real):
    found, store = real
    frame = pd.read_csv(io.StringIO(as_csv(found)))
    assert list(frame["letter"]) == ["Dense", "A", "B", "C"]
    for name, metric in METRICS.items():
        values = [metric.value(column) for column in found.all]
        assert frame[name].tolist() == pytest.approx([float("nan") if v is None else v for v in values], nan_ok=True)
    assert json.loads(as_json(found)) == json.loads(json.dumps(found.to_dict()))
    saved = {a["download"]: a["href"] for t, a in Page(report(found, store)).tags if t == "a"}
    assert base64.b64decode(saved["comparison.csv"].partition(",")[2]).decode() == as_csv(found)
    assert base64.b64decode(saved["comparison.json"].partition(",")[2]).decode() == as_json(found)


def test_pictures_follow_the_view(real):
    found, store = real
    seen = shapes(found, store)
    assert of_layers(seen, View(by="width"))[0].name == "layers-width"
    layer = seen.bins["part"].unique()[1]
    whole, one = of_weights(seen, View())[0], of_weights(seen, View(layer=layer))[0]
    assert layer in one.title and sum(one.figure.data[0].y) < sum(whole.figure.data[0].y)
    pairs = pairs_of(seen.masks)
    assert pairs == ["AB", "AC", "BC"]
    assert [p.name for p in of_masks(seen, View(pair="BC")) if p.name.startswith("masks")] == ["masks-all", "masks-BC"]
    assert of_masks(seen, View(pair="FA"))[1].name == "masks-AB", "a pair that is not there falls back"


def test_a_budget_is_said(real):
    found, store = real
    letter, sentence = budget(found, View(bound=0.5))
    assert letter and sentence in " ".join(Page(report(found, store, View(bound=0.5))).text)
    assert budget(found, View()) == ("", "")


def test_the_tree_knows_letters_and_accuracies(real):
    found, store = real
    frame = family(found, store.runs())
    assert frame.iloc[0]["depth"] == 0 and not frame.iloc[0]["letter"]
    by_key = frame.set_index("key")
    for column in found.columns:
        assert by_key.loc[column.run.id, "letter"] == column.letter
        assert by_key.loc[column.run.id, "accuracy"] == column.accuracy.value


def test_a_run_that_is_gone_leaves_the_rest_of_the_report(tmp_path):
    runs = [*made.at(0.5), made.pruned(PruneSpec(sparsity=0.6), kind="imported")]
    store = made.store_of(tmp_path, *runs)
    found = compare_runs([run.id for run in runs], store)
    seen = shapes(found, store)
    assert set(seen.gone) == {"Dense", "A", "B"}, "no such model was ever trained"
    text = report(found, store)
    assert "weights gone" in text and all(run.id[:12] in text for run in runs)
