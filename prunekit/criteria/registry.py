"""The registry of criteria: name -> function from (model, data) to a score for each weight or channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.anatomy import check_finite, weight_of
from prunekit.criteria import weights
from prunekit.errors import one_of

Score = Callable[[Tensor, str, int], Tensor]


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
    weight, channel : callable
        Scores of single weights and of channels.
    needs_data : bool
        Whether training data are used.
    """

    name: str
    title: str
    formula: str
    source: str
    weight: Score
    channel: Score
    needs_data: bool = False


_ALL = (
    Criterion(
        "l1", "L1 magnitude", "|w|; channel: sum of |w| over its filter", "Han et al. 2015; Li et al. 2017", weights.l1, weights.channel_l1
    ),
    Criterion(
        "l2",
        "L2 magnitude",
        "w²; channel: Euclidean norm of its filter",
        "Han et al. 2015; He et al. 2018",
        weights.l2,
        weights.channel_l2,
    ),
    Criterion("random", "Random", "uniform noise, by seed", "the baseline to beat", weights.random, weights.channel_random),
)
CRITERIA: dict[str, Criterion] = {criterion.name: criterion for criterion in _ALL}


def weight_scores(model: nn.Module, layers: Iterable[str], criterion: str = "l1", seed: int = 0) -> dict[str, Tensor]:
    """Score every weight of some layers.

    Parameters
    ----------
    model : nn.Module
        The dense model; not modified.
    layers : iterable of str
        Prunable layers.
    criterion : str
        A name in ``CRITERIA``.
    seed : int
        For criteria that are random.

    Returns
    -------
    dict of str to Tensor
        Layer name to float scores of the weight's shape, at least 0; the lowest go first.

    Raises
    ------
    SpecError, PruningError, ModelError
        For an unknown criterion, an unknown layer, or weights that are not finite.
    """
    one_of("criterion", criterion, CRITERIA)
    names = list(layers)
    check_finite(model, names)
    score = CRITERIA[criterion].weight
    return {name: score(weight_of(model, name).float().cpu(), name, seed) for name in names}


def channel_scores(model: nn.Module, layers: Iterable[str], criterion: str = "l1", seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Score every output channel of some layers.

    Parameters
    ----------
    model, layers, criterion, seed
        As for :func:`weight_scores`.

    Returns
    -------
    dict of str to ndarray, shape [out]
        Layer name to scores as the criterion defines them, not normalised.
    """
    one_of("criterion", criterion, CRITERIA)
    names = list(layers)
    check_finite(model, names)
    score = CRITERIA[criterion].channel
    return {name: score(weight_of(model, name).float().cpu(), name, seed).double().numpy() for name in names}
