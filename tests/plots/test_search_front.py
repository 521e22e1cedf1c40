"""The picture of a search: every trial a point, the front its Pareto front, in the direction of the metric."""

import numpy as np
import pandas as pd
import pytest

from prunekit.plots.search_front import on_front, search_caption, search_front
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import metric

ENERGY = metric(lambda seen: 0.0, better="lower", unit="kWh", name="mean_error")


def trials(of, n=40, seed=0):
    """Return trials whose quality falls as they get smaller, with noise."""
    noise = np.random.default_rng(seed)
    cost = noise.integers(100, 20_000, n)
    loss = 0.02 * (1 - np.log10(cost / 100) / 2.4) + noise.normal(0, 0.004, n)
    dense = 0.98 if of.unit == "%" else 12.0
    loss = loss * (1 if of.unit == "%" else 12)
    value = dense - loss if of.better == "higher" else dense + loss
    frame = pd.DataFrame({"number": range(n), "cost": cost, "value": value, "loss": loss, "samples": 400, "title": "t", "run": "r"})
    allowed = 0.01 * (1 if of.unit == "%" else 12)
    return frame.assign(state=np.where(loss <= allowed, "holds", "falls")), dense, allowed


@pytest.mark.parametrize("of", [ACCURACY, ENERGY], ids=["higher", "lower"])
def test_nothing_that_is_off_the_front_beats_what_is_on_it(of):
    frame = trials(of)[0]
    front = on_front(frame, of)
    for row in frame.itertuples():
        beaten = ((front["cost"] <= row.cost) & ~front["value"].map(lambda value: of.is_better(row.value, value))).any()  # noqa: B023
        assert beaten, "everything is at most as good as something on the front, itself included"
    assert front["cost"].is_monotonic_increasing and front["loss"].is_monotonic_decreasing


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("of", [ACCURACY, ENERGY], ids=["higher", "lower"])
def test_every_trial_is_a_point_and_the_best_is_ringed(of, dark):
    frame, dense, allowed = trials(of)
    frame.loc[0, ["value", "loss", "state"]] = [dense - 0.5 if of is ACCURACY else dense + 40, 0.5 if of is ACCURACY else 40.0, "falls"]
    best = int(frame[frame["state"] == "holds"].nsmallest(1, "cost")["number"].iloc[0])
    what = {"goal": "params", "before": 20_000.0, "dense": dense, "allowed": allowed, "metric": of}
    fig = search_front(frame, **what, best=best, dark=dark)
    drawn = {trace.name: trace for trace in fig.data}
    holds, falls = drawn["holds"], drawn["loses too much"]
    assert len(holds.x) == (frame["state"] == "holds").sum() and len(holds.x) + len(falls.x) == len(frame)
    ringed = [row[7] for row, width in zip(holds.customdata, holds.marker.line.width, strict=True) if width > 1]
    assert ringed == [best]
    low, high = fig.layout.yaxis.range
    assert all(low <= y <= high for y in [*holds.y, *falls.y]), "what loses far more is drawn at the edge"
    told = search_caption(frame, **what, units="validation days")
    assert "1 trial that loses far more" in told and "validation days" in told
