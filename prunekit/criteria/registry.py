"""The registry of criteria: name -> function from (model, data) to a score for each weight or channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.config import validation as check
from prunekit.config.choices import refusal
from prunekit.criteria import activations, channels, gradients, weights
from prunekit.criteria.samples import mixed
from prunekit.criteria.scoring_task import EachLayer, Scores, Task
from prunekit.errors import DataError, SpecError, one_of
from prunekit.models.layers import check_finite

Score = Callable[[Task], Scores]


@dataclass(frozen=True)
class Criterion:
    """One way to score importance.

    Attributes
    ----------
    name, title : str
        As in a spec, and as on the screen.
    formula : str
        What is computed for one weight, and for one channel.
    source : str
        Where the method comes from.
    advice : str
        One sentence: when it is good.
    weight, channel : callable, optional
        Scores of single weights and of channels; None where it has none.
    needs_data : bool
        Whether training data are used.
    carrier : {"layer", "norm"}
        What it scores: prunable layers, or the BatchNorm modules behind their channels.
    """

    name: str
    title: str
    formula: str
    source: str
    advice: str
    weight: Score | None = None
    channel: Score | None = None
    needs_data: bool = False
    carrier: str = "layer"


_ALL = (
    Criterion(
        "l1",
        "L1 magnitude",
        "|w|; channel: sum of |w| over its filter",
        "Han et al. 2015, arXiv:1506.02626; Li et al. 2017, arXiv:1608.08710",
        "Start here: it needs no data, takes no time, and does well on trained networks while not too much is removed.",
        weights.l1,
        weights.channel_l1,
    ),
    Criterion(
        "l2",
        "L2 magnitude",
        "w²; channel: Euclidean norm of its filter",
        "Han et al. 2015, arXiv:1506.02626; He et al. 2018, arXiv:1808.06866",
        "For single weights the same order as L1; for channels it favours filters with a few large weights.",
        weights.l2,
        weights.channel_l2,
    ),
    Criterion(
        "random",
        "Random",
        "uniform noise, by seed",
        "the baseline to beat",
        "The yardstick: a criterion that does no better has learnt nothing from the model.",
        weights.random,
        weights.channel_random,
    ),
    Criterion(
        "lamp",
        "LAMP",
        "w² / sum of v² over the weights v of the layer with |v| at least |w|",
        "Lee et al. 2021, arXiv:2010.07611",
        "For high sparsity over all layers together: small layers keep their largest weights; within one layer it ranks as L1 does.",
        weights.lamp,
    ),
    Criterion(
        "taylor",
        "Taylor",
        "mean over mini-batches of (gradient · w)²; channel: of (sum of gradient · w over its filter)²",
        "Molchanov et al. 2019, arXiv:1906.10771",
        "When the loss should decide: from training images it estimates how much the loss moves without the weight or channel.",
        gradients.taylor,
        gradients.channel_taylor,
        needs_data=True,
    ),
    Criterion(
        "snip",
        "SNIP",
        "|gradient · w| / sum of it over all scored weights",
        "Lee et al. 2019, arXiv:1810.02340",
        "Made for networks before training; in a trained one the gradients of the images nearly cancel out, and Taylor sees more.",
        gradients.snip,
        needs_data=True,
    ),
    Criterion(
        "wanda",
        "Wanda",
        "|w| · Euclidean norm of the input that it is multiplied with",
        "Sun et al. 2023, arXiv:2306.11695",
        "When inputs differ in strength: a small weight on a strong input counts. It is meant for comparing weights within a layer.",
        activations.wanda,
        needs_data=True,
    ),
    Criterion(
        "bn_scale",
        "BatchNorm scale",
        "channel: |γ| of the BatchNorm behind it",
        "Liu et al. 2017, arXiv:1708.06519",
        "For networks with BatchNorm; best if they were trained with a penalty that drives its scales to zero.",
        channel=channels.bn_scale,
        carrier="norm",
    ),
    Criterion(
        "fpgm",
        "FPGM",
        "channel: sum of Euclidean distances from its filter to the layer's filters",
        "He et al. 2019, arXiv:1811.00250",
        "Removes filters that others can stand in for, rather than small ones: for layers whose filters are all of similar size.",
        channel=channels.fpgm,
    ),
)
CRITERIA: dict[str, Criterion] = {criterion.name: criterion for criterion in _ALL}


def weight_scores(  # noqa: PLR0917 (what to score by, then on what: all have defaults)
    model: nn.Module, layers: Iterable[str], criterion: str = "l1", seed: int = 0, data: Any = None, samples: int = 512
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


def score_pieces(model: nn.Module, layers: Iterable[str], criterion: str, seed: int, size: int) -> Callable[[str], Iterator[Tensor]] | None:
    """Return what scores the weights of one layer whenever it is asked, so that the scores of all need not be held.

    Parameters
    ----------
    model, layers, criterion, seed
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
    score = _chosen(criterion, "unstructured").weight
    if not isinstance(score, EachLayer):
        return None
    names = tuple(dict.fromkeys(layers))
    check_finite(model, names)
    return partial(score.pieces, Task(model, names, check.whole("seed", seed, 0)), size=size)


def channel_scores(  # noqa: PLR0917 (as weight_scores)
    model: nn.Module, layers: Iterable[str], criterion: str = "l1", seed: int = 0, data: Any = None, samples: int = 512
) -> dict[str, NDArray[np.float64]]:
    """Score every output channel of some layers.

    Parameters
    ----------
    model, criterion, seed, data, samples
        As for :func:`weight_scores`.
    layers : iterable of str
        Prunable layers; BatchNorm modules for a criterion whose ``carrier`` is ``"norm"``.

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
    scores = _scores(chosen, chosen.channel, model, layers, seed=seed, data=data, samples=samples)
    return {name: score.double().numpy() for name, score in scores.items()}


def _chosen(criterion: str, mode: str) -> Criterion:
    """Return a criterion that goes with a mode."""
    one_of("criterion", criterion, CRITERIA)
    reason = refusal(mode, criterion, "global")
    if reason:
        raise SpecError(reason)
    return CRITERIA[criterion]


def _scores(
    chosen: Criterion, score: Score | None, model: nn.Module, layers: Iterable[str], *, seed: int, data: Any, samples: int
) -> Scores:
    """Check what was given and score it."""
    assert score is not None  # by _chosen: the registry agrees with prunekit.config.choices
    names = tuple(dict.fromkeys(layers))
    check.whole("seed", seed, 0)
    check.whole("samples", samples, 1)
    if chosen.carrier == "layer":
        check_finite(model, names)
    if chosen.needs_data and data is None:
        raise DataError(f"criterion {chosen.name!r} looks at training data: pass data=..., or choose l1")
    # out of a caller's inference mode: tensors that are made in it can take no part in a gradient
    with torch.inference_mode(False), torch.no_grad():
        images = mixed(data, samples, seed) if chosen.needs_data else None
        return score(Task(model, names, seed, images))
