"""What each layer costs when it is pruned alone: its measured curve without the noise, and which layers stand out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunekit.evaluation.sensitivity.result import LayerSensitivity, Sensitivity
from prunekit.tasks.metrics import HIGHER, PERCENT
from prunekit.tasks.wording import loses, loss_number

Floats = NDArray[np.float64]

DEVIATIONS = 3.0  # robust standard deviations above the median
LEAST = 0.02  # and so much more than the median layer: of accuracy points, of another metric a share of the dense model's value


@dataclass(frozen=True)
class DropCurve:
    """Quality that one layer costs, in the headline metric's own unit, which never falls as more of it goes."""

    name: str
    sparsities: Floats  # [k]: what was measured, ascending from 0: shares of the layer's weights or of the group's channels
    drops: Floats  # [k]: what is lost against the dense model on the same samples, not falling, whichever direction is better
    measured: Floats  # [k]: the same as it was measured: chance makes it fall here and there, and negative where a model answers better
    params: Floats  # params, macs: [k]: what is saved
    macs: Floats
    size: int

    @property
    def mean(self) -> float:
        """Drop on average over the measured sparsities, 0 left out."""
        return float(self.drops[1:].mean()) if self.drops.size > 1 else 0.0


def drop_curve(layer: LayerSensitivity, dense: float) -> DropCurve:
    """Return what a layer costs, by isotonic regression; ``dense`` is the dense model where a point does not name it on its own images.

    Noise makes accuracy rise here and there as more is removed. The regression pools such points, each by the images that it saw, so that
    no lucky point is taken for a gain, and a drop below 0 counts as none.

    Barlow, Bartholomew, Bremner, Brunk 1972, Statistical inference under order restrictions (pool adjacent violators).
    """
    from scipy.optimize import isotonic_regression  # noqa: PLC0415 (slow to import)

    sparsities, places = np.unique([0.0, *(p.sparsity for p in layer.points)], return_index=True)
    before = [dense if p.dense is None else p.dense.value for p in layer.points]
    raw = np.array([0.0, *(p.accuracy.metric.loss(b, p.accuracy.value) for b, p in zip(before, layer.points, strict=True))])[places]
    params = np.array([0.0, *(float(p.params) for p in layer.points)])[places]
    macs = np.array([0.0, *(float(p.macs) for p in layer.points)])[places]
    seen = np.array([0.0, *(float(p.accuracy.n) for p in layer.points)])[places]
    weights = np.where(places == 0, 1e6, seen / max(seen.max(), 1))  # nothing removed costs nothing
    drops = np.maximum(np.asarray(isotonic_regression(raw, weights=weights).x), 0.0)
    drops[0] = 0.0
    return DropCurve(layer.name, np.asarray(sparsities, float), drops, raw, params, macs, layer.size)


def drop_curves(found: Sensitivity) -> tuple[DropCurve, ...]:
    """Return what each layer or group costs."""
    return tuple(drop_curve(layer, found.dense.value) for layer in found.layers)


def fragile(found: Sensitivity) -> dict[str, str]:
    """Return the layers that are unusually fragile, each with a sentence, the worst first.

    A layer stands out where its drop, on average over the measured sparsities, is more than three robust standard deviations (1.4826
    times the median absolute deviation) and at least 2 points of accuracy above that of the median layer.

    Leys et al. 2013, Detecting outliers: do not use standard deviation around the mean, use absolute deviation around the median, J. Exp.
    Soc. Psychol. 49.
    """
    curves = drop_curves(found)
    means = np.array([curve.mean for curve in curves])
    middle = float(np.median(means)) if means.size else 0.0
    spread = 1.4826 * float(np.median(np.abs(means - middle))) if means.size else 0.0
    metric = found.dense.metric
    least = LEAST if metric.unit == PERCENT else LEAST * abs(found.dense.value)
    bound = middle + max(DEVIATIONS * spread, least)
    typical = f"{'' if metric.better == HIGHER else 'by '}{loss_number(metric, middle)}"
    return {
        curve.name: f"{curve.name} is unusually fragile: pruned alone it {loses(metric, curve.mean)} on average, the median layer {typical}"
        for curve in sorted(curves, key=lambda curve: -curve.mean)
        if curve.mean > bound
    }
