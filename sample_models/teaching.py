"""What teachers say of augmented views: computed once, kept beside the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sample_models.augment import Moves
from sample_models.recipes import Teaching, TrainRecipe

_VIEW_SEED = 7_000_003
_BATCH = 500


def view_moves(n: int, recipe: TrainRecipe, view: int) -> Moves:
    """Return how view ``view`` moves each of ``n`` images; the recipe's seed decides."""
    generator = torch.Generator().manual_seed(_VIEW_SEED + 1000 * recipe.seed + view)
    return Moves.draw(n, recipe.shift, recipe.flip, generator)


def soft_targets(
    build: Callable[[str], nn.Module],
    x: Tensor,
    fill: Tensor,
    recipe: TrainRecipe,
    teaching: Teaching,
    *,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> Tensor:
    """Return the teachers' mean softened prediction of each view, (views, N, classes).

    Parameters
    ----------
    build : callable
        Name of a sample to its trained module.
    x : Tensor
        Normalised images, (N, C, H, W).
    fill : Tensor
        Normalised black, (C,).
    recipe, teaching
        The settings.
    folder : Path, optional
        Keeps what each teacher said, so that it is asked once.
    say : callable
        Gets a line for each teacher.
    """
    total: Tensor | None = None
    for name in teaching.teachers:
        path = None if folder is None else folder / f"taught_{name}.pt"
        if path is not None and path.is_file():
            said = torch.load(path, weights_only=True)
        else:
            said = torch.stack([_logits(build(name), x, fill, recipe, view) for view in range(teaching.views)])
            if path is not None:
                torch.save(said, path)
        say(f"teacher {name}: {len(said)} views of {len(x)} images")
        soft = F.softmax(said[: teaching.views] / teaching.temperature, dim=2)
        total = soft if total is None else total + soft
    assert total is not None
    return total / len(teaching.teachers)


@torch.inference_mode()
def _logits(model: nn.Module, x: Tensor, fill: Tensor, recipe: TrainRecipe, view: int) -> Tensor:
    """Return a teacher's logits of one view, (N, classes)."""
    moves, model = view_moves(len(x), recipe, view), model.eval().to(memory_format=torch.channels_last)
    parts = []
    for take in torch.split(torch.arange(len(x)), _BATCH):
        images = moves[take].apply(x[take], recipe.shift, fill)
        parts.append(model(images.contiguous(memory_format=torch.channels_last)))
    return torch.cat(parts)


def taught_loss(logits: Tensor, labels: Tensor, soft: Tensor, teaching: Teaching) -> Tensor:
    """Return the loss of a student, a scalar.

    Parameters
    ----------
    logits : Tensor
        The student's, (N, classes).
    labels : Tensor
        Class indices, (N,).
    soft : Tensor
        The teachers' softened predictions, (N, classes).
    teaching : Teaching
        Temperature and share.
    """
    t = teaching.temperature
    distance = F.kl_div(F.log_softmax(logits / t, dim=1), soft, reduction="batchmean") * t * t
    return (1 - teaching.share) * F.cross_entropy(logits, labels) + teaching.share * distance
