"""The way from the dense model to each run, as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prunekit.runs.records import Run


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
    raise NotImplementedError
