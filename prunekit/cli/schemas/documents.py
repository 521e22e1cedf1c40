"""What each command prints with ``--json``, and what recipes and archives hold: declared as types, from which the schemas follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from prunekit.cli.installation import Package, Place
from prunekit.cli.schemas.generate import Definitions, Schema
from prunekit.comparison.columns import Shipped, Speed
from prunekit.comparison.gate import Check
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import RECIPE_VERSION, PruneSpec
from prunekit.evaluation.cautions import Caution
from prunekit.evaluation.sensitivity.suggested_targets import LayerTarget
from prunekit.experiments.archive.manifest import VERSION, FormatCheck
from prunekit.experiments.search.request import Timing, Trial
from prunekit.pruning.result import Achieved, LayerResult
from prunekit.pruning.skipped import Skipped
from prunekit.pruning.structured.embedding_rows import Table

DRAFT = "https://json-schema.org/draft/2020-12/schema"


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


class Named(TypedDict):
    """A model that has a name; ``card`` says how a sample was trained, and is another for each kind of model."""

    name: str
    kind: str
    title: str
    task: str
    description: str
    card: dict[str, Any] | None


class Models(TypedDict):
    """``prunekit models``."""

    models: list[Named]


class Layer(TypedDict):
    """A layer that can be pruned.

    Attributes
    ----------
    share : float
        Of all parameters.
    protected : str or None
        Why structured pruning leaves it alone by default.
    """

    name: str
    type: str
    shape: list[int]
    params: int
    share: float
    macs: int | None
    out_channels: int | None
    protected: str | None


class Group(TypedDict):
    """Channels that shrink together."""

    id: str
    kind: str
    layers: list[str]
    size: int
    reasons: list[str]


class Block(TypedDict):
    """A block that can go as a whole, and what takes its place."""

    name: str
    becomes: str
    layers: list[str]


class Inspected(Side, Guesses):
    """``prunekit inspect``; ``recipe`` and ``result`` are those of a folder that prunekit wrote."""

    model: ModelId
    mean: list[float] | None
    std: list[float] | None
    data: str | None
    classes: list[str]
    card: dict[str, Any] | None
    checked: str | None
    input_shape: list[Any]
    inputs: str | None
    layers: list[Layer]
    skipped: list[Skipped]
    groups: list[Group]
    blocks: list[Block]
    immovable: dict[str, str]
    limits: list[str]
    tables: list[Table]
    recipe: NotRequired[Recipe]
    result: NotRequired[Any]


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
    "AlonePoint", {"requested": float, "sparsity": float, "removed": int, "removed_params": int, "removed_macs": int, "*": Measured}
)
AlonePoint.__doc__ = "One layer or group at one sparsity, all else dense; the metric stands under its own name."


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
    """``prunekit sensitivity``: each layer or group pruned alone."""

    model: ModelId
    data: DataId
    mode: str
    criterion: str
    split: str
    images: int
    total: int
    dense: Measured
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


class Where(TypedDict):
    """Of what a measurement is."""

    split: str
    data: dict[str, Any]
    runtime: str


class SeenOf(Measured):
    """An accuracy that is kept, and of what it is."""

    split: str
    data: dict[str, Any]
    runtime: str


class Listed(TypedDict):
    """A run that is kept; what was never counted or measured of it is None.

    Attributes
    ----------
    model, spec, recovery : dict
        As in a recipe; those of a run that an earlier version made have the fields that it knew.
    """

    id: str
    kind: str
    title: str
    model: dict[str, Any]
    parent: str | None
    created: str
    spec: dict[str, Any] | None
    recovery: dict[str, Any] | None
    params: int | None
    nonzero: int | None
    macs: int | None
    effective_macs: int | None
    sparsity: float | None
    achieved: float | None
    bytes: int | None
    sizes: Sizes | None
    accuracy: SeenOf | None
    metric: str | None
    metrics: dict[str, Measured]
    measured_on: NotRequired[Where]
    earlier: bool
    timed: int
    name: str
    saved: bool
    tags: list[str]
    note: str


class Runs(TypedDict):
    """``prunekit runs``; ``left_out`` points of curves are seen with ``--all``."""

    runs: list[Listed]
    left_out: int


class Labelled(TypedDict):
    """``prunekit runs name``, ``tag`` and ``note``."""

    id: str
    name: str
    saved: bool
    tags: list[str]
    note: str


class Deleted(TypedDict):
    """``prunekit runs delete``."""

    deleted: str


class SettingValues(TypedDict):
    """One setting of all columns."""

    name: str
    values: dict[str, str]
    differs: bool
    counts: bool


class Column(Quality):
    """A run in a comparison; what was never counted or measured of it is None. ``latency`` is all that was timed, on any machine."""

    run: str
    kind: str
    letter: str
    name: str
    title: str
    params: int | None
    nonzero: int | None
    macs: int | None
    effective_macs: int | None
    sparsity: float | None
    of_all: float | None
    sizes: Sizes | None
    gone: str
    earlier: bool
    difference: Difference | None
    shipped: Shipped | None
    speed: Speed | None
    speeds: list[Speed]
    latency: list[dict[str, Any]]


class Gate(TypedDict):
    """What ``--fail-below`` and ``--fail-if-lost`` found; the exit code is 3 where it did not pass."""

    passed: bool
    checks: list[Check]


class Compared(TypedDict):
    """``prunekit compare``."""

    answer: str
    within_runtimes: list[str]
    best: str
    caution: str
    data: str
    data_id: dict[str, Any] | None
    split: str
    images: int
    doubts: list[str]
    differing: list[str]
    missing: list[str]
    settings: list[SettingValues]
    baseline: Column
    columns: list[Column]
    gate: NotRequired[Gate]


class Overlap(TypedDict):
    """How far what stays agrees with what was recorded."""

    both: int
    either: int
    jaccard: float
    expected: float
    unit: str


class Applied(Quality):
    """``prunekit apply``: a recipe repeated, beside what was recorded of it."""

    recipe: Recipe
    same_masks: bool | None
    overlap: Overlap | None
    expected: Measured | None
    within: bool | None
    sentence: str
    notes: list[str]
    result: Result


class Exported(TypedDict):
    """``prunekit export``: the archive, and the forms of the model that were checked."""

    path: str
    run: str
    bytes: int
    formats: list[FormatCheck]
    notes: list[str]


ExportedFolder = TypedDict("ExportedFolder", {"run": str, "path": str, "class": str})
ExportedFolder.__doc__ = "``prunekit export --hugging-face``: the folder, and the class of transformers that opens it."


class ExportedGraph(TypedDict):
    """``prunekit export --model-explorer``: the folder, its files, and the layers without a node of their own."""

    folder: str
    files: list[str]
    layers: int
    missing: list[str]


class Imported(TypedDict):
    """``prunekit import``: the run that an archive became."""

    run: str
    title: str
    kind: str
    model: dict[str, Any]
    parent: str | None
    info: dict[str, Any]


class Checked(Quality):
    """``prunekit check``: what was measured again beside what is stated."""

    stated: Measured | None
    same: bool | None
    data: Any
    sentence: str


class Machine(TypedDict):
    """What a machine is; ``memory`` in bytes, ``cuda`` the name of its device."""

    system: str
    cores: int
    memory: int | None
    cuda: str | None


class ExtraState(TypedDict):
    """An extra: what it is for, what installs it, and what it lacks."""

    name: str
    about: str
    install: str
    lacks: list[str]
    installed: bool


class RuntimeState(TypedDict):
    """A runtime, and whether it computes here what eager torch computes."""

    name: str
    title: str
    version: str
    works: bool
    missing: bool
    sentence: str


class Doctor(TypedDict):
    """``prunekit doctor``; the exit code is 3 where there are ``problems``."""

    prunekit: str
    python: str
    machine: Machine
    packages: list[Package]
    extras: list[ExtraState]
    runtimes: list[RuntimeState]
    places: NotRequired[list[Place]]
    runs: NotRequired[int | None]
    dashboard: str
    healthy: bool
    problems: list[str]
    notes: list[str]


class ArchivedFile(TypedDict):
    """A file of an archive."""

    sha256: str
    bytes: int


class Manifest(TypedDict):
    """``manifest.json`` of an archive of ``prunekit export``.

    Attributes
    ----------
    prunekit_archive : int
        Version of this form.
    weights, trained_on : str
        What tells the dense model, and what decided the outcome, from others.
    architecture : str
        What the model is built from.
    code : str
        Name of the Python file with it; "" for none.
    """

    prunekit_archive: int
    run: str
    kind: str
    title: str
    weights: str
    trained_on: str
    architecture: str
    code: str
    input_shape: list[int]
    files: dict[str, ArchivedFile]


class ArchivedRun(TypedDict):
    """A run as an archive tells it."""

    id: str
    kind: str
    title: str
    model: dict[str, Any]
    spec: dict[str, Any] | None
    recovery: dict[str, Any] | None
    created: str
    info: dict[str, Any]
    name: str


class ArchivedInput(TypedDict):
    """What the model takes."""

    shape: list[Any]
    mean: list[float] | None
    std: list[float] | None
    pixels: str
    classes: list[str]


class ArchivedResult(TypedDict):
    """``result.json`` of an archive: the run, all that was measured of it, and of the dense model that it began from."""

    run: ArchivedRun
    measurements: list[dict[str, Any]]
    dense: dict[str, Any] | None
    input: ArchivedInput
    layers: list[LayerResult]


DOCUMENTS: dict[str, Any] = {
    "models": Models,
    "inspect": Inspected,
    "prune": Result,
    "sweep": Sweep | Furthest,
    "sensitivity": Sensitivity,
    "search": Search,
    "latency": Latency,
    "runs": Runs,
    "runs-label": Labelled,
    "runs-delete": Deleted,
    "compare": Compared,
    "apply": Applied,
    "export": Exported | ExportedFolder | ExportedGraph,
    "import": Imported,
    "check": Checked,
    "doctor": Doctor,
    "recipe": Recipe,
    "archive-manifest": Manifest,
    "archive-result": ArchivedResult,
}
"""By the name of the file in ``docs/schemas``: what it describes."""


def schema(name: str, strict: bool = False) -> Schema:
    """Return the JSON Schema of a document.

    Parameters
    ----------
    name : str
        One of `DOCUMENTS`.
    strict : bool
        Refuse keys that are not described.
    """
    known = Definitions(strict)
    found = known.of(DOCUMENTS[name])
    for holder, key, value in (("Recipe", "version", RECIPE_VERSION), ("Manifest", "prunekit_archive", VERSION)):
        if holder in known.known:
            known.known[holder]["properties"][key]["const"] = value
    return {"$schema": DRAFT, "title": f"prunekit {name}", **found, "$defs": dict(sorted(known.known.items()))}
