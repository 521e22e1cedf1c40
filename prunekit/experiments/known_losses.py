"""What the store knows of a setting that nobody measured yet: the sensitivity of its layers, and its curve at other sparsities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.evaluation.cautions import Caution, LayerCut, Point, cautions
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.experiments.identity import run_id
from prunekit.experiments.records import QUALITY, Measurement
from prunekit.experiments.sensitivity_run import latest
from prunekit.experiments.store import RunStore
from prunekit.experiments.stored_metric import told_metric
from prunekit.tasks.metrics import Metric


@dataclass(frozen=True, eq=False)
class Known:
    """What is stored of a dense model that bears on a setting."""

    sensitivity: Sensitivity | None = None  # of its layers, in the mode of the setting
    points: tuple[Point, ...] = ()  # the setting at other sparsities, on the data of the dense model's own measurement
    metric: Metric | None = None  # metric, dense: what the points are of, and the dense model's value
    dense: float = 1.0

    def cautions(self, spec: PruneSpec, cuts: Sequence[LayerCut], achieved: float | None) -> tuple[Caution, ...]:
        """Return what a setting is likely to break."""
        return cautions(
            spec, cuts, achieved=achieved, sensitivity=self.sensitivity, points=self.points, metric=self.metric, dense=self.dense
        )


NOTHING = Known()


def known_losses(store: RunStore | None, weights: str, spec: PruneSpec) -> Known:
    """Return what a store knows of a dense model that bears on a setting."""
    if store is None or spec.mode == "nm":
        return NOTHING
    try:
        sensitivity = latest(store, weights, spec.mode)
        measured = [row for row in store.measurements(run_id(weights, None, None)) if _counts(row)]
        if spec.sparsity is None or not measured:
            return Known(sensitivity)
        return _with_points(store, weights, spec, sensitivity, measured)
    except PrunekitError:  # a row that cannot be read any more tells nothing
        return NOTHING


def _counts(row: Measurement) -> bool:
    """Return whether a row is a quality that a loss can be told from."""
    return row.what in QUALITY and not row.earlier and row.value.get("value") is not None


def _with_points(store: RunStore, weights: str, spec: PruneSpec, sensitivity: Sensitivity | None, measured: Sequence[Measurement]) -> Known:
    """Add the points that were measured on the samples on which the dense model was."""
    plain = Recovery().to_dict()
    like = replace(spec, sparsity=0.5).to_dict()
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for run in store.runs(kind="pruned", weights=weights):
        if run.spec is None or run.earlier or run.spec.get("sparsity") is None or {**run.spec, "sparsity": 0.5} != like:
            continue
        if run.recovery not in (None, plain):
            continue
        for row in store.measurements(run.id):
            if _counts(row):
                found.setdefault((row.data_hash, row.split, row.n), []).append((float(run.spec["sparsity"]), float(row.value["value"])))
    best = max(measured, key=lambda row: len(found.get((row.data_hash, row.split, row.n), ())))
    metric, dense = told_metric(best.value), float(best.value["value"])
    told = dict(found.get((best.data_hash, best.split, best.n), ()))
    points = tuple(Point(sparsity, float(metric.loss(dense, value))) for sparsity, value in sorted(told.items()))
    return Known(sensitivity, points, metric, dense)
