"""``prunekit models`` and ``prunekit inspect``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.cli.arguments import NO_DATA, guess_lines, guess_notes, model_of, shape_of, to_json
from prunekit.cli.tables import byte_text, percent, quality_text, shape_text, short, size_text, skipped_table, table
from prunekit.config.ids import DataId
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import PrunekitError
from prunekit.evaluation.before_after import Snapshot
from prunekit.evaluation.sizes import parts, sizes
from prunekit.models.cost import count, layer_table
from prunekit.models.entries import list_models
from prunekit.models.folder import is_folder, read_recipe, read_result
from prunekit.models.info import ModelInfo, info
from prunekit.models.layers import channel_layers, prunable_layers
from prunekit.pruning.layer_selection import protected_layers
from prunekit.pruning.proof import tried
from prunekit.pruning.skipped import skipped
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.embedding_rows import embedding_tables
from prunekit.pruning.structured.grouping import trace
from prunekit.tasks.input_form import InputForm, form_words

GROUP_LAYERS = 6


def models(args: argparse.Namespace) -> str:
    """List the models that have a name."""
    entries = [{"name": e.name, "kind": e.kind, "title": e.title, "task": e.task, "description": e.description} for e in list_models()]
    if args.json:
        cards = {entry.name: entry.card for entry in list_models()}
        return to_json({"models": [{**entry, "card": cards[entry["name"]]} for entry in entries]})
    return table(["name", "kind", "task"], [(e["name"], e["kind"], e["task"]) for e in entries])


def inspect(args: argparse.Namespace) -> str:
    """Show a model's layers, costs, sizes and what shrinks together."""
    model_id, model = model_of(args)
    known = info(model)
    named = args.data or (known.data if known.guessed and args.size is None else None)  # only data tell what nobody gave
    data = load_data(DataId(named, size=args.size), model=model) if named and named != NO_DATA else None
    shape = shape_of(model, data, args.size)
    folder = Path(args.model).expanduser()
    graph, said = _graph(model, shape)
    found = {"model": model_id.to_dict(), **_known(known), "input_shape": list(shape)}
    found["inputs"] = form_words(shape.example) if isinstance(shape, InputForm) else None
    found |= Snapshot(count(model, shape), sizes(model, exact=args.exact_sizes), None).to_dict()
    found |= {
        "layers": _layers(model, shape, graph),
        "skipped": [module.to_dict() for module in skipped(model, PruneSpec(), prunable_layers(model))],
        **_couplings(graph, said),
        "tables": [] if graph is None else [asdict(each) for each in embedding_tables(model, graph)],
        **({"recipe": read_recipe(folder).to_dict(), "result": read_result(folder)} if is_folder(folder) else {}),
        **guess_notes(model, data, args.size),
    }
    return to_json(found) if args.json else _page(found)


def _known(known: ModelInfo) -> dict[str, Any]:
    """Return what is known of the model beside its weights."""
    numbers = {key: None if value is None else list(value) for key, value in (("mean", known.mean), ("std", known.std))}
    return {
        **numbers,
        "data": known.data,
        "classes": list(known.classes),
        "card": None if known.card is None else dict(known.card),
        "checked": known.checked or None,
    }


def _layers(model: nn.Module, shape: tuple[int, ...], graph: ChannelGraph | None) -> list[dict[str, Any]]:
    """Return the layers that can be pruned, attention that holds its weight among them.

    ``protected`` says why structured pruning leaves one alone by default.
    """
    kept = protected_layers(model, "structured", None if graph is None else graph.immovable)
    rows = layer_table(model, shape, channel_layers(model)).to_dict("records")
    return [{**{str(k): v for k, v in row.items()}, "shape": list(row["shape"]), "protected": kept.get(row["name"])} for row in rows]


def _graph(model: nn.Module, shape: tuple[int, ...]) -> tuple[ChannelGraph | None, str]:
    """Return the couplings of a model; where they cannot be seen, why: it can be looked at, and pruned without structure."""
    try:
        return tried(model, trace(model, shape), getattr(shape, "example", None)), ""
    except PrunekitError as error:
        return None, str(error)


def _couplings(graph: ChannelGraph | None, said: str) -> dict[str, Any]:
    """Return what shrinks together, what cannot shrink, and the limits met."""
    if graph is None:
        return {"groups": [], "blocks": [], "immovable": {}, "limits": [said]}
    groups = [{"id": g.id, "kind": g.kind, "layers": list(g.layers), "size": g.size, "reasons": list(g.reasons)} for g in graph.groups]
    blocks = [{"name": b.name, "becomes": b.becomes, "layers": list(b.layers)} for b in graph.blocks]
    return {"groups": groups, "blocks": blocks, "immovable": dict(graph.immovable), "limits": list(graph.limits)}


def _page(found: dict[str, Any]) -> str:
    """Return everything as text."""
    size = found["sizes"]
    found_parts = parts(size).get("dense")
    lines = [
        f"{found['model']['name']}   input {found['inputs'] or shape_text(found['input_shape'])}",
        f"{found['params']:,} parameters ({found['nonzero']:,} not zero), {short(found['macs'])} MACs, "
        f"{percent(found['sparsity'])} of the prunable weights are zero",
        f"file {byte_text(size['dense'])}, gzipped {size_text(size, 'gzip')}, best sparse format {byte_text(size['sparse'])}",
    ]
    lines += [f"file by parts: {', '.join(f'{part} {byte_text(n)}' for part, n in found_parts.items())}"] if found_parts else []
    measured = "; ".join(f"{name} {told}" for name, told in _qualities(found["card"] or {}))
    lines += [f"when it was trained: {measured}"] if measured else []
    lines += [f"opened from its folder: {found['checked']}"] if found["checked"] else []
    rows = [
        (r["name"], r["type"], shape_text(r["shape"]), f"{r['params']:,}", percent(r["share"]), short(r["macs"]), r["out_channels"])
        for r in found["layers"]
    ]
    lines += guess_lines(found)
    lines += ["", table(["layer", "type", "shape", "params", "share", "MACs", "outputs"], rows)]
    lines += skipped_table(found["skipped"], found["params"])
    groups = [(g["id"], g["size"], g["kind"], _shortened(g["layers"])) for g in found["groups"]]
    lines += ["", "What shrinks together:", table(["group", "size", "of", "layers"], groups)] if groups else [""]
    blocks = [(b["name"], b["becomes"], _shortened(b["layers"])) for b in found["blocks"]]
    lines += ["", "What can go as a whole:", table(["block", "becomes", "layers"], blocks)] if blocks else []
    whole: dict[str, list[str]] = {}
    for name, why in found["immovable"].items():
        whole.setdefault(why, []).append(name)
    stays = [(_shortened(names), why) for why, names in whole.items()]
    lines += ["", "What keeps all its outputs:", table(["layers", "why"], stays)] if stays else []
    tables = [(t["name"], t["rows"], t["width"], byte_text(t["nbytes"]), t["stays"] or "may go") for t in found["tables"]]
    lines += ["", "Tables:", table(["table", "rows", "width", "bytes", "its rows"], tables)] if tables else []
    lines += [f"! {sentence}" for sentence in found["limits"]]
    return "\n".join(lines)


def _qualities(card: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a card says of the quality on test samples: a classifier's accuracy, or each metric of another task."""
    told = {"accuracy": card["test_accuracy"]} if "test_accuracy" in card else {}
    told |= {name: {"unit": "", **value} for name, value in card.get("test_metrics", {}).items()}
    return [(name, quality_text(value)) for name, value in told.items()]


def _shortened(layers: list[str]) -> str:
    """Return the first names of a long list."""
    rest = len(layers) - GROUP_LAYERS
    return ", ".join(layers[:GROUP_LAYERS]) + (f" and {rest} more" if rest > 0 else "")
