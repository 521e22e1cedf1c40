"""Sweeps and single accuracies through the store: what is there is read, what is not is measured and committed at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.evaluation.adaptive_points import HIGH, LOW, STEP, next_points, standard_error
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.sweep import SweepPoint, measured
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.cluster.worker import Call, measure_point
from prunekit.experiments.experiment import Experiment, Keeper, QualityRequest, point_of
from prunekit.experiments.identity import installed
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.sources import load
from prunekit.experiments.store import RunStore, Stored
from prunekit.formatting import ordinary, percent

Report = Callable[[SweepPoint], object]


def sweep_through(
    request: SweepRequest,
    store: RunStore | None,
    progress: Progress = QUIET,
    report: Report | None = None,
    *,
    model: nn.Module | None = None,
    data: Any = None,
    cluster: Cluster | None = None,
) -> list[SweepPoint]:
    """Measure a setting at several sparsities, the dense model first.

    Each point is committed to the store as it is measured, so that nothing but the point in work is ever lost; asked again, it is read.

    Parameters
    ----------
    request : SweepRequest
        What to measure.
    store : RunStore or None
        Where points are kept; None keeps nothing. A store that fails does not stop the sweep.
    progress : Progress, optional
        Told how far the work is; cancelled, it stops before the next batch.
    report : callable, optional
        Gets each point as it is there.
    model, data : nn.Module, Data, optional
        What ``request`` names, where it is loaded already.
    cluster : Cluster, optional
        Whose workers measure; without ``sparsities`` in the request a few at a time, since what is measured decides where to go on.

    Returns
    -------
    list of SweepPoint
        The dense model (requested 0), then each sparsity in the order in which it was chosen.

    Raises
    ------
    PrunekitError
        If the model, the data or the setting is not valid.
    Cancelled
        If ``progress`` was cancelled; what was measured before is kept.
    """
    experiment = _experiment(request, Keeper(store, progress), model, data)
    experiment.keeper.ask(lambda kept: kept.put_sweep(request.id, request.to_dict(), experiment.weights))
    _check(experiment, request)
    points = _known(experiment, request)
    if report is not None:
        for point in points:
            report(point)
    total, rounds = _total(request), _rounds(experiment, request, points, cluster)
    if cluster is not None:
        for wanted in rounds:
            part = progress.part(len(points) / total, (len(points) + len(wanted)) / total)
            points += _spread(experiment, request, cluster, wanted, len(points), part, report)
    else:

        def measure(requested: float | None, progress: Progress) -> SweepPoint:
            return experiment.point(*_setting(request, requested), (request.id, len(points), requested or 0.0), progress)

        rest = progress.part(len(points) / total, 1.0)
        for point in measured(chain.from_iterable(rounds), total - len(points), measure, rest):
            points.append(point)
            if report is not None:
                report(point)
    experiment.keeper.ask(lambda kept: kept.trim(request.id, len(points)))
    return points


def _setting(request: SweepRequest, requested: float | None) -> tuple[PruneSpec | None, Recovery]:
    """Return what is done at a sparsity; None is the dense model."""
    return (None, Recovery()) if requested is None else (request.at(requested), request.recovery)


def _spread(  # noqa: PLR0917 (a sweep, and where it is)
    experiment: Experiment, request: SweepRequest, cluster: Cluster, wanted: Sequence[float | None], first: int,
    progress: Progress, report: Report | None = None,
) -> list[SweepPoint]:  # fmt: skip
    """Measure points on a cluster; those that are known are read, and each new one is committed as it comes."""
    places = [(request.id, first + place, requested or 0.0) for place, requested in enumerate(wanted)]
    rows = experiment.keeper.ask(lambda kept: known_points(request, kept, experiment.weights, experiment.data_hash)) or []
    there = {row.run.id: point_of(row.run, row.measurement.evaluation, row.requested) for row in rows if "achieved" in row.run.info}
    found: dict[int, SweepPoint] = {}

    def note(place: int, point: SweepPoint) -> None:
        found[place] = point
        if report is not None:
            report(point)

    calls: dict[int, Call] = {}
    for place, requested in enumerate(wanted):
        spec, recovery = _setting(request, requested)
        known = there.get(experiment.run(spec, recovery).id)  # which another machine may have measured
        if known is not None or experiment.stored(spec, recovery) is not None:
            note(place, known or experiment.point(spec, recovery, places[place]))
        else:
            asked = AccuracyRequest(request.model, request.data, spec, recovery, request.split, request.images)
            title = "the dense model" if requested is None else f"sparsity {ordinary(percent(requested))}"
            calls[place] = Call(measure_point, asked, experiment.weights, experiment.data_hash, title)
    order = list(calls)
    for index, (run, seen) in cluster.results(list(calls.values()), progress, model=experiment.model):
        place = order[index]
        experiment.keep(run, seen, places[place])
        accuracy = replace(seen.evaluation, task=experiment.task)
        note(place, point_of(run, accuracy, request.share(_setting(request, wanted[place])[0])))
    return [found[place] for place in range(len(wanted))]


def sweep_seeds(
    request: SweepRequest,
    count: int,
    store: RunStore | None,
    progress: Progress = QUIET,
    report: Report | None = None,
    *,
    model: nn.Module | None = None,
    data: Any = None,
    cluster: Cluster | None = None,
) -> list[list[SweepPoint]]:
    """Carry out a sweep with so many seeds, from its own on; the later ones measure where the first one did."""

    def carry_out(seeded: SweepRequest, place: int) -> list[SweepPoint]:
        title = f"seed {place + 1} of {count}, " if count > 1 else ""
        return sweep_through(seeded, store, progress.step(place, count, title), report, model=model, data=data, cluster=cluster)

    return _seed_by_seed(request, count, carry_out)


def known_seeds(request: SweepRequest, count: int, store: RunStore, weights: str, hashed: str) -> list[SweepPoint]:
    """Return the points that a store holds of so many seeds of a sweep; what else counts is as for `known_points`."""

    def look(seeded: SweepRequest, _: int) -> list[SweepPoint]:
        rows = known_points(seeded, store, weights, hashed)
        return [point_of(row.run, row.measurement.evaluation, row.requested) for row in rows if "achieved" in row.run.info]

    return list(chain.from_iterable(_seed_by_seed(request, count, look)))


def _seed_by_seed(request: SweepRequest, count: int, ask: Callable[[SweepRequest, int], list[SweepPoint]]) -> list[list[SweepPoint]]:
    """Ask for one seed after the other, until it is not known where the next one is measured."""
    found: list[list[SweepPoint]] = []
    places = request.sparsities
    for place in range(count):
        found.append(ask(request.seeded(request.spec.seed + place, places), place))
        places = places or tuple(point.requested for point in found[0][1:])
        if not places:
            break
    return found


def known_points(request: SweepRequest, store: RunStore, weights: str, hashed: str) -> list[Stored]:
    """Return the points of a sweep that a store holds of this very model and these very images, the dense model first.

    A sweep is called by what was asked for, by names; what these stood for when a point was measured, the point itself tells.
    """
    here = _decisive(installed(request.model.name))
    return [
        row
        for row in store.points(request.id)
        if row.run.weights == weights
        and row.measurement.data_hash == hashed
        and _decisive(row.measurement.versions) == here
        and not (row.run.earlier or row.measurement.earlier)
    ]


def _decisive(versions: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of packages whose figures are not mixed; a newer prunekit draws what an earlier one measured."""
    return {name: told for name, told in versions.items() if name != "prunekit"}


def measure_one(
    request: AccuracyRequest,
    store: RunStore | None,
    progress: Progress = QUIET,
    *,
    model: nn.Module | None = None,
    data: Any = None,
) -> SweepPoint:
    """Measure one setting, or the dense model, through the store.

    Parameters
    ----------
    request : AccuracyRequest
        What to measure.
    store, progress, model, data
        As for `sweep_through`.

    Returns
    -------
    SweepPoint
        Under a threshold, what was reached stands for what was asked.
    """
    experiment = _experiment(request, Keeper(store, progress), model, data)
    return experiment.point(request.spec, request.recovery, None, progress)


def _experiment(request: QualityRequest, keeper: Keeper, model: nn.Module | None, data: Any) -> Experiment:
    """Load what a request names, unless it is there."""
    if model is None or data is None:
        model, data = load(request.model, request.data)
    return Experiment(request, model, data, keeper)


def _is_dense(request: SweepRequest, requested: float) -> bool:
    """Whether a sparsity is the dense model itself: nothing goes, and nothing is done afterwards."""
    spec = request.spec
    return not (requested or spec.overrides or spec.depth or spec.remove_layers or spec.cuts_rows or request.recovery.active)


def _total(request: SweepRequest) -> int:
    """Return how many points there will be, the dense model included."""
    if request.sparsities is None:
        return request.evaluations
    return 1 + sum(not _is_dense(request, sparsity) for sparsity in request.sparsities)


def _check(experiment: Experiment, request: SweepRequest) -> None:
    """Raise before anything is measured where a sparsity is out of reach; what is stored was in reach."""
    if request.recovery.active:
        return
    for sparsity in request.sparsities or ():
        spec = request.at(sparsity)
        if not _is_dense(request, sparsity) and experiment.stored(spec, request.recovery) is None:
            experiment.check(spec)


def _known(experiment: Experiment, request: SweepRequest) -> list[SweepPoint]:
    """Return what is there of a sweep that chooses where to measure: wherever its points were chosen, it goes on beside them."""
    if request.sparsities is not None:
        return []
    rows = experiment.keeper.ask(lambda kept: known_points(request, kept, experiment.weights, experiment.data_hash)) or []
    there = dict.fromkeys(None if row.run.kind == "dense" else row.requested for row in rows)
    found = [requested for requested in there if experiment.stored(*_setting(request, requested)) is not None][: request.evaluations]
    if found[:1] != [None]:
        return []
    return [experiment.point(*_setting(request, at), (request.id, place, at or 0.0)) for place, at in enumerate(found)]


def _rounds(
    experiment: Experiment, request: SweepRequest, points: list[SweepPoint], cluster: Cluster | None
) -> Iterator[list[float | None]]:
    """Yield what can be measured at once: as asked, or where points that are there say that the curve bends; None is the dense model."""
    if request.sparsities is not None:
        yield [None, *(sparsity for sparsity in request.sparsities if not _is_dense(request, sparsity))]
        return
    low, high = _reach(experiment, request)
    if not points:
        yield [None, *(end for end in (low, high) if end > STEP / 2)][: request.evaluations]
    while len(points) < request.evaluations:
        found = [point.accuracy for point in points]
        at_once = 1 if cluster is None else max(1, len(cluster.scheduler.workers))
        count = min(at_once, request.evaluations - len(points))
        known = [point.requested for point in points], [a.value for a in found]
        wanted = next_points(*known, count, standard_error(found), low, high)
        if not wanted:
            return
        yield list(wanted)


def _reach(experiment: Experiment, request: SweepRequest) -> tuple[float, float]:
    """Return the range of sparsities: all, unless fixed shares of single layers put some out of reach."""
    if not request.spec.overrides:
        return LOW, HIGH
    able = [share / 100 for share in range(100) if _is_able(experiment, request.at(share / 100))]
    if len(able) < 2:
        raise PruningError("with these overrides hardly any sparsity is in reach: lower or drop some of them, or name the sparsities")
    return able[0], able[-1]


def _is_able(experiment: Experiment, spec: PruneSpec) -> bool:
    """Whether a setting can be carried out."""
    try:
        experiment.check(spec)
    except PruningError:
        return False
    return True
