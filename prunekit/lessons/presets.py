"""Settings to learn from, good and bad: each is measured, and the measurement says why it behaves as it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prunekit.errors import PrunekitError
from prunekit.lessons.setting import CNN, digits, model_of, recovery_of, spec_of
from prunekit.lessons.words import change, percent, plural, points, told
from prunekit.measure import Accuracy, compare, evaluate
from prunekit.pruning import PruneResult
from prunekit.recover import prune_and_recover


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


@dataclass(frozen=True)
class Preset:
    """One setting to learn from.

    Attributes
    ----------
    key, title : str
        A short name, and what it is called.
    good : bool
        Whether it is meant as an example to follow.
    settings : dict
        Fields of the dashboard's settings.
    versus : str
        What it is held against, in a few words.
    other : dict
        The same fields for that.
    page : str
        The page of the dashboard that shows it.
    point : callable
        From a measurement to why it behaves so; :meth:`reason` calls it.
    """

    key: str
    title: str
    good: bool
    settings: Mapping[str, Any]
    versus: str
    other: Mapping[str, Any]
    page: str
    point: Callable[[Measured], str] = field(repr=False)

    def reason(self, measured: Measured) -> str:
        """Return what was measured and why it is so; the words follow the figures.

        Parameters
        ----------
        measured : Measured
            From :func:`measure`.
        """
        beside = compare(measured.other, measured.found)
        first = f"{percent(measured.found.value)} of {measured.found.n} test images are read right, {percent(measured.dense.value)} before "
        first += f"and {percent(measured.other.value)} with {self.versus}: {_apart(beside.value)}, {told(beside)}."
        return f"{first} {self.point(measured)}"

    def as_meant(self, measured: Measured) -> bool:
        """Return whether the measurement bears out what the preset is an example of: good or bad beside the other, beyond chance."""
        beside = compare(measured.other, measured.found)
        return beside.significant and (beside.value > 0) == self.good


def measure(preset: Preset) -> Measured:
    """Carry out a preset and what it is held against, and read the test images.

    Parameters
    ----------
    preset : Preset
        One of :data:`PRESETS`.

    Returns
    -------
    Measured
        Within seconds.
    """
    data, model = digits(), model_of(preset.settings)
    ours, other = (prune_and_recover(model, spec_of(s, model), recovery_of(s), data).result for s in (preset.settings, preset.other))
    dense, found, beside = (evaluate(net, data.test) for net in (model, ours.model, other.model))
    return Measured(dense, found, beside, ours, other)


def preset(key: str) -> Preset:
    """Return a preset by its short name.

    Raises
    ------
    PrunekitError
        If there is no such preset.
    """
    for found in PRESETS:
        if found.key == key:
            return found
    raise PrunekitError(f"there is no preset {key!r}; there are {', '.join(found.key for found in PRESETS)}")


def _apart(value: float) -> str:
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


def _magnitude(measured: Measured) -> str:
    """Say why the smallest weights over all layers are a good start."""
    shares = {layer.name: layer.sparsity for layer in measured.result.layers}
    most, least = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
    gave = f"{most} gave {percent(shares[most])} of its weights and {least} {percent(shares[least])}"
    if compare(measured.dense, measured.found).significant:
        return f"One ranking over all layers lets each give what it can spare ({gave}), but this much was too much for it."
    return f"One ranking over all layers lets each give what it can spare ({gave}), and what is smallest is missed least."


def _random(measured: Measured) -> str:
    """Say what weights drawn by lot do."""
    both = f"as many went both times ({plural(_weights(measured.result)[0], 'weight')})"
    if _worse(measured):
        return f"The lot takes large weights as readily as small ones: {both}, and only the choice differs."
    return f"Here the choice made no difference for the worse, although {both}: try a higher sparsity."


def _first(measured: Measured) -> str:
    """Say what is special about the first layer."""
    gone, size = _weights(measured.result)
    other = _weights(measured.against)[0]
    if _worse(measured):
        return f"Only {gone:,} of the first layer's {size:,} weights went, {other:,} there, but everything has to pass through it."
    return f"{gone:,} of the first layer's {size:,} weights went, {other:,} there, and this network could spare them."


def _oneshot(measured: Measured) -> str:
    """Say what a large cut at once does."""
    gone, size = _weights(measured.result)
    stay = f"{size - gone:,} of {size:,} weights stay both times"
    if _worse(measured):
        return f"{stay}; where the cut comes little by little, the network can move its work to them in between."
    return f"{stay}, and going slowly has not paid here: it may need more epochs."


def _untuned(measured: Measured) -> str:
    """Say what is missing without fine-tuning."""
    after = measured.result.after.params / measured.result.before.params
    if _worse(measured):
        return f"Both copies are the same {percent(after)} of the network; the weights that are left have to be taught their new part."
    return f"Both copies are the same {percent(after)} of the network, and this cut left little to make up for."


def _stale(measured: Measured) -> str:
    """Say what old statistics do."""
    if _worse(measured):
        return (
            "Not one weight differs: BatchNorm scales by a mean and a variance from before the cut, and other numbers reach it now; "
            f"with new ones accuracy {change(compare(measured.found, measured.other))}."
        )
    return "Not one weight differs, and after so small a change BatchNorm's old mean and variance still fit."


_BASE = {"model": CNN, "mode": "unstructured", "criterion": "l1", "sparsity": 0.5, "recalibrate": False, "epochs": 0}
_LOT = _BASE | {"criterion": "random"}
_NINE_TENTHS = _BASE | {"sparsity": 0.9}
_NEARLY_ALL = _BASE | {"sparsity": 0.99}
_CHANNELS = _BASE | {"mode": "structured", "sparsity": 0.7}
_SPARSE = _BASE | {"sparsity": 0.95}
_GRADUAL = {"epochs": 3, "schedule": "agp", "steps": 3}

PRESETS: tuple[Preset, ...] = (
    Preset("magnitude", "Global magnitude on a small network", True, _BASE, "as many drawn by lot", _LOT, "prune", _magnitude),
    Preset("random", "Weights drawn by lot", False, _LOT, "as many of the smallest", _BASE, "prune", _random),
    Preset(
        "first",
        "Pruning the first layer",
        False,
        _NINE_TENTHS | {"layers": (0,)},
        "the same share of the largest layer",
        _NINE_TENTHS | {"layers": (2,)},
        "prune",
        _first,
    ),
    Preset(
        "oneshot",
        "99 % in one cut",
        False,
        _NEARLY_ALL,
        "the same sparsity in three steps, trained after each",
        _NEARLY_ALL | _GRADUAL,
        "prune",
        _oneshot,
    ),
    Preset(
        "untuned",
        "Channels cut, no fine-tuning",
        False,
        _CHANNELS,
        "two epochs of fine-tuning",
        _CHANNELS | {"epochs": 2},
        "recover",
        _untuned,
    ),
    Preset(
        "stale",
        "BatchNorm not recalibrated",
        False,
        _SPARSE,
        "BatchNorm recalibrated",
        _SPARSE | {"recalibrate": True},
        "recover",
        _stale,
    ),
)
"""In the order in which they are shown."""
