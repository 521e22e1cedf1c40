"""What was measured of each layer or group that was pruned alone, and how far anybody has looked."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from prunekit.errors import DataError
from prunekit.evaluation.quality import Evaluation
from prunekit.formatting import count, ordinary, percent
from prunekit.notebook import card, notes, shaded, table
from prunekit.tasks.metrics import PERCENT, Metric
from prunekit.tasks.wording import loss_text


@dataclass(frozen=True)
class SensitivityPoint:
    """One layer or group at one sparsity."""

    requested: float
    sparsity: float
    accuracy: Evaluation  # of the model that is dense but for this layer or group
    removed: int
    params: int
    macs: int
    settled: bool = False  # whether its loss lay clear of what is allowed before all images had been looked at
    dense: Evaluation | None = None  # the dense model on the same images, where they are fewer than it was measured on

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        counts = {"removed": self.removed, "removed_params": self.params, "removed_macs": self.macs, "settled": self.settled}
        return {"requested": self.requested, "sparsity": self.sparsity, self.accuracy.metric.name: self.accuracy.to_dict(), **counts}


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer or group."""

    name: str
    layers: tuple[str, ...]
    params: int
    macs: int
    points: tuple[SensitivityPoint, ...]  # by ascending sparsity

    @property
    def size(self) -> int:
        """Number of weights or of removable channels; 0 where nothing goes at any sparsity."""
        return max((round(point.removed / point.sparsity) for point in self.points if point.removed), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {"name": self.name, "layers": list(self.layers), "params": self.params, "macs": self.macs}
        return {**plain, "points": [point.to_dict() for point in self.points]}


@dataclass(frozen=True)
class Sensitivity:
    """Every layer or group pruned alone, on the images that have been looked at so far."""

    mode: str  # mode, criterion: how each was pruned
    criterion: str
    split: str  # part of the data; empty for a bare split
    # images, total: images looked at so far, and in all. Accuracies are those on ``split.subset(total).subset(images)``, in its order
    images: int
    total: int
    dense: Evaluation  # of the dense model on the same images
    layers: tuple[LayerSensitivity, ...]  # in order of definition
    notes: tuple[str, ...] = ()  # plain sentences on what served as what
    drop: float | None = None  # allowed loss that settles a point early, in the metric's own unit; None for a full scan
    relative: bool = False  # whether it is a share of the dense model's value instead

    def _repr_html_(self) -> str:
        """Return it for a notebook: a row for each layer, what it loses on a ground that is the stronger the more it is."""
        metric = self.dense.metric
        lost = [[self.lost(point) for point in layer.points] for layer in self.layers]
        most = max((value for row in lost for value in row), default=0.0) or 1.0
        rows = [
            (layer.name, count(layer.params), *(shaded(p.accuracy.text(), loss / most) for p, loss in zip(layer.points, row, strict=True)))
            for layer, row in zip(self.layers, lost, strict=True)
        ]
        header = ["layer", "parameters", *(percent(point.requested, 0) for point in (self.layers[0].points if self.layers else ()))]
        about = f"Each pruned alone ({self.mode}, {self.criterion}), {self.images:,} {self.dense.units}; dense {self.dense.text()}."
        return card(
            f"Sensitivity: {metric.phrase} by the share removed",
            about,
            table(header, rows, "layers"),
            notes(filter(None, (*self.notes, self.early))),
        )

    @property
    def points(self) -> tuple[SensitivityPoint, ...]:
        """All points, layer by layer."""
        return tuple(point for layer in self.layers for point in layer.points)

    @property
    def done(self) -> bool:
        """Whether nothing is left to be looked at: each point has seen all images, or is settled."""
        return self.images == self.total and all(point.settled or point.accuracy.n == self.total for point in self.points)

    def answers(self, drop: float | None, relative: bool = False) -> bool:
        """Whether it is done for an allowed loss, or for a full scan."""
        same = (self.drop, self.relative) == (drop, relative and self.dense.metric.unit != PERCENT)
        return self.done and (same or all(point.accuracy.n == self.total for point in self.points))

    def lost(self, point: SensitivityPoint) -> float:
        """Return what a point loses against the dense model on the same images."""
        return self.dense.metric.loss((point.dense or self.dense).value, point.accuracy.value)

    @property
    def allowed(self) -> float | None:
        """The allowed loss in the metric's own unit."""
        return None if self.drop is None else self.drop * abs(self.dense.value) if self.relative else self.drop

    @property
    def saved(self) -> float:
        """Share of the measurements that a full scan of as many images makes and this one did not."""
        looked = [point.accuracy.n for point in self.points if point.params]  # where nothing new goes nothing is measured
        return 1 - sum(looked) / (len(looked) * self.images) if looked else 0.0

    @property
    def early(self) -> str:
        """A sentence on what stopping early saved; empty where it saved nothing."""
        settled = [point for point in self.points if point.settled]
        if self.allowed is None or not settled:
            return ""
        clear = f"the loss of {len(settled):,} of {len(self.points):,} points lay clear of {loss_text(self.dense.metric, self.allowed)}"
        return f"{ordinary(percent(self.saved, 0))} of the measurements were not needed: {clear} on fewer {self.dense.units}"

    def under(self, metric: Metric) -> Sensitivity:
        """Return the same scan in another figure of what was observed; points that leave it undefined are left out."""
        layers = []
        for layer in self.layers:
            points = []
            for point in layer.points:
                with suppress(DataError):
                    dense = None if point.dense is None else point.dense.under(metric)
                    points.append(replace(point, accuracy=point.accuracy.under(metric), dense=dense))
            layers.append(replace(layer, points=tuple(points)))
        return replace(self, dense=self.dense.under(metric), layers=tuple(layers))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        head = {"mode": self.mode, "criterion": self.criterion, "split": self.split, "images": self.images, "total": self.total}
        early = {"drop": self.drop, "relative": self.relative, "saved": self.saved}
        layers, references = ([each.to_dict() for each in of] for of in (self.layers, self.references))
        return {**head, **early, "dense": self.dense.to_dict(), "references": references, "layers": layers, "notes": list(self.notes)}

    @property
    def references(self) -> tuple[Evaluation, ...]:
        """The dense model on the images of points that saw fewer than it, by their number."""
        found = {point.dense.n: point.dense for point in self.points if point.dense is not None}
        return tuple(found[n] for n in sorted(found))
