"""Training of the samples of tables: by the recipe on their card, on data by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from prunekit.data.tables import TableData, TableSplit, load_diabetes
from prunekit.errors import ModelError
from prunekit.local_code.factories import load_factory
from prunekit.tasks.base import Task
from prunekit.tasks.batch import Batch
from prunekit.tasks.resolver import resolve
from sample_models import FOLDERS, card, in_folder

DATA: dict[str, Callable[[], TableData]] = {"diabetes": load_diabetes}
NAMES = tuple(name for name in FOLDERS if card(name).get("data") in DATA)


@dataclass(frozen=True)
class TableRecipe:
    """AdamW under a one-cycle learning rate, mean squared error on standardised targets.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the training rows, and rows a step.
    max_lr : float
        Peak of the one-cycle schedule (Smith and Topin, 2018).
    weight_decay : float
        Decoupled (Loshchilov and Hutter, 2019).
    seed : int
        Seed of the weights, the order of the rows and the dropout.
    """

    epochs: int
    batch_size: int
    max_lr: float
    weight_decay: float
    seed: int = 0

    @classmethod
    def of(cls, told: dict[str, Any]) -> TableRecipe:
        """Return the recipe on a card."""
        known = {**told["recipe"], "seed": told["seed"]}
        return cls(**{field.name: known[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the card."""
        return {"optimizer": "AdamW", "schedule": "OneCycleLR, cosine", "loss": "mean squared error", **asdict(self)}


def trained(name: str, epochs: int | None = None) -> tuple[nn.Module, dict[str, Any], float]:
    """Train a sample anew, and return it with its card, but for what it costs, and the minutes that took."""
    known = card(name)
    recipe, data = TableRecipe.of(known), DATA[known["data"]]()
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    model, minutes = fit_table(load_factory(in_folder(name, "model"), ModelError), data.train.rows, data.train.targets, recipe)
    return model, _card(known, recipe, data, model), minutes


def fit_table(build: Callable[[], nn.Module], rows: Tensor, targets: Tensor, recipe: TableRecipe) -> tuple[nn.Module, float]:
    """Train a new module and return it, in eval mode, with the minutes that took."""
    begin = time.monotonic()
    torch.manual_seed(recipe.seed)
    model, steps = build().train(), len(rows) // recipe.batch_size
    optimizer = torch.optim.AdamW(model.parameters(), recipe.max_lr, weight_decay=recipe.weight_decay)
    schedule = OneCycleLR(optimizer, recipe.max_lr, total_steps=steps * recipe.epochs)
    for _ in range(recipe.epochs):
        for take in torch.split(torch.randperm(len(rows))[: steps * recipe.batch_size], recipe.batch_size):
            loss = F.mse_loss(model(rows[take])[:, 0], targets[take])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval(), (time.monotonic() - begin) / 60


def _card(known: dict[str, Any], recipe: TableRecipe, data: TableData, model: nn.Module) -> dict[str, Any]:
    """Return the card but for what the model costs: the words of the one before, what was trained on what, how, and what came out."""
    task, settings = resolve(data=data, asked=known["task"]), recipe.to_dict()
    seed = settings.pop("seed")
    return {
        **{key: known[key] for key in ("name", "title", "task", "about", "description", "data")},
        "values": data.pixels,
        "splits": {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
        "input_shape": [len(data.features)],
        "features": list(data.features),
        "mean": [round(value, 6) for value in data.mean],
        "std": [round(value, 6) for value in data.std],
        "target": data.target,
        "target_scale": {key: round(value, 6) if isinstance(value, float) else value for key, value in data.target_scale.items()},
        "recipe": settings,
        "seed": seed,
        "selection": "settings by the validation rows, which were not trained on; the last epoch; the test rows only confirm",
        "test_metrics": _measured(task, model, data.test),
        "validation_metrics": _measured(task, model, data.validation),
    }


def _measured(task: Task, model: nn.Module, split: TableSplit) -> dict[str, dict[str, float | int]]:
    """Return each metric with its 95 % interval, as it stands in a card."""
    batch = Batch.of(split.rows, split.targets)
    with torch.inference_mode():
        seen = task.observe(task.forward(model, batch), batch)
    found = {each.name: (each.reduce(seen), *each.interval(seen)) for each in task.metrics}
    keys = ("value", "low", "high")
    return {name: {**{k: round(v, 6) for k, v in zip(keys, three, strict=True)}, "n": seen.n} for name, three in found.items()}
