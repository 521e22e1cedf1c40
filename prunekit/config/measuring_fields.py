"""The fields of how something is measured: time, curves of accuracy, targets. One line each in the table of fields."""

from __future__ import annotations

from dataclasses import dataclass

from prunekit.config.choices import DEVICES, RUNTIMES
from prunekit.config.fields import setting
from prunekit.config.kinds import Number, OneOf, Share, Whole
from prunekit.config.several_kinds import Several


@dataclass(frozen=True)
class TimingFields:
    """How time is measured."""

    batch: tuple[int, ...] = setting(
        (1,), Several(Whole(1, (1, 4096)), 6), "Batch", "samples at a time; of several, each is measured by itself"
    )
    threads: tuple[int, ...] = setting((1,), Several(Whole(1, (1, 1024)), 6), "Threads", "threads of the runtime")
    runtimes: tuple[str, ...] = setting(
        ("eager",), Several(OneOf({name: name for name in RUNTIMES}), len(RUNTIMES)), "Runtimes",
        f"one or more of {', '.join(RUNTIMES)}; the first is the baseline", flag="runtime",
    )  # fmt: skip
    device: str = setting("cpu", OneOf({name: name.upper() for name in DEVICES}), "Device", "where")
    budget: float = setting(
        10.0, Number(above=0, screen=(2, 120), step=5), "Time budget, s",
        "seconds of turns for each batch and number of threads; it stops earlier once every ratio is known to half a percent",
    )  # fmt: skip


@dataclass(frozen=True)
class SamplingFields:
    """On how many images, in how many points and with how many seeds accuracy is measured."""

    measured_images: int = setting(
        0, Whole(0, (0, 10_000_000), 500), "Samples to measure on", "a fixed stratified subset of the samples to measure on",
        flag="images", address="images", usual="all",
    )  # fmt: skip
    evaluations: int = setting(
        12,
        Whole(2, (3, 100)),
        "Points of each curve",
        "points where none are named, the dense one too; they go where the curve bends",
    )
    repeats: int = setting(
        1,
        Whole(1, (1, 20)),
        "Seeds",
        "how often what depends on chance is measured, each time with the next seed, to see how far they lie apart",
    )


@dataclass(frozen=True)
class GoalFields:
    """What targets are suggested for."""

    drop: float = setting(
        0.01,
        Share("0.01 is one point of accuracy", step=0.5),
        "Loss of quality",
        "suggest targets that lose at most so much: 0.01 is one point of accuracy",
    )
    goal: str = setting(
        "drop", OneOf({"drop": "Lose at most so many points", "params": "Remove parameters", "macs": "Remove MACs"}), "Goal",
        "what targets are suggested for", flag="",
    )  # fmt: skip
    goal_share: float = setting(0.5, Share(), "Share of the goal", "share of all parameters or MACs that targets remove", flag="")
