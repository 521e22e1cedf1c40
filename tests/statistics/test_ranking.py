"""AUC for any draw of users, and each user's best ten: against scikit-learn and against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from prunekit.statistics import ranking
from prunekit.statistics.bootstrap import ByUnit, bootstrap_difference, bootstrap_interval, bootstrap_replicates
from prunekit.statistics.ranking import auc_by_unit, top_k


@pytest.fixture(scope="module")
def drawn():
    """Scores with ties, labels, and the users, of whom the last has one class only."""
    source = np.random.default_rng(0)
    score, label, user = np.round(source.normal(size=600), 1), (source.random(600) < 0.3).astype(float), source.integers(0, 40, 600)
    label[user == 39] = 0
    return score, label, user


@pytest.mark.parametrize("most", [4096, 1])
def test_auc_is_scikit_learns_for_every_draw_of_users(drawn, most, monkeypatch):
    score, label, user = drawn
    monkeypatch.setattr(ranking, "MOST_UNITS", most)
    monkeypatch.setattr(ranking, "ENTRIES", 1200)  # two resamples at a time
    counts = np.random.default_rng(1).integers(0, 3, (5, 40))
    wanted = [roc_auc_score(label, score, sample_weight=each[user]) for each in counts]
    np.testing.assert_allclose(auc_by_unit(score, label, user)(counts), wanted, rtol=0, atol=1e-9)
    assert np.isnan(auc_by_unit(score, label, user)(np.eye(40, dtype=int)[39:])).all()


def test_the_best_ten_share_out_ties_as_scikit_learn_does(drawn):
    score, label, user = drawn
    source = np.random.default_rng(2)
    ndcg, recall, chosen = top_k(score, label, user * 7, 10)
    for each in range(40):
        mine, here = score[user == each], label[user == each]
        assert chosen[each] == here.sum()
        if not here.any():
            assert ndcg[each] == recall[each] == 0
            continue
        assert ndcg[each] == pytest.approx(ndcg_score([here], [mine], k=10), abs=1e-12)
        orders = [np.lexsort((source.random(len(mine)), -mine)) for k in range(100)]
        assert recall[each] == pytest.approx(np.mean([here[order[:10]].sum() for order in orders]) / here.sum(), abs=0.1)
    same = top_k(score, label, user)[1]
    exact = top_k(score + 1e-9 * np.arange(600), label, user)[1]
    assert not np.array_equal(same, exact)  # no order of the data breaks a tie


def test_a_figure_by_units_is_resampled_as_its_rows_are(drawn):
    score, label, user = drawn
    rows = np.column_stack([score, label])
    figure = ByUnit(lambda rows, unit: auc_by_unit(rows[:, 0], rows[:, 1], unit))
    plain = lambda rows: roc_auc_score(rows[:, 1], rows[:, 0])  # noqa: E731
    assert figure(rows) == pytest.approx(plain(rows), abs=1e-12)
    quick, slow = (bootstrap_replicates(rows, each, groups=user, resamples=20) for each in (figure, plain))
    np.testing.assert_allclose(quick, slow, atol=1e-12)
    low, high = bootstrap_interval(rows, figure, groups=user)
    assert low < figure(rows) < high
    better = np.column_stack([score + 2 * label, label])
    assert bootstrap_difference(rows, better, figure, groups=user).significant
    assert bootstrap_difference(rows, rows, figure, groups=user).value == 0
