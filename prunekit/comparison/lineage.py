"""The way from the dense model to each run, as a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunekit.comparison.settings import amount
from prunekit.config.recovery import Recovery
from prunekit.experiments.identity import digest, run_id
from prunekit.experiments.records import Run

LOST = "not in the store"
PASSED = "a step on the way, not kept as a run"


@dataclass(frozen=True)
class Node:
    """One step on the way.

    Attributes
    ----------
    key : str
        The run's id; of a step that was never kept, a name that no other node of the tree has.
    run : Run or None
        What is kept of it; None where nothing is.
    step : {"dense", "train", "prune", "prune in steps", "recalibrate", "fine-tune", "quantise", "import"}
        What was done to get here.
    title : str
        In a few words.
    depth : int
        0 for a root.
    picked : bool
        Whether it is one of the runs that were asked for.
    note : str
        Why nothing is kept: "not in the store", or "a step on the way, not kept as a run"; "" otherwise.
    children : tuple of Node
        What was made from it.
    """

    key: str
    run: Run | None
    step: str
    title: str
    depth: int
    picked: bool = False
    note: str = ""
    children: tuple[Node, ...] = ()

    def walk(self) -> tuple[Node, ...]:
        """Return this node and all below it, each before its children."""
        return (self, *(node for child in self.children for node in child.walk()))


def lineage(runs: Sequence[Run], known: Sequence[Run] = ()) -> tuple[Node, ...]:
    """Return the trees in which runs stand, from the dense model down.

    Parameters
    ----------
    runs : sequence of Run
        Those that are asked for.
    known : sequence of Run, optional
        Others of the same store: those on the way are drawn, the rest is not.

    Returns
    -------
    tuple of Node
        One root for each dense model.
    """
    family = _Family(runs, known)
    roots: dict[str, _Branch] = {}
    for run in runs:
        level = roots
        for node in family.way(run):
            level = level.setdefault(node.key, _Branch(node, {})).below
    return tuple(branch.grown(0) for branch in roots.values())


@dataclass(frozen=True)
class _Branch:
    """A node while its tree grows."""

    node: Node
    below: dict[str, _Branch]

    def grown(self, depth: int) -> Node:
        """Return the node with all below it."""
        return replace(self.node, depth=depth, children=tuple(branch.grown(depth + 1) for branch in self.below.values()))


class _Family:
    """All runs that are known, and the way to each."""

    def __init__(self, runs: Sequence[Run], known: Sequence[Run]) -> None:
        self.picked = {run.id for run in runs}
        self.runs = {run.id: run for run in (*known, *runs)}

    def way(self, run: Run) -> list[Node]:
        """Return the nodes from the dense model to a run."""
        if run.kind in ("dense", "trained"):
            return [self._node(run.id, run, "dense" if run.kind == "dense" else "train", run.title)]
        if run.kind == "quantised":
            return [*self._to_parent(run), self._node(run.id, run, "quantise", "int8")]
        if run.kind == "imported":
            before = self.way(self.runs[run.parent]) if run.parent in self.runs else [self._root(run)]
            return [*before, self._node(run.id, run, "import", run.title)]
        return [self._root(run), *self._pruned(run)]

    def _node(self, key: str, run: Run | None, step: str, title: str, note: str = "") -> Node:
        """Return a node that has no children yet."""
        return Node(key, run, step, title, 0, key in self.picked, note)

    def _root(self, run: Run) -> Node:
        """Return the dense model that a run came from."""
        name = run_id(run.weights, None, None)
        found = self.runs.get(name)
        if found is not None:
            return self.way(found)[0]
        return self._node(name, None, "dense", str(run.model.get("name", "dense model")), LOST)

    def _to_parent(self, run: Run) -> list[Node]:
        """Return the way to what was quantised; where that is not kept, its setting tells the way."""
        if run.parent in self.runs:
            return self.way(self.runs[run.parent])
        if run.parent is None or run.spec is None:
            return [self._root(run)]
        kind = "pruned" if run.recovery is None else "recovered"
        *before, last = self.way(replace(run, id=run.parent, kind=kind))
        return [*before, replace(last, run=None, note=LOST)]

    def _pruned(self, run: Run) -> list[Node]:
        """Return the steps from the dense model to a pruned or recovered run; a gradual schedule prunes and trains in turns."""
        spec, recovery = run.spec or {}, Recovery.from_dict(run.recovery or {})
        setting = ", ".join(str(word) for word in (spec.get("mode"), spec.get("criterion"), amount(spec).text) if word)
        if recovery.schedule != "one-shot":
            return [self._node(run.id, run, "prune in steps", f"{setting}, {recovery.title()}")]
        steps = [("prune", Recovery(), setting)]
        if recovery.recalibrate:
            alone = Recovery(recalibrate=True, images=recovery.images, augment=recovery.augment, seed=recovery.seed)
            steps.append(("recalibrate", alone, "BatchNorm recalibrated"))
        if recovery.epochs:
            steps.append(("fine-tune", recovery, replace(recovery, recalibrate=False).title()))
        passed = [self._passed(run, step, after, title) for step, after, title in steps[:-1]]
        return [*passed, self._node(run.id, run, steps[-1][0], steps[-1][2])]

    def _passed(self, run: Run, step: str, recovery: Recovery, title: str) -> Node:
        """Return a step on the way to a run: a run of its own where that is kept."""
        plain = recovery.to_dict() if recovery.active else None
        like = (run.weights, run.spec, plain)
        same = [other for other in self.runs.values() if other.kind in ("pruned", "recovered") and _setting(other) == like]
        if same:
            return self._node(same[0].id, same[0], step, title)
        return self._node(f"{step}:{digest(list(like))}", None, step, title, PASSED)


def _setting(run: Run) -> tuple[str, Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """Return what tells steps of one dense model apart."""
    return run.weights, run.spec, run.recovery
