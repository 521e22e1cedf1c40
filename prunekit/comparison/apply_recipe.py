"""A recipe carried out again, here, and whether the same comes out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import nn

from prunekit.comparison.layers import Counts, counted, shared
from prunekit.comparison.recorded_run import Recorded, recorded
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recipe import Recipe
from prunekit.data.load import load_data
from prunekit.errors import DataError, ModelError, SpecError
from prunekit.evaluation.before_after import assess, document
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.evaluation.quality import Evaluation, quality_document
from prunekit.evaluation.sweep import shape_of
from prunekit.experiments.identity import earlier_weights_of, weights_of
from prunekit.formatting import ordinary, percent
from prunekit.models.layers import prunable_layers, weight_name, weight_of
from prunekit.models.load import load_model
from prunekit.models.probe import difference
from prunekit.models.shared_rows import REMAP
from prunekit.models.state import digests
from prunekit.training.gradual import recover
from prunekit.training.result import Recovered

RECOVERING = 0.8  # share of the progress; the rest is measuring


@dataclass(frozen=True, eq=False)
class Applied:
    """A recipe that was carried out again.

    Attributes
    ----------
    recipe : Recipe
        What was done.
    recovered : Recovered
        The model (``.model``), its pruning (``.result``) and its recovery.
    document : dict
        What `prunekit prune --json` prints of it.
    same_masks : bool or None
        Whether exactly the same weights or channels stay as were recorded; None where nothing is recorded.
    overlap : dict or None
        ``both``, ``either``, ``jaccard``, ``expected`` over all layers, and ``unit`` ("weights" or "channels").
    accuracy : Accuracy or None
        Measured here, on the test images.
    expected : dict or None
        ``value``, ``low``, ``high`` and ``n`` as recorded.
    within : bool or None
        Whether the accuracy lies in the recorded interval.
    sentence : str
        What came out, in plain words.
    notes : tuple of str
        What else a person should know.
    """

    recipe: Recipe
    recovered: Recovered
    document: dict[str, Any]
    same_masks: bool | None
    overlap: dict[str, Any] | None
    accuracy: Evaluation | None
    expected: dict[str, Any] | None
    within: bool | None
    sentence: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {name: getattr(self, name) for name in ("same_masks", "overlap", "expected", "within", "sentence")}
        return {
            "recipe": self.recipe.to_dict(),
            **plain,
            **quality_document(self.accuracy),
            "notes": list(self.notes),
            "result": self.document,
        }


def apply_recipe(path: str | PathLike[str], *, progress: Progress | Tell = QUIET) -> Applied:
    """Repeat a run from its recipe, and compare with what was recorded beside it.

    Parameters
    ----------
    path : path
        A ``recipe.yaml`` alone, a folder of ``prunekit prune --out``, or an exported archive.
    progress : Progress, optional
        Told how far the work is; cancelled, it stops before the next batch.

    Returns
    -------
    Applied

    Raises
    ------
    PrunekitError
        If the recipe is not valid, names no model, or its model or data cannot be loaded.
    """
    progress = Progress.of(progress)
    told = recorded(path)
    model_id, data_id = _named(told.recipe)
    model = load_model(model_id)
    data, silent = _data(told.recipe, data_id, model)
    shape = told.recipe.input_shape if data is None else shape_of(model, data.test)
    recipe = told.recipe
    share = progress.part(0.0, RECOVERING)
    made = recover(model, recipe.prune, recipe.recovery, data, input_shape=shape, progress=share)
    split = None if data is None else data.test
    seen = assess(model, made.result, split, progress=progress.part(RECOVERING, 1.0))
    plain = document(made.result, seen, model_id.to_dict(), None if data is None else data.id.to_dict())
    found = _Found(told, made, seen.after.accuracy, _changed(told, model, shape))
    notes = tuple(filter(None, (silent, told.note, found.changed, _answers(told, made.model))))
    return Applied(recipe, made, plain, *found.masks(), seen.after.accuracy, *found.expected(), found.sentence(), notes)


def _named(recipe: Recipe) -> tuple[ModelId, DataId | None]:
    """Return the model and the data that a recipe names."""
    if not recipe.model:
        raise SpecError("the recipe names no model: add one under 'model', as in 'name: digits_cnn'")
    return ModelId.from_dict(dict(recipe.model)), None if recipe.data is None else DataId.from_dict(dict(recipe.data))


def _data(recipe: Recipe, data_id: DataId | None, model: nn.Module) -> tuple[Any, str]:
    """Return the data, or why there are none; where they decide the outcome there is no going on without."""
    if data_id is None:
        return None, "The recipe names no data, so accuracy is not measured."
    try:
        return load_data(data_id, model=model), ""
    except DataError as error:
        if recipe.prune.looks_at_data or recipe.recovery.active:
            raise
        return None, f"Accuracy is not measured: {error}"


def _changed(told: Recorded, model: nn.Module, shape: tuple[int, ...] | None) -> str:
    """Say where the dense model here is another one than was recorded."""
    here = {called(model, each) for called in (weights_of, earlier_weights_of) for each in (None, shape)}
    if not told.weights or told.weights in here:
        return ""
    return "The dense model under this name has other weights here than where the run was made: another outcome is to be expected."


def _answers(told: Recorded, model: nn.Module) -> str:
    """Say where the model that was made here answers otherwise than the recorded one; the same weights in other code are refused."""
    probe = told.probe
    if probe is None or probe.kind == "samples":
        return ""
    differs = difference(model, replace(probe, tensors={}))
    if differs and digests(model) == dict(probe.tensors):
        raise ModelError(f"the weights that were made here are the recorded ones, and the model is another: {differs}")
    return differs and f"The model that was made here answers otherwise than the recorded one: {differs}."


@dataclass(frozen=True, eq=False)
class _Found:
    """What came out, beside what was recorded."""

    told: Recorded
    made: Recovered
    accuracy: Evaluation | None
    changed: str

    @property
    def structured(self) -> bool:
        """Whether channels went, and not single weights."""
        return self.made.result.plan is not None

    @property
    def unit(self) -> str:
        """What stays or goes."""
        rows = " and rows" if self.made.result.kept_rows else ""
        return f"channels{rows}" if self.structured else "weights"

    def masks(self) -> tuple[bool | None, dict[str, Any] | None]:
        """Return whether the same stays, and how much of it is shared; None where nothing was recorded."""
        counts = (self._channels() if self.structured else self._weights()) if self.told.beside else None
        if counts is None:
            return None, None
        same = all(part.first == part.second == part.both for part in counts)
        return same, {**asdict(shared(counts)), "unit": self.unit}

    def _weights(self) -> list[Counts] | None:
        """Count the weights that are not zero, here and as recorded; None where they have other shapes."""
        model, state = self.made.model, self.told.state
        found = []
        for layer in prunable_layers(model):
            here, there = weight_of(model, layer), state.get(weight_name(model, layer))
            if there is None or there.shape != here.shape:
                return None
            found.append(counted(*((torch.as_tensor(w) != 0).reshape(-1).numpy() for w in (there, here))))
        return found

    def _channels(self) -> list[Counts] | None:
        """Count the channels that stay, here and as recorded; None where that was not noted."""
        here, there = self.made.result.kept or {}, self.told.kept
        if there is None or set(here) != set(there):
            return None
        sizes = {layer.name: layer.shape_before[0] for layer in self.made.result.layers}
        places = {name: np.arange(sizes[name]) for name in here}
        rows = self._rows()
        if rows is None:
            return None
        return [counted(np.isin(all_, there[name]), np.isin(all_, here[name])) for name, all_ in places.items()] + rows

    def _rows(self) -> list[Counts] | None:
        """Count the ids of tables that keep a row of their own, here and as recorded; None where others of the tables lost rows."""
        here, end = self.made.result.kept_rows, f".{REMAP}"
        remaps = {name.removesuffix(end): each.numpy() for name, each in self.told.state.items() if name.endswith(end)}
        if {*here} != {*remaps}:
            return None
        return [counted(remap != remap.max(), np.isin(np.arange(remap.size), here[name])) for name, remap in remaps.items()]

    def expected(self) -> tuple[dict[str, Any] | None, bool | None]:
        """Return the recorded accuracy, on as many images where there is one, and whether what was measured lies in its interval."""
        here = self.accuracy
        metric = "accuracy" if here is None else here.metric.name
        told = sorted(
            (each for each in self.told.accuracies if each.get("metric", "accuracy") == metric),
            key=lambda each: (here is None or each["n"] != here.n, -each["n"]),
        )
        if not told:
            return None, None
        return told[0], None if here is None else bool(told[0]["low"] <= here.value <= told[0]["high"])

    def sentence(self) -> str:
        """Say what came out."""
        if not self.told.beside:
            measured = "" if self.accuracy is None else f"; {self.accuracy.metric.phrase} {_value(self.accuracy)}"
            return f"Carried out; there is nothing recorded to compare with{measured}."
        return f"{self._masks_in_words()}; {self._accuracy_in_words()}."

    def _masks_in_words(self) -> str:
        """Say whether the same stays."""
        same, found = self.masks()
        if same is None or found is None:
            return f"It is not recorded which {self.unit} stayed"
        if same:
            return f"Exactly the same {found['unit']} stay, all {found['both']:,}"
        chance = f" (chance alone: {ordinary(percent(found['expected']))})"
        kept = f"{ordinary(percent(found['jaccard']))} of those that either keeps are kept by both"
        return f"Not quite the same {found['unit']} stay: {kept}{chance}"

    def _accuracy_in_words(self) -> str:
        """Say how accuracy compares."""
        told, within = self.expected()
        if told is None or self.accuracy is None:
            return f"accuracy is not {'recorded' if self.accuracy is not None else 'measured'}"
        place = "within" if within else "outside"
        recorded = replace(self.accuracy, low=told["low"], high=told["high"])
        interval = ordinary(recorded.interval())
        return f"{recorded.metric.phrase} {_value(self.accuracy)} lies {place} the recorded interval {interval} (n = {told['n']:,})"


def _value(accuracy: Evaluation) -> str:
    """Return a quality with its number of samples."""
    return ordinary(f"{accuracy.text()} (n = {accuracy.n:,})")
