"""What half of something is: targets, and what caps and channel multiples make of the widths."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import plotly.graph_objects as go

import prunekit
from charts.base import Chart, Drawn, Quotes, model, share, whole
from charts.panels import bars, listed, panels, place
from prunekit import PruneSpec
from prunekit.formatting import percent
from prunekit.plots import theme
from prunekit.plots.theme import DENSE, KEPT
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking

LENET, RESNET = "mnist_lenet5", "cifar10_resnet20"
WORDS = {"channels": "channels", "params": "parameters", "macs": "MACs"}
PALE = theme.fade(KEPT, 0.45)
FRAGILE = ("layer1.0.conv1", "layer1.1.conv1", "layer1.2.conv1")


@cache
def graph(name: str) -> ChannelGraph:
    """Return the couplings of a sample model."""
    shape = prunekit.info(model(name)).input_shape
    assert shape is not None
    return trace(model(name), shape)


def ranked(name: str, **setting: Any) -> ChannelRanking:
    """Return the ranked channels of a sample model."""
    return ChannelRanking.of(model(name), PruneSpec(mode="structured", **setting), graph(name))


def targets() -> Drawn:
    """Draw what half of the channels, of the parameters and of the MACs each leaves of all three."""
    fig = panels([f"Half of the {WORDS[target]} go" for target in WORDS], height=210, gap=0.12)
    found: Quotes = {}
    for column, target in enumerate(WORDS, 1):
        ranking = ranked(LENET, target=target)
        plan = ranking.cut()
        left = _left(ranking, plan)
        _halves(fig, column, left, target)
        found |= {f"{target}_{what}": share(1 - value) for what, value in left.items()}
        found |= {f"{target}_width_{name}": whole(shapes[1][0]) for name, shapes in plan.layer_shapes.items()}
    found |= {"params": whole(ranking.params), "macs": whole(ranking.macs)}
    found |= {f"width_{name}": whole(shapes[0][0]) for name, shapes in plan.layer_shapes.items()}
    return Drawn(fig, found)


def _left(ranking: ChannelRanking, plan: Plan) -> dict[str, float]:
    """Return the share that a plan leaves of channels, parameters and MACs."""
    gone = {"params": plan.removed_params(ranking.shapes) / ranking.params, "macs": plan.removed_macs() / ranking.macs}
    return {"channels": 1 - plan.atoms.size / sum(group.size for group in ranking.groups)} | {what: 1 - each for what, each in gone.items()}


def _halves(fig: go.Figure, column: int, left: Mapping[str, float], target: str) -> None:
    """Draw what is left beside the dense model, the target in full colour."""
    labels = [WORDS[what] for what in left]
    bars(fig, column, labels, [1.0] * 3, theme.grid(False))
    tints = [KEPT if what == target else PALE for what in left]
    text = [f"{percent(value)} left" for value in left.values()]
    inside = {"textposition": "inside", "insidetextanchor": "start", "textfont": {"size": 12, "color": theme.ink(False)}}
    bars(fig, column, labels, list(left.values()), tints, text=text, **inside)
    stroke = {"color": DENSE, "width": 1.5, "dash": "dot"}
    fig.add_shape(type="line", x0=0.5, x1=0.5, y0=-0.5, y1=2.5, line=stroke, **place(column))
    fig.update_layout(barmode="overlay", bargap=0.3)
    listed(fig, column, labels)
    fig.update_xaxes(tickformat=".0%", range=[0, 1.01], tickvals=[0, 0.5, 1], **place(column))


def caps() -> Drawn:
    """Draw the widths of ResNet-20 with half its MACs, without caps and with the first stage held."""
    free, held = ranked(RESNET, target="macs"), ranked(RESNET, target="macs", caps=dict.fromkeys(FRAGILE, 0.25))
    plans = {"Half of the MACs go": free.cut(), f"The same, layer1 capped at {percent(0.25, 0)}": held.cut()}
    found = {f"{key}_macs": share(plan.removed / plan.total) for key, plan in zip(("free", "held"), plans.values(), strict=True)}
    found |= {f"{key}_most": share(_most(plan)) for key, plan in zip(("free", "held"), plans.values(), strict=True)}
    return Drawn(_widths(plans), found)


def multiples() -> Drawn:
    """Draw the widths of ResNet-20 with half its MACs, by channel multiple."""
    plans = {each: ranked(RESNET, target="macs", round_to=each).cut() for each in (1, 8, 16)}
    titles = {each: f"Multiples of {each}" if each > 1 else "Any width" for each in plans}
    found = {f"macs_{each}": share(plan.removed / plan.total) for each, plan in plans.items()}
    return Drawn(_widths({titles[each]: plan for each, plan in plans.items()}), found)


def _most(plan: Plan) -> float:
    """Return the largest share that a layer of the first stage loses."""
    return max(1 - after[0] / before[0] for name, (before, after) in plan.layer_shapes.items() if name in FRAGILE)


def _widths(plans: Mapping[str, Plan]) -> go.Figure:
    """Draw the channels that stay of each group, dense behind them."""
    fig = panels(list(plans), height=330, gap=0.05)
    for column, plan in enumerate(plans.values(), 1):
        first = {group.layers[0]: f"{group.id}{f' and {len(group.layers) - 1} more' if group.layers[1:] else ''}" for group in plan.groups}
        before, after = ([plan.layer_shapes[name][side][0] for name in first] for side in (0, 1))
        labels = list(first.values())
        bars(fig, column, labels, before, theme.grid(False))
        bars(fig, column, labels, after, KEPT, text=after)
        listed(fig, column, labels)
        fig.update_yaxes(showticklabels=column == 1, **place(column))
        fig.update_xaxes(range=[0, 68], tickvals=[0, 16, 32, 48, 64], title_text="channels", **place(column))
    fig.update_layout(barmode="overlay", bargap=0.3)
    return fig


CHARTS = (Chart("targets", (LENET,), targets), Chart("caps", (RESNET,), caps), Chart("multiples", (RESNET,), multiples))
