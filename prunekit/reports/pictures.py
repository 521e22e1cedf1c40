"""The pictures of a comparison, each with its caption, for what is in view: the page shows them, the report holds them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from prunekit import plots
from prunekit.comparison.behaviour import Behaviour
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.layers import ALL
from prunekit.comparison.tradeoff import best_within, metric_frame
from prunekit.reports.material import Shapes
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import Metric


@dataclass(frozen=True)
class View:
    """How a comparison is looked at.

    Attributes
    ----------
    relative : bool
        Whether numbers stand as shares of the dense model's.
    by : {"sparsity", "width"}
        What is drawn of each layer.
    layer : str
        Whose weights are drawn; "" for all layers together.
    log : bool
        Whether counts of weights stand on a logarithmic scale.
    pair : str
        Letters of the two runs whose masks are laid over each other; "" for the first two that can be.
    behind : str
        Letter of the run whose confusion is compared with the dense model's.
    x, y : str
        Names of `prunekit.comparison.METRICS`.
    bound : float or None
        A budget, in the unit of its axis.
    bound_on : {"x", "y"}
        Which axis that is.
    """

    relative: bool = False
    by: str = "sparsity"
    layer: str = ""
    log: bool = False
    pair: str = ""
    behind: str = "A"
    x: str = "shipped"
    y: str = "accuracy"
    bound: float | None = None
    bound_on: str = "y"


@dataclass(frozen=True, eq=False)
class Picture:
    """One chart.

    Attributes
    ----------
    name : str
        For files and keys.
    title : str
        The question that it answers.
    figure : Figure
        The chart.
    caption : str
        What to notice, in Markdown.
    """

    name: str
    title: str
    figure: go.Figure
    caption: str


def of_layers(found: Shapes, view: View, dark: bool = False) -> tuple[Picture, ...]:
    """Return the removed share of each layer, or its width."""
    if found.layers.empty:
        return ()
    title = "How much of each layer is gone?" if view.by == "sparsity" else "How wide is each layer?"
    fig = plots.layers_beside(found.layers, by=view.by, dark=dark)
    return (Picture(f"layers-{view.by}", title, fig, plots.layers_caption(found.layers, view.by)),)


def of_weights(found: Shapes, view: View, dark: bool = False) -> tuple[Picture, ...]:
    """Return how the weights of all layers, or of one, are distributed."""
    bins = found.bins[found.bins["part"] == (view.layer or ALL)]
    if bins.empty:
        return ()
    title = "How are the weights distributed?" + (f" {view.layer}" if view.layer else "")
    return (Picture("weights", title, plots.weight_outlines(bins, log=view.log, dark=dark), plots.weights_caption(bins)),)


def pairs_of(frame: pd.DataFrame) -> list[str]:
    """Return the pairs of letters whose masks can be laid over each other, such as ``AB``."""
    whole = frame[frame["layer"] == ALL]
    return [f"{first}{second}" for first, second in zip(whole["first"], whole["second"], strict=True)]


def of_masks(found: Shapes, view: View, dark: bool = False) -> tuple[Picture, ...]:
    """Return what both of two runs keep: of every pair, and layer by layer of one."""
    pictures = []
    for name, what, frame in (("masks", "weights", found.masks), ("channels", "channels", found.channels)):
        pairs = pairs_of(frame)
        if not pairs:
            continue
        if len(pairs) > 1:
            title = f"Which {what} do two runs both keep?"
            pictures.append(Picture(f"{name}-all", title, plots.overlap_matrix(frame, dark=dark), plots.overlap_caption(frame)))
        pair = view.pair if view.pair in pairs else pairs[0]
        rows = frame[(frame["first"] == pair[0]) & (frame["second"] == pair[1])]
        title = f"Which {what} do {pair[0]} and {pair[1]} both keep?"
        words = plots.overlap_caption(rows) + " The mark in each row is what chance would give."
        pictures.append(Picture(f"{name}-{pair}", title, plots.overlap_by_layer(rows, dark=dark), words))
    return tuple(pictures)


def of_behaviour(found: Behaviour, view: View, dark: bool = False) -> tuple[Picture, ...]:
    """Return accuracy by class, and how the confusion of one run changed."""
    rows = plots.most_changed(found.by_class)
    left = found.by_class["name"].nunique() - rows["name"].nunique()
    more = f" Of {found.by_class['name'].nunique()} classes those that changed most." if left else ""
    classes = Picture("classes", "Which classes lose?", plots.class_dumbbells(rows, dark=dark), plots.classes_caption(rows) + more)
    if view.behind not in found.confusion:
        return (classes,)
    change, names = found.change(view.behind), list(found.classes)
    fig, words = plots.confusion_change(change, names, dark=dark), plots.confusion_caption(change, names, view.behind)
    return classes, Picture(f"confusion-{view.behind}", f"Which mistakes does {view.behind} make instead?", fig, words)


def budget(comparison: Comparison, view: View) -> tuple[str, str]:
    """Return the letter of the best run within the budget and the sentence that says so; "" where there is no budget."""
    if view.bound is None:
        return "", ""
    bounded, free = (view.x, view.y) if view.bound_on == "x" else (view.y, view.x)
    best = best_within(metric_frame(comparison), bounded, view.bound, free)
    return best.letter, best.sentence


def of_tradeoff(comparison: Comparison, view: View, dark: bool = False) -> tuple[Picture, ...]:
    """Return two figures of all runs against each other; what is best within the budget is ringed, and `budget` says it."""
    frame, (best, _) = metric_frame(comparison), budget(comparison, view)
    fig = plots.tradeoff(frame, x=view.x, y=view.y, bound=view.bound, bound_on=view.bound_on, best=best, dark=dark)
    words = plots.tradeoff_caption(frame, view.x, view.y)
    up, across = (comparison.metrics[name].title for name in (view.y, view.x))
    title = f"{up} against {across[:1].lower()}{across[1:]}"
    return (Picture(f"{view.y}-{view.x}", title, fig, words),)


def of_family(frame: pd.DataFrame, metric: Metric = ACCURACY, dark: bool = False) -> tuple[Picture, ...]:
    """Return where the runs come from."""
    fig, words = plots.family_tree(frame, metric=metric, dark=dark), plots.lineage_caption(frame, metric)
    return (Picture("lineage", "Where do they come from?", fig, words),)
