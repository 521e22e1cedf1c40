"""The timing protocol on a clock that tests control, and the ratio on series whose truth is known."""

from __future__ import annotations

import gc
from collections import Counter

import numpy as np
import pytest

from prunekit.errors import LatencyError
from prunekit.latency.interleaved_timing import SAMPLE_S, WARM_CALLS, ratio, take_turns, warm_up


class World:
    """A clock that only the functions under test move."""

    def __init__(self, seed: int = 0) -> None:
        self.now, self.calls, self.rng = 0.0, [], np.random.default_rng(seed)

    def clock(self) -> float:
        return self.now

    def model(self, name: str, seconds: float, noise: float = 0.0):
        def run() -> None:
            self.calls.append(name)
            self.now += seconds * float(np.exp(noise * self.rng.standard_normal()))

        return run


def test_every_candidate_has_one_sample_in_each_round_and_the_order_changes() -> None:
    world = World()
    rounds = take_turns([world.model(n, 0.01, 0.2) for n in "abc"], budget_s=20, clock=world.clock)
    assert {len(samples) for samples in rounds.seconds} == {len(rounds.orders)}
    assert all(sorted(order) == [0, 1, 2] for order in rounds.orders)
    firsts = Counter(order[0] for order in rounds.orders)
    assert len(firsts) == 3
    assert min(firsts.values()) > len(rounds.orders) / 6
    assert len({tuple(order) for order in rounds.orders}) == 6
    timed = "".join(world.calls)[-3 * len(rounds.orders) :]
    assert timed == "".join("abc"[i] for order in rounds.orders for i in order)


def test_the_same_seed_gives_the_same_orders() -> None:
    def orders(seed: int) -> list[list[int]]:
        world = World()
        return take_turns([world.model(n, 0.01, 0.3) for n in "ab"], budget_s=0.5, seed=seed, clock=world.clock).orders

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)


def test_short_models_are_repeated_and_long_ones_are_not() -> None:
    world = World()
    rounds = take_turns([world.model("short", 1e-4), world.model("long", 0.05)], budget_s=3, clock=world.clock)
    assert rounds.repetitions[1] == 1
    assert rounds.repetitions[0] * 1e-4 == pytest.approx(SAMPLE_S, rel=0.1)
    assert np.allclose(rounds.seconds[0], 1e-4)
    assert np.allclose(rounds.seconds[1], 0.05)
    per_round = rounds.repetitions[0] + 1  # one untimed call before the timed ones
    assert world.calls.count("short") - per_round * len(rounds.orders) <= WARM_CALLS


def test_noise_free_candidates_stop_early_and_noisy_ones_use_the_budget() -> None:
    world = World()
    quiet = take_turns([world.model(n, 0.01) for n in "ab"], budget_s=100, clock=world.clock)
    assert (quiet.stopped, len(quiet.orders)) == ("narrow enough", 10)
    world = World()
    loud = take_turns([world.model(n, 0.01, 0.5) for n in "ab"], budget_s=3, clock=world.clock)
    assert loud.stopped == "time budget"
    assert 3 <= world.now < 3.2


def test_the_budget_gives_way_to_the_least_number_of_rounds() -> None:
    world = World()
    rounds = take_turns([world.model(n, 5.0, 0.3) for n in "ab"], budget_s=1, min_rounds=7, clock=world.clock)
    assert len(rounds.orders) == 7


def test_one_candidate_alone_is_measured() -> None:
    world = World()
    assert len(take_turns([world.model("a", 0.01)], budget_s=1, clock=world.clock).seconds[0]) == 10


def test_one_candidate_alone_is_measured_until_its_own_median_is_known() -> None:
    world = World()
    noisy = take_turns([world.model("a", 0.01, 0.5)], budget_s=5, min_rounds=5, clock=world.clock)
    assert len(noisy.orders) > 50 and noisy.stopped == "time budget"
    steady = take_turns([world.model("a", 0.01)], budget_s=5, min_rounds=5, clock=world.clock)
    assert len(steady.orders) == 5 and steady.stopped == "narrow enough"


def test_the_most_rounds_are_said_to_be_the_end(monkeypatch) -> None:
    monkeypatch.setattr("prunekit.latency.interleaved_timing.MAX_ROUNDS", 20)
    world = World()
    assert take_turns([world.model(n, 0.01, 0.5) for n in "ab"], budget_s=1e6, clock=world.clock).stopped == "most rounds"


def test_progress_grows_to_the_whole_budget() -> None:
    world, seen = World(), []
    rounds = take_turns(
        [world.model(n, 0.01, 0.5) for n in "ab"], budget_s=2, clock=world.clock, progress=lambda share, done: seen.append((share, done))
    )
    assert [done for _, done in seen] == list(range(1, len(rounds.orders) + 1))
    assert [share for share, _ in seen] == sorted(share for share, _ in seen)
    assert seen[-1][0] == 1.0


def test_warm_up_goes_on_while_it_gets_faster() -> None:
    world, times = World(), iter([1.0, 0.5, 0.3, 0.2, 0.15, 0.1] + [0.1] * 40)

    def run() -> None:
        world.now += next(times)

    assert warm_up(run, 100.0, world.clock) == pytest.approx(0.1)
    assert next(times) == 0.1
    slow = World()
    warm_up(slow.model("a", 10.0), 1.0, slow.clock)
    assert len(slow.calls) == 3


def test_the_collector_rests_while_samples_are_taken_and_works_afterwards() -> None:
    world, states = World(), []
    take_turns([world.model("a", 0.01)], budget_s=1, clock=world.clock, progress=lambda *_: states.append(gc.isenabled()))
    assert not any(states)
    assert gc.isenabled()

    def broken() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        take_turns([broken], budget_s=1, clock=world.clock)
    assert gc.isenabled()


# --- the ratio ---


def series(rng: np.random.Generator, rounds: int, factor: float, drift: float = 0.0, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Return (candidate, baseline): both suffer the same slow drift of the machine, each its own noise."""
    machine = np.exp(drift * np.cumsum(rng.standard_normal(rounds)) / np.sqrt(rounds))
    a, b = (np.exp(noise * rng.standard_normal(rounds)) for _ in range(2))
    return factor * machine * a, machine * b


@pytest.mark.parametrize("factor", [0.4, 0.9, 1.0, 1.3])
@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_a_known_ratio_is_recovered_whatever_the_machine_does(factor: float, drift: float) -> None:
    rng, hits = np.random.default_rng(1), []
    for _ in range(150):
        result = ratio(*series(rng, 60, factor, drift))
        hits.append(result.low <= factor <= result.high)
        assert abs(result.value / factor - 1) < 0.05
        assert result.low <= result.value <= result.high
    assert 0.9 <= np.mean(hits) <= 1.0


def test_equal_streams_are_no_difference_and_a_real_one_is_seen() -> None:
    rng = np.random.default_rng(2)
    equal = [ratio(*series(rng, 40, 1.0, 0.5)).different for _ in range(200)]
    assert np.mean(equal) <= 0.1, "a 95 % interval leaves 1 out by chance, and the margin of 1 % takes some of it back"
    real = [ratio(*series(rng, 40, 0.93, 0.5)).different for _ in range(50)]
    assert np.mean(real) >= 0.9
    # as wide as the margin itself: sure to be there, and too small to matter
    small = ratio(*series(rng, 5000, 0.995, 0.0, 0.02))
    assert small.high < 1
    assert not small.different


@pytest.mark.parametrize(
    ("rounds", "alike", "most"), [(2, 0.0, 0.08), (5, 0.6, 0.15), (10, 0.0, 0.06), (10, 0.6, 0.12), (30, 0.8, 0.1), (100, 0.8, 0.08)]
)
def test_equal_models_are_seldom_called_different_however_few_and_alike_the_rounds(rounds: int, alike: float, most: float) -> None:
    rng, called = np.random.default_rng(3), []
    for heavy in (False, True):
        for _ in range(250):
            shock = rng.standard_t(2, rounds + 50) if heavy else rng.standard_normal(rounds + 50)
            level = np.zeros(rounds + 50)
            for i in range(1, rounds + 50):
                level[i] = alike * level[i - 1] + shock[i]
            called.append(ratio(np.exp(0.1 * level[50:]), np.ones(rounds)).different)
    assert np.mean(called) <= most


def test_one_round_makes_no_difference() -> None:
    assert not ratio([2.0], [1.0]).different


def test_one_outlier_moves_nothing() -> None:
    a, b = series(np.random.default_rng(5), 50, 0.5)
    a[7] *= 100
    assert ratio(a, b).value == pytest.approx(0.5, rel=0.05)
    assert ratio(a, b).high < 0.55


def test_the_same_samples_give_the_same_interval() -> None:
    a, b = series(np.random.default_rng(6), 30, 0.7)
    assert ratio(a, b) == ratio(a, b)
    assert ratio(b, b).to_dict() == {"value": 1.0, "low": 1.0, "high": 1.0}


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([], []), ([0.0], [1.0]), ([np.nan], [1.0])])
def test_what_does_not_pair_is_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(LatencyError, match="one positive time"):
        ratio(a, b)
