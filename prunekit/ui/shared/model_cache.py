"""What everybody shares: models, data and the numbers derived from them, in bounded caches.

Cache keys are names and frozen settings; models are shared, in eval mode and never written to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from weakref import WeakKeyDictionary

import pandas as pd
import streamlit as st
from torch import nn

from prunekit import config, data, evaluation, models
from prunekit.config.ids import DataId
from prunekit.config.registered import from_environment
from prunekit.data.dataset import Data, Split, TensorSplit
from prunekit.errors import CheckpointError, ModelError, PrunekitError
from prunekit.experiments.identity import data_hash, earlier_weights_of, weights_of
from prunekit.local_code.factories import code_of
from prunekit.models.entries import ModelEntry
from prunekit.models.guesses import shape_guess
from prunekit.models.info import ModelInfo
from prunekit.ui.shared import named_data
from prunekit.ui.shared.cache import shared
from prunekit.ui.state.settings import DEFAULT_MODEL, NOTHING, Given, Settings
from prunekit.ui.state.uploads import uploads

NO_DATA, BUILT_IN, TORCHVISION = named_data.NO_DATA, named_data.BUILT_IN, "torchvision/"
at_hand, registered_data = named_data.at_hand, named_data.registered_data


@dataclass(frozen=True)
class Source:
    """Which model: a public name of the catalog, where its weights come from, its user's code (an edit is another model), and its inputs.

    Attributes
    ----------
    given : Given
        What somebody said of its inputs.
    shape : tuple of int
        Of one sample, where data or somebody tell it otherwise than the catalog; the catalog's guess does not count.
    """

    name: str
    pretrained: bool = False
    upload: str = ""
    code: str = ""
    given: Given = NOTHING
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Source:
        """Return the model that was picked, with the data that are picked for it."""
        names = (entry.id.name for entry in models.list_models("own") if public_name(entry) == settings.model)
        found = cls(settings.model, settings.pretrained, settings.upload, code_of(next(names, "")), settings.given)
        return replace(found, shape=_shape_told(settings, found))

    @property
    def plain(self) -> Source:
        """The model alone, whatever goes in."""
        return replace(self, given=NOTHING, shape=())


@dataclass(frozen=True)
class Images:
    """Which data a criterion looks at, small enough for a cache key.

    Attributes
    ----------
    data : str
        A data set's name; empty for none.
    limit : int
        At most so many samples in each split; 0 for all.
    code : str
        The user's code that makes them, as it is now.
    """

    data: str = ""
    limit: int = 0
    code: str = ""


NO_IMAGES = Images()


@dataclass(frozen=True)
class Loaded:
    """A dense model, ready to look at.

    Attributes
    ----------
    source : Source
        What it is.
    model : nn.Module
        Shared: never write to it.
    info : ModelInfo
        What the catalog knows about it.
    layers : tuple of str
        Its prunable layers.
    attention : tuple of str
        Attention that holds its packed weight itself: it loses heads, and no single weights.
    """

    source: Source
    model: nn.Module
    info: ModelInfo
    layers: tuple[str, ...]
    attention: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[str, ...]:
        """All that structured pruning works on, prunable layers first: settings hold places in this tuple."""
        return (*self.layers, *self.attention)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample.

        Raises
        ------
        ModelError
            If nobody knows it.
        """
        shape = self.source.shape or self.info.input_shape
        if shape is None:
            raise ModelError("cannot tell what input this model takes: give its input size on the Start page, or choose data there")
        return shape

    @property
    def guessed(self) -> bool:
        """Whether the shape of a sample is a guess."""
        return self.info.guessed and not self.source.shape

    def guesses(self, data: Data | None) -> tuple[str, ...]:
        """Return what was guessed to count, measure and time it, in sentences."""
        if data is not None:
            return data.guesses
        return (shape_guess(self.input_shape),) if self.guessed else ()


@st.cache_resource(show_spinner=False)
def register_launch() -> None:
    """Register the models and data that ``prunekit app`` was started with, once for this server."""
    models, data = from_environment()
    for model_id in models:
        config.register_model(model_id)
    for data_id in data:
        config.register_data(data_id)


def public_name(entry: ModelEntry) -> str:
    """Return what an address may say about a model: no folder of this machine."""
    return re.sub(r"[^\w./:-]+", "-", entry.title).strip("-") if entry.kind == "own" else entry.name


def entry_of(name: str) -> ModelEntry:
    """Return the catalog's entry of a public name.

    An address may only name what the catalog lists: never a path of the server.

    Raises
    ------
    ModelError
        If there is none.
    """
    for entry in models.list_models("torchvision") if name.startswith(TORCHVISION) else models.list_models("sample", "own"):
        if public_name(entry) == name:
            return entry
    raise ModelError(f"there is no model named {name!r} here: choose one on the Start page, or register it with `prunekit app --model`")


def opening_model() -> str:
    """Return the public name of the model that a new visitor sees: the first that was named at launch, else a sample."""
    return next(map(public_name, models.list_models("own")), DEFAULT_MODEL)


def load(source: Source) -> Loaded:
    """Return a dense model; everybody gets the same one, whatever goes into it.

    Raises
    ------
    ModelError
        If it is unknown, cannot be loaded, or its uploaded weights are not here any more.
    """
    return replace(dense(source.plain), source=source)


@shared(6, "Loading the model …")
def dense(source: Source) -> Loaded:
    """Return a dense model as the catalog knows it.

    Raises
    ------
    ModelError
        If it is unknown, cannot be loaded, or its uploaded weights are not here any more.
    """
    entry = entry_of(source.name)
    if source.upload:
        file = uploads().get(source.upload)
        if file is None:
            raise CheckpointError(
                f"the uploaded file {source.upload} is not on this server (any more): upload it again on the Start page, under “Your own”"
            )
        model = models.load_upload(entry.name, file.payload, file.name)
    else:
        model = models.load_model(entry.id, pretrained=source.pretrained)
    layers = models.prunable_layers(model)
    attention = tuple(name for name in models.channel_layers(model) if name not in layers)
    return Loaded(source, model, models.info(model), layers, attention)


@lru_cache(maxsize=32)
def weights_known(source: Source, shape: tuple[int, ...]) -> str:
    """Return what the runs of a model are known by, on samples of a shape; hashing a large one takes a while."""
    return weights_of(load(source).model, shape)


@lru_cache(maxsize=32)
def earlier_weights_known(source: Source, shape: tuple[int, ...]) -> str:
    """Return what they were known by until version 0.4.0."""
    return earlier_weights_of(load(source).model, shape)


def images_known(part: Split) -> str:
    """Return what measurements on a part of the data are known by; pixels in memory are shared and never written to."""
    if not isinstance(part, TensorSplit):
        return data_hash(part)
    if part not in _PRINTS:
        _PRINTS[part] = data_hash(part)
    return _PRINTS[part]


_PRINTS: WeakKeyDictionary[Split, str] = WeakKeyDictionary()


def known_data(loaded: Loaded) -> dict[str, DataId]:
    """Return the data that a model may be looked at with, by public name."""
    return named_data.known(loaded.info)


def usual_data(loaded: Loaded) -> str:
    """Return the data that a model is opened with."""
    return named_data.usual(entry_of(loaded.source.name).id if config.registered_data() else None, loaded.info)


def data_names(loaded: Loaded) -> list[str]:
    """Return the data sets that may fit a model, its usual ones first."""
    built_in = BUILT_IN if not loaded.source.name.startswith(TORCHVISION) else ()
    usual = usual_data(loaded)
    first = [] if usual == NO_DATA else [usual]
    return list(dict.fromkeys([*first, *named_data.brought(loaded.info), *registered_data(), *built_in, NO_DATA]))


def data_name(settings: Settings, loaded: Loaded) -> str:
    """Return the picked data set, or the model's usual one."""
    return settings.data or usual_data(loaded)


def data_id(name: str, limit: int, loaded: Loaded) -> DataId:
    """Return data as the core names them, with what somebody gave for the model in use; errors as for `named_data.asked_for`."""
    return named_data.asked_for(name, limit, loaded.info, loaded.source.given)


@shared(4, "Loading the data …")
def _data(name: str, limit: int, source: Source, code: str) -> Data:
    """Return a data set with the defaults of a model; edited code makes another one."""
    loaded = load(source)
    return data.load_data(data_id(name, limit, loaded), model=loaded.model)


def data_of(settings: Settings, loaded: Loaded) -> Data | None:
    """Return the picked data set, or None where none was picked."""
    return data_at(_images(settings, loaded), loaded.source)


def data_code(name: str, loaded: Loaded) -> str:
    """Return the user's code that makes a data set, as it is now; "" for one that is built in."""
    known = known_data(loaded).get(name)
    return "" if known is None else code_of(known.name)


def _images(settings: Settings, loaded: Loaded) -> Images:
    """Return what names the picked data."""
    name = data_name(settings, loaded)
    return NO_IMAGES if name == NO_DATA else Images(name, settings.limit, data_code(name, loaded))


def images_of(settings: Settings, loaded: Loaded, data: Data | None) -> Images:
    """Return what names the data that a page has at hand."""
    return NO_IMAGES if data is None else _images(settings, loaded)


def data_at(images: Images, source: Source) -> Data | None:
    """Return the data that `images_of` named, or None."""
    return None if images == NO_IMAGES else _data(images.data, images.limit, replace(source, shape=()), images.code)


def data_here(settings: Settings, loaded: Loaded) -> Data | None:
    """Return the picked data where they can be had at once; None where they cannot, or not at all."""
    try:
        return data_of(settings, loaded) if at_hand(data_name(settings, loaded)) else None
    except (PrunekitError, OSError):
        return None


def _shape_told(settings: Settings, source: Source) -> tuple[int, ...]:
    """Return the shape of a sample by the data or by whoever gave it, where that is not what the catalog says."""
    try:
        loaded = load(source)
    except PrunekitError:
        return ()
    known, given = loaded.info.input_shape, source.given.size
    told: tuple[int, ...] = ()
    if source.given != NOTHING or data_name(settings, loaded) != loaded.info.data or known is None or loaded.info.guessed:
        images = _images(settings, loaded)
        told = () if images == NO_IMAGES or not at_hand(images.data) else _sample_shape(images, source)
    if not told and given:
        told = given if len(given) > 1 else models.with_side(loaded.model, given[0], known)
    return () if told == known and not loaded.info.guessed else told


@shared(16)
def _sample_shape(images: Images, source: Source) -> tuple[int, ...]:
    """Return the shape of the first test sample; nothing where it cannot be had, which whoever asks for the data is told."""
    try:
        data = data_at(images, source)
        return () if data is None else tuple(data.test[0][0].shape)
    except (PrunekitError, OSError):
        return ()


# what follows is the same object for everybody, not a copy of it: every page asks several times
@shared(32)
def layer_frame(source: Source) -> pd.DataFrame:
    """Return the table of a model's prunable layers; never write to it."""
    loaded = load(source)
    return models.layer_table(loaded.model, loaded.input_shape)


@shared(32)
def channel_frame(source: Source) -> pd.DataFrame:
    """Return the table of all that structured pruning works on, in order of definition; the index is the place in ``Loaded.every``.

    Never write to it.
    """
    loaded = load(source)
    if not loaded.attention:
        return layer_frame(source)
    names = models.channel_layers(loaded.model)
    frame = models.layer_table(loaded.model, loaded.input_shape, names)
    place = {name: i for i, name in enumerate(loaded.every)}
    return frame.set_index(pd.Index([place[name] for name in names]))


def frame_of(source: Source, mode: str) -> pd.DataFrame:
    """Return the table of what a mode works on."""
    return channel_frame(source) if mode == "structured" else layer_frame(source)


@shared(32)
def counts_of(source: Source) -> models.Counts:
    """Return parameters and MACs of a dense model."""
    loaded = load(source)
    return models.count(loaded.model, loaded.input_shape)


@shared(32)
def size_of(source: Source) -> int:
    """Return the bytes of the dense model's file."""
    return evaluation.sizes(load(source).model, gzip=False).dense
