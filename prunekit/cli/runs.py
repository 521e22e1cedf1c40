"""``prunekit runs``: list, name, tag, note, delete."""

from __future__ import annotations

import argparse
import sys

from prunekit.cli.arguments import to_json
from prunekit.cli.tables import byte_text, short, table
from prunekit.comparison.shown_figures import shipped
from prunekit.errors import PrunekitError
from prunekit.experiments.home import store
from prunekit.experiments.records import Label, Run
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
