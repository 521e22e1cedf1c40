"""The search: Optuna proposes, every trial is a run of the store, the best one is confirmed once on the test samples."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError, SpecError
from prunekit.evaluation.max_sparsity import Confirmation, confirm, is_within
from prunekit.evaluation.paired import compare
from prunekit.evaluation.progress import QUIET, Cancelled, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sensitivity.measure import Sensitivity
from prunekit.evaluation.sweep import Made, SweepPoint
from prunekit.experiments.cluster.client import LOOK_S, Cluster
from prunekit.experiments.cluster.worker import Call, measure_point
from prunekit.experiments.experiment import Keeper, point_of
from prunekit.experiments.home import home, weights_folder
from prunekit.experiments.identity import digest
from prunekit.experiments.quantised_run import Quantising
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.recovery_run import unpack
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.search.request import Found, SearchRequest, Timing, Trial
from prunekit.experiments.search.space import CRITERIA, SPACE, Parameters, Space, further, modes_for
from prunekit.experiments.search.study import (
    FINALISTS,
    best_of,
    finish,
    finished,
    known,
    open_study,
    optuna,
    parameters,
    smallest,
    times_of,
    tried,
    try_again,
    waiting,
)
from prunekit.experiments.search.trial_models import Holding, falls_clearly, in_turns, look
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense
from prunekit.experiments.sources import load
from prunekit.experiments.store import RunStore
from prunekit.pruning.result import PruneResult

ADVICE = "Take a larger trial that holds, or ask for less loss"
FEW, SENSING = 512, 0.3  # samples of a first look; share of the budget that sensitivity may take
STEP, LEAST_STEP = 1.0, 0.06  # how much further from the best one the next look is, and when that is given up
HELD = 4  # models of the best trials that are kept in memory


class _Until(threading.Event):
    """Set once the time is over, or what it follows is."""

    def __init__(self, seconds: float, outer: threading.Event | None) -> None:
        super().__init__()
        self.begun, self.seconds, self.outer = time.monotonic(), seconds or float("inf"), outer

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.begun)

    def is_set(self) -> bool:
        """Whether to stop."""
        return self.left <= 0 or (self.outer is not None and self.outer.is_set())


def search_through(
    request: SearchRequest,
    store: RunStore | None,
    progress: Progress = QUIET,
    *,
    report: Callable[[Found], object] = lambda _: None,
    apart: Callable[[], AbstractContextManager[None]] = nullcontext,
    model: nn.Module | None = None,
    data: Any = None,
    cluster: Cluster | None = None,
) -> Found:
    """Search through the store; asked again, the same study goes on. Stopped on request, all that was tried stays.

    What is known so far is reported at the beginning and after every trial; time is measured within the context ``apart``. On a cluster
    each worker tries a setting.
    """
    if model is None or data is None:
        model, data = load(request.model, request.data)
    return _Search(request, model, data, Keeper(store, progress), progress, report, cluster).answer(apart)


def stored(request: SearchRequest, store: RunStore, model: nn.Module, data: Any) -> Found | None:
    """Return what is kept of a search, whatever time it was given; None where nothing was tried."""
    search = _Search(request, model, data, Keeper(store))
    (trials, times), dense = known(search.name, searches()), search.whole.stored(None, Recovery())
    if not trials or dense is None:
        return None
    search.dense = dense
    best, last = best_of(trials, times), search.whole if request.split == "test" else search.last
    told = None
    if best is not None and last is not search.whole:
        seen = [search.seen_on_test(store, run) for run in (last.run(None, Recovery()).id, best.run)]
        told = confirm(seen[0], seen[1], search.allowed, ADVICE) if seen[0] is not None and seen[1] is not None else None
    return search.so_far(trials, told, times)


def searches() -> Path:
    """Return the folder of all studies."""
    return home() / "searches"


class _Search:
    """One study, and what its trials are measured with."""

    def __init__(  # noqa: PLR0917 (what is asked of what, where it is kept and who is told)
        self, request: SearchRequest, model: nn.Module, data: Any, keeper: Keeper, progress: Progress = QUIET,
        report: Callable[[Found], object] = lambda _: None, cluster: Cluster | None = None,
    ) -> None:  # fmt: skip
        self.request, self.model, self.data, self.keeper, self.progress, self.report = request, model, data, keeper, progress, report
        self.cluster = cluster
        self.until = _Until(request.budget_s, progress.cancel)
        self.inner = replace(progress.silent, cancel=self.until)
        self.held: dict[str, tuple[Made, dict[str, Any]]] = {}
        self.results: dict[str, PruneResult] = {}
        self.float_of: dict[str, str] = {}  # from a quantised run to what was quantised
        self.whole = self._experiment(request.split, 0)
        self.quick = self._experiment(request.split, FEW) if self.whole.images > 2 * FEW else self.whole
        self.name = digest({"space": SPACE, "request": request.study.id, "weights": self.whole.weights, "data": self.whole.data_hash})

    @cached_property
    def last(self) -> Holding:
        """What confirms."""
        return self._experiment("test", 0)

    @cached_property
    def dense(self) -> SweepPoint:
        """The dense model on all samples that choose."""
        return self.whole.point(None, Recovery(), None, self.progress.silent)

    @cached_property
    def dense_quick(self) -> Evaluation:
        """The dense model at a first look."""
        return self.quick.point(None, Recovery(), None, self.progress.silent).accuracy

    @cached_property
    def allowed(self) -> float:
        """Loss that is allowed."""
        if self.request.hold is None:
            return float(self.request.lose or 0.0)
        metric, value = self.dense.accuracy.metric, self.dense.accuracy.value
        if (loss := metric.loss(value, self.request.hold)) < 0:
            more = f"to hold {metric.format(self.request.hold)} asks for more than the dense model has, {metric.format(value)}"
            raise SpecError(f"{more}: ask for less")
        return loss

    def so_far(self, trials: Sequence[Trial], told: Confirmation | None = None, times: Sequence[Timing] = ()) -> Found:
        """Return what is known."""
        before, dense = self._cost(self.dense), self.dense.accuracy
        return Found(self.request.minimise, self.allowed, dense, before, best_of(trials, times), told, tuple(trials), tuple(times))

    def _experiment(self, split: str, images: int) -> Holding:
        """Return what measures on a part of the data."""
        request = AccuracyRequest(self.request.model, self.request.data, None, split=split, images=images)
        found = Holding(request, self.model, self.data, self.keeper)
        found.held, found.results = self.held, self.results
        return found

    def answer(self, apart: Callable[[], AbstractContextManager[None]]) -> Found:
        """Search until the time is over, and confirm."""
        folder = None if self.keeper.store is None else searches()
        study = open_study(self.name, folder, self.request.seed, self.cluster is not None)
        self.report(self.so_far(tried(study)))
        space = self._space()
        if self.cluster is not None:
            self._side_by_side(study, space, self.cluster)
        while not self.until.is_set() and not 0 < self.request.trials <= len(finished(study)):
            self._propose(study, space)
            self._one(study, space)
            self._tell(study)
        self.progress.check()
        times: tuple[Timing, ...] = ()
        if self.request.minimise == "latency":
            with apart():
                times = self._timed(study, space)
        trials = tried(study)
        return self.so_far(trials, self._confirmed(study, space, best_of(trials, times)), times)

    def _timed(self, study: Any, space: Space) -> tuple[Timing, ...]:
        """Time the finalists in turns with the dense model; those of an earlier search are read."""
        final = smallest(tried(study), FINALISTS)
        known = times_of(study)
        if not final or {trial.number for trial in final} == {each.number for each in known}:
            return known if final else ()
        made = [(trial, self.whole.made(*self._setting(study, space, trial), self.progress.silent)) for trial in final]
        try:
            times = in_turns(self.whole, made, self.progress.part(0.99, 1.0, "timing the finalists: "))
        except PrunekitError as error:
            self.progress.warn(f"the finalists could not be timed, so MACs decide: {error}")
            return ()
        study.set_user_attr("times", [asdict(each) for each in times])
        return times

    def _setting(self, study: Any, space: Space, trial: Trial) -> tuple[PruneSpec, Recovery]:
        """Return what a trial was made with."""
        return space.setting(space.suggest(optuna().trial.FixedTrial(parameters(study, trial))))

    def _space(self) -> Space:
        """Measure what each group costs alone, as far as its share of the time goes, and return what may be chosen."""
        curves: dict[str, Sensitivity] = {}
        for mode in modes_for(self.request.minimise):
            spec = PruneSpec(mode=mode, criterion=CRITERIA[mode][0], seed=self.request.seed, sparsity=0.0)
            asked = SensitivityRequest(self.request.model, self.request.data, spec, self.request.split, 4 * FEW)
            latest: list[Sensitivity] = []
            limit = _Until(max(SENSING * self.until.left, 0.0) if self.request.budget_s else 0.0, self.until)
            progress = replace(self.progress.part(0.0, 0.0, "what each group costs alone: "), cancel=limit)
            try:
                latest.append(
                    sense(asked, self.keeper.store, progress, report=latest.append, model=self.model, data=self.data, cluster=self.cluster)
                )
            except Cancelled:
                self.progress.check()
            except PrunekitError as error:
                self.progress.warn(f"no shares from sensitivity: {error}")
            curves |= {mode: latest[-1]} if latest else {}
        return Space(
            self.model, self.whole.shape, self.data, self.request.minimise, self.request.epochs, curves, self.allowed, self.request.seed
        )

    def _one(self, study: Any, space: Space) -> None:
        """Carry out one trial."""
        began, trial = time.monotonic(), study.ask()
        try:
            drawn = space.suggest(trial)
            spec, recovery = space.setting(drawn)
            found = self._judged(trial.number, self._points(spec, recovery))
            if found.state == "holds":
                self._keep(spec, recovery)
            if drawn["int8"] and found.state == "holds":
                found = self._in_int8(found, spec, recovery)
        except Cancelled:
            try_again(study, trial)
            return
        except PrunekitError as error:
            found = Trial(trial.number, "failed", error=str(error))
        self._enter(study, trial, found, began)

    def _side_by_side(self, study: Any, space: Space, cluster: Cluster) -> None:
        """Carry out as many trials at a time as there are workers."""
        out: dict[Future[Any], tuple[Any, PruneSpec, Recovery, float]] = {}
        images = 0 if self.quick is self.whole else FEW
        try:
            while not self.until.is_set():
                wanted = self.request.trials - len(finished(study)) if self.request.trials else len(cluster.workers)
                for _ in range(min(wanted, len(cluster.workers)) - len(out)):
                    self._propose(study, space)
                    began, trial = time.monotonic(), study.ask()
                    try:
                        spec, recovery = space.setting(space.suggest(trial))
                    except PrunekitError as error:
                        self._enter(study, trial, Trial(trial.number, "failed", error=str(error)), began)
                        continue
                    request = AccuracyRequest(self.request.model, self.request.data, spec, recovery, self.request.split)
                    call = Call(look, request, self.whole.weights, self.whole.data_hash, "a trial", (images, self.allowed))
                    out[cluster.submit(call, self.model)] = trial, spec, recovery, began
                if wanted <= 0 and not out:
                    return
                if not out:
                    time.sleep(LOOK_S)
                for future in wait(out, LOOK_S, FIRST_COMPLETED).done:
                    trial, spec, recovery, began = out.pop(future)
                    try:
                        seen, files = future.result()
                        found = self._judged(trial.number, self._brought(spec, seen))
                        if found.state == "holds":
                            self._keep(spec, recovery, files)
                        if trial.params.get("int8") and found.state == "holds":
                            found = self._in_int8(found, spec, recovery)
                    except PrunekitError as error:
                        found = Trial(trial.number, "failed", error=str(error))
                    self._enter(study, trial, found, began)
                self._tell(study, cluster.standing)
        finally:
            for future, (trial, *_) in out.items():
                future.cancel()
                try_again(study, trial)

    def _points(self, spec: PruneSpec, recovery: Recovery) -> Iterator[SweepPoint]:
        """Measure a setting on a few samples, where there are many, then on all of them; as far as asked."""
        for experiment in dict.fromkeys((self.quick, self.whole)):
            yield experiment.point(spec, recovery, None, self.inner)

    def _brought(self, spec: PruneSpec, found: list[tuple[Run, Measurement]]) -> Iterator[SweepPoint]:
        """Keep what a worker measured."""
        for experiment, (run, seen) in zip(dict.fromkeys((self.quick, self.whole)), found, strict=False):
            experiment.keep(run, seen, None)
            yield point_of(run, replace(seen.evaluation, task=experiment.task), spec.sparsity)

    def _keep(self, spec: PruneSpec, recovery: Recovery, files: dict[str, bytes] | None = None) -> None:
        """Keep the weights of a trial that holds, so that it can be opened, compared and exported."""
        if not recovery.active or self.keeper.store is None:
            return
        run = self.whole.run(spec, recovery)
        folder = weights_folder(run.id)
        if files:
            unpack(files, folder, self.progress)
        told = {"file": folder.name} if files else self.whole.write(spec, recovery, folder, self.inner)
        self.keeper.ask(lambda store: store.put_run(replace(run, info=told)))

    def _enter(self, study: Any, trial: Any, found: Trial, began: float) -> None:
        """Enter what a trial found, and what follows from it."""
        best = best_of(tried(study))
        found = replace(found, title=_title(trial.params), seconds=time.monotonic() - began)
        finish(study, trial, found)
        self._next(study, trial, found, best)
        self._forget(study)
        self.report(self.so_far(tried(study)))

    def _propose(self, study: Any, space: Space) -> None:
        """Where nothing waits, have the next beginning tried; after all of them every other look near the best one.

        What follows from a trial waits, so that a short search goes on with what holds before it begins elsewhere.
        """
        number, best = len(study.trials), best_of(tried(study))
        if waiting(study):
            return
        begun, start = int(study.user_attrs.get("begun", 0)), space.start
        if begun < len(start):
            plain = {**start[begun], "int8": False}
            twin = [each for each in start[begun + 1 : begun + 2] if {**each, "int8": False} == plain and each != start[begun]]
            for each in (start[begun], *twin):  # the same in int8 right behind it: the model is at hand
                study.enqueue_trial(each)
            study.set_user_attr("begun", begun + 1 + len(twin))
        elif number % 2 and best is not None:
            near = space.near(parameters(study, best), np.random.default_rng([self.request.seed, number]))
            if near is not None:
                study.enqueue_trial(near)

    def _judged(self, number: int, points: Iterator[SweepPoint]) -> Trial:
        """Look at a few samples first; only what does not fall clearly there is measured on all of them."""
        point, dense, falls = next(points), self.dense_quick, False
        if self.quick is not self.whole:
            falls = falls_clearly(dense, point.accuracy, self.allowed)
            if not falls:
                point, dense = next(points), self.dense.accuracy
        drop = compare(dense, point.accuracy)
        loss = float(drop.metric.lost(drop).value)
        holds = not falls and is_within(drop, self.allowed)
        told = (point.accuracy.value, loss, drop.n, point.run, point.counts.params, round(point.counts.macs), point.bytes)
        return Trial(number, "holds" if holds else "falls", self._cost(point), *told)

    def _in_int8(self, found: Trial, spec: PruneSpec, recovery: Recovery) -> Trial:
        """Return a trial that holds in float as it is in int8, measured in its runtime."""
        made = self.whole.made(spec, recovery, self.inner)
        run, size, accuracy = self._quantising(spec, recovery, self.request.split).on_part(made.model, self.inner)
        self.float_of[run.id] = self.whole.run(spec, recovery).id
        drop = compare(self.dense.accuracy, accuracy)
        state = "holds" if is_within(drop, self.allowed) else "falls"
        loss = float(drop.metric.lost(drop).value)
        return replace(found, state=state, cost=float(size), value=accuracy.value, loss=loss, run=run.id, bytes=size)

    def _quantising(self, spec: PruneSpec | None, recovery: Recovery, split: str) -> Quantising:
        """Return what quantises and measures on a part of the data."""
        request = AccuracyRequest(self.request.model, self.request.data, spec, recovery, split=split)
        return Quantising(request, self.model, self.data, self.keeper)

    def seen_on_test(self, store: RunStore, run: str) -> Evaluation | None:
        """Return what the store holds of a run on the test samples, in int8 where it is quantised."""
        found = self.last.accuracy_in(store, run)
        return found or self._quantising(None, Recovery(), "test").stored_int8(run, "test", self.last.images)

    def _cost(self, point: SweepPoint) -> float:
        """Return what is minimised."""
        what = {"params": point.counts.params, "macs": point.counts.macs, "latency": point.counts.macs, "bytes": point.bytes}
        return float(what[self.request.minimise])

    def _next(self, study: Any, trial: Any, found: Trial, best: Trial | None) -> None:
        """Have a look further on from a new best; where a smaller one fell, tune it longer; where such a look fell, go half the way."""
        told: Parameters = {name: value for name, value in trial.user_attrs.items() if name in ("base", "step")}
        smaller = found.cost is not None and (best is None or best.cost is None or found.cost < best.cost)
        if found.state == "holds" and smaller:
            base, step = dict(trial.params), float(told.get("step", STEP))
        elif found.state == "falls" and smaller and 0 < trial.params.get("epochs", 0) < self.request.epochs:
            study.enqueue_trial({**trial.params, "epochs": self.request.epochs}, user_attrs=told, skip_if_exists=True)
            return
        elif "base" in told and found.state != "holds" and told["step"] / 2 >= LEAST_STEP:
            base, step = dict(told["base"]), told["step"] / 2
        else:
            return
        study.enqueue_trial(further(base, step), user_attrs={"base": base, "step": step}, skip_if_exists=True)

    def _forget(self, study: Any) -> None:
        """Hold the models of the best trials alone."""
        holding = sorted((t for t in tried(study) if t.state == "holds"), key=lambda t: float(t.cost or 0))[:HELD]
        for run in set(self.held) - {self.float_of.get(trial.run, trial.run) for trial in holding}:
            del self.held[run]
            self.results.pop(run, None)

    def _tell(self, study: Any, where: str = "") -> None:
        """Tell how far it is."""
        trials, request = tried(study), self.request
        best = best_of(trials)
        by_time = 1 - self.until.left / self.until.seconds if request.budget_s else 0.0
        share = min(max(by_time, len(trials) / request.trials if request.trials else 0.0), 0.99)
        small = "nothing that holds yet" if best is None else f"best {float(best.cost or 0) / max(self._cost(self.dense), 1):.1%} of dense"
        if not self.until.is_set():
            self.progress(share, ", ".join(filter(None, (f"{len(trials)} tried", small, where))))

    def _confirmed(self, study: Any, space: Space, best: Trial | None) -> Confirmation | None:
        """Measure the best on all test samples, once: what is stored is read."""
        if best is None or self.request.split == "test":
            return None
        spec, recovery = self._setting(study, space, best)
        dense = self.last.point(None, Recovery(), None, self.progress.silent).accuracy
        if parameters(study, best).get("int8"):
            made = self.whole.made(spec, recovery, self.progress.silent)
            seen = self._quantising(spec, recovery, "test").on_part(made.model, self.progress.silent)[2]
            return confirm(dense, seen, self.allowed, ADVICE)
        if self.cluster is not None and self.last.stored(spec, recovery) is None:
            request = AccuracyRequest(self.request.model, self.request.data, spec, recovery, "test")
            call = Call(measure_point, request, self.last.weights, self.last.data_hash, "the confirmation")
            for _, (run, seen) in self.cluster.results([call], self.progress.silent, model=self.model):
                self.last.keep(run, seen, None)
                return confirm(dense, replace(seen.evaluation, task=self.last.task), self.allowed, ADVICE)
        return confirm(dense, self.last.point(spec, recovery, None, self.progress.silent).accuracy, self.allowed, ADVICE)


def _title(params: Parameters) -> str:
    """Say a setting in a few words."""
    mode = params.get("mode", "")
    told = {name.removeprefix(f"{mode} "): value for name, value in params.items()}
    words = [mode, told.get("criterion", ""), told.get("scope", ""), "targets from sensitivity" if "price" in told else ""]
    words += ["own shares" if told.get("shares") == "own" else "", f"{told['sparsity']:.1%}" if "sparsity" in told else ""]
    words += [f"{told['depth']} % of the blocks whole" if told.get("depth") else ""]
    words += ["int8" if told.get("int8") else ""]
    words += [f"{told['epochs']} epochs ({told['optimizer']})" if told.get("epochs") else ""]
    return ", ".join(word for word in words if word)
