"""What measuring tells as JSON: sweeps, sensitivity, search and latency."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from prunekit.cli.schemas.pruned import Difference, Guesses, Measured, Quality
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.sensitivity.suggested_targets import LayerTarget
from prunekit.experiments.search.request import Timing, Trial

Point = TypedDict(
    "Point",
    {"requested": float, "sparsity": float, "params": int, "nonzero": int, "macs": int, "effective_macs": int, "*": Measured},
)
Point.__doc__ = "One sparsity of a sweep; the metric stands under its own name, such as ``accuracy``."


class Repeat(TypedDict):
    """The points of one seed."""

    seed: int
    points: list[Point]


class Spread(TypedDict):
    """How far the seeds lie apart at one sparsity."""

    requested: float
    mean: float
    min: float
    max: float
    sd: float
    n_seeds: int


class Sweep(Guesses):
    """``prunekit sweep``; ``spec`` is the setting without a sparsity, ``recovery`` None where there was none."""

    model: ModelId
    data: DataId
    spec: PruneSpec
    split: str
    images: int
    recovery: Recovery | None
    dense: Measured
    points: list[Point]
    repeats: NotRequired[list[Repeat]]
    spread: NotRequired[list[Spread]]


Tried = TypedDict("Tried", {"requested": float, "*": Measured})
Tried.__doc__ = "A sparsity that was tried; the metric stands under its own name."


class Confirmed(TypedDict):
    """What the test samples say of a choice that validation samples made."""

    holds: bool
    confident: bool
    sentence: str
    drop: NotRequired[Difference]


class Furthest(Guesses):
    """``prunekit sweep --lose`` or ``--hold``: how far it can go.

    Attributes
    ----------
    drop : Difference
        Quality lost at that sparsity, paired.
    confident : bool
        Whether the whole interval is within what is allowed.
    test : Confirmed or None
        None where the test samples chose already.
    """

    model: ModelId
    data: DataId
    spec: PruneSpec
    split: str
    images: int
    recovery: Recovery | None
    dense: Measured
    allowed: float
    hold: float | None
    points: list[Tried]
    sparsity: float
    drop: Difference
    confident: bool
    sentence: str
    run: str
    test: Confirmed | None
    notes: list[str]


AlonePoint = TypedDict(
    "AlonePoint",
    {
        "requested": float,
        "sparsity": float,
        "removed": int,
        "removed_params": int,
        "removed_macs": int,
        "settled": bool,
        "*": Measured,
    },
)
AlonePoint.__doc__ = (
    "One layer or group at one sparsity, all else dense; the metric stands under its own name. ``settled``: its loss lay clear of the "
    "allowed one, so that it saw no more samples than its ``n``."
)


class Alone(TypedDict):
    """One layer or group."""

    name: str
    layers: list[str]
    params: int
    macs: int
    points: list[AlonePoint]


class Suggested(TypedDict):
    """Targets for all layers; ``drop`` is the sum of what each costs alone: estimated, not measured."""

    targets: list[LayerTarget]
    drop: float
    tag: str
    params: float
    macs: float
    counted: bool
    images: int
    sentence: str


class Sensitivity(Guesses):
    """``prunekit sensitivity``: each layer or group pruned alone.

    Attributes
    ----------
    images, total : int
        Samples that the dense model saw, and how many there are.
    drop : float or None
        Allowed loss that settled points early: in the metric's own unit, or with ``relative`` a share of the dense model's value. None for
        a full scan.
    saved : float
        Share of a full scan's measurements that were not needed.
    references : list of Measured
        The dense model on the samples of points that saw fewer than it; a point is held against the one of its ``n``.
    """

    model: ModelId
    data: DataId
    mode: str
    criterion: str
    split: str
    images: int
    total: int
    drop: float | None
    relative: bool
    saved: float
    dense: Measured
    references: list[Measured]
    layers: list[Alone]
    notes: list[str]
    fragile: list[str]
    suggested: Suggested | None


class Search(Guesses):
    """``prunekit search``: the best trial, what the test samples say of it, and all trials."""

    model: ModelId
    data: DataId
    split: str
    notes: list[str]
    minimise: str
    allowed: float
    dense: Measured
    before: float
    best: Trial | None
    test: Confirmed | None
    trials: list[Trial]
    times: list[Timing]


class Ratio(TypedDict):
    """Time by time, with its 95 % interval: below 1 is faster."""

    value: float
    low: float
    high: float
    different: NotRequired[bool]


class Computed(TypedDict):
    """How what a runtime gives compares with what eager torch gives."""

    agreement: float | None
    error: float | None
    n: int
    sentence: str


class Timed(Quality):
    """A candidate in a runtime: its median and quartiles in milliseconds, or the ``error`` that stood in the way.

    Attributes
    ----------
    ratio : Ratio or None
        Its time by that of the first candidate in the first runtime.
    within : Ratio or None
        The same by that of the first candidate in this very runtime.
    samples_ms : list of float
        Each round.
    """

    name: str
    runtime: str
    batch: int
    threads: int
    median_ms: float | None
    q1_ms: float | None
    q3_ms: float | None
    samples: int
    ratio: Ratio | None
    different: bool | None
    macs_ratio: float | None
    within: Ratio | None
    length: int | None
    phase: str
    unit: str
    throughput: float | None
    peak_bytes: int | None
    file_bytes: int | None
    energy_j: float | None
    compile_s: float | None
    check: Computed | None
    error: str | None
    notes: list[str]
    samples_ms: list[float]


class Turn(TypedDict):
    """What took turns, for how many rounds, and why it stopped."""

    batch: int
    threads: int
    length: int | None
    phase: str
    rounds: int
    stopped: str


class Latency(Guesses):
    """``prunekit latency``: candidates timed in turns on one machine; ``runs`` are those that were kept, by candidate."""

    model: ModelId
    specs: list[PruneSpec]
    budget_s: float
    runs: dict[str, str]
    candidates: list[Timed]
    within_runtimes: dict[str, list[str]]
    input_shape: list[Any]
    device: str
    turns: list[Turn]
    versions: dict[str, str]
    energy: str
    checked_on: str
