"""Points go where the curve bends, the same ones every time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import PrunekitError
from prunekit.evaluation.adaptive_points import EVALUATIONS, HIGH, STEP, next_point, next_points, standard_error
from prunekit.evaluation.quality import Evaluation, accuracy_of
from tests.benchmarks.curve_points import GRID, choose, drawn

points = st.dictionaries(st.integers(0, 990), st.floats(0, 1), min_size=1, max_size=15)


def cliff(centre: float, width: float) -> Callable[[float], float]:
    return lambda s: float(0.1 + 0.8 / (1 + np.exp(np.clip((s - centre) / width, -500, 500))))


def measured(truth: Callable[[float], float], n: int = 10_000) -> Callable[[float], Evaluation]:
    return lambda s: accuracy_of(np.arange(n) < round(truth(s) * n))


def off(found: dict[float, Evaluation], truth: Callable[[float], float]) -> np.ndarray:
    return np.abs(drawn(list(found), [a.value for a in found.values()]) - [truth(s) for s in GRID])


@given(st.floats(0.2, 0.97), st.floats(0.004, 0.12))
def test_twelve_points_stay_within_a_point_of_any_cliff_on_average(centre: float, width: float) -> None:
    truth = cliff(centre, width)
    found = choose(measured(truth))
    assert len(found) == EVALUATIONS == 12
    assert off(found, truth).mean() < 0.01


@pytest.mark.parametrize("centre", [0.5, 0.9])
def test_they_do_better_than_evenly_spread_points(centre: float) -> None:
    truth = cliff(centre, 0.015)
    even = {float(s): measured(truth)(float(s)) for s in np.linspace(0, HIGH, EVALUATIONS)}
    assert off(choose(measured(truth)), truth).mean() < off(even, truth).mean() / 2


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_any_curve_is_approached_as_points_are_added(steps: list[tuple[float, float]]) -> None:
    def truth(s: float) -> float:
        return 1 - sum(drop for at, drop in steps if s >= at) / len(steps)

    few, many = (choose(measured(truth, 1000), n) for n in (8, 40))
    assert set(few) <= set(many)  # more points are the same points and some more
    x, y = np.array(list(many)), np.array([a.value for a in many.values()])
    assert (np.abs(np.diff(y)) * np.diff(x)).max() < 0.08  # no large rectangle is left


@given(points, st.floats(0, 0.1), st.randoms())
def test_the_next_point_lies_on_the_grid_between_measured_ones_whatever_their_order(known: dict[int, float], noise: float, random) -> None:
    xs, ys = [k / 1000 for k in known], list(known.values())
    at = next_point(xs, ys, noise)
    assert at is not None
    assert abs(at / STEP - round(at / STEP)) < 1e-6
    assert min(abs(at - x) for x in xs) > STEP / 2
    assert 0 <= at <= HIGH
    order = list(range(len(xs)))
    random.shuffle(order)
    assert next_point([xs[i] for i in order], [ys[i] for i in order], noise) == at


@given(points, st.floats(0, 0.1), st.integers(1, 9))
def test_several_at_once_are_different_and_the_first_is_the_one_that_is_chosen_alone(
    known: dict[int, float], noise: float, count: int
) -> None:
    xs, ys = [k / 1000 for k in known], list(known.values())
    found = next_points(xs, ys, count, noise)
    assert len(found) == min(count, max(1, len(xs) // 2)) and found[0] == next_point(xs, ys, noise)
    every = np.sort([*xs, *found])
    assert np.diff(every).min() > STEP / 2
    assert next_points(xs, ys, 1, noise) == found[:1]


@pytest.mark.parametrize("at_once", [2, 8])
@pytest.mark.parametrize("centre", [0.5, 0.7, 0.9])
def test_points_that_workers_measure_at_once_draw_a_cliff_as_well(centre: float, at_once: int) -> None:
    truth = cliff(centre, 0.015)
    one, some = choose(measured(truth)), choose(measured(truth), at_once=at_once)
    assert len(some) == len(one)
    assert off(some, truth).mean() < max(1.5 * off(one, truth).mean(), 0.005)


def test_the_ends_come_first() -> None:
    assert next_point([], [], 0.01) == 0
    assert next_point([0.0], [0.9], 0.01) == HIGH
    assert next_point([0.0, 0.5], [0.9, 0.9], 0.01, 0.0, 0.8) == 0.8
    assert next_point([0.0, 0.5, 0.8, 0.95], [0.9, 0.9, 0.2, 0.1], 0.01, 0.0, 0.8) == pytest.approx(0.65)


def test_there_is_an_end_to_the_grid() -> None:
    found = choose(measured(cliff(0.3, 0.1)), 500, low=0.2, high=0.25)
    assert len(found) == 51
    assert next_point(list(found), [a.value for a in found.values()], 0.0, 0.2, 0.25) is None


def test_a_flat_curve_without_noise_is_still_looked_at_evenly() -> None:
    found = choose(lambda s: accuracy_of(np.ones(10**6, bool)), 9, high=0.8)
    assert max(np.diff(list(found))) < 0.11
    assert next_point([0, 0.5, 0.8], [1, 1, 1], 0.0, 0, 0.8) == 0.25


def test_what_is_known_is_not_measured_again() -> None:
    asked: list[float] = []
    truth = measured(cliff(0.8, 0.05))
    whole = choose(truth)
    part = dict(list(whole.items())[::2])
    found = choose(lambda s: asked.append(s) or truth(s), known=part)
    assert not set(asked) & set(part)
    assert len(found) == 12
    # cut off after any number of points it goes on with the same ones
    order: list[float] = []
    choose(lambda s: order.append(s) or truth(s))
    for n in range(12):
        assert choose(truth, known={s: truth(s) for s in order[:n]}) == whole


def test_the_standard_error_is_the_binomial_one() -> None:
    assert standard_error([accuracy_of(np.arange(10_000) < 5000)]) == pytest.approx(0.005, rel=0.001)
    assert standard_error([]) == 0
    assert standard_error([accuracy_of(np.ones(100, bool))]) > 0


def test_what_makes_no_curve_is_refused() -> None:
    with pytest.raises(PrunekitError, match="once"):
        next_point([0.5, 0.5], [0.9, 0.8])
    with pytest.raises(PrunekitError, match="as many"):
        next_point([0.1], [])
    with pytest.raises(PrunekitError, match="low < high"):
        next_point([], [], 0.0, 0.5, 0.5)
    with pytest.raises(PrunekitError, match="noise"):
        next_point([], [], float("nan"))
