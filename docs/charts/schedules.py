"""Pruning in steps: how far each step goes, and what it changes to score again after each."""

from __future__ import annotations

import plotly.graph_objects as go

import prunekit
from charts.base import GREY, Chart, Drawn, Quotes, data, dense, model, share, title, whole
from charts.panels import dots, names, panels, place, plain_line, rows
from prunekit import PruneSpec
from prunekit.evaluation.quality import Evaluation
from prunekit.formatting import percent
from prunekit.plots.theme import run_colour
from prunekit.pruning.schedule import SCHEDULES, agp, tighten
from prunekit.pruning.unstructured.masks import masked_copy, masks_at

CNN = "digits_cnn"
FINAL, STEPS = 0.9, 8
TITLES = {"agp": "AGP", "iterative": "iterative", "linear": "linear"}
TINTS = {"agp": run_colour(0), "iterative": run_colour(4), "linear": run_colour(1)}
AGAIN = ("l1", "lamp", "wanda", "taylor", "snip")


def schedules() -> Drawn:
    """Draw the three schedules, and the accuracy of scoring once beside scoring at every step."""
    fig = panels(
        [f"To {percent(FINAL, 0)} in {STEPS} steps", f"Accuracy at {percent(FINAL, 0)}, by AGP, without retraining"], height=320, gap=0.12
    )
    found: Quotes = {"final": share(FINAL, 0), "steps": whole(STEPS), "dense": share(dense(CNN).value), "test": whole(dense(CNN).n)}
    for name, schedule in SCHEDULES.items():
        values = (0.0, *schedule(FINAL, STEPS, 0.0))
        plain_line(fig, 1, range(STEPS + 1), values, TINTS[name])
        last = values[-1] - values[-2]
        found |= {f"{name}_first": share(values[1]), f"{name}_last": share(last), f"{name}_last_of_left": share(last / (1 - values[-2]))}
    fig.update_yaxes(tickformat=".0%", range=[-0.03, 1], title_text="sparsity", **place(1))
    fig.update_xaxes(title_text="step", dtick=1, **place(1))
    names(fig, 1, [(TINTS[name], TITLES[name]) for name in SCHEDULES], x=0.6, top=0.32)
    return Drawn(fig, found | _again(fig))


def _again(fig: go.Figure) -> Quotes:
    """Draw the accuracy of scoring once beside scoring at every step of AGP."""
    both = {"once": [_once(each) for each in AGAIN], "again": [_stepwise(each) for each in AGAIN]}
    for (kind, values), tint in zip(both.items(), (GREY, run_colour(0)), strict=True):
        dots(fig, 2, values, tint, 0.14 if kind == "again" else -0.14)
    rows(fig, 2, [title(each) for each in AGAIN])
    fig.update_xaxes(tickformat=".0%", range=[0.5, 1.02], title_text="accuracy, with 95 % interval", **place(2))
    names(fig, 2, [(GREY, "scored once"), (run_colour(0), f"scored at each of {STEPS} steps")], x=0.02, top=0.94)
    return {f"{each}_{kind}": share(a.value) for kind, values in both.items() for each, a in zip(AGAIN, values, strict=True)}


def _once(criterion: str) -> Evaluation:
    """Return the accuracy of the masks that one scoring gives."""
    (masks,) = masks_at(model(CNN), PruneSpec(criterion=criterion), [FINAL], data(CNN))
    return prunekit.evaluate(masked_copy(model(CNN), masks), data(CNN).test)


def _stepwise(criterion: str) -> Evaluation:
    """Return the accuracy of the masks that scoring at every step gives."""
    *_, masks = tighten(model(CNN), PruneSpec(criterion=criterion), agp(FINAL, STEPS), data(CNN))
    return prunekit.evaluate(masked_copy(model(CNN), masks), data(CNN).test)


CHARTS = (Chart("schedules", (CNN,), schedules),)
