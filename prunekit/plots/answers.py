"""What models answer to one sample: the share that each gives to the same things, as bars beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from prunekit.formatting import listed, percent, short
from prunekit.plots import light_figure, theme
from prunekit.tasks.shown import MOST, Bars

ROW = 15  # pixels of a bar


def answer_bars(answers: Mapping[str, Bars], *, colours: Sequence[str] = (), most: int = MOST, dark: bool = False) -> go.Figure:
    """Draw the shares of several models, the largest of the first on top.

    ``colours``: of the models; by default slate for the first and teal for the second.
    """
    first, *others = answers.values()
    places = first.first(*others, most=most)
    labels = [short(first.name(k), 28) for k in places]
    shades = list(colours) or [theme.dense(dark), theme.KEPT][: len(answers)]
    traces = [
        light_figure.bar(
            x=[float(each.shares[k]) for k in places], y=list(range(len(places))), orientation="h", name=name, marker={"color": shade},
            text=[percent(float(each.shares[k])) for k in places], textposition="outside", cliponaxis=False, customdata=labels,
            hovertemplate="<b>%{customdata}</b> %{text}<extra>" + name + "</extra>",
        )
        for (name, each), shade in zip(answers.items(), shades, strict=True)
    ]  # fmt: skip
    ticks = {"tickvals": list(range(len(places))), "ticktext": labels, "tickfont": {"size": 14, "color": theme.ink(dark)}}
    return theme.figure(
        traces,
        dark=dark,
        height=78 + len(places) * (10 + ROW * len(answers)),
        barmode="group",
        bargap=0.28,
        legend={"traceorder": "normal"},
        xaxis={"range": [0, 1.12], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1], "title": {"text": ""}},
        yaxis={"autorange": "reversed", "showgrid": False, **ticks},
    )


def answers_caption(answers: Mapping[str, Bars]) -> str:
    """Say what the first of some models answers, what the others make of it, and how far they are from it."""
    (name, first), *rest = answers.items()
    said = [f"{name} says “{first.said}” ({percent(float(first.shares[first.best]))})"]
    for other_name, other in rest:
        theirs = "the same" if first.best == other.best else f"“{other.said}”"
        said.append(f"{other_name} {theirs} ({percent(float(other.shares[other.best]))})")
    if not rest:
        return f"{said[0]}."
    far = {other_name: percent(float(abs(first.shares - other.shares).sum() / 2)) for other_name, other in rest}
    apart = listed([f"{share} ({other_name})" for other_name, share in far.items()]) if rest[1:] else far[rest[0][0]]
    return (
        f"{', '.join(said)}. {apart} of the share lies elsewhere than before (total variation), on this one sample: what a test set says "
        "stands above."
    )
