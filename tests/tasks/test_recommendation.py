"""Recommendation: figures against scikit-learn, users who are resampled, and what is no logit, no label or no user."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, ndcg_score, roc_auc_score
from torch.nn import functional

from prunekit.data.interactions import InteractionSplit
from prunekit.errors import DataError, ModelError
from prunekit.evaluation.paired import figures_by_group
from prunekit.evaluation.quality import Evaluation
from prunekit.tasks import Batch, Observations, task
from prunekit.tasks.shown import Reader

TASK = task("recommendation")


def seen(n=400, users=20, quality=1.0, seed=0):
    """Return observations of candidates whose score says more or less of the label."""
    source = np.random.default_rng(seed)
    label = (source.random(n) < 0.25).astype(float)
    return Observations.of(score=np.round(quality * label + source.normal(size=n) - 1, 1), label=label, groups=np.arange(n) % users)


def test_figures_are_those_of_scikit_learn():
    rows = seen()
    score, label, chance = rows["score"], rows["label"], 1 / (1 + np.exp(-rows["score"]))
    found = {each.name: each.reduce(rows) for each in TASK.metrics}
    assert TASK.headline.name == "auc" and found["auc"] == pytest.approx(roc_auc_score(label, score), abs=1e-9)
    assert found["log_loss"] == pytest.approx(log_loss(label, chance), abs=1e-9)
    assert found["calibration_error"] == pytest.approx(abs(chance.sum() / label.sum() - 1), abs=1e-9)
    each = [ndcg_score([label[rows.groups == user]], [score[rows.groups == user]], k=10) for user in range(20)]
    assert found["ndcg_10"] == pytest.approx(np.mean(each), abs=1e-9)
    for metric in TASK.metrics:
        low, high = metric.interval(rows)
        assert low <= found[metric.name] <= high and low < high
    assert TASK.headline.chance(rows) == 0.5 and TASK.metric("ndcg_10").chance(rows) < found["ndcg_10"]
    assert TASK.metric("log_loss").chance(rows) == pytest.approx(log_loss(label, np.full(400, label.mean())))


def test_users_and_not_candidates_are_what_is_resampled():
    rows = seen(120, users=120)
    twice = Observations(np.repeat(rows.values, 4, 0), rows.columns, np.repeat(rows.groups, 4))
    for metric in TASK.metrics[:3]:  # four equal candidates of one user say no more than one
        np.testing.assert_allclose(metric.interval(rows), metric.interval(twice), atol=1e-9)
    better = TASK.headline.compare(rows, Observations.of(score=rows["score"] + rows["label"], label=rows["label"], groups=rows.groups))
    assert better.significant and better.value > 0
    with pytest.raises(DataError, match="same samples"):
        TASK.headline.compare(rows, seen(120, users=5))


def test_users_without_a_choice_are_left_out_and_one_class_is_said():
    rows = seen(40, 4)
    more = Observations.of(
        score=np.r_[rows["score"], np.zeros(10)], label=np.r_[rows["label"], np.zeros(10)], groups=np.r_[rows.groups, [9] * 10]
    )
    for name in ("ndcg_10", "recall_10"):
        assert TASK.metric(name).reduce(more) == TASK.metric(name).reduce(rows)
    none = Observations.of(score=rows["score"], label=0 * rows["label"], groups=rows.groups)
    for name, why in (("auc", "one class"), ("ndcg_10", "no user here has chosen"), ("calibration_error", "none of these")):
        with pytest.raises(DataError, match=why):
            TASK.metric(name).reduce(none)


def test_users_whose_first_five_change_most():
    before = seen(60, users=3)  # each has 20
    same, said = TASK.changes(before, before)
    assert not same["change"].any() and (same["of the first 5 that stay"] == 5).all() and "no two" in said
    score = np.where(before.groups == 1, -before["score"], before["score"])  # all of one user's the other way round
    found, _ = TASK.changes(before, Observations.of(score=score, label=before["label"], groups=before.groups))
    assert found["change"].tolist()[::2] == [0, 0] and found["change"][1] > 0.5
    orders = [np.argsort(-each[before.groups == 1], kind="stable")[:5] for each in (before["score"], score)]
    assert found["of the first 5 that stay"][1] == len({*orders[0]} & {*orders[1]})
    assert found["change"][1] == pytest.approx(1 - np.mean([len({*orders[0][:d]} & {*orders[1][:d]}) / d for d in range(1, 6)]))
    assert TASK.changes(Observations.of(score=score, label=before["label"]), before) is None


def test_logits_labels_and_users_of_a_batch():
    logits, labels, users = torch.randn(6), torch.tensor([0, 1, 1, 0, 0, 1]), torch.tensor([3, 3, 3, 5, 5, 5])
    batch = Batch.of({"user": users, "x": torch.randn(6, 2)}, {"label": labels, "user": users})
    for output in (logits, logits[:, None], {"logits": logits, "aux": torch.randn(6)}, (logits, torch.randn(3))):
        assert torch.equal(TASK.loss(output, batch), functional.binary_cross_entropy_with_logits(logits, labels.float()))
    found = TASK.observe(logits[:, None], batch)
    assert found.columns == ("score", "label") and found.groups.tolist() == users.tolist()
    assert TASK.observe(logits, Batch.of(dict(batch.kwargs), labels)).groups.tolist() == users.tolist()
    assert TASK.observe(logits, Batch.of(batch.kwargs["x"], labels.bool())).groups is None
    drawn = TASK.observe(logits, Batch.of(dict(batch.kwargs), {"label": labels, "user": users, "negatives": torch.full((6,), 4.0)}))
    np.testing.assert_allclose(drawn["score"], found["score"] - np.log(4), rtol=1e-6)  # four times as many others: a fourth of the odds
    read = TASK.readable(found)
    assert sorted(read["place"][:3]) == [1, 2, 3] and read["place"][np.argmax(logits[:3])] == 1
    offered = TASK.answer(logits, batch, Reader(called=lambda inputs: f"of {int(inputs['user'])}"))
    assert offered.first == np.argsort(-logits.numpy()).tolist()[:5] and offered.names == ("of 3",) * 3 + ("of 5",) * 3
    np.testing.assert_allclose(offered.shares, logits.double().sigmoid())
    assert offered.right.tolist() == labels.bool().tolist()
    assert float(TASK.distance(logits, logits, batch)) == pytest.approx(0, abs=1e-6) and TASK.distance(logits, -logits, batch, 2.0) > 0


@pytest.mark.parametrize(
    ("output", "targets", "error", "words"),
    [
        (torch.randn(6, 2), torch.zeros(6), ModelError, "a logit for each sample, .6. or .6, 1., and returns none"),
        ({"a": torch.randn(6), "b": torch.randn(6)}, torch.zeros(6), ModelError, "several that may be meant"),
        (torch.full((6,), torch.nan), torch.zeros(6), ModelError, "NaN or infinity"),
        (torch.randn(6), torch.full((6,), 4.5), DataError, "label 4.5, and labels are 1"),
        (torch.randn(6), torch.zeros(5), DataError, "a label for each of 6 candidates"),
        (torch.randn(6), {"label": torch.zeros(6), "user": torch.zeros(6)}, DataError, "number of a user"),
    ],
)
def test_what_cannot_be_judged_says_why(output, targets, error, words):
    with pytest.raises(error, match=words):
        TASK.observe(output, Batch.of(torch.randn(6, 2), targets))


def test_users_and_items_fall_into_thirds_by_their_rows_in_the_training_data():
    def part(users, items):
        inputs = {"item": torch.tensor(items)}
        return InteractionSplit(inputs, np.arange(len(users)) % 2, np.array(users))

    train = part([1] * 5 + [2] * 3 + [3] * 3 + [4], [7] * 11 + [8])
    groups, metrics = TASK.groups(part([1, 1, 2, 3, 4, 9], [7, 7, 8, 8, 7, 6]), train)
    assert [metric.name for metric in metrics] == ["auc", "ndcg_10"]
    places = {name: np.flatnonzero(chosen).tolist() for name, chosen in groups.items()}
    assert places == {
        "new users (≤ 1)": [4, 5], "middling users (≤ 3)": [2, 3], "heavy users (> 3)": [0, 1],
        "rare items (≤ 0)": [5], "middling items (≤ 1)": [2, 3], "popular items (> 1)": [0, 1, 4],
    }  # fmt: skip
    assert TASK.groups(train, None) == ({}, ())


def test_a_figure_of_a_group_is_that_of_its_samples_and_its_change_is_paired():
    dense, run = (Evaluation.of(seen(quality=quality), TASK.headline, task=TASK) for quality in (2.0, 1.0))
    young = dense.observations.groups < 7
    frame = figures_by_group({"Dense": dense, "A": run}, {"young": young, "old": ~young}, TASK.headline).set_index(["letter", "name"])
    for letter, each in (("Dense", dense), ("A", run)):
        label, score = (each.observations[name] for name in ("label", "score"))
        for name, places in (("young", young), ("old", ~young)):
            assert frame.loc[(letter, name), "accuracy"] == pytest.approx(roc_auc_score(label[places], score[places]))
    lost = frame.loc[("A", "young")]
    assert lost["change_low"] < lost["change"] < lost["change_high"] < 0 and lost["significant"] and lost["n"] == young.sum()
    with pytest.raises(DataError, match="measure the runs again"):
        figures_by_group({"Dense": dense}, {"young": young[:-1]}, TASK.headline)
