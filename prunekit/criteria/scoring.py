"""Scores of every weight, or every channel, of some layers by a criterion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.config import fields as check
from prunekit.config.choices import DEFAULT_CRITERION, refusal
from prunekit.criteria.criterion import Criterion, EachLayer, Prepared, Score, Scores, ScoringTask
from prunekit.criteria.methods import CRITERIA
from prunekit.criteria.samples import mixed
from prunekit.errors import DataError, SpecError, one_of
from prunekit.models.layers import check_finite


def weight_scores(  # noqa: PLR0917 (what to score by, then on what: all have defaults)
    model: nn.Module, layers: Iterable[str], criterion: str = DEFAULT_CRITERION, seed: int = 0, data: Any = None, samples: int = 512
) -> dict[str, Tensor]:
    """Score every weight of some layers.

    Parameters
    ----------
    model : nn.Module
        The dense model; not modified, and free for other threads meanwhile.
    layers : iterable of str
        Prunable layers.
    criterion : str
        A name in ``CRITERIA`` that scores weights.
    seed : int
        For criteria that are random, and for the order of the images.
    data : Data or Split, optional
        For criteria that look at images: the training split serves, see :func:`scoring_split`.
    samples : int
        How many images they look at: a fixed stratified choice.

    Returns
    -------
    dict of str to Tensor
        Layer name to float32 scores of the weight's shape, at least 0; the lowest go first. The same call gives the same scores.

    Raises
    ------
    SpecError, PruningError, ModelError
        For a criterion that is unknown or does not score weights, an unknown layer, or weights that are not finite.
    DataError, ModelError
        For a criterion that looks at images: if there are none, or they do not fit the model.
    """
    chosen = _chosen(criterion, "unstructured")
    return _scores(chosen, chosen.weight, model, layers, seed=seed, data=data, samples=samples)


def score_pieces(  # noqa: PLR0917 (as weight_scores)
    model: nn.Module, layers: Iterable[str], criterion: str, seed: int, size: int, data: Any = None, samples: int = 512
) -> Callable[[str], Iterator[Tensor]] | None:
    """Return what scores the weights of one layer whenever it is asked, so that the scores of all need not be held.

    Parameters
    ----------
    model, layers, criterion, seed, data, samples
        As for :func:`weight_scores`.
    size : int
        Weights in a piece, where each is scored by itself.

    Returns
    -------
    callable or None
        Layer name to its flat float32 scores, piece by piece; None for a criterion that has to see the whole model.

    Raises
    ------
    SpecError, PruningError, ModelError
        As for :func:`weight_scores`.
    """
    chosen = _chosen(criterion, "unstructured")
    score = chosen.weight
    if not isinstance(score, (EachLayer, Prepared)):
        return None
    names = tuple(dict.fromkeys(layers))
    check_finite(model, names)
    task = ScoringTask(model, names, check.whole("seed", seed, 0))
    if isinstance(score, EachLayer):
        return partial(score.pieces, task, size=size)
    _check_data(chosen, data)
    with torch.inference_mode(False), torch.no_grad():
        each = score.prepare(replace(task, samples=mixed(data, check.whole("samples", samples, 1), seed)))
    return partial(each.pieces, task, size=size)


def channel_scores(  # noqa: PLR0917 (as weight_scores)
    model: nn.Module,
    layers: Iterable[str],
    criterion: str = DEFAULT_CRITERION,
    seed: int = 0,
    data: Any = None,
    samples: int = 512,
    layouts: Mapping[str, tuple[int, int]] | None = None,
    *,
    by_sample: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Score every output channel of some layers.

    Parameters
    ----------
    model, criterion, seed, data, samples
        As for :func:`weight_scores`.
    layers : iterable of str
        Prunable layers; BatchNorm modules for a criterion whose ``carrier`` is ``"norm"``.
    layouts : mapping of str to tuple of int, optional
        As :attr:`~prunekit.criteria.criterion.ScoringTask.layouts`.
    by_sample : bool
        Of a criterion that scores on each sample by itself: give those scores, ``[out, samples]``, with their signs.

    Returns
    -------
    dict of str to ndarray, shape [out]
        Layer name to scores as the criterion defines them, at least 0, not normalised.

    Raises
    ------
    SpecError, PruningError, ModelError, DataError
        As for :func:`weight_scores`.
    """
    chosen = _chosen(criterion, "structured")
    scores = _scores(chosen, chosen.channel, model, layers, seed=seed, data=data, samples=samples, layouts=layouts)
    whole = {name: score.double() for name, score in scores.items()}
    if chosen.by_sample and not by_sample:
        whole = {name: score.abs().mean(1) for name, score in whole.items()}
    return {name: score.numpy() for name, score in whole.items()}


def _chosen(criterion: str, mode: str) -> Criterion:
    """Return a criterion that goes with a mode."""
    one_of("criterion", criterion, CRITERIA)
    reason = refusal(mode, criterion, "global")
    if reason:
        raise SpecError(reason)
    return CRITERIA[criterion]


def _scores(
    chosen: Criterion,
    score: Score | None,
    model: nn.Module,
    layers: Iterable[str],
    *,
    seed: int,
    data: Any,
    samples: int,
    layouts: Mapping[str, tuple[int, int]] | None = None,
) -> Scores:
    """Check what was given and score it."""
    assert score is not None  # by _chosen
    names = tuple(dict.fromkeys(layers))
    check.whole("seed", seed, 0)
    check.whole("samples", samples, 1)
    if chosen.carrier == "layer":
        check_finite(model, names)
    _check_data(chosen, data)
    # out of a caller's inference mode: tensors that are made in it can take no part in a gradient
    with torch.inference_mode(False), torch.no_grad():
        images = mixed(data, samples, seed) if chosen.needs_data else None
        return score(ScoringTask(model, names, seed, images, layouts or {}))


def _check_data(chosen: Criterion, data: Any) -> None:
    """Raise unless a criterion has the data that it looks at."""
    if chosen.needs_data and data is None:
        raise DataError(f"criterion {chosen.name!r} looks at training data: pass data=..., or choose l1")
