"""Processes that work at once, forked from one that has loaded the libraries: starting each anew would take longer than its work."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Forker:
    """A process that has loaded torch and prunekit, and forks others."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.experiments.forker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def at_once(self, function: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Call ``module:function`` in a process for each list of arguments, all begun together, and return what each returned."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([function, calls, os.environ.get("PRUNEKIT_HOME")]), file=self.process.stdin)
        found = json.loads(self.process.stdout.readline())
        assert not found["faults"], found["faults"]
        return list(found["results"])

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def _call(function: str, args: Sequence[Any], barrier: Any, results: Any, place: int) -> None:
    """Be one of the processes."""
    module, _, name = function.partition(":")
    found = getattr(importlib.import_module(module), name)
    barrier.wait()
    try:
        results.put((place, found(*args), ""))
    except Exception:
        results.put((place, None, traceback.format_exc()))


def main() -> None:
    """Carry out one line of orders after the other."""
    import torch

    import prunekit.experiments.save_run
    import prunekit.pruning  # noqa: F401

    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    for line in sys.stdin:
        function, calls, home = json.loads(line)
        os.environ.update({} if home is None else {"PRUNEKIT_HOME": home})
        results, barrier = context.SimpleQueue(), context.Barrier(len(calls), timeout=240)
        processes = [context.Process(target=_call, args=(function, args, barrier, results, i)) for i, args in enumerate(calls)]
        for process in processes:
            process.start()
        found = sorted(results.get() for _ in processes)
        for process in processes:
            process.join()
        print(json.dumps({"results": [result for _, result, _ in found], "faults": [fault for *_, fault in found if fault]}), flush=True)


if __name__ == "__main__":
    main()
