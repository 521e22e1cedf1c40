"""The search: Optuna proposes, every trial is a run of the store, the best one is confirmed once on the test samples."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.evaluation.max_sparsity import confirm
from prunekit.evaluation.progress import QUIET, Cancelled, Progress
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.cluster.scheduler import LOOK_S
from prunekit.experiments.cluster.worker import Call
from prunekit.experiments.experiment import Keeper
from prunekit.experiments.home import home, weights_folder
from prunekit.experiments.recovery_run import unpack
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.search.objective import ADVICE, FEW, Objective, in_turns, look
from prunekit.experiments.search.request import Found, SearchRequest, Timing, Trial
from prunekit.experiments.search.space import CRITERIA, Parameters, Space, modes_for
from prunekit.experiments.search.study import (
    FINALISTS,
    best_of,
    finish,
    finished,
    follow_up,
    known,
    open_study,
    parameters,
    propose,
    smallest,
    times_of,
    tried,
    try_again,
)
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense
from prunekit.experiments.sources import load
from prunekit.experiments.store import RunStore
from prunekit.formatting import ordinary, percent, plural

SENSING = 0.2  # share of the budget that sensitivity may take
OF = {"params": " of the parameters", "macs": " of the MACs", "channels": " of the channels"}
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
    return _Search(Objective(request, model, data, Keeper(store, progress), progress.silent), progress, report, cluster).answer(apart)


def stored(request: SearchRequest, store: RunStore, model: nn.Module, data: Any) -> Found | None:
    """Return what is kept of a search, whatever time it was given; None where nothing was tried."""
    objective = Objective(request, model, data, Keeper(store), QUIET)
    (trials, times), dense = known(objective.study, searches()), objective.whole.stored(None, Recovery())
    if not trials or dense is None:
        return None
    objective.dense = dense
    best, last = best_of(trials, times), objective.whole if request.split == "test" else objective.last
    told = None
    if best is not None and last is not objective.whole:
        seen = [objective.seen_on_test(store, run) for run in (last.run(None, Recovery()).id, best.run)]
        told = confirm(seen[0], seen[1], objective.allowed, ADVICE) if seen[0] is not None and seen[1] is not None else None
    return objective.so_far(trials, told, times)


def searches() -> Path:
    """Return the folder of all studies."""
    return home() / "searches"


class _Search:
    """One study: trials are asked for, carried out and entered until the time is over."""

    def __init__(self, objective: Objective, progress: Progress, report: Callable[[Found], object], cluster: Cluster | None) -> None:
        self.objective, self.request, self.progress, self.report, self.cluster = objective, objective.request, progress, report, cluster
        self.until = _Until(self.request.budget_s, progress.cancel)
        self.inner = replace(progress.silent, cancel=self.until)

    def answer(self, apart: Callable[[], AbstractContextManager[None]]) -> Found:
        """Search until the time is over, and confirm."""
        folder = None if self.objective.keeper.store is None else searches()
        study = open_study(self.objective.study, folder, self.request.seed, self.cluster is not None)
        self.report(self.objective.so_far(tried(study)))
        space = self._space()
        if self.cluster is not None:
            self._side_by_side(study, space, self.cluster)
        while not self.until.is_set() and not 0 < self.request.trials <= len(finished(study)):
            propose(study, space, self.until.left)
            self._one(study, space)
            self._tell(study)
        self.progress.check()
        times: tuple[Timing, ...] = ()
        if self.request.minimise == "latency":
            with apart():
                times = self._timed(study, space)
        trials = tried(study)
        best, told = best_of(trials, times), None
        if best is not None and self.request.split != "test":
            told = self.objective.confirmed(*self._setting(study, space, best), parameters(study, best).get("int8", False), self.cluster)
        return self.objective.so_far(trials, told, times)

    def _timed(self, study: Any, space: Space) -> tuple[Timing, ...]:
        """Time the finalists in turns with the dense model; those of an earlier search are read."""
        final = smallest(tried(study), FINALISTS)
        known = times_of(study)
        if not final or {trial.number for trial in final} == {each.number for each in known}:
            return known if final else ()
        made = [(trial, self.objective.whole.made(*self._setting(study, space, trial), self.progress.silent)) for trial in final]
        try:
            times = in_turns(self.objective.whole, made, self.progress.part(0.99, 1.0, "timing the finalists: "))
        except PrunekitError as error:
            self.progress.warn(f"the finalists could not be timed, so MACs decide: {error}")
            return ()
        study.set_user_attr("times", [asdict(each) for each in times])
        return times

    def _setting(self, study: Any, space: Space, trial: Trial) -> tuple[PruneSpec, Recovery]:
        """Return what a trial was made with."""
        return space.setting(space.suggested(parameters(study, trial)))

    def _space(self) -> Space:
        """Measure what each group costs alone, as far as its share of the time goes, and return what may be chosen."""
        objective, curves = self.objective, dict[str, Sensitivity]()
        for mode in modes_for(self.request.minimise):
            spec = PruneSpec(mode=mode, criterion=CRITERIA[mode][0], seed=self.request.seed, sparsity=0.0)
            asked = SensitivityRequest(self.request.model, self.request.data, spec, self.request.split, 4 * FEW, drop=objective.allowed)
            latest: list[Sensitivity] = []
            limit = _Until(max(SENSING * self.until.left, 0.0) if self.request.budget_s else 0.0, self.until)
            progress = replace(self.progress.part(0.0, 0.0, "what each group costs alone: "), cancel=limit)
            try:
                given = {"model": objective.model, "data": objective.data, "cluster": self.cluster}
                latest.append(sense(asked, objective.keeper.store, progress, report=latest.append, **given))
            except Cancelled:
                self.progress.check()
            except PrunekitError as error:
                self.progress.warn(f"no shares from sensitivity: {error}")
            curves |= {mode: latest[-1]} if latest else {}
        told = (self.request.minimise, self.request.epochs, curves, objective.allowed, self.request.seed)
        return Space(objective.model, objective.whole.shape, objective.data, *told)

    def _one(self, study: Any, space: Space) -> None:
        """Carry out one trial."""
        began, trial = time.monotonic(), study.ask()
        try:
            drawn = space.suggest(trial)
            spec, recovery = space.setting(drawn)
            found = self.objective.judged(trial.number, self.objective.points(spec, recovery, self.inner))
            if found.state == "holds":
                self._keep(spec, recovery)
            if drawn["int8"] and found.state == "holds":
                found = self.objective.in_int8(found, spec, recovery, self.inner)
        except Cancelled:
            try_again(study, trial)
            return
        except PrunekitError as error:
            found = Trial(trial.number, "failed", error=str(error))
        self._enter(study, trial, found, began)

    def _side_by_side(self, study: Any, space: Space, cluster: Cluster) -> None:
        """Carry out as many trials at a time as there are workers."""
        out: dict[Future[Any], tuple[Any, PruneSpec, Recovery, float]] = {}
        objective, whole = self.objective, self.objective.whole
        images = 0 if objective.quick is whole else FEW
        try:
            while not self.until.is_set():
                wanted = self.request.trials - len(finished(study)) if self.request.trials else len(cluster.scheduler.workers)
                for _ in range(min(wanted, len(cluster.scheduler.workers)) - len(out)):
                    propose(study, space, self.until.left)
                    began, trial = time.monotonic(), study.ask()
                    try:
                        spec, recovery = space.setting(space.suggest(trial))
                    except PrunekitError as error:
                        self._enter(study, trial, Trial(trial.number, "failed", error=str(error)), began)
                        continue
                    request = AccuracyRequest(self.request.model, self.request.data, spec, recovery, self.request.split)
                    call = Call(look, request, whole.weights, whole.data_hash, "a trial", (images, objective.allowed))
                    out[cluster.submit(call, objective.model)] = trial, spec, recovery, began
                if wanted <= 0 and not out:
                    return
                if not out:
                    time.sleep(LOOK_S)
                for future in wait(out, LOOK_S, FIRST_COMPLETED).done:
                    trial, spec, recovery, began = out.pop(future)
                    try:
                        seen, files = future.result()
                        found = objective.judged(trial.number, objective.brought(spec, seen))
                        if found.state == "holds":
                            self._keep(spec, recovery, files)
                        if trial.params.get("int8") and found.state == "holds":
                            found = objective.in_int8(found, spec, recovery, self.inner)
                    except PrunekitError as error:
                        found = Trial(trial.number, "failed", error=str(error))
                    self._enter(study, trial, found, began)
                self._tell(study, cluster.scheduler.standing)
        finally:
            for future, (trial, *_) in out.items():
                future.cancel()
                try_again(study, trial)

    def _keep(self, spec: PruneSpec, recovery: Recovery, files: dict[str, bytes] | None = None) -> None:
        """Keep the weights of a trial that holds, so that it can be opened, compared and exported."""
        if not recovery.active or self.objective.keeper.store is None:
            return
        run = self.objective.whole.run(spec, recovery)
        folder = weights_folder(run.id)
        if files:
            unpack(files, folder, self.progress)
        told = {"file": folder.name} if files else self.objective.whole.write(spec, recovery, folder, self.inner)
        self.objective.keeper.ask(lambda store: store.put_run(replace(run, info=told)))

    def _enter(self, study: Any, trial: Any, found: Trial, began: float) -> None:
        """Enter what a trial found, and what follows from it."""
        best = best_of(tried(study))
        found = replace(found, title=_title(trial.params), seconds=time.monotonic() - began)
        finish(study, trial, found)
        follow_up(study, trial, found, best, self.request.epochs)
        self.objective.forget(smallest(tried(study), HELD))
        self.report(self.objective.so_far(tried(study)))

    def _tell(self, study: Any, where: str = "") -> None:
        """Tell how far it is."""
        trials, request = tried(study), self.request
        best = best_of(trials)
        by_time = 1 - self.until.left / self.until.seconds if request.budget_s else 0.0
        share = min(max(by_time, len(trials) / request.trials if request.trials else 0.0), 0.99)
        dense = max(self.objective.cost(self.objective.dense), 1)
        small = "nothing that holds yet" if best is None else f"best {ordinary(percent(float(best.cost or 0) / dense))} of dense"
        if not self.until.is_set():
            self.progress(share, ", ".join(filter(None, (f"{len(trials)} tried", small, where))))


def _title(params: Parameters) -> str:
    """Say a setting in a few words."""
    mode = params.get("mode", "")
    told = {name.removeprefix(f"{mode} "): value for name, value in params.items()}
    words = [mode, told.get("criterion", ""), told.get("scope", ""), "by sensitivity" if "price" in told else ""]
    words += [
        "own shares" if told.get("shares") == "own" else "",
        ordinary(percent(float(told["sparsity"]))) + OF.get(told.get("target", ""), "") if "sparsity" in told else "",
    ]
    words += [f"{told['depth']} % of the blocks whole" if told.get("depth") else ""]
    words += ["int8" if told.get("int8") else ""]
    words += [f"{ordinary(plural(told['epochs'], 'epoch'))} ({told['optimizer']})" if told.get("epochs") else ""]
    return ", ".join(word for word in words if word)
