"""Which way of a figure is better, said once more and apart from the table of metrics."""

import numpy as np
import pandas as pd
import pytest

from prunekit.comparison.metrics import METRICS
from prunekit.comparison.tradeoff import best_within, pareto

MORE_IS_BETTER = {"accuracy", "sparsity", "of_all"}  # of time, bytes, parameters and multiplications less is


@pytest.mark.parametrize("name", METRICS)
def test_the_run_that_is_better_in_one_figure_and_equal_in_all_others_wins(name):
    other = "accuracy" if name != "accuracy" else "params"
    frame = pd.DataFrame({metric: [0.5, 0.5] for metric in METRICS}).assign(letter=["A", "B"], run=["a", "b"], title=["a", "b"])
    frame = frame.assign(**{name: [0.25, 0.75]}, accuracy_low=np.nan, accuracy_high=np.nan)
    winner = "B" if name in MORE_IS_BETTER else "A"
    for pair in ((name, other), (other, name)):
        assert list(frame["letter"][pareto(frame, *pair)]) == [winner]
    assert best_within(frame, other, 0.5, name).letter == winner
