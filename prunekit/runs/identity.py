"""What makes two runs, or two measurements, the same: hashes over everything that decides the outcome."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.anatomy import state_hash
from prunekit.catalog.factories import is_factory
from prunekit.catalog.info import info
from prunekit.criteria.samples import scoring_split
from prunekit.recovery import Recovery
from prunekit.spec import NEEDS_DATA, PruneSpec

PACKAGES = ("prunekit", "torch", "torchvision", "numpy")


def canonical(value: Any) -> str:
    """Return JSON that is the same for equal values: keys sorted, no spaces, no negative zero.

    Parameters
    ----------
    value : plain values
        None, booleans, finite numbers, text, lists and mappings with text as keys.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    """Return lists for tuples and 0.0 for -0.0, which equals it and is written otherwise."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value


def digest(value: Any) -> str:
    """Return the sha256 of plain values, 64 hexadecimal digits, whatever the order of their keys."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def run_id(weights: str, spec: PruneSpec | None, recovery: Recovery | None, trained_on: str = "") -> str:
    """Return what a run is called: the same for the same weights, setting, recovery and training data.

    Parameters
    ----------
    weights : str
        The dense model, as `weights_of` says.
    spec : PruneSpec or None
        The setting, its seed included; None where nothing was pruned.
    recovery : Recovery or None
        What was done afterwards; one that does nothing counts as none.
    trained_on : str
        Which images the criterion or the recovery looked at, as `trained_on` says.
    """
    plain = None if recovery is None or not recovery.active else recovery.to_dict()
    return digest({"weights": weights, "spec": None if spec is None else _named(spec), "recovery": plain, "trained_on": trained_on})


def _named(spec: PruneSpec) -> dict[str, Any]:
    """Return what a setting says; what came later and is left out changes no name that was given before."""
    later = {"units": None, "depth": 0.0, "blocks": None}
    return {name: value for name, value in spec.to_dict().items() if name not in later or value != later[name]}


def measurement_id(
    run: str,
    data_hash: str,
    split: str,
    images: int,
    *,
    what: str = "accuracy",
    runtime: str = "eager",
    machine: Mapping[str, str] | None = None,
    versions: Mapping[str, str] | None = None,
) -> str:
    """Return what a measurement is called.

    Parameters
    ----------
    run, data_hash, split : str
        What was measured, on which data (as `data_hash` says), and which part of them.
    images : int
        How many images.
    what, runtime : str
        What was measured, and what ran the model.
    machine, versions : mapping, optional
        Where; this machine and the installed packages when left out.
    """
    there = {"machine": dict(this_machine() if machine is None else machine)}
    with_these = {"versions": dict(installed() if versions is None else versions)}
    return digest({"run": run, "data": data_hash, "split": split, "images": images, "what": what, "runtime": runtime} | there | with_these)


def weights_of(model: nn.Module, shape: tuple[int, ...] | None = None) -> str:
    """Return what tells a dense model from every other one.

    That is the hash of its weights. The code of a model of one's own counts too, since the same weights behind another activation are
    another model; and so does an unusual size of the images, since channels are chosen by what they cost at that size.

    Parameters
    ----------
    model : nn.Module
        The dense model, as ``load_model`` returns it.
    shape : tuple of int, optional
        Shape of one sample.
    """
    known = info(model)
    parts: dict[str, Any] = {"state": state_hash(model)}
    if known.id is not None:
        parts |= _source(known.id.name)
    if shape is not None and known.input_shape is not None and tuple(shape) != tuple(known.input_shape):
        parts["shape"] = list(shape)
    return str(parts["state"]) if len(parts) == 1 else digest(parts)


def _source(name: str) -> dict[str, str]:
    """Return the hash of the file behind ``file.py:factory``; nothing for other names."""
    path = Path(name.rpartition(":")[0]).expanduser() if is_factory(name) else None
    return {"source": hashlib.sha256(path.read_bytes()).hexdigest()} if path is not None and path.is_file() else {}


def data_hash(part: Any, name: str = "") -> str:
    """Return the fingerprint of a split; the code of ``file.py:factory`` is part of it.

    Parameters
    ----------
    part : Split
        Whole, before a subset is taken.
    name : str
        Of the data, as in ``DataId``.
    """
    source = _source(name)
    mark = str(part.fingerprint())
    return digest({"split": mark, **source}) if source else mark


def trained_on(data: Any, spec: PruneSpec | None, recovery: Recovery | None) -> str:
    """Return which images decide what a run becomes, as one hash; "" where none do.

    Parameters
    ----------
    data : Data
        Their fingerprints hold the limit, if there is one.
    spec : PruneSpec or None
        Its criterion may look at images.
    recovery : Recovery or None
        Recalibration and fine-tuning look at training images, and the epoch is chosen by the validation split.
    """
    parts: dict[str, str] = {}
    if spec is not None and spec.criterion in NEEDS_DATA:
        parts["scored"] = data_hash(scoring_split(data)[0], data.id.name)
    if recovery is not None and recovery.active:
        chosen = ("train", "validation") if recovery.epochs else ("train",)
        parts |= {name: data_hash(getattr(data, name), data.id.name) for name in chosen if getattr(data, name) is not None}
    return digest(parts) if parts else ""


@cache
def this_machine() -> dict[str, str]:
    """Return what computes here: operating system, architecture and processor."""
    return {"system": platform.system(), "arch": platform.machine(), "cpu": _cpu()}


def _cpu() -> str:
    """Return the processor's name: Linux keeps it in a file, elsewhere Python knows it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


@cache
def installed() -> dict[str, str]:
    """Return the versions of what decides a number."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    """Return the version of a package, "" for a source checkout that was never installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
