"""The training loop of the samples: tensors in, trained module out, a checkpoint after each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from sample_models.augment import Moves, cut_out
from sample_models.recipes import TrainRecipe
from sample_models.teaching import soft_targets, taught_loss, view_moves

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
    return Moves.draw(len(x), recipe.shift, recipe.flip, generator).apply(x, recipe.shift, fill)


def _optimizer(model: nn.Module, recipe: TrainRecipe, cycle: int, steps: int) -> tuple[torch.optim.SGD, OneCycleLR]:
    """Return the optimizer of a cycle and its schedule, ``steps`` an epoch; only weights (not biases, not norms) decay."""
    epochs, peak = recipe.cycles()[cycle]
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=peak, momentum=recipe.momentum, nesterov=True)
    schedule = OneCycleLR(optimizer, peak, total_steps=steps * epochs, pct_start=recipe.warmup, cycle_momentum=False)
    return optimizer, schedule


@dataclass
class _Trainer:
    """A module in training: its images, its optimizer, and where it is in the recipe."""

    model: nn.Module
    x: Tensor
    y: Tensor
    fill: Tensor
    recipe: TrainRecipe
    taught: Callable[[], Tensor]
    soft: Tensor | None = None

    def cycle_of(self, epoch: int) -> tuple[int, int]:
        """Return the cycle that an epoch belongs to, and that cycle's first epoch."""
        begin = 0
        for cycle, (epochs, _) in enumerate(self.recipe.cycles()):
            if epoch < begin + epochs:
                return cycle, begin
            begin += epochs
        raise ValueError(f"epoch {epoch} lies behind the last cycle")

    def begin(self, epoch: int) -> None:
        """Make the optimizer of the epoch's cycle, and ask the teachers if it is theirs."""
        cycle, _ = self.cycle_of(epoch)
        self.optimizer, self.schedule = _optimizer(self.model, self.recipe, cycle, len(self.x) // self.recipe.batch_size)
        if self.recipe.teaching is not None and cycle == len(self.recipe.cycles()) - 1:
            self.soft = self.taught()

    def epoch(self, epoch: int) -> float:
        """Train for one pass over the images and return the mean loss; the seed and the epoch decide all that is random."""
        recipe = self.recipe
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        order = torch.randperm(len(self.x), generator=generator)
        self.model.train()
        steps = len(self.x) // recipe.batch_size
        total = 0.0
        for take in torch.split(order[: steps * recipe.batch_size], recipe.batch_size):
            loss = self._loss(take, epoch, generator)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.schedule.step()
            total += loss.item()
        return total / steps

    def _loss(self, take: Tensor, epoch: int, generator: torch.Generator) -> Tensor:
        """Return the loss of one batch of augmented images."""
        recipe, teaching = self.recipe, self.recipe.teaching
        if self.soft is not None and teaching is not None:
            view = epoch % teaching.views
            images = view_moves(len(self.x), recipe, view)[take].apply(self.x[take], recipe.shift, self.fill)
            if teaching.cutout:
                images = cut_out(images, teaching.cutout, generator)
            logits = self.model(images.contiguous(memory_format=torch.channels_last))
            return taught_loss(logits, self.y[take], self.soft[view, take], teaching)
        images = augment(self.x[take], recipe, self.fill, generator)
        if epoch < recipe.small_share * recipe.epochs:
            images = F.interpolate(images, size=(recipe.small_size, recipe.small_size), mode="bilinear", antialias=True)
        logits = self.model(images.contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits, self.y[take], label_smoothing=recipe.label_smoothing)


def fit(
    build: Callable[[], nn.Module],
    x: Tensor,
    y: Tensor,
    fill: Tensor,
    recipe: TrainRecipe,
    *,
    checkpoint: Path | None = None,
    teacher: Callable[[str], nn.Module] | None = None,
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
    teacher : callable, optional
        Name of a sample to its trained module, for a recipe with teachers.
    say : callable
        Gets a line for each epoch.
    """

    def taught() -> Tensor:
        """Return the soft targets of the recipe's teachers."""
        if recipe.teaching is None or teacher is None:
            raise SystemExit("the recipe has teachers: say where to find them")
        folder = None if checkpoint is None else checkpoint.parent
        return soft_targets(teacher, x, fill, recipe, recipe.teaching, folder=folder, say=say)

    torch.manual_seed(recipe.seed)
    trainer = _Trainer(build().to(memory_format=torch.channels_last), x, y, fill, recipe, taught)
    state: dict[str, Any] = {"epoch": 0, "seconds": 0.0}
    if checkpoint is not None and checkpoint.is_file():
        state = _resumed(trainer, checkpoint)
    seconds, epochs = float(state["seconds"]), sum(n for n, _ in recipe.cycles())
    for epoch in range(int(state["epoch"]), epochs):
        begin = time.monotonic()
        if epoch == trainer.cycle_of(epoch)[1]:
            trainer.begin(epoch)
        loss = trainer.epoch(epoch)
        seconds += time.monotonic() - begin
        say(f"epoch {epoch + 1}/{epochs}: training loss {loss:.4f}, {seconds / 60:.1f} min")
        if checkpoint is not None:
            state = {"epoch": epoch + 1, "seconds": seconds, "recipe": recipe.to_dict(), "model": trainer.model.state_dict()}
            _save({**state, "optimizer": trainer.optimizer.state_dict(), "schedule": trainer.schedule.state_dict()}, checkpoint)
    return trainer.model.to(memory_format=torch.contiguous_format).eval(), seconds / 60


def _resumed(trainer: _Trainer, checkpoint: Path) -> dict[str, Any]:
    """Put a checkpoint into the trainer and return it."""
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    if state["recipe"] != trainer.recipe.to_dict():
        raise SystemExit(f"{checkpoint} was written with another recipe: delete it to train anew")
    trainer.model.load_state_dict(state["model"])
    epoch = int(state["epoch"])
    if epoch < sum(n for n, _ in trainer.recipe.cycles()) and epoch != trainer.cycle_of(epoch)[1]:
        trainer.begin(epoch)
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.schedule.load_state_dict(state["schedule"])
    return state


def _save(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that an interrupted write never leaves half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
