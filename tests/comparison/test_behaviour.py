"""Behaviour against sklearn and plain counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from prunekit.comparison.behaviour import behaviour
from prunekit.errors import DataError
from prunekit.evaluation.accuracy import Predictions
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import accuracy_of

CLASSES = ("ant", "bee", "cat", "dog")


def says(rng: np.random.Generator, n: int, labels: Any, share: float) -> Predictions:
    classes = np.where(rng.random(n) < share, rng.integers(0, len(CLASSES), n), labels)
    return Predictions(classes.astype(np.int16), rng.random(n).astype(np.float32))


@st.composite
def told(draw: Any) -> tuple[dict[str, Predictions], Any]:
    rng, n = np.random.default_rng(draw(st.integers(0, 2**31))), draw(st.integers(1, 60))
    labels = rng.integers(0, draw(st.integers(1, 4)), n)
    return {letter: says(rng, n, labels, share) for letter, share in (("Dense", 0.1), ("A", 0.3), ("B", 0.9))}, labels


@given(told())
def test_confusion_and_accuracy_by_class_are_those_of_sklearn(case: Any) -> None:
    predictions, labels = case
    found = behaviour(predictions, labels, CLASSES)
    for letter, each in predictions.items():
        oracle = confusion_matrix(labels, each.classes, labels=range(len(found.classes)))
        assert (found.confusion[letter] == oracle).all() and oracle.sum() == len(labels)
        assert (found.change(letter) == oracle - confusion_matrix(labels, predictions["Dense"].classes, labels=range(len(oracle)))).all()
        rows = found.by_class[found.by_class["letter"] == letter].set_index("class")
        assert set(rows.index) == set(labels.tolist())
        for k in rows.index:
            here = labels == k
            accuracy = accuracy_of(each.classes[here] == k)
            assert tuple(rows.loc[k, ["n", "correct", "accuracy", "low", "high"]]) == (
                here.sum(), oracle[k, k], accuracy.value, accuracy.low, accuracy.high,
            )  # fmt: skip
            if letter != "Dense":
                paired = compare(accuracy_of(predictions["Dense"].classes[here] == k), accuracy)
                assert tuple(rows.loc[k, ["change", "change_low", "change_high", "p_value"]]) == (
                    paired.value, paired.low, paired.high, paired.p_value,
                )  # fmt: skip
                assert not rows.loc[k, "significant"] or paired.significant


@given(told())
def test_flips_are_all_images_that_changed_sides_and_no_others(case: Any) -> None:
    predictions, labels = case
    flips = behaviour(predictions, labels).flips
    dense = predictions["Dense"]
    for letter in "AB":
        rows, each = flips[flips["letter"] == letter], predictions[letter]
        expected = {
            (i, "lost" if dense.classes[i] == labels[i] else "won")
            for i in range(len(labels))
            if (dense.classes[i] == labels[i]) != (each.classes[i] == labels[i])
        }
        assert set(zip(rows["image"], rows["kind"], strict=True)) == expected and len(rows) == len(expected)
        for row in rows.itertuples():
            assert (row.label, row.before, row.after) == (labels[row.image], dense.classes[row.image], each.classes[row.image])
            assert (row.before_confidence, row.after_confidence) == (dense.confidences[row.image], each.confidences[row.image])
    assert flips["after_confidence"].is_monotonic_decreasing and "Dense" not in set(flips["letter"])


def test_classes_without_a_name_have_a_number_and_predictions_beyond_the_labels_a_column() -> None:
    said = Predictions(np.array([0, 5], np.int16), np.ones(2, np.float32))
    found = behaviour({"Dense": said}, [0, 1], ["zero"])
    assert found.classes == ("zero", "1", "2", "3", "4", "5") and found.confusion["Dense"][1, 5] == 1 and found.flips.empty


def test_what_cannot_be_compared_is_refused() -> None:
    said = Predictions(np.array([0, 1], np.int16), np.ones(2, np.float32))
    with pytest.raises(DataError, match="dense model's predictions are missing"):
        behaviour({"A": said}, [0, 1])
    with pytest.raises(DataError, match="same images"):
        behaviour({"Dense": said}, [0, 1, 2])
    with pytest.raises(DataError, match="no images"):
        behaviour({"Dense": said}, [])
