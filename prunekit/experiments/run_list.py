"""Runs as people list them: with their best-founded accuracy and what is said of them; points of curves left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunekit.experiments.records import QUALITY, Label, Measurement, Run
from prunekit.experiments.store import RunStore
from prunekit.experiments.stored_metric import shown
from prunekit.formatting import ordinary, percent
from prunekit.tasks.wording import written

ALL = 1_000_000
EARLIER = "measured by an earlier version"
"""What stands beside figures that cannot be vouched for."""


@dataclass(frozen=True)
class Listed:
    """A run in a list.

    Attributes
    ----------
    run : Run
        Which one.
    label : Label
        What people say of it.
    accuracy : Measurement or None
        The one on test images, where there is one, and on most of them.
    timed : int
        How many latencies are kept.
    """

    run: Run
    label: Label
    accuracy: Measurement | None
    timed: int

    @property
    def earlier(self) -> bool:
        """Whether an earlier version made or measured it, and it cannot be vouched for what it was made of or measured on."""
        return self.run.earlier if self.accuracy is None else self.accuracy.earlier

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {name: getattr(self.run, name) for name in ("id", "kind", "title", "model", "parent", "created", "spec", "recovery")}
        counts = ("params", "nonzero", "macs", "effective_macs", "sparsity", "achieved", "bytes", "sizes")
        plain |= {name: self.run.info.get(name) for name in counts}
        seen = self.accuracy
        plain |= {"accuracy": None, "metric": None, "metrics": {}}
        if seen is not None and seen.metric is not None:
            told = {name: seen.value[name] for name in ("value", "low", "high", "n")} | {
                name: seen.metric[name] for name in ("unit", "better")
            }
            plain |= {"metric": seen.metric["name"], "metrics": {seen.metric["name"]: told}}
        if seen is not None:
            where = {"split": seen.split, "data": seen.data, "runtime": seen.runtime}
            plain |= {"accuracy": {**seen.value, **where}} if seen.what == QUALITY[0] else {"measured_on": where}
        plain |= {"earlier": self.earlier, "timed": self.timed}
        return {**plain, "name": self.label.name, "saved": self.label.saved, "tags": list(self.label.tags), "note": self.label.note}


def listed(store: RunStore, *, kind: str | None = None, tag: str | None = None, every: bool = False) -> list[Listed]:
    """Return runs, the latest first."""
    labels, seen, passing = store.labels(), store.all_measurements(), set() if every else in_passing(store)
    found = []
    for run in store.runs(kind=kind, limit=ALL):
        label = labels.get(run.id, Label(run.id))
        if run.id not in passing and (tag is None or tag in label.tags):
            mine = seen.get(run.id, [])
            found.append(Listed(run, label, best_accuracy(mine), sum(m.what == "latency" for m in mine)))
    return found


def best_accuracy(seen: list[Measurement]) -> Measurement | None:
    """Return the accuracy that can be vouched for, on test images and on most of them, where there is one; of equal ones the first."""
    found = [m for m in seen if m.what in QUALITY]
    return max(found, key=lambda m: (not m.earlier, m.split == "test", m.n), default=None)


def value_of(seen: Measurement) -> str:
    """Return the quality that was measured as people read it: of all but accuracy with the metric's name."""
    if seen.what == QUALITY[0] or seen.metric is None:
        return ordinary(percent(seen.value["value"]))
    metric = shown(seen.metric, "")
    return f"{metric.phrase} {ordinary(written(metric, seen.value['value']))}"


def zero_or_gone(info: Mapping[str, Any], dense: Mapping[str, Any]) -> float | None:
    """Return the share of the dense model's prunable weights that are zero or gone; None where that is not known."""
    whole, left, zeros = dense.get("prunable"), info.get("prunable"), info.get("sparsity")
    return None if not whole or left is None or zeros is None else 1 - left * (1 - float(zeros)) / whole


def in_passing(store: RunStore) -> set[str]:
    """Return the ids of runs that arose on the way to something else, such as the points of a curve.

    Those are pruned, or recovered without their weights being kept; nobody saved, tagged or noted them, nothing was made from them, and
    their latency was never measured.
    """
    runs, said, timed = store.runs(limit=ALL), store.labels(), store.all_measurements("latency")
    parents = {run.parent for run in runs}
    bare = [run for run in runs if run.kind == "pruned" or (run.kind == "recovered" and "file" not in run.info)]
    return {run.id for run in bare if run.id not in parents | timed.keys() and not said.get(run.id, Label(run.id)).said}
