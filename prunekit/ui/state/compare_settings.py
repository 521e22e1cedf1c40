"""What a person has picked on the Compare page: the part of the settings that says which runs stand beside each other, and how."""

from __future__ import annotations

from dataclasses import dataclass

MOST_RUNS = 6
TABS = ("numbers", "layers", "weights", "behaviour", "tradeoff", "lineage")
SORTS = ("newest", "accuracy", "size", "params", "sparsity", "name")


@dataclass(frozen=True)
class Compared:
    """The picks of the Compare page.

    Attributes
    ----------
    runs : tuple of str
        The picked runs in order of picking, by the first 12 digits of their names; the first is called A.
    tab : str
        Which part of the comparison shows.
    relative : bool
        Whether numbers stand as shares of the dense model's.
    by : str
        What the tab Layers draws: ``sparsity`` or ``width``.
    layer : int
        The layer whose weights the tab Weights draws, by its place; -1 for all together.
    pair : str
        The two runs whose masks are laid over each other, by their letters, such as ``AB``; empty for the first two.
    behind : int
        The run that the tab Behaviour compares with the dense model, by its place in ``runs``.
    flips : str
        Which flipped images show: ``lost``, ``won`` or ``all``.
    sheet : int
        Which page of flipped images shows, from 1.
    x, y : str
        What the tab Trade-off has on its axes: names of metrics.
    bound : float
        The budget there, in the unit of its axis; 0 for none.
    bound_on : str
        On which axis it lies: ``x`` or ``y``.
    kind, tagged, find : str
        Filters of the table of all runs; empty for no filter.
    sort : str
        Its order.
    every : bool
        Whether runs that arose in passing are in it, too.
    others : bool
        Whether runs of other models than the one in use are.
    opened : str
        The run that was clicked in the tree, by the first 12 digits of its name; empty for none.
    """

    runs: tuple[str, ...] = ()
    tab: str = "numbers"
    relative: bool = False
    by: str = "sparsity"
    layer: int = -1
    pair: str = ""
    behind: int = 0
    flips: str = "all"
    sheet: int = 1
    x: str = "shipped"
    y: str = "accuracy"
    bound: float = 0.0
    bound_on: str = "y"
    kind: str = ""
    tagged: str = ""
    find: str = ""
    sort: str = "newest"
    every: bool = False
    others: bool = False
    opened: str = ""
