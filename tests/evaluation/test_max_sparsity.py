"""The highest sparsity whose drop is allowed, by paired comparison, and what the test images say to it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import DataError, PrunekitError
from prunekit.evaluation.adaptive_points import HIGH
from prunekit.evaluation.max_sparsity import RESOLUTION, confirm, furthest
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation, accuracy_of

N = 2000
DENSE = accuracy_of(np.arange(N) < 0.9 * N)


def measured(truth: Callable[[float], float]) -> Callable[[float], Evaluation]:
    """Images are lost from the dense model's, none gained."""
    return lambda s: accuracy_of(np.arange(N) < round(truth(s) * N))


def lost(dense: Evaluation, other: Evaluation) -> float:
    return dense.value - other.value


@given(st.floats(0.01, 1), st.floats(0.5, 12), st.floats(0, 0.3))
def test_on_a_falling_curve_it_is_the_true_end_to_the_resolution(depth: float, power: float, allowed: float) -> None:
    def truth(s: float) -> float:
        return 0.9 * (1 - depth * s**power)

    found = furthest(measured(truth), DENSE, allowed)
    slack = 0.5 / N
    if found.sparsity:
        assert 0.9 - truth(found.sparsity) <= allowed + slack
        assert lost(DENSE, found.points[found.sparsity]) <= allowed + 1e-9
    if found.sparsity < HIGH:
        assert 0.9 - truth(min(found.sparsity + RESOLUTION, HIGH)) >= allowed - slack
    assert found.drop == compare(DENSE, found.points.get(found.sparsity, DENSE))
    assert found.evaluations <= 12


tables = st.dictionaries(st.integers(1, 990).map(lambda k: k / 1000), st.floats(0.5, 0.95), max_size=12)


@given(tables, st.floats(0, 0.2), st.integers(0, 2**31))
def test_on_any_curve_nothing_measured_before_it_drops_too_far(known: dict[float, float], allowed: float, seed: int) -> None:
    def noisy(s: float) -> Evaluation:
        rng = np.random.default_rng([seed, round(s * 1e6)])
        return accuracy_of(rng.random(N) < 0.9 - 0.5 * s**4)

    given_ = {s: accuracy_of(np.arange(N) < round(v * N)) for s, v in known.items()}
    found = furthest(noisy, DENSE, allowed, known=given_)
    within = {s: lost(DENSE, a) <= allowed + 1e-9 for s, a in found.points.items()}
    assert all(ok for s, ok in within.items() if s <= found.sparsity)
    beyond = [s for s in within if s > found.sparsity]
    if beyond:  # and right behind it, it does
        assert not within[min(beyond)]
        assert min(beyond) - found.sparsity <= RESOLUTION + 1e-6
    else:
        assert max(found.points) <= HIGH
    assert set(given_) <= set(found.points)
    assert found.evaluations == len(set(found.points) - set(given_))
    assert ("does not count" in found.sentence) == any(within[s] for s in beyond)
    assert found.confident == (-found.drop.low <= allowed + 1e-12)


def test_what_is_known_narrows_the_search() -> None:
    asked: list[float] = []

    def truth(s: float) -> float:
        return 0.9 if s < 0.7 else 0.4

    free = furthest(measured(truth), DENSE, 0.01)
    known = {s: measured(truth)(s) for s in (0.6, 0.69, 0.71)}
    found = furthest(lambda s: asked.append(s) or measured(truth)(s), DENSE, 0.01, known=known)
    assert found.evaluations == len(asked) < free.evaluations
    assert all(0.69 < s < 0.71 for s in asked)
    assert found.sparsity == pytest.approx(0.7, abs=RESOLUTION + 1e-9)


def test_a_recovery_beyond_a_dent_does_not_count() -> None:
    def truth(s: float) -> float:
        return 0.5 if 0.45 < s < 0.6 else 0.9

    found = furthest(measured(truth), DENSE, 0.02)
    assert 0.44 < found.sparsity <= 0.45
    known = {0.8: measured(truth)(0.8)}
    found = furthest(measured(truth), DENSE, 0.02, known={**known, 0.5: measured(truth)(0.5)})
    assert found.sparsity <= 0.45
    assert "does not count" in found.sentence


def test_a_curve_that_never_falls_goes_all_the_way_and_one_that_falls_at_once_nowhere() -> None:
    flat = furthest(measured(lambda s: 0.9), DENSE, 0.01)
    assert flat.sparsity == HIGH
    assert flat.confident
    assert "the highest that was looked at" in flat.sentence
    assert "nothing lost" in flat.sentence
    steep = furthest(measured(lambda s: 0.1), DENSE, 0.01)
    assert steep.sparsity == 0
    assert steep.drop.value == 0
    assert "keeps the drop within 1 point on" in steep.sentence


def test_it_is_confident_only_with_enough_images() -> None:
    def curve(n: int) -> Callable[[float], Evaluation]:
        return lambda s: accuracy_of(np.arange(n) < round((0.9 if s < 0.5 else 0.893 if s < 0.8 else 0.3) * n))

    few, many = (furthest(curve(n), curve(n)(0), 0.01) for n in (1000, 50_000))
    assert few.sparsity == many.sparsity
    assert not few.confident
    assert "chance" in few.sentence
    assert many.confident
    assert "95 % confidence" in many.sentence


def test_the_test_images_confirm_or_do_not() -> None:
    def pruned(share: float, n: int) -> tuple[Evaluation, Evaluation]:
        return accuracy_of(np.arange(n) < 0.9 * n), accuracy_of(np.arange(n) < round(share * n))

    sure = confirm(*pruned(0.895, 50_000), 0.01)
    assert sure.holds
    assert sure.confident
    assert sure.sentence.startswith("Confirmed: on 50,000 test images, 0.5 points lost")
    likely = confirm(*pruned(0.892, 500), 0.01)
    assert likely.holds
    assert not likely.confident
    assert "not sure" in likely.sentence
    worse = confirm(*pruned(0.7, 5000), 0.01)
    assert not worse.holds
    assert "clearly more" in worse.sentence
    assert "more than 1 point, though not clearly" in confirm(*pruned(0.888, 500), 0.01).sentence
    better = confirm(*pruned(0.92, 5000), 0.01)
    assert better.confident
    assert "2.0 points gained" in better.sentence


@given(st.integers(1, 300), st.integers(0, 300), st.floats(0, 0.5))
def test_exactly_what_is_allowed_is_within_it(n: int, k: int, allowed: float) -> None:
    dense, other = accuracy_of(np.ones(n, bool)), accuracy_of(np.arange(n) >= min(k, n))
    assert confirm(dense, other, allowed).holds == (min(k, n) <= allowed * n + 1e-9)
    assert confirm(dense, other, min(k, n - 1) / n).holds == (k < n)


def test_bad_input_is_said() -> None:
    with pytest.raises(PrunekitError, match="is one point"):
        furthest(measured(lambda s: 0.9), DENSE, 1.0)
    with pytest.raises(PrunekitError, match="resolution"):
        furthest(measured(lambda s: 0.9), DENSE, 0.01, resolution=0)
    with pytest.raises(DataError, match="same samples"):
        furthest(lambda s: accuracy_of(np.ones(5, bool)), DENSE, 0.01)
    with pytest.raises(PrunekitError):
        confirm(DENSE, DENSE, -0.01)
