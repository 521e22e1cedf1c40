"""Models that each have one cause, pruned and measured for real: that cause is named, and no other."""

import pytest

from tests.latency.diagnosis.cases import CASES, measure

TRIES = 4  # a neighbour on the machine can hide a cause, or stand in for one; what a model is built for shows sooner or later


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_cause_that_a_model_was_built_for_is_named_and_no_other(name):
    named = []
    for attempt in range(TRIES):
        found = measure(name, budget_s=3.0 * 2**attempt)
        named.append([cause.name for cause in found.causes])
        if named[-1] == [name]:
            return
        rounded = found.evidence.rounded
        alike = rounded is not None and not (rounded.ratio.different and rounded.ratio.high < 1)
        if name == "odd_channels" and alike and (not named[-1] or attempt == TRIES - 1):
            pytest.skip("this processor is not seen to be slower at odd channel counts, and so none are named")
    raise AssertionError(f"{name} was never named alone: {named}")
