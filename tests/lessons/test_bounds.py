"""Where a lesson's bound is met exactly: just enough is not too much, and slower is not faster."""

import numpy as np
import pytest

from prunekit.evaluation.quality import accuracy_of
from prunekit.evaluation.sweep import SweepPoint
from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.report import CandidateLatency
from prunekit.lessons import budgets, cliff
from prunekit.models.cost import Counts

COUNTS = Counts(1, 1, 1, 1, 0.0, 1)


@pytest.mark.parametrize(("lost", "last"), [((0, 4, 5, 6), 2), ((0, 5, 5, 5), 3), ((0, 6, 5, 4), 0)])
def test_as_many_points_as_may_be_lost_are_not_beyond_the_edge(lost, last):
    curve = [SweepPoint(0.1 * i, 0.1 * i, accuracy_of(np.arange(100) >= n), COUNTS) for i, n in enumerate(lost)]
    assert cliff._last_before(curve, 5) == last


@pytest.mark.parametrize(
    ("ratio", "different", "faster"), [(0.5, True, True), (0.5, False, False), (2.0, True, False), (1.0, False, False)]
)
def test_a_copy_is_faster_when_it_takes_clearly_less_time_than_the_original(ratio, different, faster):
    one = CandidateLatency("copy", "eager", 1, 1, None, (2.0,), 2.0, 2.0, 2.0, Ratio(1.0, 1.0, 1.0, False))
    many = CandidateLatency("copy", "eager", 64, 1, None, (3.0,), 3.0, 3.0, 3.0, Ratio(ratio, ratio, ratio, different))
    found = budgets._timed({("copy", 1): one, ("copy", budgets.BATCH): many}, "copy")
    assert found == {"ms": 3.0, "ms_one": 2.0, "ratio": ratio, "ratio_one": 1.0, "faster": faster, "faster_one": False}
