"""Weights of several runs over one set of bins: outlines in the runs' colours before the dense model's filled shape."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from prunekit.comparison.letters import DENSE
from prunekit.formatting import count
from prunekit.plots import theme
from prunekit.plots.compare_layers import letter_colour, letters_of


def weight_outlines(frame: pd.DataFrame, *, log: bool = False, dark: bool = False) -> go.Figure:
    """Draw how the weights of each run that are not zero are distributed.

    Parameters
    ----------
    frame : DataFrame
        Of `prunekit.comparison.weight_bins`: columns ``letter``, ``left``, ``right`` (edges, equal for all runs) and ``count``; zeros are
        rows of their own, without width, and are not drawn.
    log : bool
        Whether counts stand on a logarithmic scale.
    dark : bool
        For a dark page.

    Returns
    -------
    plotly.graph_objects.Figure
        One trace a run, named by its letter; the dense model is filled and lies behind.
    """
    frame = _drawn(frame)
    traces = [_outline(frame[frame["letter"] == letter], letter, dark) for letter in letters_of(frame)]
    fig = theme.figure(traces, dark=dark, height=380, hovermode="x unified")
    fig.update_xaxes(title_text="value of the weight", hoverformat=".3g", range=_reach(frame))
    fig.update_yaxes(title_text="weights in the bin" + (" (log scale)" if log else ""), tickformat="~s")
    fig.update_yaxes(**({"type": "log", "dtick": 1} if log else {"rangemode": "tozero"}))
    return fig


def _drawn(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the bins without the rows of zeros."""
    return frame[frame["left"] < frame["right"]]


def _reach(frame: pd.DataFrame, share: float = 0.999) -> list[float] | None:
    """Return the range about zero that holds nearly all weights of every run: a single large one would leave the rest a needle."""
    most = 0.0
    for _, rows in frame.groupby("letter"):
        near = rows.assign(far=rows[["left", "right"]].abs().max(axis=1)).sort_values("far")
        inside = near["count"].cumsum() >= share * near["count"].sum()
        most = max(most, float(near.loc[inside, "far"].min()))
    return [-most, most] if most else None


def _outline(rows: pd.DataFrame, letter: str, dark: bool) -> go.Scatter:
    """Return the steps of one run; its last edge closes the last bin."""
    rows = rows.sort_values("left")
    edges = np.append(rows["left"], rows["right"].iloc[-1:])
    counts = np.append(rows["count"], rows["count"].iloc[-1:])
    colour, dense = letter_colour(letter, dark), letter == DENSE
    return go.Scatter(
        x=edges, y=counts, mode="lines", name=letter, line={"shape": "hv", "color": colour, "width": 1 if dense else 2},
        fill="tozeroy" if dense else "none", fillcolor=theme.fade(colour, 0.22), hovertemplate="%{y:,} weights",
    )  # fmt: skip


def weights_caption(frame: pd.DataFrame) -> str:
    """Say how many weights are left and how the shape changed, from the bins in view.

    Parameters
    ----------
    frame : DataFrame
        As for :func:`weight_outlines`.
    """
    if frame.empty:
        return "Weights follow."
    nothing = frame[frame["left"] == frame["right"]].groupby("letter")["count"].sum()
    frame = _drawn(frame)
    left = {letter: int(frame.loc[frame["letter"] == letter, "count"].sum()) for letter in letters_of(frame)}
    words = [f"{letter} {count(n)}" for letter, n in left.items()]
    text = f"Weights that are not zero: {', '.join(words)}, over one set of bins."
    gone = [f"{letter} {count(n)}" for letter, n in nothing.items() if n]
    return text + (f" Not drawn are zeros: {', '.join(gone)}." if gone else "") + _gap(frame)


def _gap(frame: pd.DataFrame) -> str:
    """Say which runs have nothing left around zero though the dense model has."""
    middle = frame[(frame["left"] <= 0) & (frame["right"] >= 0)]
    if not (middle.loc[middle["letter"] == DENSE, "count"] > 0).any():
        return ""
    empty = [letter for letter in letters_of(middle) if middle.loc[middle["letter"] == letter, "count"].sum() == 0]
    return f" {' and '.join(empty)} {'has' if len(empty) == 1 else 'have'} nothing left around zero." if empty else ""
