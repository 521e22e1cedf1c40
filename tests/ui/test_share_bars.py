"""Bars of shares: one scale, nothing to all, wherever they stand."""

import ast
from pathlib import Path

import pandas as pd
import pytest

import prunekit.ui
from prunekit.formatting import percent
from prunekit.ui.components import show

SOURCES = sorted(Path(prunekit.ui.__file__).parent.rglob("*.py"))


def bars(path):
    """Return the arguments of every bar in a table."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return [
        {word.arg: ast.unparse(word.value) for word in call.keywords}
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "ProgressColumn"
    ]


def test_every_bar_of_a_share_goes_from_nothing_to_all():
    """All are made in one place, which writes them as :func:`prunekit.formatting.percent` does."""
    [(name, bar)] = [(path.name, bar) for path in SOURCES for bar in bars(path)]
    assert name == "show.py" and (bar["min_value"], bar["max_value"]) == ("0", "100")
    assert show.share("Share")["type_config"]["format"] % 12.345 == percent(0.12345)
    assert list(show.in_percent(pd.DataFrame({"share": [0.5]}), "share")["share"]) == [50]


@pytest.mark.parametrize("model", ["digits_cnn", "cifar10_resnet20"])
def test_the_largest_share_of_a_table_is_drawn_as_what_it_is(tab, model):
    one = tab("layers", model=model, data="none")
    tables = [frame.proto.columns for frame in one.app.dataframe]
    assert any("progress" in text for text in tables)
    for text in tables:
        assert text.count('"max_value": 100,') + text.count('"max_value": 100}') == text.count('"progress"')
