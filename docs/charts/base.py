"""What a chart is, and the measurements that several of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import plotly.graph_objects as go
import torch

import prunekit
from prunekit import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.data.dataset import Data
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import SweepPoint, sweep
from prunekit.formatting import percent
from prunekit.models.state import state_hash
from prunekit.plots.theme import run_colour

MNIST_IMAGES = 2000  # enough for intervals of one point, at a fifth of the time
COLOURS = {
    "l1": 0,
    "lamp": 1,
    "taylor": 2,
    "snip": 3,
    "wanda": 4,
    "sparsegpt": 4,
    "bn_scale": 5,
    "l2": 6,
    "fpgm": 7,
    "fisher": 1,
    "head_importance": 5,
    "activation": 3,
    "obd": 3,
    "hutchinson": 4,
}
GREY = "#8a94a3"


@dataclass(frozen=True)
class Quote:
    """A number that the page quotes.

    Attributes
    ----------
    value : float
        As measured.
    text : str
        As it is read.
    """

    value: float
    text: str


Quotes = dict[str, Quote]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture, and the numbers that the page quotes from it."""

    figure: go.Figure
    quotes: Quotes = field(default_factory=dict)


@dataclass(frozen=True)
class Chart:
    """One picture of the page.

    Attributes
    ----------
    name : str
        Of its file, ``docs/images/methods/NAME.svg``.
    models : tuple of str
        Sample models that it is computed from.
    draw : callable
        Computes it.
    """

    name: str
    models: tuple[str, ...]
    draw: Callable[[], Drawn]


@cache
def model(name: str) -> torch.nn.Module:
    """Return a sample model, loaded once."""
    return prunekit.load_model(name)


@cache
def weights_of(name: str) -> str:
    """Return a hash of a sample model's weights: a chart is as old as these."""
    return state_hash(model(name))


@cache
def data(name: str) -> Data:
    """Return the data of a sample model, loaded once; of MNIST a fixed choice of 2,000 images in each split.

    Raises
    ------
    DataError
        If MNIST is neither here nor to be had.
    """
    found = prunekit.info(model(name)).data
    assert found is not None
    return prunekit.load_data(found, model=model(name), limit=MNIST_IMAGES if found == "mnist" else None)


@cache
def curve(name: str, spec: PruneSpec, shares: tuple[float, ...]) -> tuple[SweepPoint, ...]:
    """Return the accuracy of a sample model on its test images at some sparsities."""
    return tuple(sweep(model(name), spec, shares, data(name)))


@cache
def dense(name: str) -> Evaluation:
    """Return the accuracy of the dense model on its test images."""
    return prunekit.evaluate(model(name), data(name).test)


def at(points: Sequence[SweepPoint], share: float) -> SweepPoint:
    """Return the point that was asked for at a share."""
    return next(point for point in points if point.requested == share)


def colour(criterion: str) -> str:
    """Return the colour of a criterion, the same in every chart."""
    return GREY if criterion == "random" else run_colour(COLOURS[criterion])


def title(criterion: str) -> str:
    """Return the name of a criterion as on the screen."""
    return CRITERIA[criterion].title


def share(value: float, digits: int = 1) -> Quote:
    """Return a fraction as percent."""
    return Quote(value, percent(value, digits))


def paired(a: SweepPoint, b: SweepPoint) -> Quote:
    """Return the p-value of the difference of two models on the same images (McNemar's exact test)."""
    p = compare(a.accuracy, b.accuracy).p_value
    return Quote(p, f"p = {p:.2g}" if p >= 0.001 else "p < 0.001")


def whole(value: int) -> Quote:
    """Return a count, thousands apart."""
    return Quote(value, f"{value:,}")
