"""``prunekit prune``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from prunekit.catalog.folder import write_folder
from prunekit.cli.arguments import absolute, check_cut, data_of, model_of, progress_to, shape_of, spec_of, to_json
from prunekit.cli.tables import accuracy_text, byte_text, percent, shape_text, short, table
from prunekit.measure import assess, document
from prunekit.pruning import prune as prune_model
from prunekit.spec import Recipe

UNITS = {"weights": "weights", "channels": "channels", "params": "parameters", "macs": "MACs"}
SIZES = {"dense": "dense file", "gzip": "gzipped", "sparse": "non-zeros, sparse", "surgery": "after surgery"}


def prune(args: argparse.Namespace) -> str:
    """Prune a copy, measure it, write it where asked."""
    check_cut(args)
    model_id, model = model_of(args)
    spec = spec_of(args, model)
    data = data_of(args, model)
    result = prune_model(model, spec, data, input_shape=shape_of(model, data, args.size))
    assessment = assess(model, result, None if data is None else data.test, progress=progress_to(sys.stderr))
    found = document(result, assessment, model_id.to_dict(), absolute(data))
    if args.out is not None:
        write_folder(args.out, result.model, Recipe(model_id.to_dict(), absolute(data), spec), found)
    return to_json(found) if args.json else _page(found, assessment.difference.sentence() if assessment.difference else None, args.out)


def setting_text(spec: dict[str, Any]) -> str:
    """Return a setting in a few words."""
    words = [spec["mode"], spec["criterion"], spec["pattern"] or spec["scope"]]
    words += [f"multiples of {spec['round_to']}"] if spec["round_to"] > 1 else []
    return ", ".join(words)


def _page(found: dict[str, Any], difference: str | None, out: str | None) -> str:
    """Return everything as text: before and after, requested and achieved, layers."""
    spec, achieved = found["spec"], found["achieved"]
    asked = f"threshold {spec['threshold']:g}" if spec["threshold"] is not None else f"{percent(achieved['requested'])} requested"
    lines = [
        f"{found['model']['name']}   {setting_text(spec)}",
        f"{asked}, {percent(achieved['sparsity'])} achieved: {achieved['removed']:,} of {achieved['total']:,} {UNITS[achieved['unit']]}",
        "",
        table(["", "before", "after"], _sides(found["before"], found["after"])),
    ]
    lines += [f"accuracy {difference}"] if difference else []
    lines += ["", table(["layer", "type", "before", "after", "requested", "achieved"], [_layer(row) for row in found["layers"]])]
    lines += [_proof(found["proof"])] if found["proof"] else []
    lines += [f"! {sentence}" for sentence in found["limits"]]
    return "\n".join(lines + ([f"written to {out}"] if out else []))


def _sides(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return the rows of before and after."""
    rows: list[tuple[object, ...]] = [("accuracy", *(accuracy_text(side["accuracy"]) for side in (before, after)))]
    counted = {"params": "parameters", "nonzero": "not zero"}
    rows += [(title, *(f"{side[key]:,}" for side in (before, after))) for key, title in counted.items()]
    rows += [
        (title, *(short(side[key]) for side in (before, after))) for key, title in (("macs", "MACs"), ("effective_macs", "effective MACs"))
    ]
    rows.append(("zeros among prunable weights", *(percent(side["sparsity"]) for side in (before, after))))
    return rows + [(title, *(byte_text(side["sizes"][key]) for side in (before, after))) for key, title in SIZES.items()]


def _layer(row: dict[str, Any]) -> tuple[object, ...]:
    """Return one layer's row."""
    shapes = (shape_text(row["shape_before"]), shape_text(row["shape_after"]))
    return row["name"], row["type"], *shapes, percent(row["requested"]), percent(row["sparsity"])


def _proof(proof: dict[str, Any]) -> str:
    """Return the proof in one line."""
    return (
        f"proved: removing these channels gives what zeroing them gives, to {proof['max_relative_error']:.1e} (allowed 1e-04); "
        f"pruning moved the output by {percent(proof['output_change'])}"
    )
