"""Both kinds at one budget: as near to it as can be, measured, and the advice follows the measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

import prunekit
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.sizes import file_bytes, sparse_bytes
from prunekit.latency.report import Candidate, LatencyReport
from prunekit.lessons import budgets, choose
from prunekit.lessons.budgets import STEPS, Pair, at_equal_budgets, least, when_to_use
from prunekit.lessons.course import answer_of
from prunekit.models.state import state_hash
from tests.lessons.clock import latency_by_macs


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(budgets, "measure_latency", latency_by_macs)


@given(st.integers(0, STEPS))
def test_the_least_step_that_meets_a_condition_is_found(first: int) -> None:
    assert least(lambda step: step >= first) == (first if first < STEPS else None)


@pytest.mark.parametrize("share", [0.6, 0.2, 0.1])
@pytest.mark.parametrize("budget", ["params", "macs", "bytes"])
def test_both_copies_keep_to_the_budget_and_one_step_less_would_not(cnn, data, budget: str, share: float) -> None:
    pair = Pair(cnn, data)
    fit = pair.at(budget, share)
    small, masked = (round(result.spec.sparsity * STEPS) for result in (fit.structured, fit.unstructured))
    assert pair.shrunk_cost(budget, small) <= share * pair.dense(budget) < pair.shrunk_cost(budget, small - 1)
    assert pair.masked_cost(budget, masked) <= pair.shrunk_cost(budget, small) < pair.masked_cost(budget, masked - 1)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("budget", ["params", "bytes"])
def test_the_table_is_what_pruning_with_those_sparsities_gives(cnn, data, budget: str) -> None:
    before = state_hash(cnn)
    rows = at_equal_budgets(cnn, data, budget, 0.3).set_index("kind")
    right = {"dense": prunekit.evaluate(cnn, data.test)}
    for mode in ("unstructured", "structured"):
        result = prunekit.prune(cnn, prunekit.PruneSpec(mode=mode, sparsity=rows.sparsity[mode]))
        right[mode] = prunekit.evaluate(result.model, data.test)
        stored = sparse_bytes(result.model)[0] if mode == "unstructured" else file_bytes(result.model)
        expected = (sum(int((p != 0).sum()) for p in result.model.parameters()), result.after.effective_macs, stored)
        assert tuple(rows.loc[mode, ["params", "macs", "bytes"]]) == expected
        assert rows.within[mode]
    for kind, accuracy in right.items():
        assert tuple(rows.loc[kind, ["accuracy", "low", "high", "images"]]) == (accuracy.value, accuracy.low, accuracy.high, accuracy.n)
    only = [int((right[a].correct & ~right[b].correct).sum()) for a, b in (("structured", "unstructured"), ("unstructured", "structured"))]
    assert rows.p_value["structured"] == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    assert math.isnan(rows.p_value["dense"])
    assert not rows.within["dense"]
    assert state_hash(cnn) == before


@pytest.mark.usefixtures("clock")
def test_a_budget_in_time_is_kept_by_channels_and_not_by_zeros(cnn, data) -> None:
    rows = at_equal_budgets(cnn, data, "ms", 0.4).set_index("kind")
    assert rows.within["structured"]
    assert not rows.within["unstructured"]
    assert rows.params["unstructured"] <= rows.params["structured"]
    assert rows.ratio["structured"] <= 0.4
    found = answer_of(9, budget="ms", share=40)
    assert "the budget in time was not kept by the zeros" in found.sentences[0]


@pytest.mark.usefixtures("clock")
def test_which_one_reads_more_is_the_paired_test_s_word() -> None:
    found = answer_of(9)
    rows = found.frames["budget"].set_index("kind")
    apart = rows.accuracy["unstructured"] - rows.accuracy["structured"]
    expected = choose.EQUAL if rows.p_value["structured"] >= 0.05 else choose.WEIGHTS if apart > 0 else choose.CHANNELS
    assert found.value == expected
    assert found.numbers["apart"] == pytest.approx(apart)
    assert list(found.frames["advice"].goal) == ["maximum compression", "sparse accelerator", "phone or edge", "plain CPU or GPU server"]


@pytest.mark.parametrize(("budget", "share"), [("watts", 0.5), ("params", 0.0), ("params", 1.0), ("params", True), ("macs", float("nan"))])
def test_a_budget_that_makes_no_sense_is_refused(cnn, data, budget: str, share: float) -> None:
    with pytest.raises(PrunekitError, match=r"budget|share"):
        at_equal_budgets(cnn, data, budget, share)


@pytest.mark.parametrize("budget", ["params", "ms"])
def test_a_budget_out_of_reach_of_channels_is_said_to_be_so(cnn, data, budget: str) -> None:
    with pytest.raises(PrunekitError, match="larger share"):
        at_equal_budgets(cnn, data, budget, 1e-4)


def table(accuracy: Sequence[float], costs: Sequence[Sequence[float]], faster: Sequence[bool], p_value: float) -> pd.DataFrame:
    frame = pd.DataFrame({"kind": ["dense", "unstructured", "structured"], "accuracy": [0.99, *accuracy]})
    frame["low"], frame["high"] = frame.accuracy - 0.01, frame.accuracy + 0.01
    for name, (masked, small) in zip(("bytes", "macs", "ms", "ms_one"), costs, strict=True):
        frame[name] = [100.0, masked, small]
    return frame.assign(faster=[False, *faster], faster_one=[False, *faster], p_value=[math.nan, p_value, p_value])


SHARES = st.floats(0.1, 0.99)
COSTS = st.lists(st.tuples(st.floats(1, 150), st.floats(1, 150)), min_size=4, max_size=4)


@given(st.tuples(SHARES, SHARES), COSTS, st.tuples(st.booleans(), st.booleans()), st.floats(0, 1))
def test_the_advice_never_names_a_kind_that_saves_nothing_or_is_beaten_on_both_counts(accuracy, costs, faster, p_value) -> None:
    frame = table(accuracy, costs, faster, p_value)
    rows = frame.set_index("kind")
    columns = ("bytes", "macs", "ms_one", "ms")
    for advice, column in zip(when_to_use(frame), columns, strict=True):
        saves = {"bytes": rows.bytes < 100, "macs": rows.macs < 100}.get(column, rows.faster)
        if advice.pick == "neither":
            assert not saves["unstructured"]
            assert not saves["structured"]
            continue
        other = "structured" if advice.pick == "unstructured" else "unstructured"
        assert saves[advice.pick]
        if saves[other]:
            assert rows[column][advice.pick] <= rows[column][other] or (
                p_value < 0.05 and rows.accuracy[advice.pick] >= rows.accuracy[other]
            )
            assert not (p_value < 0.05 and rows.accuracy[advice.pick] < rows.accuracy[other])
        assert "right" in advice.sentence


def test_the_advice_changes_with_the_measurements() -> None:
    accurate = when_to_use(table((0.98, 0.80), [(50, 40)] * 4, (False, True), 0.001))
    alike = when_to_use(table((0.95, 0.94), [(50, 40)] * 4, (False, True), 0.6))
    slow = when_to_use(table((0.95, 0.94), [(50, 40)] * 4, (False, False), 0.6))
    assert [advice.pick for advice in accurate] == ["unstructured", "unstructured", "structured", "structured"]
    assert [advice.pick for advice in alike] == ["structured"] * 4
    assert [advice.pick for advice in slow] == ["structured", "structured", "neither", "neither"]


@pytest.mark.slow
def test_the_answer_on_speed_is_the_report_of_the_core(cnn, monkeypatch) -> None:
    from prunekit.lessons import faster

    reports = []
    monkeypatch.setattr(
        faster, "measure_latency", lambda *args, **kwargs: reports.append(prunekit.measure_latency(*args, **kwargs)) or reports[-1]
    )
    found = answer_of(8)
    (report,) = reports
    rows = found.frames["times"]
    assert list(rows.ms) == [row.median_ms for row in report.candidates]
    assert rows.ms.to_numpy() == pytest.approx(np.array([np.median(row.samples_ms) for row in report.candidates]))
    quick = [row.ratio.different and row.ratio.value < 1 for row in report.candidates[1:]]
    assert found.value == {(True, True): faster.BOTH, (True, False): faster.ZEROS, (False, True): faster.SMALLER}.get(
        tuple(quick), faster.NEITHER
    )
    small = prunekit.prune(cnn, prunekit.PruneSpec(mode="structured", sparsity=0.7))
    assert rows.macs[2] == small.after.macs
    assert rows.macs[1] == rows.macs[0]


@pytest.mark.slow
def test_equal_budgets_are_really_timed(cnn, data) -> None:
    rows = at_equal_budgets(cnn, data, "params", 0.2, seconds=1)
    assert (rows.ms > 0).all()
    assert (rows.ms_one > 0).all()
    assert rows.ratio[0] == rows.ratio_one[0] == 1


def test_a_copy_that_reads_clearly_less_is_to_be_fine_tuned_first() -> None:
    said = [advice.sentence for advice in when_to_use(table((0.98, 0.80), [(50, 40)] * 4, (False, True), 0.001))]
    assert ["fine-tune it first" in sentence for sentence in said] == [False, False, True, True]


def test_progress_begins_at_once_and_names_the_copies(cnn, data, monkeypatch) -> None:
    heard = list[tuple[float, str]]()

    def latency(candidates: Sequence[Candidate], *, progress, **_: object) -> LatencyReport:
        progress(0.5, f"trying {candidates[1].name} in eager, batch 64")
        raise Cancelled("stopped on request")

    monkeypatch.setattr(budgets, "measure_latency", latency)
    with pytest.raises(Cancelled):
        at_equal_budgets(cnn, data, "params", 0.3, progress=Progress(lambda share, text: heard.append((share, text))))
    assert heard[0][0] == 0
    assert heard[-1][1] == "trying single weights gone, batch 64"
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)


@pytest.mark.usefixtures("clock")
def test_every_goal_has_a_place_in_the_last_lesson() -> None:
    found = answer_of(9)
    assert set(choose.PLACES) == set(found.frames["advice"].goal)
    assert all(place in found.sentences[1] for place in choose.PLACES.values())
