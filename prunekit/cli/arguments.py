"""From arguments to models, data and settings."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import replace
from typing import Any

from torch import nn

from prunekit.cli.field_flags import given
from prunekit.config.fields import table
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.data.load import load_data
from prunekit.errors import DataError, ModelError, SpecError, StoreError
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.quality import Evaluation, chance_sentence
from prunekit.experiments.home import store
from prunekit.experiments.store import RunStore
from prunekit.models.hugging_face import Pooled, outputs_for
from prunekit.models.hugging_face_files import COPIES
from prunekit.models.info import guesses, info
from prunekit.models.inputs import with_side
from prunekit.models.layers import prunable_layers
from prunekit.models.load import load_model
from prunekit.tasks.input_form import form_of_data

NO_DATA = "none"


def model_of(args: argparse.Namespace, copies: float = COPIES) -> tuple[ModelId, nn.Module]:
    """Load the model that was named, where its weights fit into memory so many times."""
    model_id = ModelId(args.model, **given(args, ModelId))
    model = load_model(model_id, copies=copies)
    if isinstance(model, Pooled) and not model.asked and (outputs := outputs_for(model, data_of(args, model))):
        model_id = replace(model_id, outputs=outputs)
        model = load_model(model_id, copies=copies)
    return model_id, model


def data_of(args: argparse.Namespace, model: nn.Module) -> Data | None:
    """Load the data that were named, or the model's own; None for no data."""
    asked, measured = given(args, DataId), info(model).measured
    wanted = asked
    if args.data is None and measured is not None:  # a folder is looked at as it was
        wanted = {**{name: getattr(measured, name) for name in table(DataId) if name != "name"}, **asked}
    named = args.data or (info(model).data if measured is None else measured.name)
    if named is None or named == NO_DATA:
        needless = [table(DataId)[key].option for key in wanted if key != "size" and wanted[key]]
        if needless:
            raise DataError(f"{', '.join(needless)} without data: name them with --data")
        return None
    try:
        return load_data(DataId(named, **wanted), model=model)
    except DataError as error:
        if args.data is not None or asked:
            raise
        # nobody asked for these data: prune without them, and say so
        print(f"prunekit: note: accuracy is not measured: {' '.join(str(error).split())}", file=sys.stderr)
        return None


def shape_of(model: nn.Module, data: Data | None, size: int | None) -> tuple[int, ...]:
    """Return the shape of one sample."""
    if data is not None:
        return form_of_data(data)
    known = info(model).input_shape
    if size is not None:
        if size < 1:
            raise ModelError(f"--size must be at least 1; got {size}")
        return with_side(model, size, known)
    if known is None:
        raise ModelError(
            "the shape of the model's input is not known: give --size or --data, or set factory.input_shape or factory.example in its file"
        )
    return known


def guess_notes(
    model: nn.Module, data: Data | None, size: int | None, dense: Evaluation | None = None, pruned: Evaluation | None = None
) -> dict[str, Any]:
    """Return what was guessed, and what to ask where a quality is no better than chance, as JSON has them."""
    guessed = guesses(model, data, None if size is None else (size,))
    return {"chance": chance_sentence(dense, pruned) or None, "guesses": list(guessed)}


def guess_lines(found: dict[str, Any]) -> list[str]:
    """Return the same as lines of text."""
    return [f"! {sentence}" for sentence in (found["chance"], *found["guesses"]) if sentence]


def mode_of(args: argparse.Namespace) -> str:
    """Return the mode that was asked for, or that other flags speak for."""
    own = given(args, PruneSpec)
    usual = "structured" if own.get("rows") or own.get("row_shares") else "unstructured"
    return str(args.mode or (usual if args.pattern is None else "nm"))


def spec_of(args: argparse.Namespace, model: nn.Module, **change: Any) -> PruneSpec:
    """Return the pruning setting; names of layers are checked by the core."""
    spec = PruneSpec(**{**given(args, PruneSpec), "mode": mode_of(args), **change})
    if not prunable_layers(model):
        raise ModelError("the model has no convolution or linear layer: there is nothing to prune")
    return spec


def check_cut(args: argparse.Namespace) -> None:
    """Raise unless something says how much is to go: a sparsity, a threshold, a pattern or whole blocks."""
    depth = args.depth or None  # a depth of 0 lets no block go, and says nothing of channels or weights
    rows = (args.rows or args.row_share) or None
    said = (args.sparsity, args.threshold, args.pattern, depth, args.blocks, args.remove_layers or None, args.indices, rows)
    if all(value is None for value in said) and args.mode != "nm":
        raise SpecError(
            "one of the arguments --sparsity --threshold --pattern --depth --blocks --remove-layers --rows is required: say how much is "
            "to go"
        )


def absolute(data: Data | None) -> dict[str, Any] | None:
    """Return the plain fields of the data's identity."""
    return None if data is None else data.id.to_dict()


def progress_to(stream: Any) -> Progress:
    """Return what draws a progress line in a terminal, and prints warnings; nothing is drawn where nobody watches."""

    def show(fraction: float, text: str) -> None:
        stream.write(f"\r\033[K{fraction:4.0%}  {text}" if fraction < 1 else "\r\033[K")
        stream.flush()

    return Progress(show if stream.isatty() else None, warn=lambda text: say("warning", text))


def say(kind: str, text: str) -> None:
    """Print one line on stderr."""
    print(f"prunekit: {kind}: {' '.join(text.split())}", file=sys.stderr)


def kept_runs() -> RunStore | None:
    """Return the store of runs; without one what runs goes on."""
    try:
        return store()
    except StoreError as error:
        say("warning", f"{error}. Results are shown, and not kept")
        return None


def to_json(value: dict[str, Any]) -> str:
    """Return strict JSON: a number that is not finite becomes null."""
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """Replace numbers that JSON does not know."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
