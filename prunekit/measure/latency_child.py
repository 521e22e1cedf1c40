"""The fresh process in which latency is timed: ``python -m prunekit.measure.latency_child REQUEST.json``.

One JSON object a line: ``{"progress": share, "rounds": n}`` while it works, at the end ``{"result": ...}`` or ``{"error": sentence}``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn

from prunekit.catalog import load_model
from prunekit.errors import LatencyError, PrunekitError
from prunekit.measure.rounds import Rounds, Run, take_turns


def _runner(model: nn.Module, x: Tensor) -> Run:
    """Return a function that makes one forward pass."""
    return lambda: model(x)


def _try(name: str, run: Run) -> None:
    """Make one forward pass and say in plain words what is wrong with it."""
    try:
        run()
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise LatencyError(f"{name} does not run on this input: {lines[0]}. Give the input shape that it was made for") from error


def measure(request: dict[str, Any], out: TextIO) -> Rounds:
    """Load the candidates and let them take turns.

    Parameters
    ----------
    request : dict
        ``folders`` and ``names`` (one for each candidate, the baseline first), ``input_shape``, ``batch``, ``threads``, ``budget_s``,
        ``min_rounds``, ``seed``.
    out : TextIO
        Where progress goes, a line of JSON at a time.

    Returns
    -------
    Rounds
        All samples, in seconds.
    """
    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    noise = torch.Generator().manual_seed(request["seed"])
    x = torch.randn(request["batch"], *request["input_shape"], generator=noise)
    models = [load_model(folder).eval() for folder in request["folders"]]
    runs = [_runner(model, x.to(next(model.parameters(), x).dtype)) for model in models]
    with torch.inference_mode():
        for name, run in zip(request["names"], runs, strict=True):
            _try(name, run)
        timing = {key: request[key] for key in ("budget_s", "min_rounds", "seed")}
        return take_turns(runs, **timing, progress=lambda share, rounds: _say(out, progress=share, rounds=rounds))


def _say(out: TextIO, **message: Any) -> None:
    """Write one line; a reader that has gone ends this process, too."""
    print(json.dumps(message), file=out, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run one request; what the models print goes to stderr, so that stdout holds nothing but JSON."""
    path = Path((sys.argv[1:] if argv is None else argv)[0])
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        try:
            rounds = measure(json.loads(path.read_text()), out)
        except PrunekitError as error:
            _say(out, error=str(error))
            return 2
        _say(out, result=vars(rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
