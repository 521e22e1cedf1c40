"""``result.json``: what is known of a run, as plain values, in the same order each time."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from prunekit.experiments.archive.gathering import Pixels
from prunekit.experiments.load_run import Opened
from prunekit.experiments.records import QUALITY, Measurement, Run
from prunekit.experiments.run_structure import layers_of
from prunekit.experiments.store import RunStore
from prunekit.models.cost import count
from prunekit.models.folder import is_folder, read_result

TOLD = (*QUALITY, "latency")


def document(opened: Opened, pixels: Pixels, store: RunStore) -> dict[str, Any]:
    """Return what is known of a run.

    Returns
    -------
    dict
        ``run`` (its fields, and the ``name`` that somebody gave it), ``measurements`` (accuracy and latency, where and with which
        versions), ``dense`` (counts and accuracy of the model that it began from, where they are kept), ``input`` and ``layers`` (what
        stays of each).
    """
    run = opened.run
    dense = _beginning(run, store)
    return {
        "run": {name: getattr(run, name) for name in ("id", "kind", "title", "model", "spec", "recovery", "created", "info")}
        | {"name": store.label(run.id).name},
        "measurements": _seen(run, store),
        "dense": None if dense is None or dense.id == run.id else {"info": _counted(dense, opened), "measurements": _seen(dense, store)},
        "input": {
            "shape": list(pixels.shape),
            "mean": None if pixels.mean is None else list(pixels.mean),
            "std": None if pixels.std is None else list(pixels.std),
            "pixels": pixels.sentence,
            "classes": list(pixels.classes),
        },
        "layers": _layers(opened),
    }


def to_json(told: dict[str, Any]) -> str:
    """Return strict JSON."""
    return json.dumps(told, indent=2, ensure_ascii=False, default=str)


def _beginning(run: Run, store: RunStore) -> Run | None:
    """Return the run of the dense model, where it is kept."""
    seen: Run | None = run
    for _ in range(16):  # prune, recalibrate, fine-tune, quantise: a longer line is none
        if seen is None or seen.kind in ("dense", "trained") or seen.parent is None:
            return seen
        seen = store.get_run(seen.parent)
    return None


def _counted(dense: Run, opened: Opened) -> dict[str, Any]:
    """Return what is known of the dense model, counted where nobody has measured it."""
    if "params" in dense.info or opened.dense is None or opened.shape is None:
        return dense.info
    return {**asdict(count(opened.dense, opened.shape)), **dense.info}


def _seen(run: Run, store: RunStore) -> list[dict[str, Any]]:
    """Return what was measured of a run."""
    found = sorted(
        (m for m in store.measurements(run.id) if m.what in TOLD and not m.earlier),
        key=lambda m: (m.what, m.split, m.n, m.runtime, m.id),
    )
    return [_plain(measurement) for measurement in found]


def _plain(seen: Measurement) -> dict[str, Any]:
    """Return a measurement without its samples."""
    names = ("what", "value", "data", "split", "runtime", "machine", "versions", "created")
    told = {name: getattr(seen, name) for name in names} | {"images": seen.n}
    return told if seen.metric is None else told | {"metric": {name: seen.metric[name] for name in ("name", "title", "unit", "better")}}


def _layers(opened: Opened) -> Any:
    """Return what stays of each layer, where it is known."""
    if opened.result is not None:
        return layers_of(opened.result)["layers"]
    if opened.file is not None and is_folder(opened.file):
        return read_result(opened.file).get("layers", [])
    return []
