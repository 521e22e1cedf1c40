"""``prunekit export``, ``prunekit import`` and ``prunekit check``."""

from __future__ import annotations

import argparse
import sys

from prunekit.cli.arguments import progress_to, to_json
from prunekit.cli.tables import byte_text, quality_text, short, table
from prunekit.errors import SpecError
from prunekit.experiments.archive.exporting import export_folder, export_run
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.model_explorer import export_model_explorer
from prunekit.experiments.archive.repeating import repeat
from prunekit.experiments.home import store
from prunekit.experiments.records import QUALITY


def export(args: argparse.Namespace) -> str:
    """Write a run as an archive, every form of its model checked without prunekit."""
    if sum(each is not None for each in (args.out, args.hugging_face, args.model_explorer)) != 1:
        others = "--hugging-face DIR for a folder of transformers, or --model-explorer DIR for Google's Model Explorer"
        raise SpecError(f"say where to: --out FILE.zip for an archive, {others}")
    if args.hugging_face is not None:
        return _folder(args)
    if args.model_explorer is not None:
        return _explored(args)
    found = export_run(args.run, args.out, progress=progress_to(sys.stderr))
    if args.json:
        return to_json(found.to_dict())
    rows = [(form.file, "agrees" if form.agrees else "left out", form.sentence.removeprefix("left out: ")) for form in found.formats]
    lines = [table(["file", "without prunekit", ""], rows), *(f"! {note}" for note in found.notes)]
    return "\n".join([*lines, f"written to {found.path}, {byte_text(found.path.stat().st_size)}"])


def _folder(args: argparse.Namespace) -> str:
    """Write a run as a folder of Hugging Face."""
    run = store().find(args.run)
    written, opens = export_folder(run.id, args.hugging_face)
    if args.json:
        return to_json({"run": run.id, "path": str(written), "class": opens})
    return f"written to {written}: transformers.{opens}.from_pretrained opens it without prunekit, checked here with the same answers"


def _explored(args: argparse.Namespace) -> str:
    """Write a run for Model Explorer."""
    found = export_model_explorer(store().find(args.run).id, args.model_explorer, progress=progress_to(sys.stderr))
    if args.json:
        return to_json(found.to_dict())
    lines = [f"written to {found.folder}: {', '.join(found.files)} ({found.layers} layers)"]
    lines += [f"! no node of the program takes the weight of {', '.join(found.missing)}"] * bool(found.missing)
    data = ",".join(str(found.folder / name) for name in found.files[1:])
    return "\n".join([*lines, f"open it: model-explorer {found.folder / found.files[0]} --node_data_paths={data}"])


def import_(args: argparse.Namespace) -> str:
    """Take an archive in as a run; nothing in it is executed."""
    run = import_archive(args.file, factory=args.model, task=args.task, called=args.name or "")
    if args.json:
        return to_json({"run": run.id, "title": run.title, "kind": run.kind, "model": run.model, "parent": run.parent, "info": run.info})
    lines = [f"run {run.id[:12]}   {run.title}"]
    lines += [f"{short(run.info['params'])} parameters, {short(run.info['macs'])} MACs"] if "params" in run.info else []
    for seen in run.info["told"]["measurements"]:
        if seen.get("what") in QUALITY and {"value", "low", "high", "n"} <= set(seen):
            noun, units = (seen["title"], "samples") if "title" in seen else ("accuracy", "images")
            lines.append(f"{noun} {quality_text(seen)}, {seen.get('split')} {units} of {seen.get('data')}: measured elsewhere, not here")
    return "\n".join(lines)


def check(args: argparse.Namespace) -> str:
    """Open a folder or an archive, and measure the accuracy that it states again."""
    trust = {"factory": args.model, "task": args.task, "data": args.data}
    found = repeat(args.file, **trust, samples_to=args.samples, progress=progress_to(sys.stderr))
    if args.json:
        return to_json(found.to_dict())
    return found.sentence + (f"\nits test samples were written to {args.samples}" if args.samples and found.accuracy else "")
