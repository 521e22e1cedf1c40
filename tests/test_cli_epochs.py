"""The epochs that ``prunekit prune --epochs`` lists: the one whose weights were kept is the one that says so."""

import pytest

from prunekit.cli.pruning import _healing

EPOCH = {"sparsity": 0.5, "lr": 0.1, "loss": 1.0, "train_accuracy": 0.9, "validation": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 50}}


@pytest.mark.parametrize("best", [1, 2, 3])
def test_the_epoch_that_was_kept_is_marked_and_no_other(best):
    told = {"title": "fine-tuned 3 epochs", "accuracy": {}, "best": best, "notes": [], "stopped": ""}
    text = "\n".join(_healing({**told, "history": [{"number": number, **EPOCH} for number in (1, 2, 3)]}))
    assert [line.split()[0] for line in text.splitlines() if line.endswith("kept")] == [str(best)]
