"""In a process of its own: layers and kernels are timed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from prunekit.formatting import plural
from prunekit.latency.diagnosis.kernel_grid import time_grid
from prunekit.latency.diagnosis.layer_timing import time_layers
from prunekit.latency.worker_main import Say

Tell = Callable[[float, int], object]
WORK: dict[str, Callable[[dict[str, Any], Tell], dict[str, Any]]] = {"layers": time_layers, "grid": time_grid}


def work(path: Path, say: Say) -> dict[str, Any]:
    """Carry out a request: ``what`` (a key of `WORK`), ``threads``, and what that work needs."""
    request = json.loads(path.read_text())
    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    warnings.simplefilter("ignore")
    return WORK[request["what"]](request, lambda share, rounds: say(share, plural(rounds, "round")))
