"""What the three modes do to one matrix, and what a pattern costs."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray

import prunekit
from charts.base import GREY, Chart, Drawn, Quotes, data, dense, model, share, whole
from charts.panels import dots, names, panels, place, rows
from prunekit import PruneSpec
from prunekit.evaluation.quality import Evaluation
from prunekit.formatting import percent
from prunekit.models.cost import count
from prunekit.models.layers import weight_of
from prunekit.plots import theme
from prunekit.plots.theme import run_colour
from prunekit.pruning.execution import carry_out
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.ranking import plan
from prunekit.pruning.unstructured.masks import masked_copy
from prunekit.pruning.unstructured.n_m import rank

MLP, CNN, LAYER = "digits_mlp", "digits_cnn", "fc2"
ROWS, COLUMNS = 16, 32
MODES = {"unstructured": "Unstructured: single weights", "nm": "N:M: 2 of every 4 in a row", "structured": "Structured: neurons"}
PATTERNS = ("3:4", "4:8", "2:4", "1:2", "2:8", "1:4")


def modes() -> Drawn:
    """Draw a corner of one weight matrix under each mode at 50 %, and count what each gives."""
    fig = panels(list(MODES.values()), height=200, gap=0.04)
    corner = weight_of(model(MLP), LAYER)[:ROWS, :COLUMNS].detach().numpy()
    most = float(np.abs(corner).max())
    found = _counts("dense", model(MLP))
    for column, mode in enumerate(MODES, 1):
        pruned, kept = _structured() if mode == "structured" else _masked(mode)
        _cells(fig, column, np.where(kept, corner, np.nan), most)
        found |= _counts(mode, pruned)
    for x in range(4, COLUMNS, 4):
        fig.add_shape(type="line", x0=x - 0.5, x1=x - 0.5, y0=-0.5, y1=ROWS - 0.5, line={"color": theme.DENSE, "width": 1}, **place(2))
    return Drawn(fig, found)


def _masked(mode: str) -> tuple[torch.nn.Module, NDArray[np.bool_]]:
    """Return the model under masks, and which weights of the corner stay."""
    ranking = rank(model(MLP), PruneSpec(mode=mode))
    masks = ranking.masks(ranking.cut())
    return masked_copy(model(MLP), masks), masks[LAYER][:ROWS, :COLUMNS].numpy()


def _structured() -> tuple[torch.nn.Module, NDArray[np.bool_]]:
    """Return the smaller model, and which weights of the corner are still part of it."""
    spec = PruneSpec(mode="structured")
    result = carry_out(model(MLP), plan(trace(model(MLP), (1, 8, 8)), model(MLP), spec), spec)
    assert result.kept is not None
    rows, columns = (np.isin(np.arange(size), result.kept[name]) for name, size in ((LAYER, ROWS), ("fc1", COLUMNS)))
    return result.model, rows[:, None] & columns


def _counts(mode: str, pruned: torch.nn.Module) -> Quotes:
    """Return the accuracy and the costs of a model."""
    found, accuracy = count(pruned, (1, 8, 8)), prunekit.evaluate(pruned, data(MLP).test)
    numbers = {"params": found.params, "nonzero": found.nonzero, "macs": found.macs}
    return {f"{mode}_accuracy": share(accuracy.value)} | {f"{mode}_{what}": whole(number) for what, number in numbers.items()}


def _cells(fig: go.Figure, column: int, values: NDArray[np.floating], most: float) -> None:
    """Draw weights as blue to orange cells; what is gone stays empty."""
    scale = [[0, "#0072b2"], [0.5, "#f7f7f2"], [1, "#e69f00"]]
    cells = go.Heatmap(z=values, zmin=-most, zmax=most, colorscale=scale, showscale=False, xgap=1, ygap=1, hoverongaps=False)
    empty = [[end, theme.grid(False)] for end in (0, 1)]
    fig.add_trace(go.Heatmap(z=np.zeros_like(values), colorscale=empty, showscale=False, xgap=1, ygap=1), **place(column))
    fig.add_trace(cells, **place(column))
    fig.update_xaxes(visible=False, **place(column))
    fig.update_yaxes(visible=False, autorange="reversed", **place(column))


def patterns() -> Drawn:
    """Draw the accuracy under patterns beside the free choice of as many weights of each layer."""
    fig = panels(["Accuracy without retraining, by pattern"], height=300)
    found: dict[str, dict[str, Evaluation]] = {}
    for pattern in PATTERNS:
        spec = PruneSpec(mode="nm", pattern=pattern)
        layers = [name for name, asked in rank(model(CNN), spec).requested(spec).items() if asked]
        free = PruneSpec(scope="uniform", sparsity=spec.sparsity, layers=tuple(layers))
        found[pattern] = {"pattern": _pruned(spec), "free": _pruned(free)}
    labels = {pattern: f"{pattern} · {percent(1 - int(pattern[0]) / int(pattern[2]), 0)} go" for pattern in PATTERNS}
    for offset, kind, tint in ((0.16, "free", GREY), (-0.16, "pattern", run_colour(0))):
        dots(fig, 1, [row[kind] for row in found.values()], tint, offset)
    rows(fig, 1, list(labels.values()))
    fig.update_xaxes(tickformat=".0%", range=[0.83, 1.005], title_text=f"accuracy on {dense(CNN).n} test images, with 95 % interval")
    names(fig, 1, [(run_colour(0), "the best N of every M"), (GREY, "the best of the layer")], x=0.02, top=0.4)
    quotes = {f"{kind}_{pattern}": share(accuracy.value) for pattern, row in found.items() for kind, accuracy in row.items()}
    return Drawn(fig, quotes | {"dense": share(dense(CNN).value)})


def _pruned(spec: PruneSpec) -> Evaluation:
    """Return the accuracy under the masks of a setting."""
    ranking = rank(model(CNN), spec)
    return prunekit.evaluate(masked_copy(model(CNN), ranking.masks(ranking.cut())), data(CNN).test)


CHARTS = (Chart("modes", (MLP,), modes), Chart("patterns", (CNN,), patterns))
