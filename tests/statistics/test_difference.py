"""Holm's step-down against its adjusted p-values."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prunekit.statistics.difference import holm


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_adjusted_p_values_do(p_values: list[float]) -> None:
    m, p = len(p_values), np.array(p_values)
    adjusted = [max((m - int((p < q).sum())) * q for q in p[p <= value]) for value in p]
    assert holm(p).tolist() == [value < 0.05 for value in adjusted] or np.isclose(adjusted, 0.05).any()
