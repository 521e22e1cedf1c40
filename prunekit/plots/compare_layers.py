"""Layers and weights of several runs on one axis: what is gone from each, how wide each is, outlines of their weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from prunekit.evaluation.quality import DENSE
from prunekit.formatting import count, percent, short
from prunekit.plots import theme

MOST_BARS = 150  # beyond it bars give way to marks that stand upright
BAR, GAP = 12, 12  # pixels of one bar, and between layers


def letter_colour(letter: str, dark: bool = False) -> str:
    """Return the colour of a run by its letter, slate grey for the dense baseline; the same in every picture."""
    return theme.dense(dark) if letter == DENSE else theme.run_colour(ord(letter[0]) - ord("A"), dark)


def letters_of(frame: pd.DataFrame, column: str = "letter") -> list[str]:
    """Return the runs of a frame in order of picking, the dense baseline first."""
    return sorted(frame[column].unique(), key=lambda letter: (letter != DENSE, letter))


def layers_beside(frame: pd.DataFrame, *, by: str = "sparsity", dark: bool = False) -> go.Figure:
    """Draw one value of each layer for all runs side by side.

    Parameters
    ----------
    frame : DataFrame
        Of `prunekit.comparison.layer_frame`: a row for each layer and run, layers in the order of depth; rows of ``Dense`` may be left out.
    by : {"sparsity", "width"}
        What is drawn: the share of weights that are gone, or output channels, the dense layer's beside.

    Returns
    -------
    plotly.graph_objects.Figure
        One trace a run, named by its letter; lying bars, or upright marks where there are very many.
    """
    runs = frame[frame["letter"] != DENSE]
    shown = _with_dense(runs) if by == "width" else runs
    letters, layers = letters_of(shown), list(dict.fromkeys(shown["layer"]))
    flat = len(letters) * len(layers) <= MOST_BARS
    draw = _bars if flat else _marks
    traces = [draw(shown[shown["letter"] == letter], letter, by, dark) for letter in letters]
    height = 64 + len(layers) * (GAP + BAR * len(letters)) if flat else 400
    fig = theme.figure(traces, dark=dark, height=height, barmode="group", bargap=GAP / (GAP + BAR * max(len(letters), 1)), bargroupgap=0.1)
    _axes(fig, layers, by, flat)
    return fig


def _with_dense(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the dense layers as rows of their own, first."""
    dense = frame.drop_duplicates("layer").assign(letter=DENSE, sparsity=0.0)
    return pd.concat([dense.assign(width_after=dense["width_before"], kept=dense["weights"]), frame], ignore_index=True)


def _hover(rows: pd.DataFrame, letter: str, place: str) -> dict[str, object]:
    """Return what hovering says of a layer of a run."""
    names = ("kept", "weights", "width_after", "width_before")
    return {
        "customdata": list(zip(map(percent, rows["sparsity"]), *(rows[name] for name in names), strict=True)),
        "hovertemplate": (
            f"<b>{letter}</b>, %{{{place}}}<br>%{{customdata[0]}} of weights gone, %{{customdata[1]:,}} of %{{customdata[2]:,}} left"
            "<br>%{customdata[3]:,} of %{customdata[4]:,} channels<extra></extra>"
        ),
    }


def _value(rows: pd.DataFrame, by: str) -> pd.Series:
    """Return what is drawn."""
    return rows["sparsity"] if by == "sparsity" else rows["width_after"]


def _bars(rows: pd.DataFrame, letter: str, by: str, dark: bool) -> go.Bar:
    """Return one run as lying bars."""
    look = {"color": letter_colour(letter, dark), "line": {"width": 0}}
    return go.Bar(x=_value(rows, by), y=rows["layer"], orientation="h", name=letter, marker=look, **_hover(rows, letter, "y"))


def _marks(rows: pd.DataFrame, letter: str, by: str, dark: bool) -> go.Scatter:
    """Return one run as upright marks: hundreds of bars would be a comb."""
    look = {"color": letter_colour(letter, dark), "size": 7, "opacity": 0.85}
    return go.Scatter(x=rows["layer"], y=_value(rows, by), mode="markers", name=letter, marker=look, **_hover(rows, letter, "x"))


def _axes(fig: go.Figure, layers: Sequence[str], by: str, flat: bool) -> None:
    """Give the axes their titles and units."""
    share = {"range": [0, 1.02], "tickformat": ".0%", "title_text": "weights gone from the layer"}
    values = share if by == "sparsity" else {"rangemode": "tozero", "title_text": "output channels"}
    if flat:
        fig.update_xaxes(**values)
        fig.update_yaxes(autorange="reversed", showgrid=False, type="category", tickvals=layers, ticktext=[short(n) for n in layers])
    else:
        fig.update_yaxes(**values)
        fig.update_xaxes(showticklabels=False, showgrid=False, type="category", title_text="layers, from input to output")


def layers_caption(frame: pd.DataFrame, by: str = "sparsity") -> str:
    """Say where the runs differ most, from the layers in view.

    Parameters
    ----------
    frame : DataFrame
        As for :func:`layers_beside`.
    by : {"sparsity", "width"}
        What is drawn.
    """
    frame = frame[frame["letter"] != DENSE]
    if by == "sparsity":
        frame = frame[frame["sparsity"].notna()]  # it is not known of every run which weights stay
    if frame.empty:
        return "Layers follow."
    values = frame.assign(value=frame["sparsity"] if by == "sparsity" else frame["width_after"] / frame["width_before"].clip(lower=1))
    table = values.pivot_table(index="layer", columns="letter", values="value", sort=False)
    spread = table.max(axis=1) - table.min(axis=1)
    if table.shape[1] < 2 or spread.max() < 0.0005:
        what = "lose the same share of every layer" if by == "sparsity" else "have the same widths everywhere"
        return f"All runs {what}." if table.shape[1] > 1 else _alone(table)
    layer = str(spread.idxmax())
    least, most = str(table.loc[layer].idxmin()), str(table.loc[layer].idxmax())
    low, high = percent(float(table.loc[layer, least])), percent(float(table.loc[layer, most]))
    if by == "sparsity":
        return f"They differ most in **{layer}**: {most} removes {high} of its weights, {least} {low}."
    return f"They differ most in **{layer}**: {least} keeps {low} of its channels, {most} {high}."


def _alone(table: pd.DataFrame) -> str:
    """Say which layer stands out where there is one run."""
    column = table.iloc[:, 0]
    high, low = percent(float(column.max())), percent(float(column.min()))
    return f"Highest in **{column.idxmax()}** ({high}), lowest in **{column.idxmin()}** ({low})."


def weight_outlines(frame: pd.DataFrame, *, log: bool = False, dark: bool = False) -> go.Figure:
    """Draw how the weights of each run that are not zero are distributed.

    Parameters
    ----------
    frame : DataFrame
        Of `prunekit.comparison.weight_bins`: columns ``letter``, ``left``, ``right`` (edges, equal for all runs) and ``count``; zeros are
        rows of their own, without width, and are not drawn.
    log : bool
        Whether counts stand on a logarithmic scale.

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
