"""What everybody shares: models, data and the numbers derived from them, in bounded caches.

Cache keys are names and frozen settings; models are shared, in eval mode and never written to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

import pandas as pd
import streamlit as st
from torch import nn

from prunekit import config, data, evaluation, models
from prunekit.config.folders import data_folder
from prunekit.config.ids import DataId
from prunekit.config.registered import from_environment
from prunekit.data.dataset import Data, Split, TensorSplit
from prunekit.errors import CheckpointError, DataError, ModelError
from prunekit.experiments.identity import data_hash, weights_of
from prunekit.local_code.factories import code_of
from prunekit.models.entries import ModelEntry
from prunekit.models.info import ModelInfo
from prunekit.ui.shared.cache import shared
from prunekit.ui.state.settings import Settings
from prunekit.ui.state.uploads import uploads

NO_DATA = "none"
TORCHVISION = "torchvision/"
BUILT_IN = ("digits", "mnist", "cifar10")


@dataclass(frozen=True)
class Source:
    """Which model: a public name of the catalog, where its weights come from, and its user's code, so that an edit is another model."""

    name: str
    pretrained: bool = False
    upload: str = ""
    code: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Source:
        """Return the model that was picked."""
        names = (entry.id.name for entry in models.list_models("own") if public_name(entry) == settings.model)
        return cls(settings.model, settings.pretrained, settings.upload, code_of(next(names, "")))


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
        if self.info.input_shape is None:
            raise ModelError("cannot tell what input this model takes: set input_shape on its factory and start prunekit again")
        return self.info.input_shape


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


@shared(6, "Loading the model …")
def load(source: Source) -> Loaded:
    """Return a dense model; everybody gets the same one.

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


def images_known(part: Split) -> str:
    """Return what measurements on a part of the data are known by; pixels in memory are shared and never written to."""
    if not isinstance(part, TensorSplit):
        return data_hash(part)
    if part not in _PRINTS:
        _PRINTS[part] = data_hash(part)
    return _PRINTS[part]


_PRINTS: WeakKeyDictionary[Split, str] = WeakKeyDictionary()


def registered_data() -> dict[str, DataId]:
    """Return the data registered at launch by public name: no folder of this machine."""
    return {re.sub(r"[^\w./:-]+", "-", data.name.rpartition("/")[2]).strip("-"): data for data in config.registered_data()}


def data_names(loaded: Loaded) -> list[str]:
    """Return the data sets that may fit a model, its own first."""
    own = [loaded.info.data] if loaded.info.data else []
    built_in = BUILT_IN if not loaded.source.name.startswith(TORCHVISION) else ()
    return list(dict.fromkeys([*own, *registered_data(), *built_in, NO_DATA]))


def data_name(settings: Settings, loaded: Loaded) -> str:
    """Return the picked data set, or the model's own."""
    return settings.data or loaded.info.data or NO_DATA


def at_hand(name: str) -> bool:
    """Return whether a data set needs no download now."""
    folder = data_folder()
    return (
        name in registered_data()
        or (name not in _ON_DISK and name != NO_DATA)
        or any((folder / p).exists() for p in _ON_DISK.get(name, ()))
    )


# files, not folders: a download that failed leaves its folders behind
_ON_DISK = {"mnist": ("MNIST/raw/t10k-labels-idx1-ubyte",), "cifar10": ("cifar-10-batches-py/test_batch",)}


@shared(4, "Loading the data …")
def _data(name: str, limit: int, source: Source, code: str) -> Data:
    """Return a data set with the defaults of a model; edited code makes another one."""
    registered = registered_data()
    if name not in registered and name not in BUILT_IN:
        raise DataError(f"there is no data set named {name!r} here: choose another, or register it with `prunekit app --data`")
    return data.load_data(registered.get(name, name), limit=limit or None, model=load(source).model)


def data_of(settings: Settings, loaded: Loaded) -> Data | None:
    """Return the picked data set, or None where none was picked."""
    name = data_name(settings, loaded)
    return None if name == NO_DATA else _data(name, settings.limit, loaded.source, data_code(name))


def data_code(name: str) -> str:
    """Return the user's code that makes a data set, as it is now; "" for one that is built in."""
    known = registered_data().get(name)
    return "" if known is None else code_of(known.name)


def images_of(settings: Settings, loaded: Loaded, data: Data | None) -> Images:
    """Return what names the data that a page has at hand."""
    return NO_IMAGES if data is None else Images(name := data_name(settings, loaded), settings.limit, data_code(name))


def data_at(images: Images, source: Source) -> Data | None:
    """Return the data that `images_of` named, or None."""
    return None if images == NO_IMAGES else _data(images.data, images.limit, source, images.code)


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
