"""Why a preset behaves as it does, in words that follow what was measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation
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

    dense: Evaluation
    found: Evaluation
    other: Evaluation
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


def _harmed(measured: Measured) -> bool:
    """Return whether the preset is less accurate than the original, beyond chance."""
    since = compare(measured.dense, measured.found)
    return since.significant and since.value < 0


def _weights(result: PruneResult) -> tuple[int, int]:
    """Return how many weights the pruned layers have lost, and how many they had."""
    assert result.masks is not None
    return sum(int((~mask).sum()) for mask in result.masks.values()), sum(mask.numel() for mask in result.masks.values())


def magnitude(measured: Measured) -> str:
    """Say why the smallest weights over all layers are a good start."""
    shares = {layer.name: layer.sparsity for layer in measured.result.layers}
    most, least = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
    gave = f"{most} gave {percent(shares[most])} of its weights and {least} {percent(shares[least])}"
    lets = f"One ranking over all layers lets each give what it can spare ({gave})"
    if _harmed(measured):
        return f"{lets}, but this much was too much for it."
    beside = compare(measured.other, measured.found)
    if beside.significant and beside.value > 0:
        return f"{lets}, and what is smallest is missed less than what the lot draws."
    return f"{lets}, and here it is missed no less than what the lot draws: the difference shows at a higher sparsity, if at all."


def by_lot(measured: Measured) -> str:
    """Say what weights drawn by lot do."""
    gone, other = _weights(measured.result)[0], _weights(measured.against)[0]
    both = f"as many went both times ({plural(gone, 'weight')})"
    if gone != other:
        both = f"{plural(gone, 'weight')} went here and {other:,} there"
    if _worse(measured):
        return f"The lot takes large weights as readily as small ones: {both}, and only the choice differs."
    return f"Here the choice made no difference for the worse, although {both}: try a higher sparsity."


def first_layer(measured: Measured) -> str:
    """Say what is special about the first layer."""
    gone, size = _weights(measured.result)
    other = _weights(measured.against)[0]
    went = f"{gone:,} of the first layer's {size:,} weights went, {other:,} of the largest one"
    if _worse(measured):
        return f"{'Only ' if gone < other else ''}{went}, {'but' if gone < other else 'and'} all has to pass the first."
    if _harmed(measured):
        return f"{went}: both losses hurt, and the first layer's no more than the other."
    return f"{went}: this network could spare them."


def oneshot(measured: Measured) -> str:
    """Say what a large cut at once does."""
    (gone, size), other = _weights(measured.result), _weights(measured.against)[0]
    stay = f"{size - gone:,} of {size:,} weights stay" + (" both times" if gone == other else f", {size - other:,} the other time")
    if _worse(measured):
        return f"{stay}; where the cut comes little by little, the network can move its work to them in between."
    return f"{stay}, and going slowly has not paid here: it may need more epochs."


def untuned(measured: Measured) -> str:
    """Say what is missing without fine-tuning."""
    mine, other = (result.after.params / result.before.params for result in (measured.result, measured.against))
    both = f"Both copies are the same {percent(mine)} of the network"
    if mine != other:
        both = f"This copy is {percent(mine)} of the network, the other {percent(other)}"
    if _worse(measured):
        return f"{both}; the weights that are left have to be taught their new part."
    if _harmed(measured):
        return f"{both}, and these epochs of fine-tuning have not made up for the cut."
    return f"{both}, and this cut left little to make up for."


def stale(measured: Measured) -> str:
    """Say what old statistics do."""
    if _worse(measured):
        return (
            "Not one weight differs: BatchNorm brings channels to one scale by a mean and a variance from before the cut, "
            "and other numbers reach it now."
        )
    if _harmed(measured):
        return "Not one weight differs, and new means and variances for BatchNorm do not bring back what the cut has cost."
    return "Not one weight differs, and BatchNorm's old mean and variance still serve after this change."


OF_PRESETS = {"magnitude": magnitude, "random": by_lot, "first": first_layer, "oneshot": oneshot, "untuned": untuned, "stale": stale}
"""By the key of a preset."""
