"""Settings to learn from, good and bad: each is measured, and the measurement says why it behaves as it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import compare
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.lessons import reasons
from prunekit.lessons.lesson import content
from prunekit.lessons.reasons import Measured
from prunekit.lessons.settings import digits, model_of, one_thread, recovery_of, spec_of
from prunekit.lessons.wording import percent, told
from prunekit.pruning.result import PruneResult
from prunekit.training import prune_and_recover


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
        first += f"and {percent(measured.other.value)} with {self.versus}: {reasons.apart(beside.value)}, {told(beside)}."
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
    """Say what a setting does: what goes, in which order, and what is done afterwards.

    Parameters
    ----------
    settings : mapping
        Fields of the dashboard's settings.
    """
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
    told = content("presets")
    for each in told["preset"]:
        ours, other = (told["base"] | each.pop(name) for name in ("settings", "other"))
        yield Preset(**each, settings=_as_settings(ours), other=_as_settings(other), point=reasons.OF_PRESETS[each["key"]])


def _as_settings(told: dict[str, Any]) -> dict[str, Any]:
    """Return fields of the dashboard's settings: lists are tuples there."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}


PRESETS: tuple[Preset, ...] = tuple(_presets())
"""In the order in which they are shown."""
