"""What runs do to single classes: accuracy by class beside the dense model's, and how the confusion matrix changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from prunekit.evaluation.quality import DENSE
from prunekit.formatting import plural, short
from prunekit.plots import theme
from prunekit.plots.compare_layers import letter_colour, letters_of
from prunekit.plots.quality_axis import up_to_all
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import PERCENT, Metric

MOST_CLASSES = 24  # of more classes those show that changed most
ROW = 13  # pixels of one run within a class

Counts = NDArray[np.int64]


def most_changed(frame: pd.DataFrame, most: int = MOST_CLASSES) -> pd.DataFrame:
    """Return the rows of the classes whose accuracy changed most in any run, in their own order.

    Parameters
    ----------
    frame : DataFrame
        As for :func:`class_dumbbells`.
    most : int
        How many classes to keep.
    """
    change = frame["change"].abs().groupby(frame["name"], sort=False).max()
    return frame[frame["name"].isin(change.nlargest(most).index)]


def class_dumbbells(
    frame: pd.DataFrame,
    *,
    what: str = "accuracy within the class",
    dark: bool = False,
    metric: Metric = ACCURACY,
    intervals: bool = False,
) -> go.Figure:
    """Draw each class's quality as dumbbells: from the dense model's mark to each run's dot.

    Parameters
    ----------
    frame : DataFrame
        ``by_class`` of `prunekit.comparison.behaviour`, the dense model among the runs.
    what : str
        Title of the axis.
    metric : Metric
        How values and changes are written.
    intervals : bool
        Whether the paired interval of the change is drawn around each run's dot.

    Returns
    -------
    plotly.graph_objects.Figure
        The dense model's marks first, then for each run its bars and its dots, named by its letter.
    """
    labels, letters = list(dict.fromkeys(frame["name"])), letters_of(frame)
    dense = frame[frame["letter"] == DENSE].set_index("name").reindex(labels)
    runs = [letter for letter in letters if letter != DENSE]
    traces: list[object] = [_ticks(dense, len(runs), dark, metric)]
    for place, letter in enumerate(runs):
        rows = frame[frame["letter"] == letter].set_index("name").reindex(labels)
        y = np.arange(len(labels)) + (place - (len(runs) - 1) / 2) * 0.72 / max(len(runs), 1)
        traces += [
            _bars(dense["accuracy"], rows["accuracy"], y, letter, dark),
            *theme.intervals_over(_dots(rows, y, letter, dark, metric=metric, intervals=intervals), dark),
        ]
    height = 70 + len(labels) * max(26, 14 + ROW * len(runs))
    fig = theme.figure(traces, dark=dark, height=height)
    if metric.unit == PERCENT:
        least = float(frame["accuracy"].min()) if len(frame) else 0.0
        fig.update_xaxes(tickformat=".0%", title_text=what, range=up_to_all(max(0.0, least - 0.05) - 0.02))
    else:
        fig.update_xaxes(title_text=what)
    fig.update_yaxes(range=[len(labels) - 0.4, -0.6], tickvals=list(range(len(labels))), ticktext=[short(n) for n in labels])
    return fig


def _bars(before: pd.Series, after: pd.Series, y: NDArray[np.floating[Any]], letter: str, dark: bool) -> go.Scatter:
    """Return the lines from the dense model's accuracy to a run's."""
    x = np.column_stack([before, after, np.full(len(y), np.nan)]).ravel()
    line = {"color": theme.fade(letter_colour(letter, dark), 0.45), "width": 4}
    return go.Scatter(x=x, y=np.repeat(y, 3), mode="lines", line=line, hoverinfo="skip", showlegend=False, legendgroup=letter)


def _dots(rows: pd.DataFrame, y: NDArray[np.floating[Any]], letter: str, dark: bool, *, metric: Metric, intervals: bool) -> go.Scatter:
    """Return a run's values; hollow where the change may be chance."""
    changes = [metric.format_difference(float(change)) for change in rows["change"]]
    data = list(zip(rows.index, changes, rows["n"], map(metric.format, rows["accuracy"]), strict=True))
    whiskers: dict[str, Any] = {}
    if intervals:
        whiskers["error_x"] = {"array": rows["change_high"] - rows["change"], "arrayminus": rows["change"] - rows["change_low"]}
    colour = letter_colour(letter, dark)
    fills = [colour if told else theme.paper(dark) for told in rows["significant"]]
    return go.Scatter(
        x=rows["accuracy"], y=y, mode="markers", name=letter, legendgroup=letter, customdata=data,
        marker={"color": fills, "size": 10, "line": {"width": 2, "color": colour}},
        hovertemplate=f"<b>{letter}</b>, %{{customdata[0]}}: %{{customdata[3]}}<br>%{{customdata[1]}}, n = %{{customdata[2]:,}}"
        "<extra></extra>",
        **whiskers,
    )  # fmt: skip


def _ticks(dense: pd.DataFrame, runs: int, dark: bool, metric: Metric) -> go.Scatter:
    """Return the dense model's accuracies as upright ticks across all its runs."""
    data = list(zip(dense.index, dense["n"], map(metric.format, dense["accuracy"]), strict=True))
    return go.Scatter(
        x=dense["accuracy"], y=list(range(len(dense))), mode="markers", name=DENSE, customdata=data,
        marker={"symbol": "line-ns", "size": 10 + (ROW - 3) * runs, "line": {"width": 3, "color": letter_colour(DENSE, dark)}},
        hovertemplate="<b>Dense</b>, %{customdata[0]}: %{customdata[2]}<br>n = %{customdata[1]:,}<extra></extra>",
    )  # fmt: skip


def classes_caption(frame: pd.DataFrame, *, metric: Metric = ACCURACY, kind: str = "class") -> str:
    """Say which class loses most in which run, from the rows in view.

    Parameters
    ----------
    frame, metric
        As for :func:`class_dumbbells`.
    kind : str
        What the rows are.
    """
    runs = frame[frame["letter"] != DENSE]
    if runs.empty:
        return "Pick a run beside the dense model."
    if not runs["change"].abs().max():
        return f"No {kind} changed in any run."
    low, high = runs.loc[runs["change"].idxmin()], runs.loc[runs["change"].idxmax()]
    text = f"**{low['name']}** loses most: {_change(low, metric)}." if low["change"] < 0 else f"No {kind} loses."
    if high["change"] > 0:
        text += f" **{high['name']}** gains most: {_change(high, metric)}."
    told = int(runs["significant"].sum())
    return text + (f" Filled dots ({told}) are more than chance." if told else " Hollow dots: none of these changes is more than chance.")


def _change(row: pd.Series, metric: Metric) -> str:
    """Return a change in words."""
    return f"{metric.format_difference(float(row['change']))} in {row['letter']} (n = {int(row['n']):,})"


def confusion_change(change: Counts, labels: list[str], *, dark: bool = False) -> go.Figure:
    """Draw how many more or fewer samples of each class get each answer than from the dense model.

    Parameters
    ----------
    change : ndarray of int, shape [classes, classes]
        The run's confusion matrix minus the dense model's; rows are labels, columns answers.
    labels : list of str
        Names of the classes.

    Returns
    -------
    plotly.graph_objects.Figure
        Teal is better (more right, fewer wrong), vermilion worse; the middle of the scale is no change.
    """
    places = moved(change)
    part, names = change[np.ix_(places, places)], [labels[i] for i in places]
    better = np.where(np.eye(len(places), dtype=bool), part, -part).astype(float)
    reach = float(np.abs(better).max(initial=0)) or 1.0
    words = [["" if v == 0 else f"{int(v):+d}".replace("-", "−") for v in row] for row in part]
    trace = go.Heatmap(
        z=better, x=list(range(len(names))), y=list(range(len(names))), zmin=-reach, zmax=reach, showscale=False, xgap=2, ygap=2,
        colorscale=[[0, theme.REMOVED], [0.5, theme.grid(dark)], [1, theme.KEPT]], text=words, texttemplate="%{text}",
        customdata=[[(truth, said) for said in names] for truth in names],
        hovertemplate="samples of %{customdata[0]} said to be %{customdata[1]}: %{text}<extra></extra>",
    )  # fmt: skip
    side = max(20, min(34, 440 // max(len(names), 1)))
    fig = theme.figure([trace], dark=dark, height=116 + side * len(names), margin={"t": 34})
    ticks = {"tickvals": list(range(len(names))), "ticktext": [short(name, 12) for name in names], "showgrid": False}
    fig.update_xaxes(title_text="answer", side="bottom", **ticks)
    fig.update_yaxes(title_text="label", autorange="reversed", **ticks)
    return fig


def moved(change: Counts, most: int = MOST_CLASSES) -> list[int]:
    """Return the classes whose row or column changed most, in their own order; all where there are few."""
    if len(change) <= most:
        return list(range(len(change)))
    weight = np.abs(change).sum(axis=0) + np.abs(change).sum(axis=1)
    return sorted(int(i) for i in np.argsort(-weight, kind="stable")[:most])


def confusion_caption(change: Counts, labels: list[str], letter: str) -> str:
    """Say which mistake became more frequent, and which less.

    Parameters
    ----------
    change, labels
        As for :func:`confusion_change`.
    letter : str
        Of the run.
    """
    wrong = np.where(np.eye(len(change), dtype=bool), 0, change)
    if not np.abs(change).sum():
        return f"{letter} gives the same answers as the dense model, class by class."
    text = "Teal: better than dense, vermilion: worse; numbers are samples."
    if wrong.max(initial=0) > 0:
        truth, said = np.unravel_index(int(wrong.argmax()), wrong.shape)
        text += f" {letter} takes {plural(int(wrong.max()), 'more sample')} of **{labels[truth]}** for **{labels[said]}**."
    if wrong.min(initial=0) < 0:
        truth, said = np.unravel_index(int(wrong.argmin()), wrong.shape)
        fewer = plural(-int(wrong.min()), "sample")
        text += f" {fewer} fewer of **{labels[truth]}** {'is' if wrong.min() == -1 else 'are'} taken for **{labels[said]}**."
    return text
