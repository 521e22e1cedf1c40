"""Why a preset behaves as it does, in words that follow what was measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from prunekit.evaluation.accuracy import Accuracy
from prunekit.evaluation.paired import compare
from prunekit.lessons.wording import percent, plural, points
from prunekit.pruning.result import PruneResult


@dataclass(frozen=True)
class Measured:
    """A preset on the test images, beside the original and beside what one would rather do (or not do).

    Attributes
    ----------
    dense, found, other : Accuracy
        Of the original, of the preset, of the setting that it is held against.
    result, against : PruneResult
        What both removed.
    """

    dense: Accuracy
    found: Accuracy
    other: Accuracy
    result: PruneResult = field(repr=False, compare=False)
    against: PruneResult = field(repr=False, compare=False)


def apart(value: float) -> str:
    """Return a difference of accuracies in words."""
    if not value:
        return "the same"
    return f"{points(value)} {'more' if value > 0 else 'less'}"


def _worse(measured: Measured) -> bool:
    """Return whether the preset is less accurate than what it is held against, beyond chance."""
    beside = compare(measured.other, measured.found)
    return beside.significant and beside.value < 0


def _weights(result: PruneResult) -> tuple[int, int]:
    """Return how many weights the pruned layers have lost, and how many they had."""
    assert result.masks is not None
    return sum(int((~mask).sum()) for mask in result.masks.values()), sum(mask.numel() for mask in result.masks.values())


def magnitude(measured: Measured) -> str:
    """Say why the smallest weights over all layers are a good start."""
    shares = {layer.name: layer.sparsity for layer in measured.result.layers}
    most, least = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
    gave = f"{most} gave {percent(shares[most])} of its weights and {least} {percent(shares[least])}"
    if compare(measured.dense, measured.found).significant:
        return f"One ranking over all layers lets each give what it can spare ({gave}), but this much was too much for it."
    return f"One ranking over all layers lets each give what it can spare ({gave}), and what is smallest is missed least."


def by_lot(measured: Measured) -> str:
    """Say what weights drawn by lot do."""
    both = f"as many went both times ({plural(_weights(measured.result)[0], 'weight')})"
    if _worse(measured):
        return f"The lot takes large weights as readily as small ones: {both}, and only the choice differs."
    return f"Here the choice made no difference for the worse, although {both}: try a higher sparsity."


def first_layer(measured: Measured) -> str:
    """Say what is special about the first layer."""
    gone, size = _weights(measured.result)
    other = _weights(measured.against)[0]
    if _worse(measured):
        return f"Only {gone:,} of the first layer's {size:,} weights went, {other:,} of the largest one, but all has to pass the first."
    return f"{gone:,} of the first layer's {size:,} weights went, {other:,} of the largest one: this network could spare them."


def oneshot(measured: Measured) -> str:
    """Say what a large cut at once does."""
    gone, size = _weights(measured.result)
    stay = f"{size - gone:,} of {size:,} weights stay both times"
    if _worse(measured):
        return f"{stay}; where the cut comes little by little, the network can move its work to them in between."
    return f"{stay}, and going slowly has not paid here: it may need more epochs."


def untuned(measured: Measured) -> str:
    """Say what is missing without fine-tuning."""
    after = measured.result.after.params / measured.result.before.params
    if _worse(measured):
        return f"Both copies are the same {percent(after)} of the network; the weights that are left have to be taught their new part."
    return f"Both copies are the same {percent(after)} of the network, and this cut left little to make up for."


def stale(measured: Measured) -> str:
    """Say what old statistics do."""
    if _worse(measured):
        return (
            "Not one weight differs: BatchNorm brings channels to one scale by a mean and a variance from before the cut, "
            "and other numbers reach it now."
        )
    return "Not one weight differs, and after so small a change BatchNorm's old mean and variance still fit."
