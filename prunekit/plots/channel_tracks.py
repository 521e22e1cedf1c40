"""Where the tracks of coupled groups stand, and which words end the rows: places for the picture, no traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from prunekit.plots import theme

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
