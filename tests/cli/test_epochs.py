"""What ``prunekit prune --epochs`` tells of the way: which epoch was kept, and accuracy on the test images after each step."""

from types import SimpleNamespace

import pytest

from prunekit.cli import prune
from prunekit.cli.prune import _healing

EPOCH = {"sparsity": 0.5, "lr": 0.1, "loss": 1.0, "train_quality": 0.9, "validation": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 50}}


@pytest.mark.parametrize("best", [1, 2, 3])
def test_the_epoch_that_was_kept_is_marked_and_no_other(best):
    told = {"title": "fine-tuned 3 epochs", "accuracy": {}, "best": best, "notes": [], "stopped": ""}
    text = "\n".join(_healing({**told, "history": [{"number": number, **EPOCH} for number in (1, 2, 3)]}))
    assert [line.split()[0] for line in text.splitlines() if line.endswith("kept")] == [str(best)]


def test_every_step_on_the_way_is_measured_on_the_test_images(monkeypatch):
    seen = []
    monkeypatch.setattr(prune, "evaluate", lambda model, split: seen.append((model, split)))
    steps = SimpleNamespace(before="cut", recalibrated="recalibrated", to_dict=dict)
    data = SimpleNamespace(train="train", validation="validation", test="test")
    side = SimpleNamespace(accuracy=None)
    prune._recovery(steps, SimpleNamespace(before=side, after=side), data)
    assert seen == [("cut", "test"), ("recalibrated", "test")]
