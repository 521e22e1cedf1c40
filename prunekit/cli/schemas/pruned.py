"""What pruning tells as JSON: qualities, sizes and costs of a model before and after, and the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.cautions import Caution
from prunekit.pruning.result import Achieved, LayerResult
from prunekit.pruning.skipped import Skipped


class Measured(TypedDict):
    """A metric with its 95 % interval, in its own unit (a share is in 0..1), on ``n`` samples.

    Attributes
    ----------
    low, high : float or None
        None where no interval can be said.
    metric, title, unit, better, decimals : str
        Which metric it is, and how it is shown; left out of an accuracy.
    chance : float or None
        Of the best answer that does not look at the input.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    metric: NotRequired[str]
    title: NotRequired[str]
    unit: NotRequired[str]
    better: NotRequired[str]
    decimals: NotRequired[int | None]
    chance: NotRequired[float | None]
    guesses: NotRequired[list[str]]


class Difference(TypedDict):
    """The metric of one model minus that of another, paired on the same samples, with its 95 % interval."""

    value: float
    low: float | None
    high: float | None
    p_value: float | None
    significant: bool
    n: int


class Quality(TypedDict):
    """What was measured of a model.

    Attributes
    ----------
    accuracy : Measured or None
        Of a classifier; None of other tasks, and where nothing was measured.
    metric : str or None
        Name of the headline metric.
    metrics : dict of str to Measured
        All that were measured, by name.
    """

    accuracy: Measured | None
    metric: str | None
    metrics: dict[str, Measured]


class Sizes(TypedDict):
    """Bytes of a model's file in four forms.

    Attributes
    ----------
    dense, gzip, sparse, surgery : int or None
        As it is, gzipped, in the best sparse format, and after surgery.
    gzip_low, gzip_high : int or None
        95 % interval, where the gzipped size is estimated.
    tables : dict
        Bytes of embedding tables in each form, where there are any.
    """

    dense: int | None
    gzip: int | None
    sparse: int | None
    surgery: int | None
    gzip_low: NotRequired[int | None]
    gzip_high: NotRequired[int | None]
    gzip_how: NotRequired[str | None]
    gzip_by: NotRequired[str | None]
    tables: NotRequired[dict[str, int | None]]


class Counted(TypedDict):
    """What a model holds and costs: parameters, and multiply-accumulates of one sample; ``effective_macs`` skips zeros."""

    params: int
    nonzero: int
    macs: int
    effective_macs: int


class Side(Quality, Counted):
    """A model before or after.

    Attributes
    ----------
    sparsity : float
        Share of zeros among its prunable weights.
    """

    sparsity: float
    sizes: Sizes


@dataclass(frozen=True)
class AchievedOfAll(Achieved):
    """What was asked for beside what was reached, over all chosen layers.

    Attributes
    ----------
    of_all : float
        Share of all parameters that are zero or gone.
    """

    of_all: float


class Proof(TypedDict):
    """That removing gives what zeroing gives.

    Attributes
    ----------
    max_relative_error : float
        Largest difference by the largest value.
    output_change : float
        How far pruning moved the output.
    forms : list of str
        Other forms of input that it was proved under.
    """

    max_relative_error: float
    output_change: float
    passed: bool
    forms: list[str]


class Epoch(TypedDict):
    """One pass over the training samples."""

    number: int
    sparsity: float
    lr: float
    loss: float | None
    train_quality: float | None
    validation: Measured | None
    seconds: float


class Recovered(TypedDict):
    """What followed the cut; ``accuracy`` is that of the test part before, between and after."""

    settings: Recovery
    title: str
    history: list[Epoch]
    best: int
    stopped: str
    notes: list[str]
    accuracy: NotRequired[dict[str, Measured | None]]
    recalibration: NotRequired[str]


class Guesses(TypedDict):
    """What was guessed of the inputs, and what to ask where a quality is no better than chance."""

    chance: str | None
    guesses: list[str]


class Result(TypedDict):
    """One pruning: what ``result.json`` in a folder of ``prunekit prune --out`` holds, too."""

    model: ModelId
    data: DataId | None
    spec: PruneSpec
    achieved: AchievedOfAll
    before: Side
    after: Side
    difference: Difference | None
    blocks: list[str]
    layers: list[LayerResult]
    skipped: list[Skipped]
    proof: Proof | None
    limits: list[str]
    cautions: NotRequired[list[Caution]]
    chance: NotRequired[str | None]
    guesses: NotRequired[list[str]]
    recovery: NotRequired[Recovered]
    run: NotRequired[str]
    name: NotRequired[str]


class Recipe(TypedDict):
    """What made a model, as ``recipe.yaml`` has it: model, data, pruning and recovery.

    Attributes
    ----------
    version : int
        Of this form.
    input_shape : list
        Shape of one sample; of several inputs, of each.
    """

    version: int
    model: NotRequired[ModelId | None]
    data: NotRequired[DataId | None]
    prune: PruneSpec
    recover: NotRequired[Recovery | None]
    input_shape: NotRequired[list[Any]]
