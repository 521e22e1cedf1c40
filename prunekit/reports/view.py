"""What of a comparison is in view: the choices that its pictures depend on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """How a comparison is looked at.

    Attributes
    ----------
    relative : bool
        Whether numbers stand as shares of the dense model's.
    by : {"sparsity", "width"}
        What is drawn of each layer.
    layer : str
        Whose weights are drawn; "" for all layers together.
    log : bool
        Whether counts of weights stand on a logarithmic scale.
    pair : str
        Letters of the two runs whose masks are laid over each other; "" for the first two that can be.
    behind : str
        Letter of the run whose confusion is compared with the dense model's.
    x, y : str
        Names of `prunekit.comparison.METRICS`.
    bound : float or None
        A budget, in the unit of its axis.
    bound_on : {"x", "y"}
        Which axis that is.
    """

    relative: bool = False
    by: str = "sparsity"
    layer: str = ""
    log: bool = False
    pair: str = ""
    behind: str = "A"
    x: str = "shipped"
    y: str = "accuracy"
    bound: float | None = None
    bound_on: str = "y"
