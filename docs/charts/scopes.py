"""How much goes: a share or a threshold, and what each scope leaves of each layer."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from charts.base import Chart, Drawn, Quote, Quotes, at, curve, dense, model, share, whole
from charts.panels import accuracy_axes, bars, line, listed, names, note, panels, place
from prunekit import PruneSpec
from prunekit.formatting import percent
from prunekit.models.layers import weight_of
from prunekit.plots import theme
from prunekit.plots.theme import KEPT, REMOVED, run_colour
from prunekit.pruning.unstructured.masks import Ranking

CNN = "digits_cnn"
SHARES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
SCOPES = ("global", "uniform", "erk")  # drawn on an image classifier; `row` is for language models
TITLES = {"global": "global", "uniform": "uniform", "erk": "ERK"}
TINTS = {"global": run_colour(0), "uniform": run_colour(1), "erk": run_colour(2)}


def scopes() -> Drawn:
    """Draw what each scope leaves of each layer at 90 %, and the accuracy that it gives."""
    fig = panels(["What stays of each layer, of 10 % in all", "Accuracy"], height=330, gap=0.12)
    found: Quotes = {"dense": share(dense(CNN).value), "test": whole(dense(CNN).n)}
    sizes = Ranking.of(model(CNN), PruneSpec()).sizes
    labels = {name: f"{name} · {size:,}" for name, size in sizes.items()}
    accuracy_axes(fig, 2, dense(CNN).value)
    for scope in reversed(SCOPES):  # bars stand from below
        points, kept = curve(CNN, PruneSpec(scope=scope), SHARES), _kept(scope, 0.9)
        line(fig, 2, points, TINTS[scope])
        text = [percent(value, 0 if value > 0.0995 else 1) for value in kept.values()]
        bars(fig, 1, list(labels.values()), list(kept.values()), TINTS[scope], text=text)
        found |= {f"{scope}_{asked:.0%}"[:-1]: share(at(points, asked).accuracy.value) for asked in (0.5, 0.7, 0.9)}
        found |= {f"{scope}_kept_{name}": share(value) for name, value in kept.items()}
    listed(fig, 1, list(labels.values()))
    fig.update_xaxes(tickformat=".0%", range=[0, 1.1], tickvals=[0, 0.25, 0.5, 0.75, 1], title_text="share that stays", **place(1))
    fig.update_layout(barmode="group", bargap=0.22, bargroupgap=0.06)
    for column, x, top in ((1, 0.66, 0.42), (2, 0.02, 0.34)):
        names(fig, column, [(TINTS[scope], TITLES[scope]) for scope in SCOPES], x=x, top=top)
    found |= {f"size_{name}": whole(size) for name, size in sizes.items()}
    return Drawn(fig, found)


def _kept(scope: str, sparsity: float) -> dict[str, float]:
    """Return the share of each layer's weights that stays."""
    ranking = Ranking.of(model(CNN), PruneSpec(scope=scope))
    return {name: 1 - gone / ranking.sizes[name] for name, gone in ranking.removed(ranking.cut(sparsity)).items()}


def amounts() -> Drawn:
    """Draw the weights with the cut at 90 %, and the share that goes below any threshold."""
    fig = panels([f"Sparsity {percent(0.9, 0)}: the threshold follows", "A threshold: the sparsity follows"], gap=0.13)
    ranking = Ranking.of(model(CNN), PruneSpec())
    weights = np.concatenate([weight_of(model(CNN), name).detach().numpy().ravel() for name in ranking.sizes])
    size = np.sort(np.abs(weights))
    cut = float(size[round(0.9 * size.size)])  # the first that stays
    _histogram(fig, weights, cut)
    grid = np.linspace(0, 0.16, 81)
    gone = np.searchsorted(size, grid) / size.size
    fig.add_trace(go.Scatter(x=grid, y=gone, mode="lines", line={"color": theme.DENSE, "width": 2}), **place(2))
    found: Quotes = {"cut": Quote(cut, f"{cut:.3f}")}
    for threshold in (0.02, 0.05):
        below = Ranking.of(model(CNN), PruneSpec(threshold=threshold))
        went = sum(below.removed(below.cut()).values()) / size.size
        found[f"{threshold:g}"] = share(went)
        fig.add_trace(go.Scatter(x=[threshold], y=[went], mode="markers", marker={"size": 9, "color": REMOVED}), **place(2))
        note(fig, 2, threshold, went, f"{threshold:g}: {percent(went)} go", theme.ink(False), xanchor="left", yanchor="top", xshift=8)
    fig.update_yaxes(tickformat=".0%", range=[-0.03, 1.05], title_text="share that goes", **place(2))
    fig.update_xaxes(title_text="threshold on |w|", **place(2))
    return Drawn(fig, found)


def _histogram(fig: go.Figure, weights: NDArray[np.floating], cut: float) -> None:
    """Draw the weights by size, what goes beside what stays."""
    edges = np.linspace(-0.2, 0.2, 81)
    for mine, tint in ((np.abs(weights) < cut, REMOVED), (np.abs(weights) >= cut, KEPT)):
        counts, _ = np.histogram(weights[mine], edges)
        fig.add_trace(go.Bar(x=(edges[:-1] + edges[1:]) / 2, y=counts, marker={"color": tint}), **place(1))
    fig.update_layout(barmode="stack", bargap=0)
    fig.update_xaxes(title_text="weight", **place(1))
    fig.update_yaxes(title_text="weights", tickformat="~s", **place(1))
    names(fig, 1, [(KEPT, "stays"), (REMOVED, "goes"), ("#ffffff", f"|w| = {cut:.3f}")], x=0.66, top=0.9)


CHARTS = (Chart("scopes", (CNN,), scopes), Chart("amounts", (CNN,), amounts))
