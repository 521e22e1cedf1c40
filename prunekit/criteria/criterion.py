"""`Criterion`, the description of one way to score importance, with the functions that do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from prunekit.criteria.scoring_task import Scores, ScoringTask

Score = Callable[[ScoringTask], Scores]


@dataclass(frozen=True)
class Criterion:
    """One way to score importance.

    A module of `prunekit.criteria.methods` declares it, and imports torch in its functions only: the names of criteria are asked for
    where nothing is scored, as by ``prunekit --help``.

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
    random : bool
        Whether scores are independent noise by seed: then they are never averaged.
    carrier : {"layer", "norm"}
        What it scores: prunable layers, or the BatchNorm modules behind their channels.
    block : {"mean", "mean by root", "total"}
        How the scores of a layer's channels make one of the layer, to compare whole blocks: their mean, which suits scores that do not
        depend on a layer's size; that over the root of the number of its weights, for sums over weights; or their total, for
        parts of one whole.
    updates : bool
        Whether pruning by it also updates kept weights: then each setting is carried out by itself, for scores alone do not decide it.
    comparable : bool
        Whether scores of channels compare over layers as they are: then a setting's default does not take them over their layer's mean.
    by_sample : bool
        Whether channels are scored on each sample by itself, ``[channels, samples]``: coupled channels are added up within a sample, and
        the mean over samples is that of absolute values.
    only : str
        Where it scores either weights or channels, why not the others.
    order : int
        Its place in lists.
    """

    name: str
    title: str
    formula: str
    source: str
    advice: str
    weight: Score | None = None
    channel: Score | None = None
    needs_data: bool = False
    random: bool = False
    carrier: Literal["layer", "norm"] = "layer"
    block: Literal["mean", "mean by root", "total"] = "mean"
    updates: bool = False
    comparable: bool = False
    by_sample: bool = False
    only: str = ""
    order: int = 1000
