"""Bars of shares: one scale, nothing to all, wherever they stand."""

import ast
from pathlib import Path

import pytest

import prunekit.ui

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
    found = [(path.name, bar) for path in SOURCES for bar in bars(path)]
    assert len(found) >= 5
    for name, bar in found:
        assert bar["format"] == "'percent'", name
        assert (bar["min_value"], bar["max_value"]) == ("0", "1"), name


@pytest.mark.parametrize("model", ["digits_cnn", "cifar10_resnet20"])
def test_the_largest_share_of_a_table_is_drawn_as_what_it_is(tab, model):
    one = tab("layers", model=model, data="none")
    columns = [frame.proto.columns for frame in one.app.dataframe]
    assert any("progress" in text for text in columns)
    for text in columns:
        assert text.count('"max_value": 1,') + text.count('"max_value": 1}') == text.count('"progress"')
