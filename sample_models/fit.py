"""The training loop of the samples: tensors in, trained module out, a checkpoint after each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from sample_models.recipes import TrainRecipe

Say = Callable[[str], None]


def augment(x: Tensor, recipe: TrainRecipe, fill: Tensor, generator: torch.Generator) -> Tensor:
    """Return a batch in which each image has its own random shift and, if asked for, mirror.

    Parameters
    ----------
    x : Tensor
        Normalised images, (N, C, H, W).
    recipe : TrainRecipe
        Its ``shift`` and ``flip``.
    fill : Tensor
        Normalised black, (C,), for what comes in at the border.
    generator : torch.Generator
        Source of the randomness.
    """
    if not recipe.shift and not recipe.flip:
        return x
    n, channels, height, width = x.shape
    s = recipe.shift
    padded = fill.view(1, channels, 1, 1).expand(n, channels, height + 2 * s, width + 2 * s).contiguous()
    padded[:, :, s : s + height, s : s + width] = x
    offsets = torch.randint(0, 2 * s + 1, (2, n, 1), generator=generator)
    rows, columns = offsets[0] + torch.arange(height), offsets[1] + torch.arange(width)
    if recipe.flip:
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    image, channel = torch.arange(n).view(n, 1, 1, 1), torch.arange(channels).view(1, channels, 1, 1)
    return padded[image, channel, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


def _optimizer(model: nn.Module, recipe: TrainRecipe, steps: int, *, second: bool) -> tuple[torch.optim.SGD, OneCycleLR]:
    """Return the optimizer of a cycle and its schedule, ``steps`` an epoch; only weights (not biases, not norms) decay."""
    epochs, peak = (recipe.second_epochs, recipe.second_lr) if second else (recipe.epochs, recipe.max_lr)
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=peak, momentum=recipe.momentum, nesterov=True)
    schedule = OneCycleLR(optimizer, peak, total_steps=steps * epochs, pct_start=recipe.warmup, cycle_momentum=False)
    return optimizer, schedule


def fit(
    build: Callable[[], nn.Module],
    x: Tensor,
    y: Tensor,
    fill: Tensor,
    recipe: TrainRecipe,
    *,
    checkpoint: Path | None = None,
    say: Say = print,
) -> tuple[nn.Module, float]:
    """Train a new module and return it, in eval mode, with the minutes that took.

    Parameters
    ----------
    build : callable
        Returns the untrained module; called under the recipe's seed.
    x, y : Tensor
        Normalised images (N, C, H, W) and class indices (N,).
    fill : Tensor
        Normalised black, (C,).
    recipe : TrainRecipe
        The settings.
    checkpoint : Path, optional
        Written after each epoch; training goes on from it where it is there.
    say : callable
        Gets a line for each epoch.
    """
    torch.manual_seed(recipe.seed)
    model = build().to(memory_format=torch.channels_last)
    steps = len(x) // recipe.batch_size
    optimizer, schedule = _optimizer(model, recipe, steps, second=False)
    state: dict[str, Any] = {"epoch": 0, "seconds": 0.0}
    if checkpoint is not None and checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        if state["recipe"] != recipe.to_dict():
            raise SystemExit(f"{checkpoint} was written with another recipe: delete it to train anew")
        model.load_state_dict(state["model"])
        if state["epoch"] > recipe.epochs:
            optimizer, schedule = _optimizer(model, recipe, steps, second=True)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
    seconds = float(state["seconds"])
    epochs = recipe.epochs + recipe.second_epochs
    for epoch in range(int(state["epoch"]), epochs):
        begin = time.monotonic()
        if epoch == recipe.epochs:
            optimizer, schedule = _optimizer(model, recipe, steps, second=True)
        loss = _epoch(model, x, y, fill, recipe=recipe, optimizer=optimizer, schedule=schedule, epoch=epoch)
        seconds += time.monotonic() - begin
        say(f"epoch {epoch + 1}/{epochs}: training loss {loss:.4f}, {seconds / 60:.1f} min")
        if checkpoint is not None:
            state = {"epoch": epoch + 1, "seconds": seconds, "recipe": recipe.to_dict(), "model": model.state_dict()}
            _save({**state, "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, checkpoint)
    return model.to(memory_format=torch.contiguous_format).eval(), seconds / 60


def _epoch(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    fill: Tensor,
    *,
    recipe: TrainRecipe,
    optimizer: torch.optim.SGD,
    schedule: OneCycleLR,
    epoch: int,
) -> float:
    """Train for one pass over the images and return the mean loss; the seed and the epoch decide all that is random."""
    generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
    order = torch.randperm(len(x), generator=generator)
    model.train()
    total, steps = 0.0, len(x) // recipe.batch_size
    for step in range(steps):
        take = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        images = augment(x[take], recipe, fill, generator)
        if epoch < recipe.small_share * recipe.epochs:
            images = F.interpolate(images, size=(recipe.small_size, recipe.small_size), mode="bilinear", antialias=True)
        images = images.contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(model(images), y[take], label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / steps


def _save(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that an interrupted write never leaves half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
