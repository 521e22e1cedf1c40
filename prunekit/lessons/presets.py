"""Settings to learn from, good and bad: each is measured, and the measurement says why it behaves as it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import compare
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.lessons.lesson import content
from prunekit.lessons.settings import digits, model_of, one_thread, percent, plural, points, recovery_of, significance_text, spec_of
from prunekit.pruning.result import PruneResult
from prunekit.training import prune_and_recover


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

    @property
    def does(self) -> str:
        """What the setting does, in one sentence."""
        return done_by(self.settings)

    def reason(self, measured: Measured) -> str:
        """Return what was measured and why it is so; the words follow the figures.

        Parameters
        ----------
        measured : Measured
            From :func:`measure`.
        """
        beside = compare(measured.other, measured.found)
        first = f"{percent(measured.found.value)} of {measured.found.n} test images are read right, {percent(measured.dense.value)} before "
        first += f"and {percent(measured.other.value)} with {self.versus}: {apart(beside.value)}, {significance_text(beside)}."
        return f"{first} {self.point(measured)}"

    def as_meant(self, measured: Measured) -> bool:
        """Return whether the measurement bears out what the preset is an example of: good or bad beside the other, beyond chance."""
        beside = compare(measured.other, measured.found)
        return beside.significant and (beside.value > 0) == self.good


@one_thread()
def measure(preset: Preset, *, progress: Progress = QUIET) -> Measured:
    """Carry out a preset and what it is held against, and read the test images.

    Parameters
    ----------
    preset : Preset
        One of :data:`PRESETS`.
    progress : Progress, optional
        Told how far the work is; cancelled, it stops before the next batch.

    Returns
    -------
    Measured
        Within seconds.

    Raises
    ------
    Cancelled
        If ``progress`` was cancelled.
    """
    data, model = digits(), model_of(preset.settings)
    ours = _made(preset.settings, progress.part(0.0, 0.45))
    other = _made(preset.other, progress.part(0.45, 0.9))
    progress(0.9, "reading the test images")
    progress.check()
    dense, found, beside = (evaluate(net, data.test) for net in (model, ours.model, other.model))
    return Measured(dense, found, beside, ours, other)


def _made(settings: Mapping[str, Any], progress: Progress) -> PruneResult:
    """Return what a setting makes of its model."""
    progress.check()
    progress(0.0, "pruning")
    model = model_of(settings)
    return prune_and_recover(model, spec_of(settings, model), recovery_of(settings), digits(), progress=progress).result


def done_by(settings: Mapping[str, Any]) -> str:
    """Describe a setting: what is removed, in which order, and what is done afterwards."""
    layers = spec_of(settings, model_of(settings)).layers
    gone = "channels" if settings["mode"] == "structured" else "weights"
    whose = " and ".join(layers) if layers else "all layers together"
    order = {"l1": "the smallest of", "random": "drawn by lot from"}[settings["criterion"]]
    after = recovery_of(settings).title() or "nothing is repaired"
    return f"{percent(settings['sparsity'])} of the {gone} go, {order} {whose}; {after}."


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


def _presets() -> Iterator[Preset]:
    """Yield the presets of `content/presets.toml`: each is the base with its own settings."""
    table = content("presets")
    for each in table["preset"]:
        ours, other = (table["base"] | each.pop(name) for name in ("settings", "other"))
        yield Preset(**each, settings=_as_settings(ours), other=_as_settings(other), point=OF_PRESETS[each["key"]])


def _as_settings(table: dict[str, Any]) -> dict[str, Any]:
    """Return fields of the dashboard's settings: lists are tuples there."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}


PRESETS: tuple[Preset, ...] = tuple(_presets())
"""In the order in which they are shown."""
