"""What makes two runs, or two measurements, the same: hashes over everything that decides the outcome."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.config.ids import ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.criteria.samples import scoring_split
from prunekit.local_code.factories import is_factory, packages_of
from prunekit.models.hugging_face_files import PREFIX as HUGGING_FACE
from prunekit.models.info import info
from prunekit.models.state import state_hash
from prunekit.models.zoos import TIMM
from prunekit.pruning.plugins import plugin_code
from prunekit.tasks.registry import DEFAULT, TASKS
from prunekit.tasks.resolver import resolve

PACKAGES = ("prunekit", "torch", "torchvision", "numpy")
IDENTITY = 2
"""How runs and measurements are told apart: 2 as here; 1 until version 0.4.0, where neither what a file imports nor the inputs counted."""


def canonical(value: Any) -> str:
    """Return JSON that is the same for equal values: keys sorted, no spaces, no negative zero."""
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


OF_SPEC: dict[str, Any] = {
    **{"consumers": False, "reduction": "mean", "normaliser": "mean", "shares": {}, "indices": {}, "soft": False, "remove_layers": 0},
    **{"rows": 0.0, "row_criterion": "frequency", "row_shares": {}},
}
OF_RECOVERY: dict[str, Any] = {"prepare": "none", "prepare_epochs": 5, "penalty": None}
"""Fields that came after names were given, and what they were before they were there."""


def as_before(values: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values without the fields that came later and say nothing."""
    return {name: value for name, value in values.items() if name not in later or value != later[name]}


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
    plain = None if plain is None else as_before(plain, OF_RECOVERY)
    own = {"plugins": plugin_code(spec)} if spec is not None and plugin_code(spec) else {}
    return digest({"weights": weights, "spec": None if spec is None else _named(spec), "recovery": plain, "trained_on": trained_on} | own)


def _named(spec: PruneSpec) -> dict[str, Any]:
    """Return what a setting says; what came later and is left out changes no name that was given before."""
    return as_before(spec.to_dict(), {"units": None, "depth": 0.0, "blocks": None, **OF_SPEC})


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


def for_task(model_id: ModelId, model: nn.Module, data: Any) -> ModelId:
    """Return a model's identity with the task that its data alone tell, where neither card, factory nor anybody else does."""
    own, both = resolve(model), resolve(model, data)
    alike = own.name == both.name if both.name in TASKS else own.identity == both.identity  # the scale of targets is the data's matter
    return model_id if alike or not (both.name in TASKS or is_factory(both.name)) else replace(model_id, task=both.name)


def weights_of(model: nn.Module, shape: tuple[int, ...] | None = None, task: str | None = None) -> str:
    """Return what tells a dense model from every other one.

    That is the hash of its weights. The code of a model of one's own counts too, as it was when the model was loaded, since the same
    weights behind another activation are another model: the factory's name, its file, all local modules that it imports, and what the
    weights leave out (buffers that are in no state dict). So does the task that it is for, where it says one or somebody asked for one,
    and that is not the classification of images. So does an unusual size of the images, since channels are chosen by what they
    cost at that size.

    Parameters
    ----------
    model : nn.Module
        The dense model, as ``load_model`` returns it.
    shape : tuple of int, optional
        Shape of one sample.
    task : str, optional
        Its name, where `for_task` found it in the data; left out, as the model itself tells.
    """
    known = info(model)
    parts: dict[str, Any] = {"state": state_hash(model)}
    if known.code:
        parts["code"] = known.code
    if shape is not None and known.input_shape is not None and tuple(shape) != tuple(known.input_shape):
        parts["shape"] = list(shape)
    of = resolve(model, None, task).identity
    if of != DEFAULT:
        parts["task"] = of
    return str(parts["state"]) if len(parts) == 1 else digest(parts)


def earlier_weights_of(model: nn.Module, shape: tuple[int, ...] | None = None) -> str:
    """Return what told a dense model from others until version 0.4.0: of the code its own file alone."""
    known = info(model)
    parts: dict[str, Any] = {"state": state_hash(model)}
    name = "" if known.id is None else known.id.name
    path = Path(name.rpartition(":")[0]).expanduser()
    if is_factory(name) and path.is_file():
        parts["source"] = hashlib.sha256(path.read_bytes()).hexdigest()
    if shape is not None and known.input_shape is not None and tuple(shape) != tuple(known.input_shape):
        parts["shape"] = list(shape)
    return str(parts["state"]) if len(parts) == 1 else digest(parts)


def data_hash(part: Any) -> str:
    """Return the fingerprint of a split: labels, inputs, their order, normalisation, and the code that made them.

    Parameters
    ----------
    part : Split
        Whole, before a subset is taken.
    """
    return str(part.fingerprint())


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
    if spec is not None and spec.looks_at_data:
        parts["scored"] = data_hash(scoring_split(data)[0])
    if recovery is not None and recovery.learns:
        chosen = ("train", "validation") if recovery.epochs else ("train",)
        parts |= {name: data_hash(getattr(data, name)) for name in chosen if getattr(data, name) is not None}
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


def installed(model: str = "") -> dict[str, str]:
    """Return the versions of what decides a number."""
    theirs = ("timm",) if model.startswith(TIMM) else ("transformers",) if model.startswith(HUGGING_FACE) else packages_of(model)
    found = {name: _version(name) for name in (*PACKAGES, *theirs)}
    return {name: told for name, told in found.items() if told or name in PACKAGES}


@cache
def _version(name: str) -> str:
    """Return the version of a package, by the name that it is imported by too; "" for a source checkout that was never installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ", ".join(sorted(f"{each} {version(each)}" for each in set(packages_distributions().get(name, ()))))
