"""``prunekit check``."""

from __future__ import annotations

import argparse
import sys

from prunekit.cli.arguments import progress_to, to_json
from prunekit.runs.archive.repeating import repeat


def check(args: argparse.Namespace) -> str:
    """Open a folder or an archive, and measure the accuracy that it states again."""
    found = repeat(args.file, factory=args.model, data=args.data, samples_to=args.samples, progress=progress_to(sys.stderr))
    if args.json:
        return to_json(found.to_dict())
    return found.sentence + (f"\nits test samples were written to {args.samples}" if args.samples and found.accuracy else "")
