"""The flags of commands that compare runs and repeat them; light, for every command builds the whole parser."""

from __future__ import annotations

import argparse


def compare_flags(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the flags of ``compare``; ``--json`` is the parser's own."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="id of a run, or at least its first 6 digits; `prunekit runs` lists them")
    parser.add_argument("--data", metavar="DATA", help="accuracy on these data (default: on which most of the runs were measured)")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="on which part (default: test)")
    parser.add_argument("--stored", action="store_true", help="only what was measured before; otherwise what is missing is measured")
    parser.add_argument("--csv", metavar="F", help="write the figures as CSV")
    parser.add_argument("--html", metavar="F", help="write a report with pictures: one file that opens offline")
    return parser


def apply_flags(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the flags of ``apply``; ``--json`` is the parser's own."""
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe.yaml, a folder of `prunekit prune --out`, or an exported archive")
    parser.add_argument("--out", metavar="DIR", help="write the model, its recipe and what was measured into this folder")
    return parser
