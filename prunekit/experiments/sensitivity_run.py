"""Sensitivity through the store, taken up where it stopped; and what is known of losses by settings that nobody measured yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from prunekit.config import fields as check
from prunekit.config.choices import SPLITS
from prunekit.config.ids import DataId, ModelId
from prunekit.config.kinds import Number, Share
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.stratified import Indices
from prunekit.errors import DataError, PrunekitError, SpecError, one_of
from prunekit.evaluation.cautions import Caution, LayerCut, Point, cautions
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.sensitivity.measure import SPARSITIES, scan_of, sensitivity
from prunekit.evaluation.sensitivity.result import LayerSensitivity, Sensitivity, SensitivityPoint
from prunekit.evaluation.sensitivity.scan import Variants
from prunekit.evaluation.sweep import shape_of, split_of
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.cluster.worker import Call, Loaded
from prunekit.experiments.experiment import Keeper
from prunekit.experiments.identity import (
    OF_SPEC,
    as_before,
    data_hash,
    digest,
    for_task,
    installed,
    run_id,
    this_machine,
    trained_on,
    weights_of,
)
from prunekit.experiments.new_run import dense_run
from prunekit.experiments.records import QUALITY, Measurement
from prunekit.experiments.requests import Request
from prunekit.experiments.sources import load
from prunekit.experiments.store import RunStore
from prunekit.experiments.stored_metric import described, evaluated, is_packed, pack_all, told_metric, unpack_all
from prunekit.tasks.metrics import Metric

WHAT = "sensitivity"


@dataclass(frozen=True)
class SensitivityRequest(Request):
    """Each layer or group of a model pruned alone."""

    what = WHAT
    model: ModelId  # model, data: what is measured on what
    data: DataId
    spec: PruneSpec  # mode, criterion, seed, samples and layers count
    split: str = "validation"  # {"validation", "test", "train"}: which part of the data
    images: int = 0  # at most so many; 0 for all
    sparsities: tuple[float, ...] = field(default=SPARSITIES)  # of each layer or group
    # drop, relative: allowed loss that settles a point early, as for `sensitivity`; None for a full scan. The row in the store is the same
    drop: float | None = None
    relative: bool = False

    def __post_init__(self) -> None:
        """Validate every field, and leave out of the setting what does not count."""
        one_of("split", self.split, SPLITS, DataError)
        check.whole("images", self.images, 0)
        if self.spec.mode == "nm":
            raise SpecError("sensitivity prunes at several sparsities, and a pattern has one: choose unstructured or structured")
        s = self.spec
        plain = PruneSpec(mode=s.mode, criterion=s.criterion, seed=s.seed, samples=s.samples, layers=s.layers)
        object.__setattr__(self, "spec", plain)
        object.__setattr__(self, "sparsities", tuple(Share()("sparsities", share) for share in self.sparsities))
        object.__setattr__(self, "drop", None if self.drop is None else Number(least=0)("drop", self.drop))

    @property
    def whole(self) -> SensitivityRequest:
        """The same question as a full scan."""
        return replace(self, drop=None, relative=False)


def sense(
    request: SensitivityRequest,
    store: RunStore | None,
    progress: Progress = QUIET,
    *,
    report: Callable[[Sensitivity], object] | None = None,
    model: nn.Module | None = None,
    data: Any = None,
    cluster: Cluster | None = None,
) -> Sensitivity:
    """Measure sensitivity through the store; on a cluster its workers look at a batch of images each."""
    if model is None or data is None:
        model, data = load(request.model, request.data)
    place, keeper = _Place(request, model, data), Keeper(store, progress)
    before: Sensitivity | None = keeper.ask(place.read)
    if before is not None and report is not None:
        report(before)
    if before is not None and before.answers(request.drop, request.relative):
        return before

    def keep(so_far: Sensitivity) -> None:
        keeper.ask(lambda kept: place.write(kept, so_far))
        if report is not None:
            report(so_far)

    def spread(batches: Sequence[Indices], these: Variants, progress: Progress) -> Iterator[tuple[int, Any]]:
        about = (observe, request.whole, place.run.weights, place.hash)
        calls = [Call(*about, f"images {here[0]} to {here[-1]}", (here, these)) for here in batches]
        return cluster.results(calls, progress, model=model)  # type: ignore[union-attr]  # asked where there is one

    found = sensitivity(
        model, data, request.spec, request.sparsities, split=request.split, images=request.images, drop=request.drop,
        relative=request.relative, start=before, report=keep, progress=progress, elsewhere=None if cluster is None else spread,
    )  # fmt: skip
    if before is not None and found.images == before.images:  # it may be another loss that what was there lies clear of
        keep(found)
    return found


def observe(request: SensitivityRequest, loaded: Loaded, progress: Progress, here: Indices, these: Variants) -> Any:
    """Look at some layers on a batch of images, on a worker."""
    setting = request.spec, request.sparsities
    scan = loaded.held(request, lambda: scan_of(loaded.model, loaded.data, *setting, split=request.split, images=request.images))
    return scan.look(here, these, progress)


def stored(request: SensitivityRequest, store: RunStore, model: nn.Module, data: Any) -> Sensitivity | None:
    """Return what the store holds of a request, whole or not yet, or None."""
    return _Place(request, model, data).read(store)


def latest(store: RunStore, weights: str, mode: str) -> Sensitivity | None:
    """Return the latest sensitivity that is stored of a dense model, on whatever data it was measured, or None.

    ``mode``: {"unstructured", "structured"}: what was taken from each layer.
    """
    rows = store.measurements(run_id(weights, None, None))
    return next((_opened(row) for row in rows if row.what == WHAT and not row.earlier and row.value.get("mode") == mode), None)


class _Place:
    """Where the answer to a request lies in a store."""

    def __init__(self, request: SensitivityRequest, model: nn.Module, data: Any) -> None:
        whole = split_of(data, request.split)
        self.request, self.hash = request, data_hash(whole)
        self.images = min(request.images or len(whole), len(whole))
        model_id = for_task(request.model, model, data)
        self.run = dense_run(model_id, weights_of(model, shape_of(model, whole), model_id.task))
        setting = {
            "spec": as_before(request.spec.to_dict(), OF_SPEC),
            "sparsities": list(request.sparsities),
            "scored": trained_on(data, request.spec, None),
        }
        self.versions = installed(request.model.name)
        here = {"machine": dict(this_machine()), "versions": self.versions}
        where = {"run": self.run.id, "data": self.hash, "split": request.split, "images": self.images}
        self.name = digest({"what": WHAT, **where, **setting, **here})

    def read(self, store: RunStore) -> Sensitivity | None:
        """Return what is stored, or None."""
        row = store.measurement(self.name)
        return None if row is None or row.earlier else _opened(row)

    def write(self, store: RunStore, found: Sensitivity) -> None:
        """Store what is known by now."""
        seen = pack_all([found.dense, *(point.accuracy for point in found.points), *found.references])
        row = Measurement(
            self.name, self.run.id, self.request.data.to_dict(), self.hash, self.request.split, self.images, found.to_dict(), seen, WHAT,
            versions=self.versions, metric=described(found.dense.metric, found.dense.task, is_packed(found.dense)),
        )  # fmt: skip
        store.put_point([self.run], row)


def _opened(row: Measurement) -> Sensitivity:
    """Return what was written: observations of the dense model first, then point by point, then of what some are held against."""
    told: dict[str, Any] = dict(row.value)
    metric, references = row.metric or {}, told.get("references", ())  # rows of earlier versions have none: each point saw all
    qualities = [told["dense"], *(_quality(p, metric) for layer in told["layers"] for p in layer["points"]), *references]
    try:
        packed = unpack_all(metric, row.observations or b"", [int(each.get("n", told["images"])) for each in qualities])
    except DataError as error:
        raise PrunekitError(f"the stored sensitivity {row.id[:12]} is damaged: forget it and measure again") from error
    dense, *rest = (evaluated(metric, each, seen) for each, seen in zip(qualities, packed, strict=True))
    fewer, seen = {each.n: each for each in rest[len(rest) - len(references) :]}, iter(rest)
    found = tuple(
        LayerSensitivity(
            layer["name"], tuple(layer["layers"]), layer["params"], layer["macs"],
            tuple(
                SensitivityPoint(
                    p["requested"], p["sparsity"], accuracy := next(seen), p["removed"], p["removed_params"], p["removed_macs"],
                    p.get("settled", False), None if accuracy.n == dense.n else fewer[accuracy.n],
                )
                for p in layer["points"]
            ),
        )
        for layer in told["layers"]
    )  # fmt: skip
    head = {name: told[name] for name in ("mode", "criterion", "split", "images", "total")}
    early = {name: told[name] for name in ("drop", "relative") if name in told}
    return Sensitivity(**head, dense=dense, layers=found, notes=tuple(told["notes"]), **early)


def _quality(point: Mapping[str, Any], metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return the quality of a stored point."""
    return point.get("accuracy") or point.get(metric["name"]) or point["metrics"][metric["name"]]  # type: ignore[no-any-return]


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
