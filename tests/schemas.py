"""Answers of the command line held against their published schemas."""

from __future__ import annotations

import argparse
import functools
import json

LABELS = dict.fromkeys(("name", "tag", "note"), "runs-label") | {"delete": "runs-delete"}


@functools.cache
def validator(name: str):
    """Return what checks a document strictly: no key that the schema does not describe."""
    from jsonschema import Draft202012Validator

    from prunekit.cli.schemas import schema

    return Draft202012Validator(schema(name, strict=True))


def check(args: argparse.Namespace, text: str) -> None:
    """Raise an AssertionError unless an answer is as its schema says."""
    name = LABELS.get(args.function, args.command) if args.command == "runs" else args.command
    valid(name, json.loads(text))


def valid(name: str, document: object) -> None:
    """Raise an AssertionError unless a document is as its schema says."""
    errors = [f"{list(error.absolute_path)}: {error.message[:300]}" for error in validator(name).iter_errors(document)]
    assert not errors, f"{name}: {errors[:5]}"
