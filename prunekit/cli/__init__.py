"""The command line: ``prunekit app | models | inspect | prune | sweep | sensitivity | search | latency | compare | doctor``, ..."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from prunekit.cli.parser import UsageError, build_parser
from prunekit.errors import PrunekitError

REFUSED = 3
"""Exit code where what was looked at is not as it should be: a limit is broken, or an installation."""


class Refusal(NamedTuple):
    """What goes to stdout, the exit code, and the sentences that go to stderr."""

    text: str
    code: int
    said: tuple[str, ...]


FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what libraries want to say to developers is no answer to the person who asked
            return _run(argv)
    except UsageError as error:
        return _say(str(error), BAD_INPUT)
    except (PrunekitError, OSError) as error:
        return _say(_os_text(error) if isinstance(error, OSError) else str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except Exception as error:
        if os.environ.get("PRUNEKIT_DEBUG"):
            raise
        return _say(f"unforeseen {type(error).__name__}: {error} (set PRUNEKIT_DEBUG=1 for the traceback)", FAILED)


def _run(argv: Sequence[str] | None) -> int:
    """Parse and carry out; whatever models and libraries print on the way goes to stderr."""
    _plugins(argv)
    args = build_parser().parse_args(argv)
    with contextlib.redirect_stdout(sys.stderr):
        found = _answer(args)
    text, code, said = found if isinstance(found, Refusal) else (found, 0, ())
    if text:
        _write(text)
    for sentence in said:
        print(f"prunekit: {sentence}", file=sys.stderr)
    return code


def _answer(args: argparse.Namespace) -> str | Refusal:
    """Carry a command out; torch is only loaded by those that need it."""
    answer: str | Refusal = getattr(importlib.import_module(f"prunekit.cli.{args.module}"), args.function)(args)
    return answer


def _plugins(argv: Sequence[str] | None) -> None:
    """Load the plugins that are named before the other flags are read, whose values they may add to."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--plugin", action="append", default=[], nargs="?")
    named = list(filter(None, first.parse_known_args(argv)[0].plugin))
    if named or os.environ.get("PRUNEKIT_PLUGINS"):
        from prunekit.pruning.plugins import load_named, load_plugin  # noqa: PLC0415 (it needs torch, and most commands name none)

        load_named()
        for path in named:
            load_plugin(path)


def _write(text: str) -> None:
    """Print the answer; a reader that stops early (``| head``) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _os_text(error: OSError) -> str:
    """Return what the system says about a file."""
    return f"{error.strerror}: {error.filename}" if error.strerror and error.filename else str(error) or type(error).__name__


def _say(text: str, code: int) -> int:
    """Print one line on stderr and return the exit code."""
    print(f"prunekit: error: {' '.join(text.split())}", file=sys.stderr)
    return code
