"""A metric and its observations as they lie in the store: shown without the task that made them, compared in pairs with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from prunekit.errors import DataError, PrunekitError, TaskError
from prunekit.evaluation.quality import Evaluation
from prunekit.statistics.difference import ALPHA, Difference
from prunekit.tasks.base import BaseTask
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import Metric, Proportion, proportion
from prunekit.tasks.observations import Observations
from prunekit.tasks.protocol import Task
from prunekit.tasks.registry import DEFAULT, TASKS, task

SHOWN = ("name", "title", "unit", "better", "decimals")
"""What is needed to show a value."""


class Shown(Metric):
    """A metric of which values can be shown and not computed."""

    def compare(self, a: Observations, b: Observations, alpha: float = ALPHA) -> Difference:
        """Say why not."""
        self.reduce(a)
        raise DataError(f"{self.title} cannot be compared")


def described(metric: Metric, of: Task | None = None, packed: bool = False) -> dict[str, Any]:
    """Return a metric as plain values."""
    told: dict[str, Any] = {name: getattr(metric, name) for name in SHOWN}
    if packed and isinstance(metric, Proportion):
        named = {"task": of.name} if of is not None and of.name in TASKS and of.name != DEFAULT else {}
        return told | {"bits": metric.column} | named
    owner = of or next((each for each in TASKS.values() if metric.name in {m.name for m in each.metrics}), None)
    if owner is None:
        return told
    every = [{name: getattr(each, name) for name in SHOWN} for each in owner.metrics]
    return told | {"task": owner.name, "identity": owner.identity, "metrics": every}


def pack_all(found: Sequence[Evaluation]) -> bytes:
    """Return what was observed of several evaluations, one after the other."""
    if is_packed(found[0]):
        return b"".join(pack(each) for each in found)
    return Observations.concat(each.observations for each in found).to_bytes()


def unpack_all(told: Mapping[str, Any], payload: bytes, sizes: Sequence[int]) -> list[Observations]:
    """Return what was observed of several evaluations, of so many samples each."""
    if "bits" in told:
        ends, there = np.cumsum([(n + 7) // 8 for n in sizes]), len(payload)
    else:
        every = Observations.from_bytes(payload)
        ends, there = np.cumsum(sizes), every.n
    if there != ends[-1]:
        raise DataError(f"these observations are damaged, or not of {sum(sizes)} samples in all: measure again")
    parts = [slice(int(a), int(b)) for a, b in pairwise([0, *ends])]
    if "bits" in told:
        return [unpack(told, payload[part], n) for part, n in zip(parts, sizes, strict=True)]
    return [every.take(np.arange(part.start, part.stop)) for part in parts]


def is_packed(found: Evaluation) -> bool:
    """Whether what was observed is kept as bits: a share of samples that belong to no groups."""
    return isinstance(found.metric, Proportion) and found.observations.groups is None


def pack(found: Evaluation) -> bytes:
    """Return what was observed, in few bytes."""
    if is_packed(found) and isinstance(found.metric, Proportion):
        return np.packbits(found.observations[found.metric.column] != 0).tobytes()
    return found.observations.to_bytes()


def unpack(told: Mapping[str, Any], payload: bytes, n: int) -> Observations:
    """Return what was observed of ``n`` samples."""
    if "bits" not in told:
        return Observations.from_bytes(payload)
    right = np.unpackbits(np.frombuffer(payload, dtype=np.uint8), count=n).astype(bool)
    return Observations(right.reshape(-1, 1), (str(told["bits"]),))


def opened(told: Mapping[str, Any], value: Mapping[str, Any], payload: bytes, n: int) -> Evaluation:
    """Return a stored evaluation.

    Where the task is gone, or is another one by now, the value and its interval are what was noted, and it is compared with nothing.
    """
    return evaluated(told, value, unpack(told, payload, n))


def evaluated(told: Mapping[str, Any], value: Mapping[str, Any], seen: Observations) -> Evaluation:
    """Return what `opened` does, of observations that are unpacked already."""
    about: dict[str, Any] = {"chance": value.get("chance"), "guesses": tuple(value.get("guesses", ()))}
    owner: Task | None = None
    if "bits" in told:
        metric, owner = _share(told), TASKS.get(str(told.get("task")))
    else:
        try:
            owner = _owner(told)
            metric = replace(owner.metric(str(told["name"])), **{name: told[name] for name in SHOWN})
        except (PrunekitError, OSError) as error:
            owner = None
            metric = shown(told, f"{told['title']} cannot be compared here: {error}")
    if owner is None and "bits" not in told:
        low, high = (float("nan") if value.get(name) is None else float(value[name]) for name in ("low", "high"))
        return Evaluation(float(value["value"]), low, high, seen.n, seen, metric, **about)
    return Evaluation.of(seen, metric, **about, task=owner)


def _share(told: Mapping[str, Any]) -> Metric:
    """Return the metric of a column of a yes or no."""
    plain = {name: told[name] for name in SHOWN}
    if told["bits"] == ACCURACY.column and all(getattr(ACCURACY, name) == value for name, value in plain.items()):
        return ACCURACY
    return replace(proportion(plain["name"], plain["title"], str(told["bits"])), **plain)


def _owner(told: Mapping[str, Any]) -> Task:
    """Return the task that measured it, if it is still what it was."""
    if "task" not in told:
        raise TaskError("nobody noted which task it is of")
    found = task(str(told["task"]))
    # behind a blank stands what the task took from its data (their unit, sizes of objects), which is in the observations
    if not f"{told['identity']} ".startswith(f"{found.identity} "):
        raise TaskError(f"the task {told['task']} is another one by now")
    named = {each["name"]: {name: each[name] for name in SHOWN} for each in told.get("metrics", ())}
    every = tuple(replace(each, **named.get(each.name, {})) for each in found.metrics)
    return replace(found, metrics=every) if isinstance(found, BaseTask) else found


def told_metric(value: Mapping[str, Any]) -> Metric:
    """Return the metric of a plain value (`prunekit.evaluation.Evaluation.to_dict`), to show it; one that names none is an accuracy."""
    return shown({**value, "name": value["metric"]}, "what was seen of each sample is not kept") if "metric" in value else ACCURACY


def shown(told: Mapping[str, Any], why: str) -> Metric:
    """Return a metric of which values can be shown and not computed, because of ``why``."""

    def figure(_: Observations) -> float:
        raise DataError(f"{why}. Measure again")

    return Shown(**{name: told[name] for name in SHOWN}, figure=figure)
