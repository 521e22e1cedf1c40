"""Coupled groups as tracks: layers down the page, each group a line that stops at its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from prunekit.formatting import short
from prunekit.plots import theme

# the x axis counts in about pixels, at the narrowest width that the picture is made for
PITCH = 24  # between two layers
NUMBERS = 30  # room for the channels at the left
WORDS = 150  # room for the words at the right
STEADY: dict[str, Any] = {"selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 1}}}  # a click dims nothing


def coupled(
    layers: pd.DataFrame,
    groups: pd.DataFrame,
    ties: pd.DataFrame,
    *,
    selected: int | None = None,
    notes: Mapping[str, str] | None = None,
    window: tuple[int, int] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Draw which layers shrink together, and through which operation.

    A group of several layers is a line with a dot at each of them, and with a sign above the layer that an operation ties to those
    before it; short lines lie inside, long ones outside. A layer that shrinks alone is a ring, one that cannot shrink a grey square;
    heads of attention, and the dimensions in each, are diamonds.

    Parameters
    ----------
    layers : DataFrame
        In the order of depth; columns ``name``, ``channels`` (outputs), ``group`` (the group that it forms alone, or -1) and ``why``
        (the reason why it cannot shrink, or empty);
        optionally ``heads`` and ``dimensions`` (the groups that attention forms, or -1) and ``inside`` (both in words, or empty).
    groups : DataFrame
        Those of two or more layers; columns ``group`` (a number of the caller's), ``layers`` (tuple of names), ``channels`` (the
        thickness of the line) and ``text`` (the direct label).
    ties : DataFrame
        Columns ``group``, ``sign`` (one or two letters), ``layers`` (tuple of names) and ``text`` (shown on hovering).
    selected : int, optional
        The group to single out: the others fade and lose their labels.
    notes : mapping of str to str, optional
        Layer name to words at the end of its row; shown in place of the labels where a group is selected.
    window : tuple of int, optional
        First and last row to show; all when left out.

    Returns
    -------
    plotly.graph_objects.Figure
        A click on a ring, a dot, a sign or a label gives the group in ``customdata[0]``, -1 where there is none.
    """
    first, last = window or (0, len(layers) - 1)
    names = list(layers["name"])
    tracks = placed(groups, names, selected, dark)
    edge = LANE * (1 + max((track.lane for track in tracks), default=0)) + 14
    shown = range(first, last + 1)
    if selected is None:
        words = labels(tracks, shown) + heads_words(layers, tracks, shown, dark)
    else:
        words = beside(names, tracks, notes or {}, selected, dark)
    traces = [_line(track) for track in reversed(tracks)]
    traces += [_leaders(words, edge, dark), _numbers(layers, dark), _alone(layers, selected, dark), _heads(layers, selected, dark)]
    traces += [_stops(tracks, names), _signs(tracks, names, ties, dark), _words(words, edge, dark)]
    fig = theme.figure(traces, dark=dark, height=PITCH * (last - first + 1) + 20, showlegend=False)
    fig.update_xaxes(visible=False, range=[-NUMBERS, edge + WORDS], fixedrange=True)
    fig.update_yaxes(
        range=[last + 0.7, first - 0.7], showgrid=False, fixedrange=True, tickvals=list(range(first, last + 1)),
        ticktext=[_name(layer, dark) for layer in layers.iloc[first : last + 1].itertuples()],
    )  # fmt: skip
    return fig


def _line(track: Track) -> go.Scatter:
    """Return one group: branches to its layers, and the line that joins them."""
    branches = [(x, row) for row in track.rows for x in (2, track.x, None)]
    points = [*branches, (track.x, track.rows[0]), (track.x, track.rows[-1])]
    line = {"color": track.colour, "width": track.width}
    return go.Scatter(x=[x for x, _ in points], y=[y for _, y in points], mode="lines", line=line, hoverinfo="skip")


def _leaders(words: Sequence[Word], edge: float, dark: bool) -> go.Scatter:
    """Return thin lines that lead to the words."""
    points = [(x, word.row) for word in words for x in (word.start, edge - 4, None)]
    line = {"color": theme.muted(dark), "width": 1, "dash": "dot"}
    return go.Scatter(x=[x for x, _ in points], y=[y for _, y in points], mode="lines", line=line, opacity=0.7, hoverinfo="skip")


def _words(words: Sequence[Word], edge: float, dark: bool) -> go.Scatter:
    """Return the words at the end of the rows."""
    return go.Scatter(
        x=[edge] * len(words), y=[word.row for word in words], mode="text", text=[word.text for word in words], textposition="middle right",
        textfont={"size": 12, "color": theme.ink(dark)}, customdata=[[word.group] for word in words], hoverinfo="none", cliponaxis=False,
        selected={"textfont": {"color": theme.ink(dark)}}, unselected={"textfont": {"color": theme.ink(dark)}},
    )  # fmt: skip


def _numbers(layers: pd.DataFrame, dark: bool) -> go.Scatter:
    """Return the number of output channels beside each name."""
    return go.Scatter(
        x=[-6] * len(layers), y=list(range(len(layers))), mode="text", text=[f"{n}" for n in layers["channels"]],
        textposition="middle left", textfont={"color": theme.muted(dark), "size": 11}, hoverinfo="skip",
    )  # fmt: skip


def _alone(layers: pd.DataFrame, selected: int | None, dark: bool) -> go.Scatter:
    """Return a ring for each layer that shrinks alone, filled for the selected one, and a square for each that cannot shrink."""
    rows = [(row, layer) for row, layer in enumerate(layers.itertuples()) if layer.group >= 0 or layer.why]
    says = [f"cannot shrink: {layer.why}" if layer.why else f"{layer.channels:,} channels, shrinks alone" for _, layer in rows]
    symbols = ["square" if layer.why else "circle" if layer.group == selected else "circle-open" for _, layer in rows]
    colours = [theme.fade(theme.dense(dark), 0.55) if layer.why else theme.ink(dark) for _, layer in rows]
    return go.Scatter(
        x=[5] * len(rows), y=[row for row, _ in rows], mode="markers", hovertemplate="%{text}<extra></extra>",
        text=[f"<b>{layer.name}</b><br>{said}" for (_, layer), said in zip(rows, says, strict=True)],
        customdata=[[int(layer.group)] for _, layer in rows],
        marker={"symbol": symbols, "size": 7, "color": colours, "line": {"width": 1.5, "color": colours}, "opacity": 1}, **STEADY,
    )  # fmt: skip


def _heads(layers: pd.DataFrame, selected: int | None, dark: bool) -> go.Scatter:
    """Return a diamond for the heads of each attention and a tall one for the dimensions of each head, filled for the selected one."""
    if "inside" not in layers:
        return go.Scatter()
    marks = [
        (x, row, layer.name, group, shape, words)
        for row, layer in enumerate(layers.itertuples())
        for x, group, shape, words in (
            (5, layer.heads, "diamond", "its heads"),
            (15, layer.dimensions, "diamond-tall", "the dimensions of each head"),
        )
        if group >= 0
    ]
    symbols = [shape if group == selected else f"{shape}-open" for _, _, _, group, shape, _ in marks]
    return go.Scatter(
        x=[mark[0] for mark in marks], y=[mark[1] for mark in marks], mode="markers", hovertemplate="%{text}<extra></extra>",
        text=[f"<b>{name}</b><br>{words} can go" for _, _, name, _, _, words in marks], customdata=[[int(mark[3])] for mark in marks],
        marker={"symbol": symbols, "size": 8, "color": theme.ink(dark), "line": {"width": 1.5, "color": theme.ink(dark)}, "opacity": 1},
        **STEADY,
    )  # fmt: skip


def _stops(tracks: Sequence[Track], names: Sequence[str]) -> go.Scatter:
    """Return a dot for each member of each group."""
    stops = [(track, row) for track in tracks for row in track.rows]
    return go.Scatter(
        x=[track.x for track, _ in stops], y=[row for _, row in stops], mode="markers", hovertemplate="%{text}<extra></extra>",
        text=[f"<b>{names[row]}</b><br>{track.text}:<br>{_listed([names[r] for r in track.rows])}" for track, row in stops],
        customdata=[[track.group] for track, _ in stops],
        marker={
            "size": [6 + track.width / 2 for track, _ in stops], "color": [track.colour for track, _ in stops],
            "opacity": 1, "line": {"width": 0},
        },
        **STEADY,
    )  # fmt: skip


def _listed(names: Sequence[str], most: int = 12) -> str:
    """Return names line by line, not too many."""
    rest = [f"and {len(names) - most} more"] if len(names) > most else []
    return "<br>".join([*names[:most], *rest])


def _signs(tracks: Sequence[Track], names: Sequence[str], ties: pd.DataFrame, dark: bool) -> go.Scatter:
    """Return a sign on the line above the last layer of each operation: there it joins those before."""
    place, lines = {name: row for row, name in enumerate(names)}, {track.group: track for track in tracks if not track.faded}
    met: dict[tuple[int, int], list[Any]] = {}
    for tie in ties.itertuples():
        if tie.group in lines:
            met.setdefault((tie.group, max(place[name] for name in tie.layers)), []).append(tie)
    text = ["".join(dict.fromkeys(tie.sign for tie in found)) for found in met.values()]
    return go.Scatter(
        x=[lines[group].x for group, _ in met], y=[row - 0.5 for _, row in met], mode="markers+text",
        text=text, textfont={"size": 10, "color": theme.ink(dark)},
        customdata=[[group, "<br>".join(tie.text for tie in found)] for (group, _), found in met.items()],
        hovertemplate="%{customdata[1]}<extra></extra>",
        marker={
            "size": [14 if len(sign) < 2 else 17 for sign in text], "color": theme.paper(dark), "opacity": 1,
            "line": {"width": 1.5, "color": [lines[group].colour for group, _ in met]},
        },
        selected={"marker": {"opacity": 1}, "textfont": {"color": theme.ink(dark)}},
        unselected={"marker": {"opacity": 1}, "textfont": {"color": theme.ink(dark)}},
    )  # fmt: skip


def _name(layer: Any, dark: bool) -> str:
    """Return a layer's name for the axis, grey where it cannot shrink."""
    name = tail(layer.name)
    return (
        f'<span style="color:{theme.muted(dark)}"><i>{name}</i></span>'
        if layer.why
        else f'<span style="color:{theme.ink(dark)}">{name}</span>'
    )


def tail(name: str, most: int = 30) -> str:
    """Return the end of a long name, from one of its dots on where that fits: ``…block1-0.f.se.fc2``."""
    parts = name.split(".")
    while len(name) > most and len(".".join(parts)) >= most and len(parts) > 1:
        parts = parts[1:]
    end = ".".join(parts)
    if len(end) < len(name) and len(end) < 0.6 * most:
        return short(name, most)  # so little would tell nothing apart
    return short(end if end == name else "…" + end, most)


LANE = 32  # of one track; the x axis counts in about pixels


@dataclass(frozen=True)
class Track:
    """One group, placed: its rows, where its line stands and how it looks."""

    group: int
    rows: tuple[int, ...]
    text: str
    colour: str
    width: float
    lane: int
    faded: bool

    @property
    def x(self) -> float:
        """Where the line stands."""
        return LANE * (self.lane + 0.7)


def placed(groups: pd.DataFrame, names: Sequence[str], selected: int | None, dark: bool) -> list[Track]:
    """Place the groups, inner ones first: short spans take the first lane that is free along them."""
    place = {name: i for i, name in enumerate(names)}
    found = [(tuple(sorted(place[name] for name in group.layers)), i, group) for i, group in enumerate(groups.itertuples())]
    found.sort(key=lambda entry: (entry[0][-1] - entry[0][0], entry[0]))
    most, taken, tracks = max(groups["channels"].max(), 1) if len(groups) else 1, [], []  # type: ignore[var-annotated]
    for rows, i, group in found:
        lane = next((lane for lane, spans in enumerate(taken) if all(rows[-1] < a or rows[0] > b for a, b in spans)), len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((rows[0], rows[-1]))
        faded = selected is not None and group.group != selected
        colour = theme.fade(theme.run_colour(i, dark), 0.2 if faded else 1)
        tracks.append(Track(int(group.group), rows, group.text, colour, 1.5 + 4 * (group.channels / most) ** 0.5, lane, faded))
    return tracks


@dataclass(frozen=True)
class Word:
    """Words at the end of a row, and what they belong to."""

    row: int
    text: str
    start: float
    group: int
    colour: str


def labels(tracks: Sequence[Track], shown: range) -> list[Word]:
    """Label each group beside its first member whose row is free; outer groups choose last."""
    words: dict[int, Word] = {}
    for track in tracks:
        free = [row for row in track.rows if row in shown and row not in words]
        if free:
            words[free[0]] = Word(free[0], track.text, track.x, track.group, track.colour)
    return list(words.values())


def beside(names: Sequence[str], tracks: Sequence[Track], notes: Mapping[str, str], selected: int, dark: bool) -> list[Word]:
    """Put the notes beside their layers: members of the selected group in its colour, others in grey."""
    chosen = next((track for track in tracks if track.group == selected), None)
    words = []
    for row, name in enumerate(names):
        if name in notes:
            member = chosen is not None and row in chosen.rows
            start, colour = (chosen.x, chosen.colour) if member and chosen else (10, theme.muted(dark))
            words.append(Word(row, notes[name], start, selected, colour))
    return words


def heads_words(layers: pd.DataFrame, tracks: Sequence[Track], shown: range, dark: bool) -> list[Word]:
    """Say how many heads attention has, where nothing else stands in its row."""
    if "inside" not in layers:
        return []
    taken = {word.row for word in labels(tracks, shown)}
    rows = [(row, layer) for row, layer in enumerate(layers.itertuples()) if layer.inside and row in shown and row not in taken]
    return [Word(row, layer.inside, 21, int(max(layer.heads, layer.dimensions)), theme.muted(dark)) for row, layer in rows]
