"""The record of a run before anything is known of it: its id, its title and what a model that was made is noted with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.config.field_table import ROWS
from prunekit.config.ids import ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.sizes import file_bytes, sparse_bytes
from prunekit.experiments.identity import run_id
from prunekit.experiments.records import Run
from prunekit.formatting import asked, ordinary, percent
from prunekit.local_code.factories import is_factory
from prunekit.models.cost import Counts
from prunekit.models.state import state_hash
from prunekit.tasks.input_form import noted


def dense_run(model_id: ModelId, weights: str) -> Run:
    """Return the run of a dense model, before anything is known of it."""
    return Run(run_id(weights, None, None), "dense", model_id.name, placed(model_id), weights)


def pruned_run(model_id: ModelId, weights: str, spec: PruneSpec, recovery: Recovery, trained_on: str) -> Run:
    """Return the run that a setting and a recovery lead to, before anything is known of it."""
    kind, plain = ("recovered", recovery.to_dict()) if recovery.active else ("pruned", None)
    words = [model_id.name, spec.mode, spec.criterion, shares_text(spec), _amount(spec), blocks_text(spec), recovery.title()]
    name, parent = run_id(weights, spec, recovery, trained_on), run_id(weights, None, None)
    title = ", ".join(word for word in words if word)
    return Run(name, kind, title, placed(model_id), weights, spec.to_dict(), plain, trained_on, parent)


def placed(model_id: ModelId) -> dict[str, Any]:
    """Return the plain fields of a model, its paths absolute: a run is opened again from another folder."""
    name, path = _absolute(model_id.name), Path(model_id.name).expanduser()
    if not is_factory(model_id.name) and path.is_dir():
        name = str(path.absolute())
    weights = model_id.weights
    if weights is not None and Path(weights).expanduser().is_file():
        weights = str(Path(weights).expanduser().absolute())
    task = {} if model_id.task is None else {"task": _absolute(model_id.task)}
    return {**model_id.to_dict(), "name": name, "weights": weights, **task}


def _absolute(name: str) -> str:
    """Return ``path/to/file.py:factory`` with its whole path; other names as they are."""
    if not is_factory(name):
        return name
    file, _, factory = name.rpartition(":")
    return f"{Path(file).expanduser().absolute()}:{factory}"


def facts(model: nn.Module, spec: PruneSpec | None, counts: Counts, achieved: float, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return what is noted of a model that was made."""
    size = file_bytes(model) if spec is None or spec.mode == "structured" else sparse_bytes(model)[0]
    return {**asdict(counts), "achieved": achieved, "bytes": size, "state": state_hash(model), "input_shape": noted(shape)}


def course(recovered: Any) -> dict[str, Any]:
    """Return what is noted of a `Recovered`: its learning curve without times, the epoch that was kept, and why it ended."""
    curve = [{key: value for key, value in epoch.to_dict().items() if key != "seconds"} for epoch in recovered.history]
    return {"history": curve, "best": recovered.best, "stopped": recovered.stopped, "notes": [str(note) for note in recovered.notes]}


def shares_text(spec: PruneSpec) -> str:
    """Return what shares come from: a pattern, a scope, or what somebody set layer by layer."""
    if not spec.overrides:
        joint = "; ".join(f"{ordinary(asked(share))} of {key}" for key, share in spec.shares)
        return f"{spec.scope}, {joint}" if joint else spec.pattern or spec.scope
    return f"own shares of {len(spec.overrides)} layer{'s' if spec.overrides[1:] else ''}"


def _amount(spec: PruneSpec) -> str:
    """Return how much goes, for a title; a pattern has said it."""
    if spec.mode == "nm":
        return ""
    if spec.threshold is not None:
        return f"threshold {spec.threshold:g}"
    share = float(spec.sparsity or 0.0)
    if not share and spec.cuts_rows:
        return ""  # the rows say it
    # what shares of single layers add up to is no round number that somebody asked for
    return ordinary(f"{percent(share)} in all" if spec.overrides else asked(share))


def blocks_text(spec: PruneSpec) -> str:
    """Return in a few words what a setting says of whole blocks and of kinds of units; nothing where it says nothing."""
    units = "" if spec.units is None else " and ".join(spec.units) + " alone"
    return ", ".join(filter(None, (units, _blocks(spec), rows_text(spec))))


def rows_text(spec: PruneSpec) -> str:
    """Return in a few words which rows of tables go; nothing where none do."""
    if not spec.cuts_rows:
        return ""
    own = "; ".join(f"{ordinary(asked(share))} of {name}" for name, share in spec.row_shares)
    shares = ", ".join(filter(None, (ordinary(asked(spec.rows)) if spec.rows else "", own)))
    return f"{shares} of the rows by {ROWS.titles[spec.row_criterion].lower()}"


def _blocks(spec: PruneSpec) -> str:
    """Return which blocks go: by name where they are few and all of them do."""
    if spec.remove_layers:
        return f"{spec.remove_layers} layer{'s' if spec.remove_layers > 1 else ''} off by influence"
    if not spec.depth:
        return ""
    if spec.blocks is None:
        return f"{ordinary(asked(spec.depth))} of the blocks"
    number = f"{len(spec.blocks)} block{'s' if spec.blocks[1:] else ''}"
    if spec.depth < 1:
        return f"{ordinary(asked(spec.depth))} of {number}"
    named = f"block{'s' if spec.blocks[1:] else ''} {', '.join(spec.blocks)}"
    return f"without {named if len(spec.blocks) < 4 else number}"
