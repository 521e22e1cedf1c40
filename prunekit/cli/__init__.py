"""The command line: ``prunekit app | models | inspect | prune | sweep | sensitivity | latency | compare | apply``."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from prunekit.cli.parser import UsageError, build_parser
from prunekit.errors import PrunekitError

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130


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
    args = build_parser().parse_args(argv)
    module = importlib.import_module(f"prunekit.cli.{args.module}")  # torch is only loaded by commands that need it
    with contextlib.redirect_stdout(sys.stderr):
        text = getattr(module, args.function)(args)
    if text:
        _write(text)
    return 0


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
