"""One chart for each criterion: beside L1 and random, and what it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

import prunekit
from charts.base import GREY, Chart, Drawn, Quotes, at, colour, curve, data, dense, model, paired, share, title, whole
from charts.panels import accuracy_axes, bars, dashed, line, names, note, panels, place, plain_line
from prunekit import PruneSpec
from prunekit.config.choices import CHANNEL_CRITERIA, WEIGHT_CRITERIA
from prunekit.criteria.scoring import channel_scores
from prunekit.evaluation.sweep import SweepPoint
from prunekit.formatting import percent
from prunekit.plots import theme
from prunekit.plots.theme import KEPT, REMOVED
from prunekit.pruning.unstructured.masks import Ranking

Reals = NDArray[np.float64]
CNN, LENET = "digits_cnn", "mnist_lenet5"
WEIGHTS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
CHANNELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MNIST = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
NORMED = ("conv1", "conv2")  # the layers with a BatchNorm behind them
SEEDS = range(5)


def weights(criterion: str, scope: str = "global", seed: int = 0) -> PruneSpec:
    """Return an unstructured setting."""
    return PruneSpec(criterion=criterion, scope=scope, seed=seed)


def channels(criterion: str, layers: tuple[str, ...] | None = None, seed: int = 0) -> PruneSpec:
    """Return a structured setting."""
    return PruneSpec(mode="structured", criterion=criterion, layers=layers, seed=seed)


def _beside(criterion: str) -> list[str]:
    """Return a criterion behind those that it is compared with."""
    return [*(other for other in ("random", "l1") if other != criterion), criterion]


def _weights_panel(fig: go.Figure, column: int, criterion: str, scope: str = "global") -> None:
    """Draw accuracy without weights, for a criterion beside L1 and random."""
    accuracy_axes(fig, column, dense(CNN).value)
    for each in _beside(criterion):
        line(fig, column, curve(CNN, weights(each, scope), WEIGHTS), colour(each), dash="dot" if criterion == "l2" == each else "solid")
    x, top = (0.44, 0.72) if scope == "global" else (0.66, 0.86)  # where no line passes
    names(fig, column, [(colour(each), title(each)) for each in reversed(_beside(criterion))], x=x, top=top)


def _channels_panel(fig: go.Figure, column: int, criterion: str, layers: tuple[str, ...] | None = None) -> None:
    """Draw accuracy without channels, for a criterion beside L1 and random."""
    accuracy_axes(fig, column, dense(CNN).value, what="channels removed")
    for each in _beside(criterion):
        line(fig, column, curve(CNN, channels(each, layers), CHANNELS), colour(each))
    names(fig, column, [(colour(each), title(each)) for each in reversed(_beside(criterion))], top=0.36)


def _accuracies(points: tuple[SweepPoint, ...], kind: str, shares: Sequence[float]) -> Quotes:
    """Return the accuracies at some shares, as ``KIND_90``."""
    return {f"{kind}_{round(100 * each)}": share(at(points, each).accuracy.value) for each in shares}


def _quotes(criterion: str) -> Quotes:
    """Return what the page may say of a criterion."""
    found: Quotes = {"test": whole(dense(CNN).n), "dense": share(dense(CNN).value)}
    if criterion in WEIGHT_CRITERIA:
        for scope in ("global", "uniform"):
            found |= _accuracies(curve(CNN, weights(criterion, scope), WEIGHTS), scope, (0.5, 0.7, 0.9, 0.98))
    if criterion in CHANNEL_CRITERIA:
        layers = NORMED if criterion == "bn_scale" else None
        found |= _accuracies(curve(CNN, channels(criterion, layers), CHANNELS), "channels", (0.3, 0.5, 0.6, 0.7))
    return found


def both(criterion: str) -> Drawn:
    """Draw a criterion of weights and channels."""
    fig = panels(["Single weights, global", "Channels, global"])
    _weights_panel(fig, 1, criterion)
    _channels_panel(fig, 2, criterion)
    return Drawn(fig, _quotes(criterion))


def l2() -> Drawn:
    """Draw L2, and test its channels against L1's."""
    drawn = both("l2")
    mine, other = (curve(CNN, channels(each), CHANNELS) for each in ("l2", "l1"))
    return Drawn(drawn.figure, drawn.quotes | {f"p_{round(100 * each)}": paired(at(mine, each), at(other, each)) for each in (0.5, 0.7)})


def taylor() -> Drawn:
    """Draw Taylor, and count how many of its training images the model gets right already."""
    drawn, train = both("taylor"), prunekit.evaluate(model(CNN), data(CNN).train)
    return Drawn(drawn.figure, drawn.quotes | {"train": whole(train.n), "train_right": whole(round(train.value * train.n))})


def random() -> Drawn:
    """Draw random removal by several seeds: its spread is the least that a difference has to beat."""
    fig = panels(["Single weights, global", "Channels, global"])
    found: Quotes = {"seeds": whole(len(SEEDS))}
    for column, (setting, shares, kind) in enumerate(((weights, WEIGHTS, "weights"), (channels, CHANNELS, "channels")), 1):
        accuracy_axes(fig, column, dense(CNN).value, what=f"{kind} removed")
        runs = [curve(CNN, setting("random", seed=seed), shares) for seed in SEEDS]
        for run in runs:
            plain_line(fig, column, [p.sparsity for p in run], [p.accuracy.value for p in run], GREY, width=1.2)
        line(fig, column, curve(CNN, setting("l1"), shares), colour("l1"))
        x, top = (0.5, 0.72) if kind == "weights" else (0.02, 0.34)
        names(fig, column, [(colour("l1"), title("l1")), (GREY, f"Random, {len(SEEDS)} seeds")], x=x, top=top)
        half = [at(run, 0.5).accuracy.value for run in runs]
        late = [at(run, 0.7).accuracy.value for run in runs]
        found |= {f"{kind}_low": share(min(half)), f"{kind}_high": share(max(half))}
        found |= {f"{kind}_70_low": share(min(late)), f"{kind}_70_high": share(max(late))}
    return Drawn(fig, found)


def lamp() -> Drawn:
    """Draw LAMP on LeNet-5, and what it leaves of each layer beside L1."""
    fig = panels(["Single weights, global", f"What stays of each layer, of {percent(0.02, 0)} in all"], gap=0.14)
    accuracy_axes(fig, 1, dense(LENET).value, start=0.5)
    found: Quotes = {}
    for each in ("l1", "lamp"):
        points, kept = curve(LENET, weights(each), MNIST), _kept(each, 0.98)
        line(fig, 1, points, colour(each))
        text = [percent(value, 1 if value < 0.1 else 0) for value in kept.values()]
        bars(fig, 2, list(kept), list(kept.values()), colour(each), orientation="v", text=text)
        found |= _accuracies(points, each, (0.9, 0.95, 0.98, 0.99))
        found |= {f"{each}_kept_{layer}": share(value) for layer, value in kept.items()}
    fig.update_yaxes(tickformat=".0%", rangemode="tozero", **place(2))
    fig.update_xaxes(showgrid=False, **place(2))
    fig.update_layout(bargap=0.25, bargroupgap=0.06)
    for column, x, top in ((1, 0.04, 0.4), (2, 0.36, 0.94)):
        names(fig, column, [(colour(each), title(each)) for each in ("lamp", "l1")], x=x, top=top)
    return Drawn(fig, found)


def _kept(criterion: str, sparsity: float) -> dict[str, float]:
    """Return the share of each layer's weights that stays in global scope."""
    ranking = Ranking.of(model(LENET), weights(criterion))
    return {name: 1 - gone / ranking.sizes[name] for name, gone in ranking.removed(ranking.cut(sparsity)).items()}


def two_scopes(criterion: str) -> Drawn:
    """Draw a criterion of weights over all layers together and within each layer."""
    fig = panels(["Single weights, global", "Single weights, uniform"])
    _weights_panel(fig, 1, criterion)
    _weights_panel(fig, 2, criterion, "uniform")
    return Drawn(fig, _quotes(criterion))


def bn_scale() -> Drawn:
    """Draw the scale of BatchNorm, and that it sees something else than the filter's norm."""
    fig = panels(["Channels of conv1 and conv2, global", "Which half of conv2 goes by its BatchNorm"], gap=0.14)
    _channels_panel(fig, 1, "bn_scale", NORMED)
    norm, scale = channel_scores(model(CNN), ["conv2"])["conv2"], channel_scores(model(CNN), ["bn2"], "bn_scale")["bn2"]
    found = _scatter(fig, norm, scale) | _accuracies(curve(CNN, channels("l1", NORMED), CHANNELS), "l1", (0.5, 0.7))
    fig.update_xaxes(title_text="L1 norm of the filter", **place(2))
    fig.update_yaxes(title_text="size of the BatchNorm scale", **place(2))
    return Drawn(fig, _quotes("bn_scale") | found)


def channels_alone(criterion: str, beside: str) -> Drawn:
    """Draw a criterion of channels alone, and its score beside another's."""
    fig = panels(["Channels, global", f"Which half of conv2 goes by {title(criterion)}"], gap=0.14)
    _channels_panel(fig, 1, criterion)
    other, score = (channel_scores(model(CNN), ["conv2"], each, data=data(CNN))["conv2"] for each in (beside, criterion))
    found = _scatter(fig, other, score)
    fig.update_xaxes(title_text=title(beside), **place(2))
    fig.update_yaxes(title_text=title(criterion), **place(2))
    return Drawn(fig, _quotes(criterion) | found)


def fpgm() -> Drawn:
    """Draw FPGM, and its score beside the filter's norm."""
    fig = panels(["Channels, global", "Which half of conv2 goes by its distances"], gap=0.14)
    _channels_panel(fig, 1, "fpgm")
    norm, score = (channel_scores(model(CNN), ["conv2"], each)["conv2"] for each in ("l2", "fpgm"))
    other = at(curve(CNN, channels("l2"), CHANNELS), 0.5)
    found = _scatter(fig, norm, score) | {"p_l2": paired(at(curve(CNN, channels("fpgm"), CHANNELS), 0.5), other)}
    fig.update_xaxes(title_text="L2 norm of the filter", **place(2))
    fig.update_yaxes(title_text="sum of distances", **place(2))
    return Drawn(fig, _quotes("fpgm") | found)


def _scatter(fig: go.Figure, norm: Reals, score: Reals) -> Quotes:
    """Draw a score against a norm, the lower half by score as removed; count how many of them the norm would remove too."""
    half = len(score) // 2
    gone, by_norm = (np.isin(np.arange(len(score)), np.argsort(each, kind="stable")[:half]) for each in (score, norm))
    for mine, tint in ((~gone, KEPT), (gone, REMOVED)):
        marks = {"mode": "markers", "marker": {"color": tint, "size": 7, "opacity": 0.8}}
        fig.add_trace(go.Scatter(x=norm[mine], y=score[mine], **marks), **place(2))
    middle = float(np.sort(norm)[half - 1 : half + 1].mean())
    dashed(fig, 2, [middle] * 2, [score.min(), score.max()], "dot")
    note(fig, 2, middle, float(score.max()), "half by norm", theme.DENSE, xanchor="right", yanchor="bottom")
    names(fig, 2, [(KEPT, "stays"), (REMOVED, "goes")], x=0.66, top=0.22)
    return {"half": whole(half), "agree": whole(int((gone & by_norm).sum()))}


def mnist() -> Drawn:
    """Draw all criteria of weights on LeNet-5, over what is left, on a logarithmic axis."""
    fig, top = panels(["LeNet-5 on MNIST, single weights, global"], height=360), dense(LENET).value
    curves = {each: curve(LENET, weights(each), MNIST) for each in ("l1", "random", "lamp", "taylor", "snip", "wanda")}
    found: Quotes = {"test": whole(dense(LENET).n), "dense": share(top)}
    dashed(fig, 1, [0.5, 0.01], [top, top])
    for each, points in curves.items():
        line(fig, 1, points, colour(each), left=True)
        found |= _accuracies(points, each, (0.9, 0.95, 0.98))
    order = sorted(curves, key=lambda each: -at(curves[each], 0.98).accuracy.value)
    names(fig, 1, [(colour(each), title(each) + (" (L2 is the same)" if each == "l1" else "")) for each in order], x=0.2, top=0.6)
    ticks = {"tickvals": [0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01], "tickformat": ".0%"}
    fig.update_xaxes(type="log", range=[np.log10(0.53), np.log10(0.0095)], **ticks, title_text="weights left")
    fig.update_yaxes(tickformat=".0%", range=[-0.02, 1.06], title_text="accuracy")
    note(fig, 1, float(np.log10(0.0097)), top, f"dense {percent(top)}", theme.DENSE, xanchor="right", yanchor="bottom")
    return Drawn(fig, found)


CHARTS = (
    Chart("criterion-l1", (CNN,), partial(both, "l1")),
    Chart("criterion-l2", (CNN,), l2),
    Chart("criterion-taylor", (CNN,), taylor),
    *(Chart(f"criterion-{each}", (CNN,), partial(both, each)) for each in ("fisher", "obd")),
    Chart("criterion-head_importance", (CNN,), partial(channels_alone, "head_importance", "taylor")),
    Chart("criterion-hutchinson", (CNN,), partial(channels_alone, "hutchinson", "obd")),
    Chart("criterion-activation", (CNN,), partial(channels_alone, "activation", "l1")),
    Chart("criterion-random", (CNN,), random),
    Chart("criterion-lamp", (LENET,), lamp),
    *(Chart(f"criterion-{each}", (CNN,), partial(two_scopes, each)) for each in ("snip", "wanda", "sparsegpt")),
    Chart("criterion-bn_scale", (CNN,), bn_scale),
    Chart("criterion-fpgm", (CNN,), fpgm),
    Chart("criteria-mnist", (LENET,), mnist),
)
