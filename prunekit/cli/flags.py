"""The flags of commands that compare, repeat, list and label runs; light, for every command builds the whole parser."""

from __future__ import annotations

import argparse

from prunekit.config.choices import RUN_KINDS, SPLITS


def compare_flags(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the flags of ``compare``; ``--json`` is the parser's own."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="id of a run (6 digits will do), or its name; `prunekit runs` lists them")
    parser.add_argument("--data", metavar="DATA", help="accuracy on these data (default: on which most of the runs were measured)")
    parser.add_argument("--split", choices=SPLITS, default="test", help="on which part (default: test)")
    parser.add_argument("--stored", action="store_true", help="only what was measured before; otherwise what is missing is measured")
    parser.add_argument("--csv", metavar="F", help="write the figures as CSV")
    parser.add_argument("--html", metavar="F", help="write a report with pictures: one file that opens offline")
    return parser


def apply_flags(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the flags of ``apply``; ``--json`` is the parser's own."""
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe.yaml, a folder of `prunekit prune --out`, or an exported archive")
    parser.add_argument("--out", metavar="DIR", help="write the model, its recipe and what was measured into this folder")
    return parser


RUN_HELP = "its id, at least the first 6 digits of it, or its name"


def runs_flags(parser: argparse.ArgumentParser) -> None:
    """Add what narrows the list down, and the commands ``name``, ``tag``, ``note`` and ``delete``."""
    parser.add_argument("--kind", choices=RUN_KINDS, help="only runs of this kind")
    parser.add_argument("--tag", metavar="WORD", help="only runs with this tag")
    parser.add_argument("--all", action="store_true", help="the points of curves too, which nobody saved, tagged or noted")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    commands = parser.add_subparsers(metavar="name | tag | note | delete", parser_class=type(parser))
    name = _on_one(commands, "name", "Name a run, or rename it.")
    name.add_argument("text", metavar="NAME", help="one line; '' for none")
    tag = _on_one(commands, "tag", "Add tags to a run.")
    tag.add_argument("words", nargs="+", metavar="WORD", help="to find it by")
    tag.add_argument("--remove", action="store_true", help="take them off instead")
    note = _on_one(commands, "note", "Write a note to a run, in place of the one before.")
    note.add_argument("text", metavar="TEXT", help="anything; '' for none")
    delete = _on_one(commands, "delete", "Delete a run, its measurements and its weights.")
    delete.add_argument("--yes", action="store_true", help="without asking")


def _on_one(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str) -> argparse.ArgumentParser:
    """Add a command that is about one run."""
    parser = commands.add_parser(name, help=about, description=about)
    parser.set_defaults(function=name)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser
