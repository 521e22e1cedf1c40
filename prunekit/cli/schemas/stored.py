"""What runs, comparisons and the installation tell as JSON."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from prunekit.cli.installation import Package, Place
from prunekit.cli.schemas.pruned import Difference, Measured, Quality, Recipe, Result, Sizes
from prunekit.comparison.columns import Shipped, Speed
from prunekit.comparison.gate import Check


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
    """A runtime, and whether it computes here what eager torch computes; torch.compile is ``tried`` with ``--compile`` alone."""

    name: str
    title: str
    version: str
    works: bool
    missing: bool
    tried: bool
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
