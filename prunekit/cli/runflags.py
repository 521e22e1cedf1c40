"""The flags of ``runs`` and of its own commands."""

from __future__ import annotations

import argparse

from prunekit.choices import RUN_KINDS

RUN_HELP = "its id, or at least the first 6 digits of it"


def runs_flags(parser: argparse.ArgumentParser) -> None:
    """Add what narrows the list down, and the commands ``tag``, ``note`` and ``delete``."""
    parser.add_argument("--kind", choices=RUN_KINDS, help="only runs of this kind")
    parser.add_argument("--tag", metavar="WORD", help="only runs with this tag")
    parser.add_argument("--all", action="store_true", help="the points of curves too, which nobody saved, tagged or noted")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    commands = parser.add_subparsers(metavar="tag | note | delete", parser_class=type(parser))
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
