"""The list of all runs: sizes in kilobytes of a thousand bytes, the smallest first where sizes order it."""

import pandas as pd
import pytest

from prunekit.evaluation.compression import BY
from prunekit.experiments.records import Run
from prunekit.ui.compare import all_runs
from prunekit.ui.state.settings import Settings

DENSE = Run("a" * 64, "dense", "dense", {"name": "m"}, "w", info={"prunable": 100, "sparsity": 0.0, "params": 100})


def test_the_size_is_that_of_the_smallest_file_in_kilobytes():
    sizes = {"dense": 8000, "gzip": 2500, "sparse": None, "gzip_by": BY}
    run = Run("b" * 64, "pruned", "half", {"name": "m"}, "w", info={"sizes": sizes, "nonzero": 50})
    assert all_runs._counts(run, DENSE)[:2] == (pytest.approx(2.5), 50)


@pytest.mark.parametrize(
    ("order", "first"), [("size", "b"), ("params", "b"), ("accuracy", "a"), ("sparsity", "a"), ("newest", "a"), ("name", "b")]
)
def test_an_order_begins_with_what_its_name_says(order, first):
    rows = [
        ("a" * 64, "", "x", "m", "pruned", 90.0, "90 %", 0.9, 10, 2.0, 20.0, 80.0, [], "", "2026-02-01", False, True),
        ("b" * 64, "a name", "y", "m", "pruned", 80.0, "80 %", 0.8, 10, 1.0, 10.0, 70.0, [], "", "2026-01-01", False, True),
    ]
    for given in (rows, rows[::-1]):
        shown = all_runs.chosen(pd.DataFrame(given, columns=all_runs.COLUMNS), Settings(sort=order))
        assert shown["id"].iloc[0] == first * 64
