"""Training from scratch: a sample's own recipe, or a plain one for another model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from prunekit.config.recovery import Training
from prunekit.errors import RecoveryError
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.models.info import ModelInfo, remember
from prunekit.models.meta_copy import check_plain
from prunekit.training.images import Augmentation, TrainingSamples, training_split
from prunekit.training.recipes import Course, one_cycle, steps_of
from prunekit.training.result import Tuned
from prunekit.training.trainer import Report, fit
from sample_models import SAMPLES, Sample
from sample_models.recipes import TrainRecipe

PLAIN = TrainRecipe(epochs=20)
"""The recipe of a model that brings none: 20 epochs, peak rate 0.1, no augmentation."""


def train(
    what: str | Callable[[], nn.Module],
    data: Any,
    settings: Training | None = None,
    *,
    report: Report | None = None,
    progress: Progress | Tell = QUIET,
) -> Tuned:
    """Train a new model from random weights.

    SGD with Nesterov momentum under one cycle of the learning rate. What a sample's own training had beside that (further cycles, other
    samples as teachers) is left out, so that a sample may stay a little below its card.

    Parameters
    ----------
    what : str or callable
        Name of a sample, or a function that returns an untrained module; it is called under the seed.
    data : Data
        Its training part is learned from; its validation part chooses the epoch.
    settings : Training, optional
        Epochs, peak, seed; the recipe's own where left out.
    report, progress
        As for :func:`prunekit.fine_tune`.

    Returns
    -------
    Tuned
        The best epoch on the validation part; without one the last. `info` tells how its images are prepared, and no name of it.

    Raises
    ------
    RecoveryError
        If there is no such sample, or the function returns no module.
    DataError
        If there are no training images, or none of some class.
    Cancelled
        If ``progress`` was cancelled.

    Examples
    --------
    >>> import prunekit
    >>> tuned = train("digits_mlp", prunekit.load_data("digits"), Training(epochs=2))
    >>> [epoch.number for epoch in tuned.history]
    [1, 2]
    """
    progress = Progress.of(progress)
    settings, sample = settings or Training(), _sample(what)
    recipe = _recipe(settings, PLAIN if sample is None else sample.recipe)
    images = TrainingSamples.of(training_split(data, settings.train_images))
    model = _built(what if sample is None else sample.build, settings.seed)
    validation = getattr(data, "validation", None)
    course = _course(recipe, settings, len(images))
    tuned = fit(model, images, course, validation=validation, report=report, progress=progress)
    if sample is not None:
        remember(tuned.model, _known(sample))
    return tuned


def _sample(what: object) -> Sample | None:
    """Return the sample that was named, None for a function."""
    if callable(what):
        return None
    if what not in SAMPLES:
        raise RecoveryError(
            f"there is no sample {what!r} to train: choose one of {', '.join(SAMPLES)}, or pass a function that builds a model"
        )
    return SAMPLES[str(what)]


def _recipe(settings: Training, recipe: TrainRecipe) -> TrainRecipe:
    """Return one cycle of a recipe, with what the settings change."""
    given = {"epochs": settings.epochs, "max_lr": settings.lr, "batch_size": settings.batch_size, "weight_decay": settings.weight_decay}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(recipe, restarts=(), teaching=None, **changes)


def _course(recipe: TrainRecipe, settings: Training, images: int) -> Course:
    """Return the course of a recipe over so many images."""
    return Course(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        rates=one_cycle(recipe.max_lr, recipe.epochs * steps_of(images, recipe.batch_size), recipe.warmup),
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        augmentation=Augmentation(recipe.shift, recipe.flip) if settings.augment else Augmentation(),
        smoothing=recipe.label_smoothing,
        small=(recipe.small_size, round(recipe.small_share * recipe.epochs)) if recipe.small_size else (0, 0),
        seed=settings.seed,
    )


def _built(build: Any, seed: int) -> nn.Module:
    """Return what a function builds under a seed, the caller's random state untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
    if not isinstance(model, nn.Module):
        raise RecoveryError(f"the function returned a {type(model).__name__}: it must return a torch module")
    check_plain(model)
    return model


def _known(sample: Sample) -> ModelInfo:
    """Return what is known of a sample but for its identity and its card, which speak of other weights."""
    shape, told = sample.input_shape, {"name": sample.name, "data": sample.data, "jpeg_quality": sample.jpeg_quality}
    return ModelInfo(None, shape, sample.mean, sample.std, shape[-1], sample.data, sample.classes, told)
