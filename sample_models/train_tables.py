"""``python -m sample_models.train_tables NAME``: train a sample of a table again; writes its weights and its card.

The training rows alone are learned from, the last epoch is taken, and the test rows only confirm.
"""

from __future__ import annotations

import argparse
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from prunekit.data.tables import TableData, TableSplit, load_diabetes
from prunekit.tasks.base import Task
from prunekit.tasks.batch import Batch
from prunekit.tasks.resolver import resolve
from sample_models import HERE
from sample_models.tables import TABLES, TableSample, fit_table
from sample_models.train import _macs, _write

DATA = {"diabetes": load_diabetes}


def main(arguments: list[str] | None = None) -> None:
    """Train one sample as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m sample_models.train_tables", description="Train a sample model of a table again.")
    parser.add_argument("name", choices=list(TABLES), metavar="NAME", help=", ".join(TABLES))
    parser.add_argument("--out", type=Path, default=HERE, help="folder that gets weights/NAME.safetensors and cards/NAME.yaml")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sample = TABLES[options.name]
    data = DATA[sample.data]()
    model, minutes = fit_table(sample.build, data.train.rows, data.train.targets, sample.recipe)
    card = _write(options.out, sample.name, model, _card(sample, data, model, minutes))
    print(yaml.safe_dump(card, sort_keys=False, allow_unicode=True))


def _measured(task: Task, model: nn.Module, split: TableSplit) -> dict[str, dict[str, float | int]]:
    """Return each metric with its 95 % interval, as it stands in a card."""
    batch = Batch.of(split.rows, split.targets)
    with torch.inference_mode():
        seen = task.observe(task.forward(model, batch), batch)
    found = {each.name: (each.reduce(seen), *each.interval(seen)) for each in task.metrics}
    keys = ("value", "low", "high")
    return {name: {**{k: round(v, 6) for k, v in zip(keys, three, strict=True)}, "n": seen.n} for name, three in found.items()}


def _card(sample: TableSample, data: TableData, model: nn.Module, minutes: float) -> dict[str, Any]:
    """Return the card: what was trained on what, how, and what came out."""
    task, recipe = resolve(data=data, asked=sample.task), sample.recipe.to_dict()
    seed = recipe.pop("seed")
    return {
        "name": sample.name,
        "title": sample.title,
        "task": sample.task,
        "about": sample.about,
        "data": sample.data,
        "values": data.pixels,
        "splits": {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
        "input_shape": list(sample.input_shape),
        "features": list(data.features),
        "mean": [round(value, 6) for value in data.mean],
        "std": [round(value, 6) for value in data.std],
        "target": data.target,
        "target_scale": {key: round(value, 6) if isinstance(value, float) else value for key, value in data.target_scale.items()},
        "recipe": recipe,
        "seed": seed,
        "selection": "settings by the validation rows, which were not trained on; the last epoch; the test rows only confirm",
        "test_metrics": _measured(task, model, data.test),
        "validation_metrics": _measured(task, model, data.validation),
        "params": sum(p.numel() for p in model.parameters()),
        "macs": _macs(model, sample.input_shape),
        "torch": torch.__version__.partition("+")[0],
        "threads": torch.get_num_threads(),
        "training_minutes": math.ceil(minutes * 10) / 10,
        "date": datetime.now(UTC).date().isoformat(),
    }


if __name__ == "__main__":
    main()
