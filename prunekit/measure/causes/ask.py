"""Asking the child: one request at a time, from a private folder that is gone afterwards."""

from __future__ import annotations

import json
import math
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.catalog.folder import write_folder
from prunekit.catalog.ids import ModelId
from prunekit.catalog.info import info
from prunekit.errors import LatencyError
from prunekit.measure.child import run_child
from prunekit.measure.forward import Progress, check_cancel
from prunekit.measure.latency import TURN
from prunekit.spec import PruneSpec, Recipe

MODULE = "prunekit.measure.causes.child"
Source = nn.Module | str | PathLike[str]


def ask(request: dict[str, Any], models: Mapping[str, Source], progress: Progress | None, cancel: threading.Event | None) -> dict[str, Any]:
    """Have a request carried out in a fresh process, after other measurements of this process.

    Parameters
    ----------
    request : dict
        With ``what`` and ``threads``.
    models : mapping of str to nn.Module or path
        By name; written to folders that the child opens, and told to it as ``folders``.
    progress : callable, optional
        Called as ``progress(fraction, text)``.
    cancel : threading.Event, optional
        Kills the child.

    Returns
    -------
    dict
        The child's result.
    """
    with tempfile.TemporaryDirectory(prefix="prunekit-causes-") as private:
        folders = _pack(models, Path(private))
        path = Path(private) / "request.json"
        path.write_text(json.dumps(request | {"folders": folders}))
        with _my_turn(progress, cancel):
            return run_child(path, request["threads"], progress=progress, cancel=cancel, module=MODULE)


def _pack(models: Mapping[str, Source], private: Path) -> dict[str, str]:
    """Return a folder for each model; a pruned copy is built like the first model of its class."""
    folders: dict[str, str] = {}
    built: dict[type, ModelId] = {}
    for index, (name, model) in enumerate(models.items()):
        if not isinstance(model, nn.Module):
            folders[name] = str(Path(model).absolute())
            continue
        known = info(model).id or built.get(type(model))
        if known is None:
            raise LatencyError(f"{name} cannot be built again in the timing process: load it with prunekit.load_model, then prune it")
        built.setdefault(type(model), known)
        folders[name] = str(write_folder(private / str(index), model, Recipe(known.to_dict(), None, PruneSpec())))
    return folders


@contextmanager
def _my_turn(progress: Progress | None, cancel: threading.Event | None) -> Iterator[None]:
    """Wait until no other measurement runs in this process."""
    while not TURN.acquire(timeout=0.1):
        check_cancel(cancel)
        if progress is not None:
            progress(0.0, "waiting for another latency measurement")
    try:
        check_cancel(cancel)
        if progress is not None:
            progress(0.0, "starting a process of its own")
        yield
    finally:
        TURN.release()


def check_settings(threads: int, budget_s: float, batch: int = 1, min_rounds: int = 1) -> None:
    """Raise unless the settings make sense.

    Raises
    ------
    LatencyError
        Naming the first that does not.
    """
    for name, value, most in (("batch", batch, 4096), ("threads", threads, os.cpu_count() or 1), ("min_rounds", min_rounds, 1000)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise LatencyError(f"{name} must be a whole number from 1 to {most}; got {value!r}")
    if not math.isfinite(budget_s) or not 0 < budget_s <= 3600:
        raise LatencyError(f"the time budget must be above 0 and at most 3600 seconds; got {budget_s!r}")
