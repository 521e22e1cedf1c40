"""Training of the samples of tables: by the recipe on their card, on data by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from prunekit.data.tables import TableData, load_diabetes
from prunekit.errors import ModelError
from prunekit.local_code.factories import load_factory
from prunekit.models.info import described, remember
from prunekit.training.recipes import CardRecipe, card_of
from sample_models import FOLDERS, card, in_folder

DATA: dict[str, Callable[[], TableData]] = {"diabetes": load_diabetes}
NAMES = tuple(name for name in FOLDERS if card(name).get("data") in DATA)


@dataclass(frozen=True)
class TableRecipe(CardRecipe):
    """AdamW under a one-cycle learning rate, mean squared error on standardised targets."""

    said: ClassVar[dict[str, str]] = {"optimizer": "AdamW", "schedule": "OneCycleLR, cosine", "loss": "mean squared error"}

    epochs: int  # epochs, batch_size: passes over the training rows, and rows a step
    batch_size: int
    max_lr: float  # peak of the one-cycle schedule (Smith and Topin, 2018)
    weight_decay: float  # decoupled (Loshchilov and Hutter, 2019)
    seed: int = 0  # seed of the weights, the order of the rows and the dropout


def trained(name: str, epochs: int | None = None) -> tuple[nn.Module, dict[str, Any], float]:
    """Train a sample anew, and return it with its card, but for what it costs, and the minutes that took."""
    known = card(name)
    recipe, data = TableRecipe.of(known), DATA[known["data"]]()
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    build = load_factory(in_folder(name, "model"), ModelError)
    model, minutes = fit_table(build, data.train.rows, data.train.targets, recipe)
    remember(model, described(None, model, build))
    form = {
        "values": data.pixels,
        "input_shape": [len(data.features)],
        "features": list(data.features),
        "mean": [round(value, 6) for value in data.mean],
        "std": [round(value, 6) for value in data.std],
        "target": data.target,
        "target_scale": {key: round(value, 6) if isinstance(value, float) else value for key, value in data.target_scale.items()},
    }
    chosen = "settings by the validation rows, which were not trained on; the last epoch; the test rows only confirm"
    return model, card_of(known, recipe, data, model, form=form, chosen=chosen), minutes


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
