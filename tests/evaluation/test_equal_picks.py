"""Of equal choices the one that removes less is taken."""

import numpy as np

from prunekit.evaluation.sensitivity.knapsack import least_for, most_within


def test_what_saves_nothing_more_is_not_removed():
    drops, gains = [np.array([0.0, 0.01, 0.01])], [np.array([0.0, 5.0, 5.0])]
    assert most_within(drops, gains, 0.02).tolist() == [1]
    assert least_for(drops, gains, 5.0).tolist() == [1]
    assert most_within([np.zeros(3), np.zeros(2)], [np.zeros(3), np.zeros(2)], 0.0).tolist() == [0, 0]
