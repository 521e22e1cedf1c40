"""Data by their public names, and what everybody shares of them: which a model may be looked at with, loaded once, in bounded caches."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from prunekit import config, data, models
from prunekit.config.ids import DataId, data_folder
from prunekit.config.registered import data_for
from prunekit.data.dataset import Data, Split, TensorSplit
from prunekit.data.movielens import FOLDER, MOVIELENS
from prunekit.data.segmentation import ARCHIVE, CAMVID, UNPACKED
from prunekit.errors import DataError, PrunekitError
from prunekit.experiments.identity import data_hash
from prunekit.local_code.factories import code_of
from prunekit.models.hugging_face import Pooled, outputs_for
from prunekit.models.info import ModelInfo
from prunekit.tasks.input_form import form_of_data
from prunekit.tasks.resolver import reads_pictures, resolve
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.model_cache import NO_IMAGES, TIMM, TORCHVISION, Images, Loaded, Source, entry_of, load, public_name
from prunekit.ui.state.settings import NOTHING, Settings

NO_DATA = "none"
BUILT_IN = ("digits", "mnist", "cifar10")


def public(data: DataId) -> str:
    """Return what an address may say about data: no folder of this machine."""
    return data.name if data.name in BUILT_IN else re.sub(r"[^\w./:-]+", "-", data.name.rpartition("/")[2]).strip("-")


def registered_data() -> dict[str, DataId]:
    """Return the data registered at launch by public name."""
    return {public(data): data for data in config.registered_data()}


def brought(info: ModelInfo) -> dict[str, DataId]:
    """Return the data that a model brings along: those that its folder was measured on, with their limit, or those that it names."""
    data = info.measured or (None if info.data is None else DataId(info.data))
    return {} if data is None else {public(data): data}


def known_data(loaded: Loaded) -> dict[str, DataId]:
    """Return the data that a model may be looked at with by public name; what was named at launch counts before what the model brings."""
    return {**{name: DataId(name) for name in BUILT_IN}, **brought(loaded.info), **registered_data()}


def usual_data(loaded: Loaded) -> str:
    """Return the data that a model is opened with: those named beside it at launch, else its own, else none."""
    data = config.registered_data()
    named = [public(each) for each in data_for(entry_of(loaded.source.name).id)] if data else []
    if len(data) != len(config.registered_models()):  # nobody says whose they are: each model takes what fits it
        named = [name for name in named if _fits(name, loaded.source, data_code(name, loaded))]
    return next(iter([*named, *brought(loaded.info)]), NO_DATA)


def _may_read_pictures(loaded: Loaded) -> bool:
    """Return whether a model can be given pictures, so far as its task is told."""
    try:
        return reads_pictures(loaded.model, resolve(loaded.model))
    except PrunekitError:
        return True


@shared(64)
def _fits(name: str, source: Source, code: str) -> bool:
    """Return whether data can be read as samples of a model's task."""
    try:
        return bool(resolve(load(source).model, _data(name, 0, replace(source, shape=()), code)))
    except (PrunekitError, OSError):
        return False


def data_id(name: str, limit: int, loaded: Loaded) -> DataId:
    """Return data as the core names them, with what somebody gave for the model in use."""
    found = known_data(loaded).get(name)
    if found is None:
        raise DataError(f"there is no data set named {name!r} here: choose another, or register it with `prunekit app --data`")
    info, given = loaded.info, loaded.source.given
    side = given.side if info.input_shape is None or len(info.input_shape) > 1 else None  # a vector has no side
    asked: dict[str, Any] = {"limit": limit, "size": side, "mean": given.mean, "std": given.std, "classes": given.classes}
    return replace(found, **{field: value for field, value in asked.items() if value})


def at_hand(name: str) -> bool:
    """Return whether a data set needs no download now."""
    folder = data_folder()
    return (
        name in registered_data()
        or (name not in _ON_DISK and name != NO_DATA)
        or any((folder / p).exists() for p in _ON_DISK.get(name, ()))
    )


# files, not folders: a download that failed leaves its folders behind
_ON_DISK = {
    "mnist": ("MNIST/raw/t10k-labels-idx1-ubyte",),
    "cifar10": ("cifar-10-batches-py/test_batch",),
    MOVIELENS: (f"{FOLDER}/ratings.csv", f"{FOLDER}/ratings.csv.gz"),
}


def has_to_be_brought(name: str | None) -> bool:
    """Return whether a data set is neither here nor downloaded: a person puts it into the folder of data."""
    return name == CAMVID and not any((data_folder() / part).exists() for part in (UNPACKED, ARCHIVE))


def source_of(settings: Settings) -> Source:
    """Return the model that was picked, with the data that are picked for it."""
    names = (entry.id.name for entry in models.list_models("own") if public_name(entry) == settings.model)
    code = code_of(next(names, settings.model))
    found = Source(settings.model, settings.pretrained, settings.upload, code, settings.given, task=settings.task)
    found = replace(found, outputs=_outputs_told(settings, found))
    return replace(found, shape=_shape_told(settings, found))


def images_known(part: Split) -> str:
    """Return what measurements on a part of the data are known by; pixels in memory are shared and never written to."""
    if not isinstance(part, TensorSplit):
        return data_hash(part)
    if part not in _PRINTS:
        _PRINTS[part] = data_hash(part)
    return _PRINTS[part]


_PRINTS: WeakKeyDictionary[Split, str] = WeakKeyDictionary()


def data_names(loaded: Loaded) -> list[str]:
    """Return the data sets that may fit a model, its usual ones first."""
    built_in = BUILT_IN if not loaded.source.name.startswith((TORCHVISION, TIMM)) and _may_read_pictures(loaded) else ()
    usual = usual_data(loaded)
    first = [] if usual == NO_DATA else [usual]
    return list(dict.fromkeys([*first, *brought(loaded.info), *registered_data(), *built_in, NO_DATA]))


def data_name(settings: Settings, loaded: Loaded) -> str:
    """Return the picked data set, or the model's usual one."""
    return settings.data or usual_data(loaded)


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


def _outputs_told(settings: Settings, source: Source) -> int | None:
    """Return how many outputs the picked data want of a head that is made anew; None where it is there, or there are no data."""
    try:
        loaded = load(source)
        return outputs_for(loaded.model, data_here(settings, loaded)) if isinstance(loaded.model, Pooled) else None
    except PrunekitError:
        return None  # whoever loads it says why


def _shape_told(settings: Settings, source: Source) -> tuple[int, ...]:
    """Return the shape of a sample by the data or by whoever gave it, where that is not what card or factory say."""
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
        return () if data is None else form_of_data(data)
    except (PrunekitError, OSError):
        return ()
