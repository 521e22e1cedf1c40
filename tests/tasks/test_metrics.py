"""Metrics: direction, text, and that every one of them compares on the same samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import DataError, TaskError
from prunekit.statistics.bootstrap import Weighted, bootstrap_difference, bootstrap_interval
from prunekit.statistics.difference import Difference
from prunekit.statistics.proportions import paired_proportions, wilson
from prunekit.tasks.metrics import HIGHER, LOWER, PERCENT, Metric, by_sample, mean_of, metric
from prunekit.tasks.observations import Observations
from prunekit.tasks.registry import task
from prunekit.tasks.wording import capital, costs, loses, lost_between, lost_or_gained

ACCURACY = task("image-classification").headline
EVERY = [*task("image-classification").metrics, *task("regression").metrics]


def seen(seed: int, n: int, noise: float = 0.5, groups: Any = None) -> Observations:
    """Draw one model's answers to samples that depend on n alone."""
    truth, rng = np.random.default_rng(n).standard_normal(n), np.random.default_rng(seed)
    label = np.random.default_rng(n).integers(0, 3, n)
    predicted = np.where(rng.random(n) < noise, rng.integers(0, 3, n), label)
    prediction = truth + noise * rng.standard_normal(n)
    return Observations.of(
        correct=predicted == label, predicted=predicted, label=label, prediction=prediction, target=truth, groups=groups
    )  # fmt: skip


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)
@given(st.integers(0, 10**6), st.integers(4, 40))
def test_a_model_does_not_differ_from_itself(each: Metric, seed: int, n: int) -> None:
    found = each.compare(seen(seed, n), seen(seed, n))
    assert (found.value, found.p_value, found.significant, found.n) == (0.0, 1.0, False, n)
    assert found.low <= 0 <= found.high


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)
def test_a_better_model_is_better_in_every_metric_whichever_way_it_points(each: Metric) -> None:
    good, bad = seen(1, 300, 0.1), seen(2, 300, 0.9)
    before, after = each.reduce(good), each.reduce(bad)
    assert each.is_better(before, after) and not each.is_better(after, before) and not each.is_better(before, before)
    assert each.loss(before, after) > 0 > each.loss(after, before)
    found = each.compare(good, bad)
    assert found.value == pytest.approx(after - before) and found.significant
    assert (found.value < 0) == (each.better == "higher")
    lost = each.lost(found)
    assert 0 < lost.low <= lost.value == pytest.approx(each.loss(before, after)) and lost.value <= lost.high
    assert each.lost(each.compare(bad, good)).high < 0 and lost.high - lost.low == pytest.approx(found.high - found.low)
    for observed in (good, bad):
        low, high = each.interval(observed)
        assert low < each.reduce(observed) < high
    assert each.chance is not None and each.is_better(before, each.chance(good))


@given(st.integers(0, 10**6), st.integers(1, 60))
def test_accuracy_is_wilsons_and_mcnemars(seed: int, n: int) -> None:
    a, b = seen(seed, n), seen(seed + 1, n)
    assert ACCURACY.reduce(a) == pytest.approx(a["correct"].mean())
    assert ACCURACY.interval(a) == wilson(int(a["correct"].sum()), n)
    assert ACCURACY.compare(a, b) == paired_proportions(a["correct"] == 1, b["correct"] == 1)


def test_chance_is_the_best_answer_that_does_not_look() -> None:
    observed = seen(0, 200)
    label, target = observed["label"], observed["target"]
    constant = {k: np.mean(label == k) for k in range(3)}
    assert ACCURACY.chance is not None and ACCURACY.chance(observed) == max(constant.values())
    for each in task("regression").metrics:
        answers = [Observations.of(prediction=np.full(200, c), target=target) for c in np.linspace(-1, 1, 401)]
        reached = [each.reduce(answer) for answer in answers]
        best = max(reached) if each.better == "higher" else min(reached)
        assert each.chance is not None and best == pytest.approx(each.chance(observed), abs=2e-3)


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)
def test_other_samples_are_refused(each: Metric) -> None:
    a = seen(0, 20)
    with pytest.raises(DataError, match="same samples; got 20 and 19"):
        each.compare(a, seen(0, 19))
    with pytest.raises(DataError, match="same order"):
        each.compare(a, a.take(np.arange(20)[::-1]))
    with pytest.raises(DataError, match="no samples"):
        each.reduce(a.take(0))


def test_groups_widen_intervals_of_every_metric() -> None:
    groups = np.repeat(np.arange(10), 30)
    whole = seen(3, 300)
    alike = whole.take(np.argsort(whole["prediction"] - whole["target"]))  # samples of a group err alike
    for each in EVERY:
        alone = each.interval(alike)
        together = each.interval(Observations(alike.values, alike.columns, groups))
        if each.name != "accuracy":
            assert together[1] - together[0] > 1.3 * (alone[1] - alone[0])
        assert together[0] < each.reduce(alike) < together[1]


def test_a_figure_by_group_sees_each_drawn_group_as_one() -> None:
    """A mean over users of their own best score, as NDCG by user would be: resampled users never merge."""
    rng = np.random.default_rng(0)
    scores, users = rng.standard_normal(120), np.repeat(np.arange(12), 10)

    def best_by_user(observed: Observations) -> float:
        assert observed.groups is not None
        return float(np.mean([observed["score"][observed.groups == user].max() for user in np.unique(observed.groups)]))

    best = metric(best_by_user, better="higher")
    low, high = best.interval(Observations.of(score=scores, groups=users))
    means = scores.reshape(12, 10).max(axis=1)
    drawn = [means[rng.integers(0, 12, 12)].mean() for _ in range(4000)]
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.015, 0.985])), abs=0.08)


@pytest.mark.parametrize(
    ("unit", "decimals", "value", "text"),
    [
        ("%", None, 0.9717, "97.2 %"), ("%", None, 1.0, "100.0 %"), ("", 3, 0.51249, "0.512"), ("", 3, -0.0451, "−0.045"),
        ("", 3, -1e-9, "0.000"), ("kWh", None, 21.437, "21.4 kWh"), ("kWh", None, 0.0012345, "0.00123 kWh"),
        ("", None, 20640.3, "20,640"), ("", None, 0.0, "0"),
    ],
)  # fmt: skip
def test_values_read_as_people_write_them(unit: str, decimals: int | None, value: float, text: str) -> None:
    assert Metric("m", "M", np.mean, unit, decimals=decimals).format(value) == text


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [("%", -0.006, "−0.6 points"), ("%", 0.0001, "0.0 points"), ("kWh", 0.0123, "+0.0123 kWh"), ("", 0.0, "0"), ("", -3.0, "−3.00")],
)
def test_differences_carry_their_sign(unit: str, value: float, text: str) -> None:
    each = Metric("m", "M", np.mean, unit)
    assert each.format_difference(value) == text
    assert each.format_difference(Difference(value, -1, 1, 0.3, False, 9)) == f"{text}, not significant"
    assert each.format_difference(Difference(value, 0.1, 1, 0.01, True, 9)) == f"{text}, significant"


def test_a_function_becomes_a_metric() -> None:
    @metric(better="lower", unit="kWh")
    def worst_error(observed: Observations) -> float:
        return float(np.abs(observed["prediction"] - observed["target"]).max())

    observed = seen(0, 50)
    assert (worst_error.name, worst_error.title, worst_error.unit, worst_error.better) == ("worst_error", "Worst error", "kWh", "lower")
    low, high = worst_error.interval(observed)
    assert low <= worst_error.reduce(observed) <= high
    told = worst_error.summary(observed)
    named = {"title": worst_error.title, "unit": "kWh", "better": "lower"}
    assert told == {"value": worst_error.reduce(observed), "low": low, "high": high, "n": 50} | named
    assert worst_error.summary(observed.take(1))["low"] is None
    with pytest.raises(TaskError, match="better of the metric worst must be one of higher, lower"):
        metric(lambda observed: 0.0, better="less", name="worst")
    with pytest.raises(DataError, match="undefined on these 50 samples"):
        metric(lambda observed: float("nan"), better="lower").reduce(observed)


def test_the_mean_of_a_column() -> None:
    observed = seen(0, 50)
    figure = mean_of(lambda each: each["prediction"] ** 2)
    assert figure(observed) == pytest.approx((observed["prediction"] ** 2).mean())


@pytest.mark.parametrize(
    ("figure", "mean"),
    [
        (lambda seen: np.abs(seen["x"]).mean(), True),
        (lambda seen: np.sqrt((seen["x"] ** 2).mean()), False),
        (lambda seen: np.median(seen["x"]), False),
        (lambda seen: np.corrcoef(seen["x"], np.arange(seen.n))[0, 1], False),
        (lambda seen: seen["x"].sum(), False),
    ],
)
def test_a_function_that_is_a_mean_is_resampled_at_once_with_the_same_interval(figure: Any, mean: bool) -> None:
    a, b = (Observations.of(x=np.random.default_rng(seed).normal(size=40)) for seed in (1, 2))
    assert (by_sample(figure, a) is not None) is mean
    plain = Weighted(lambda rows, weights: [figure(rows.repeat(row)) for row in weights])
    with np.errstate(all="ignore"):
        made, want = metric(figure, better="lower", name="own"), bootstrap_interval(a, plain)
        np.testing.assert_allclose(made.interval(a), want, rtol=1e-6)
        assert made.compare(a, b).low == pytest.approx(bootstrap_difference(a, b, plain).low, rel=1e-6)


def test_a_name_keeps_its_own_capitals():
    assert [capital(word) for word in ("accuracy", "mAP@50", "AUC", "")] == ["Accuracy", "mAP@50", "AUC", ""]


@pytest.mark.parametrize(("better", "loss", "said"), [
    (HIGHER, 0.01, ("loses 1.0 points of quality", "costs 1.0 points", "1.0 points lost", "0.5 to 1.5 lost")),
    (HIGHER, -0.01, ("gains 1.0 points of quality", "gains 1.0 points", "1.0 points gained", "0.5 to 1.5 gained")),
    (HIGHER, -0.0001, ("loses 0.0 points of quality", "costs 0.0 points", "nothing lost", "0.5 gained to 0.5 lost")),
    (LOWER, 0.01, ("raises quality by 1.0 points", "costs 1.0 points", "1.0 points more", "0.5 to 1.5 more")),
    (LOWER, -0.01, ("lowers quality by 1.0 points", "saves 1.0 points", "1.0 points less", "0.5 to 1.5 less")),
])  # fmt: skip
def test_a_loss_below_nothing_is_said_as_a_gain(better: str, loss: float, said: tuple[str, ...]) -> None:
    quality = Metric("quality", "Quality", mean_of("label"), PERCENT, better)
    between = lost_between(quality, loss - 0.005, loss + 0.005)
    assert (loses(quality, loss), costs(quality, loss), lost_or_gained(quality, loss), between) == said
