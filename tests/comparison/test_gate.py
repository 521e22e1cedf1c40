"""A gate judges the run that is named last, whichever way its metric is better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prunekit.comparison.comparison import Comparison
from prunekit.comparison.gate import Check, Gate
from prunekit.evaluation.quality import Evaluation
from prunekit.tasks.metrics import metric
from prunekit.tasks.observations import Observations
from tests.comparison.made import at, column, dense

ERROR = metric(lambda seen: float(seen["error"].mean()), name="error", title="Mean error", unit="kWh", better="lower")


def judged(gate: Gate, *errors: float) -> tuple[Check, ...]:
    """Hold the second of two runs, whose mean errors these are, against the first."""
    jitter = np.linspace(-0.1, 0.1, 101)
    runs = [dense(), *at(0.5)]
    seen = [Evaluation.of(Observations.of(error=error + jitter * (1 + k)), ERROR) for k, error in enumerate(errors)]
    both = [replace(column(letter, None), run=run, accuracy=each) for letter, run, each in zip(("Dense", "A"), runs, seen, strict=True)]
    found = Comparison(both[0], (both[1],), (), (), "", "", "", "own", {}, "test", 101, ())
    return gate.judge(found, runs[0].id, runs[1].id)


@pytest.mark.parametrize(("gate", "passed"), [
    (Gate(below=2.5), True), (Gate(below=2.0), True), (Gate(below=1.9), False),  # an error that is lower is better
    (Gate(lost=1.0), True), (Gate(lost=0.9), False), (Gate(below=2.0, sure=True), False), (Gate(lost=1.0, sure=True), False),
    (Gate(lost=1.1, sure=True), True),
])  # fmt: skip
def test_an_error_that_grows_is_a_loss(gate: Gate, passed: bool) -> None:
    (check,) = judged(gate, 1.0, 2.0)
    assert check.passed is passed and check.sentence.startswith("passed: " if passed else "failed: ")
    assert check.low < check.value < check.high


def test_an_error_that_shrinks_loses_less_than_nothing() -> None:
    (check,) = judged(Gate(lost=0.0), 2.0, 1.0)
    assert check.passed and check.value == pytest.approx(-1.0) and "lowered mean error by 1.00 kWh against Dense" in check.sentence
