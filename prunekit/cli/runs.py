"""``prunekit runs``: list, name, tag, note, delete; and ``export``, ``import`` and ``check``, by which runs travel."""

from __future__ import annotations

import argparse
import sys

from prunekit.cli.arguments import progress_to, to_json
from prunekit.cli.tables import byte_text, quality_text, short, table
from prunekit.comparison.shown_figures import shipped
from prunekit.errors import PrunekitError, SpecError
from prunekit.experiments.archive.exporting import export_folder, export_run
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.model_explorer import export_model_explorer
from prunekit.experiments.archive.repeating import repeat
from prunekit.experiments.home import store
from prunekit.experiments.records import QUALITY, Label, Run
from prunekit.experiments.run_list import EARLIER, Listed, forget, in_passing, listed, value_of
from prunekit.formatting import ordinary, plural

HEADER = ["run", "name", "kind", "title", "quality", "n", "non-zero", "to ship", "tags", "note"]
YES = ("y", "yes")
MARK = " *"
MARKED = f"* {EARLIER}: what it was measured of and on cannot be vouched for. Asked for again, it is measured again"


def runs(args: argparse.Namespace) -> str:
    """List runs."""
    kept = store()
    found = listed(kept, kind=args.kind, tag=args.tag, every=args.all)
    hidden = 0 if args.all else len(in_passing(kept))
    if args.json:
        return to_json({"runs": [each.to_dict() for each in found], "left_out": hidden})
    lines = (
        [table(HEADER, [_row(each) for each in found])] if found else ["no runs: `prunekit prune MODEL --sparsity 0.5 --save` keeps one"]
    )
    lines += [MARKED] if any(each.earlier for each in found) else []
    return "\n".join([*lines, *([f"{ordinary(plural(hidden, 'point'))} of curves left out: see them with --all"] if hidden else [])])


def _row(each: Listed) -> tuple[object, ...]:
    """Return one row of the table."""
    seen, info = each.accuracy, each.run.info
    mark = MARK if each.earlier else ""
    accuracy = (f"not measured{mark}", None) if seen is None else (f"{value_of(seen)}{mark}", f"{seen.n:,} {seen.split}")
    size = shipped(each.run)
    label, who = each.label, (each.run.id[:12], each.label.name or None, each.run.kind, each.run.title)
    told = (", ".join(label.tags), " ".join(label.note.split())[:40])
    return *who, *accuracy, short(info.get("nonzero")), size and byte_text(size.bytes), *told


def name(args: argparse.Namespace) -> str:
    """Name a run, or rename it."""
    kept = store()
    run = kept.find(args.run)
    return _label_text(args, run, kept.relabel(run.id, name=args.text))


def tag(args: argparse.Namespace) -> str:
    """Add tags to a run, or take them off."""
    kept = store()
    run = kept.find(args.run)
    before = kept.label(run.id).tags
    after = tuple(word for word in before if word not in args.words) if args.remove else (*before, *args.words)
    return _label_text(args, run, kept.relabel(run.id, tags=after))


def note(args: argparse.Namespace) -> str:
    """Write a note to a run, in place of the one before."""
    kept = store()
    run = kept.find(args.run)
    return _label_text(args, run, kept.relabel(run.id, note=args.text))


def _label_text(args: argparse.Namespace, run: Run, label: Label) -> str:
    """Return what people say of a run."""
    if args.json:
        return to_json({"id": run.id, "name": label.name, "saved": label.saved, "tags": list(label.tags), "note": label.note})
    return f"{run.id[:12]} {run.title}\nname: {label.name or '–'}\ntags: {', '.join(label.tags) or '–'}\nnote: {label.note or '–'}"


def delete(args: argparse.Namespace) -> str:
    """Delete a run, after asking."""
    kept = store()
    run = kept.find(args.run)
    if not args.yes and not _agreed(run):
        return "nothing was deleted"
    forget(kept, run.id)
    return to_json({"deleted": run.id}) if args.json else f"deleted {run.id[:12]} {run.title}"


def _agreed(run: Run) -> bool:
    """Ask the person at the terminal."""
    if not sys.stdin.isatty():
        raise PrunekitError(f"deleting {run.id[:12]} ({run.title}) cannot be undone: say --yes if you mean it")
    return input(f"Delete {run.id[:12]} ({run.title}), its measurements and its weights? [y/N] ").strip().lower() in YES


def export(args: argparse.Namespace) -> str:
    """Write a run as an archive, every form of its model checked without prunekit."""
    if sum(each is not None for each in (args.out, args.hugging_face, args.model_explorer)) != 1:
        others = "--hugging-face DIR for a folder of transformers, or --model-explorer DIR for Google's Model Explorer"
        raise SpecError(f"say where to: --out FILE.zip for an archive, {others}")
    if args.hugging_face is not None:
        return _hugging_face(args)
    if args.model_explorer is not None:
        return _explored(args)
    found = export_run(args.run, args.out, progress=progress_to(sys.stderr))
    if args.json:
        return to_json(found.to_dict())
    rows = [(form.file, "agrees" if form.agrees else "left out", form.sentence.removeprefix("left out: ")) for form in found.formats]
    lines = [table(["file", "without prunekit", ""], rows), *(f"! {note}" for note in found.notes)]
    return "\n".join([*lines, f"written to {found.path}, {byte_text(found.path.stat().st_size)}"])


def _hugging_face(args: argparse.Namespace) -> str:
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
