"""Where runs come from: a tree that grows from the dense model downwards, one run a row."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from prunekit.formatting import plural
from prunekit.plots import theme
from prunekit.plots.compare_layers import letter_colour
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import LOWER, PERCENT, Metric
from prunekit.tasks.wording import change_text, written

ROW = 34  # pixels of one run
STEP = 1.0  # from a run to what was made of it
FIRST_SHARE = 0.06  # of the width that one step takes at most


def family_tree(frame: pd.DataFrame, *, metric: Metric = ACCURACY, dark: bool = False) -> go.Figure:
    """Draw runs as a tree, each with its title and quality; picked ones in their colours.

    Parameters
    ----------
    frame : DataFrame
        One row a step, a parent before what was made of it and its family below it; columns ``key``, ``parent`` ("" for none),
        ``depth`` (0 for the dense model), ``step``, ``title``, ``letter`` ("" where not picked), ``accuracy`` (a value, or NaN) and
        ``note`` (why nothing is kept of it, or "").
    metric : Metric
        What was measured.

    Returns
    -------
    plotly.graph_objects.Figure
        The last trace holds the runs; a click gives the key in ``customdata[0]``.
    """
    rows = {run: place for place, run in enumerate(frame["key"])}
    fig = theme.figure(
        [_branches(frame, rows, dark), _runs(frame, metric, dark)], dark=dark, height=24 + ROW * len(frame), showlegend=False
    )
    deepest = int(frame["depth"].max()) if len(frame) else 0
    fig.update_xaxes(visible=False, range=[-0.4, deepest + STEP / FIRST_SHARE * max(0.5, 1 - 0.06 * deepest)])
    fig.update_yaxes(visible=False, range=[len(frame) - 0.5, -0.5])
    return fig


def _branches(frame: pd.DataFrame, rows: dict[str, int], dark: bool) -> go.Scatter:
    """Return the lines from each run to its parent: down, then across."""
    x: list[float | None] = []
    y: list[float | None] = []
    depths = dict(zip(frame["key"], frame["depth"], strict=True))
    for place, (parent, depth) in enumerate(zip(frame["parent"], frame["depth"], strict=True)):
        if parent in rows:
            x += [depths[parent], depths[parent], depth, None]
            y += [rows[parent], place, place, None]
    line = {"color": theme.fade_any(theme.muted(dark), 0.45), "width": 1.5}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip")


def _runs(frame: pd.DataFrame, metric: Metric, dark: bool) -> go.Scatter:
    """Return the runs as dots, hollow where they are not picked, with their words beside."""
    plain = theme.muted(dark)
    dense = frame["depth"] == 0
    colours = [
        letter_colour(letter, dark) if letter else theme.dense(dark) if root else plain
        for letter, root in zip(frame["letter"], dense, strict=True)
    ]
    filled = [bool(letter) or bool(root) for letter, root in zip(frame["letter"], dense, strict=True)]
    fills = [colour if full else theme.paper(dark) for colour, full in zip(colours, filled, strict=True)]
    words = [_words(row, metric) for row in frame.itertuples()]
    return go.Scatter(
        x=frame["depth"], y=list(range(len(frame))), mode="markers+text", textposition="middle right", text=words,
        textfont={"color": [theme.ink(dark) if full else plain for full in filled], "size": 13}, cliponaxis=False,
        marker={"size": 14, "color": fills, "line": {"width": 2.5, "color": colours}},
        customdata=list(zip(frame["key"], frame["note"].where(frame["note"] != "", frame["step"]), strict=True)),
        hovertemplate="%{customdata[1]}<br><i>click: open it</i><extra></extra>",
    )  # fmt: skip


def _words(row: object, metric: Metric) -> str:
    """Return what stands beside a dot."""
    letter, title, value = (getattr(row, name) for name in ("letter", "title", "accuracy"))
    first = f"<b>{letter}</b>  " if letter else ""
    return f"  {first}{title}" + (f"  ·  {written(metric, value)}" if pd.notna(value) else "")


def lineage_caption(frame: pd.DataFrame, metric: Metric = ACCURACY) -> str:
    """Say how many steps the longest line takes, and which step cost or brought most quality.

    Parameters
    ----------
    frame, metric
        As for :func:`family_tree`.
    """
    if frame.empty:
        return "Runs follow."
    text = f"{plural(len(frame), 'run')}, at most {plural(int(frame['depth'].max()), 'step')} from the dense model."
    known = frame.set_index("key")["accuracy"]
    change = (frame["accuracy"] - frame["parent"].map(known)).set_axis(frame["title"]).dropna()
    lost = change if metric.better == LOWER else -change
    seen = 0.0005 * (1.0 if metric.unit == PERCENT else float(known.abs().max()) or 1.0)
    for words, most in ((" The dearest step is **{}** ({}).", lost), (" **{}** brings {}.", -lost)):
        if len(most) and most.max() > seen:
            text += words.format(most.idxmax(), change_text(metric, float(change.iloc[int(most.argmax())])))
    return text
