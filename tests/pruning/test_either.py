"""What is made of two parts goes when either part goes: a channel of attention with its head, and with its dimension."""

import numpy as np
import pytest

from prunekit.pruning.masked_reference import removed_mask
from prunekit.pruning.structured.coupling_solver import Variables


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_product_goes_with_either_of_its_parts(part, swapped):
    variables = Variables()
    heads, dimensions = variables.fresh(2), variables.fresh(3)
    axis = variables.outer(dimensions, heads) if swapped else variables.outer(heads, dimensions)
    solution = variables.solve()
    label = solution.label
    chosen = (heads, dimensions)[part][0]
    gone = solution.removed(label[[chosen]])[label[axis]]
    grid = gone.reshape((3, 2) if swapped else (2, 3))
    expected = np.zeros_like(grid)
    expected[(slice(None), 0) if (part == 0) == swapped else 0] = True
    assert np.array_equal(grid, expected)


def test_an_element_goes_when_any_of_its_axes_loses_it():
    rows, columns = np.array([True, False, True]), np.array([False, True, True, True])
    mask = removed_mask((3, 4, 2), {0: rows, 1: columns}).numpy()
    assert np.array_equal(mask[..., 0], ~np.logical_and.outer(rows, columns)) and np.array_equal(mask[..., 0], mask[..., 1])
