"""Models in a bounded cache for all visitors, and the numbers derived from them.

Cache keys are names and frozen settings; models are shared, in eval mode and never written to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd
import streamlit as st
from torch import nn

from prunekit import config, evaluation, models
from prunekit.config.registered import from_environment
from prunekit.data.dataset import Data
from prunekit.errors import CheckpointError, ModelError, PrunekitError, TaskError, one_of
from prunekit.experiments.identity import earlier_weights_of, weights_of
from prunekit.models.attention.heads import packed_weight
from prunekit.models.entries import ModelEntry
from prunekit.models.info import ModelInfo, guesses
from prunekit.pruning.plugins import load_named
from prunekit.tasks.input_form import InputForm, sample_words
from prunekit.tasks.registry import TASKS
from prunekit.ui.shared.cache import shared
from prunekit.ui.state.settings import DEFAULT_MODEL, NOTHING, Given
from prunekit.ui.state.uploads import uploads

TORCHVISION, TIMM = "torchvision/", "timm/"


@dataclass(frozen=True)
class Source:
    """Which model: its public name, where its weights come from, its user's code (an edit is another model), and its inputs."""

    name: str
    pretrained: bool = False
    upload: str = ""
    code: str = ""
    given: Given = NOTHING  # what somebody said of its inputs
    # of one sample, where data or somebody tell it otherwise than the model's card or factory; a guess does not count
    shape: tuple[int, ...] = ()
    task: str = ""  # public name of what it is for, where somebody chose otherwise than model and data say
    outputs: int | None = None  # of a head that is made anew, as the data want them

    @property
    def plain(self) -> Source:
        """The model alone, whatever goes in."""
        return replace(self, given=NOTHING, shape=())


@dataclass(frozen=True)
class Images:
    """Which data a criterion looks at, small enough for a cache key."""

    data: str = ""  # a data set's name; empty for none
    limit: int = 0  # at most so many samples in each split; 0 for all
    code: str = ""  # the user's code that makes them, as it is now


NO_IMAGES = Images()


@dataclass(frozen=True)
class Loaded:
    """A dense model, ready to look at."""

    source: Source
    model: nn.Module  # shared: never write to it
    info: ModelInfo
    layers: tuple[str, ...]
    every: tuple[str, ...]  # the same, attention that holds its weight itself behind all others: settings hold places in this tuple

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        shape = self.source.shape or self.info.input_shape
        if shape is None:
            raise ModelError("cannot tell what input this model takes: give its input size on the Start page, or choose data there")
        return shape

    @property
    def own_form(self) -> bool:
        """Whether it takes something else than one float tensor."""
        return isinstance(self.source.shape or self.info.input_shape, InputForm)

    @property
    def input_words(self) -> str:
        """What one sample is: ``3 × 32 × 32``, or in words what inputs of another form are (`prunekit.tasks.input_form.sample_words`)."""
        shape = self.input_shape
        if not isinstance(shape, InputForm):
            return " × ".join(map(str, shape))
        return sample_words(shape.example, "token id" if self.info.tokeniser is not None else "whole number")

    @property
    def guessed(self) -> bool:
        """Whether the shape of a sample is a guess."""
        return self.info.guessed and not self.source.shape

    def guesses(self, data: Data | None) -> tuple[str, ...]:
        """Return what was guessed to count, measure and time it, in sentences."""
        return guesses(self.model, data, None if self.guessed else self.input_shape)


@st.cache_resource(show_spinner=False)
def register_launch() -> None:
    """Load the plugins, and register the models and data, that ``prunekit app`` was started with, once for this server."""
    load_named()
    models, data = from_environment()
    for model_id in models:
        config.register_model(model_id)
    for data_id in data:
        config.register_data(data_id)


def public_name(entry: ModelEntry) -> str:
    """Return what an address may say about a model: no folder of this machine."""
    return re.sub(r"[^\w./:-]+", "-", entry.title).strip("-") if entry.kind == "own" else entry.name


def public_path(name: str) -> str:
    """Return what an address may say about a place in a file: no folder of this machine."""
    return re.sub(r"[^\w./:-]+", "-", name.rpartition("/")[2]).strip("-")


def entry_of(name: str) -> ModelEntry:
    """Return the entry of the list of models that has a public name.

    An address may only name what is listed: never a path of the server.
    """
    kinds = next(([kind] for kind in ("torchvision", "timm") if name.startswith(f"{kind}/")), ["sample", "own"])
    for entry in models.list_models(*kinds):
        if public_name(entry) == name:
            return entry
    raise ModelError(f"there is no model named {name!r} here: choose one on the Start page, or register it with `prunekit app --model`")


def title_of(name: str) -> str:
    """Return a model's title, as the sidebar and the titles of jobs have it, or its name where it is not in the list."""
    try:
        return str(entry_of(name).title)
    except PrunekitError:
        return name


def task_names() -> dict[str, str]:
    """Return the tasks that an address may name, as the core names them: those of prunekit, and those named at launch."""
    named = [each.task for each in config.registered_models() if each.task]
    return {name: name for name in TASKS} | {public_path(name): name for name in named}


def task_of(source: Source, entry: ModelEntry) -> str | None:
    """Return the task that was chosen for a model, as the core names it."""
    if not source.task:
        return entry.id.task
    known = task_names()
    one_of("task", source.task, list(known), TaskError)
    return known[source.task]


def opening_model() -> str:
    """Return the public name of the model that a new visitor sees: the first that was named at launch, else a sample."""
    return next(map(public_name, models.list_models("own")), DEFAULT_MODEL)


def load(source: Source) -> Loaded:
    """Return a dense model; everybody gets the same one, whatever goes into it."""
    return replace(dense(source.plain), source=source)


@shared(6, "Loading the model …")
def dense(source: Source) -> Loaded:
    """Return a dense model as `load_model` gives it."""
    entry = entry_of(source.name)
    if source.upload:
        file = uploads().get(source.upload)
        if file is None:
            raise CheckpointError(
                f"the uploaded file {source.upload} is not on this server (any more): upload it again on the Start page, under “Your own”"
            )
        model = models.load_upload(entry.name, file.payload, file.name)
    else:
        named = replace(entry.id, task=task_of(source, entry), outputs=source.outputs or entry.id.outputs)
        model = models.load_model(named, pretrained=source.pretrained)
    layers = models.prunable_layers(model)
    packed = {name for name, module in model.named_modules() if packed_weight(module) is not None}
    return Loaded(source, model, models.info(model), layers, tuple(sorted(layers, key=packed.__contains__)))


@lru_cache(maxsize=32)
def weights_known(source: Source, shape: tuple[int, ...], task: str | None = None) -> str:
    """Return what the runs of a model are known by, on samples of a shape and for a task; hashing a large one takes a while."""
    return weights_of(load(source).model, shape, task)


@lru_cache(maxsize=32)
def earlier_weights_known(source: Source, shape: tuple[int, ...]) -> str:
    """Return what they were known by until version 0.4.0."""
    return earlier_weights_of(load(source).model, shape)


# what follows is the same object for everybody, not a copy of it: every page asks several times
@shared(32)
def layer_frame(source: Source) -> pd.DataFrame:
    """Return the table of a model's prunable layers, in order of definition; the index is the place in ``Loaded.every``.

    Never write to it.
    """
    loaded = load(source)
    place = {name: i for i, name in enumerate(loaded.every)}
    frame = models.layer_table(loaded.model, loaded.input_shape)
    return frame.set_index(pd.Index([place[name] for name in frame["name"]]))


@shared(32)
def counts_of(source: Source) -> models.Counts:
    """Return parameters and MACs of a dense model."""
    loaded = load(source)
    return models.count(loaded.model, loaded.input_shape)


@shared(32)
def file_of(source: Source) -> evaluation.Sizes:
    """Return the sizes of the dense model's file."""
    return evaluation.sizes(load(source).model, gzip=False)
