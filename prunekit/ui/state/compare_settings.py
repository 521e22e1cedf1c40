"""What a person has picked on the Compare page: the part of the settings that says which runs stand beside each other, and how."""

from __future__ import annotations

from dataclasses import dataclass

from prunekit.config.choices import RUN_KINDS
from prunekit.ui.state import codecs
from prunekit.ui.state.codecs import pick

METRIC = codecs.matching(r"[a-z][a-z_]{0,31}", "the name of a metric")
MOST_RUNS = 6
TABS = ("numbers", "layers", "weights", "behaviour", "tradeoff", "lineage")
SORTS = ("newest", "accuracy", "size", "params", "sparsity", "name")


@dataclass(frozen=True)
class Compared:
    """The picks of the Compare page."""

    # the picked runs in order of picking, by the first 12 digits of their names; the first is called A
    runs: tuple[str, ...] = pick((), codecs.several(codecs.RUN, MOST_RUNS))
    tab: str = pick("numbers", codecs.choice(*TABS))  # which part of the comparison shows
    relative: bool = pick(False, codecs.YES_NO)  # whether numbers stand as shares of the dense model's
    by: str = pick("sparsity", codecs.choice("sparsity", "width"))  # what the tab Layers draws: sparsity or width
    layer: int = pick(-1, codecs.PLACE)  # the layer whose weights the tab Weights draws, by its place; -1 for all together
    # the two runs whose masks are laid over each other, by their letters, such as AB; empty for the first two
    pair: str = pick("", codecs.matching(r"(?!(.)\1)[A-F]{2}", "two letters of runs, such as AB"))
    # the run that the tab Behaviour compares with the dense model, by its place in runs
    behind: int = pick(0, codecs.whole(0, MOST_RUNS - 1))
    flips: str = pick("all", codecs.choice("all", "lost", "won"))  # which flipped images show: lost, won or all
    sheet: int = pick(1, codecs.whole(1, 10_000))  # which page of flipped images shows, from 1
    x: str = pick("shipped", METRIC)  # x, y: what the tab Trade-off has on its axes: names of metrics
    y: str = pick("accuracy", METRIC)
    bound: float = pick(0.0, codecs.amount())  # the budget there, in the unit of its axis; 0 for none
    bound_on: str = pick("y", codecs.choice("x", "y"))  # on which axis it lies: x or y
    kind: str = pick("", codecs.choice(*RUN_KINDS))  # kind, tagged, find: filters of the table of all runs; empty for no filter
    tagged: str = pick("", codecs.matching(codecs.WORDS, "a tag"))
    find: str = pick("", codecs.matching(codecs.WORDS, "up to 60 characters"))
    sort: str = pick("newest", codecs.choice(*SORTS))  # its order
    every: bool = pick(False, codecs.YES_NO)  # whether runs that arose in passing are in it, too
    others: bool = pick(False, codecs.YES_NO)  # whether runs of other models than the one in use are
    opened: str = pick("", codecs.RUN)  # the run that was clicked in the tree, by the first 12 digits of its name; empty for none
