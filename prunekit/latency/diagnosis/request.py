"""Asking the child: one request at a time, from a private folder that is gone afterwards."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.evaluation.progress import Progress
from prunekit.latency.worker import check_numbers, my_turn, run_child
from prunekit.latency.worker_payload import known_ids, pack_model
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.stored_batch import write

WORK = "prunekit.latency.diagnosis.worker:work"
FORM = "form.safetensors"
Source = nn.Module | str | PathLike[str]


def ask(request: dict[str, Any], models: Mapping[str, Source], progress: Progress, form: InputForm | None = None) -> dict[str, Any]:
    """Return the result of a request, carried out in a fresh process that opens the models as folders, after other measurements."""
    with tempfile.TemporaryDirectory(prefix="prunekit-causes-") as private:
        folders = _pack(models, Path(private))
        path = Path(private) / "request.json"
        if form is not None:
            write(form.example, Path(private) / FORM)
            request = request | {"form": str(Path(private) / FORM)}
        path.write_text(json.dumps(request | {"folders": folders}))
        with my_turn(progress):
            return run_child(path, request["threads"], progress=progress, work=WORK)


def _pack(models: Mapping[str, Source], private: Path) -> dict[str, str]:
    """Return a folder for each model: its own where it is one already."""
    known = known_ids({name: model for name, model in models.items() if isinstance(model, nn.Module)})
    return {
        name: str(pack_model(model, known[name], private / str(index)) if isinstance(model, nn.Module) else Path(model).absolute())
        for index, (name, model) in enumerate(models.items())
    }


def check_settings(threads: int, budget_s: float, batch: int = 1, min_rounds: int = 1) -> None:
    """Raise unless the settings make sense."""
    check_numbers((batch,), (threads,), budget_s, min_rounds)
