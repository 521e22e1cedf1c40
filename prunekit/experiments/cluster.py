"""`Cluster`: points of a sweep measured by the workers of a Dask cluster; this process alone writes the store."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock
from typing import Any

import torch

from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.identity import PACKAGES, digest, installed
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.sources import load

PATIENCE_S = 60.0
"""So long without workers, or without the scheduler, and whoever waits is told."""
LOOK_S = 0.1
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class Call:
    """What travels: a request, and what its model and data must be where it is carried out.

    Attributes
    ----------
    request : AccuracyRequest
        What to measure.
    weights, data : str
        Hashes of the dense model and of the whole part of the data.
    """

    request: AccuracyRequest
    weights: str
    data: str

    @property
    def key(self) -> str:
        """What it is called on the cluster: asked twice, it is done once."""
        return f"prunekit-{digest({'request': self.request.id, 'weights': self.weights, 'data': self.data})}"


class _Wanted:
    """Set once the task that runs here is no longer wanted, as its worker was told; looked at before each batch."""

    def __init__(self, worker: Any, key: str) -> None:
        self._tasks, self._key = worker.state.tasks, key

    def is_set(self) -> bool:
        """Whether to stop."""
        task = self._tasks.get(self._key)
        return task is None or task.state == "cancelled"


def carry_out(request: dict[str, Any], weights: str, data: str) -> tuple[Run, Measurement]:
    """Measure one point on a worker; nothing is stored there."""
    from distributed import get_worker  # noqa: PLC0415 (an extra)

    worker = get_worker()
    cancel: Any = _Wanted(worker, str(worker.get_current_task()))
    asked = AccuracyRequest.from_dict(request)
    torch.set_num_threads(1)
    with _ONE_AT_A_TIME:
        bare = replace(asked, spec=None, recovery=type(asked.recovery)())
        experiment = _experiment(bare)
        if (experiment.weights, experiment.data_hash) != (weights, data):
            what = "the model" if experiment.weights != weights else "the data"
            name = asked.model.name if experiment.weights != weights else experiment.data_id.name
            raise PrunekitError(f"{what} {name} on the worker {worker.address} differ from those here: give every worker the same files")
        run, accuracy = experiment.measure(asked.spec, asked.recovery, Progress(cancel=cancel))
        return run, experiment.seen(run, accuracy)


@lru_cache(maxsize=2)
def _experiment(request: AccuracyRequest) -> Experiment:
    """Return a model on its data, loaded once a worker."""
    return Experiment(request, *load(request.model, request.data), Keeper(None, QUIET))


class Cluster:
    """A Dask cluster, as this process uses it.

    Parameters
    ----------
    address : str
        Of the scheduler, as in ``tcp://127.0.0.1:8786``.
    patience_s : float
        Seconds without workers after which whoever waits is told.

    Raises
    ------
    PrunekitError
        If ``distributed`` is not installed or nothing answers there.
    """

    def __init__(self, address: str, patience_s: float = PATIENCE_S) -> None:
        try:
            import distributed  # noqa: PLC0415 (an extra)

            self._dask: Any = distributed
        except ImportError:
            raise PrunekitError("a cluster needs the package distributed: pip install 'prunekit[dask]'") from None
        self.address, self._patience_s = address, patience_s
        self._versions: dict[str, dict[str, str]] = {}
        try:
            self._client = self._connected()
        except (OSError, ValueError) as error:
            raise PrunekitError(
                f"no Dask scheduler answers at {address}: start one with `dask scheduler`, and name its address ({error})"
            ) from None

    def _connected(self) -> Any:
        """Return a client of the scheduler."""
        return self._dask.Client(self.address, timeout=5, set_as_default=False, direct_to_workers=False)

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        self._client.close()

    def workers(self, progress: Progress = QUIET) -> list[str]:
        """Return the workers with the versions of this process; whoever waits is told of the others, with the names of both."""
        there = list(self._client.scheduler_info(n_workers=-1)["workers"])
        if set(there) - set(self._versions):
            told = self._client.get_versions(packages=PACKAGES)["workers"]
            for worker, found in told.items():
                if found and worker not in self._versions:
                    self._versions[worker] = dict(found["packages"])
                    if other := differences(self._versions[worker]):
                        progress.warn(f"the worker {worker} is not used: {other}")
        return [worker for worker in there if worker in self._versions and not differences(self._versions[worker])]

    def results(self, calls: Sequence[Call], progress: Progress = QUIET) -> Iterator[tuple[int, tuple[Run, Measurement]]]:
        """Yield the place of a call and its result, each as it comes.

        A worker's or the scheduler's death costs what was in work, which is asked for again. A call that ended so many workers as the
        scheduler allows is given up: the others go on, and the error comes last.

        Raises
        ------
        PrunekitError
            If calls were given up or failed.
        Cancelled
            If ``progress`` was cancelled: workers stop at their next batch.
        """
        waiting, out, failed = deque(range(len(calls))), dict[int, tuple[Any, set[str]]](), list[str]()
        total, well = len(calls), time.monotonic()
        try:
            while waiting or out:
                workers = self._workers_now(progress)
                if workers:
                    well = time.monotonic()
                done = total - len(waiting) - len(out)
                progress(done / total, self._standing(workers, time.monotonic() - well))
                for place, (future, asked) in list(out.items()):
                    if future.status == "pending" and (not workers or asked & set(workers)):
                        continue
                    del out[place]
                    if future.status == "finished":
                        yield place, future.result()
                    elif future.status == "error":
                        failed.append(self._why(calls[place], future.exception()))
                    else:  # its workers, or the scheduler, are gone
                        future.cancel()
                        waiting.appendleft(place)
                while waiting and len(out) < len(workers):
                    place = waiting.popleft()
                    out[place] = self._submit(calls[place], workers), set(workers)
                time.sleep(LOOK_S)
        finally:
            for future, _ in out.values():
                future.cancel()
        if failed:
            raise PrunekitError("; ".join(failed))

    def _workers_now(self, progress: Progress) -> list[str]:
        """Return the workers, none where the scheduler does not answer; a scheduler that is back is found again."""
        try:
            if self._client.status == "closed":
                self._client = self._connected()
            return self.workers(progress) if self._client.status == "running" else []
        except (OSError, TimeoutError, ValueError):
            return []

    def _standing(self, workers: Sequence[str], idle_s: float) -> str:
        """Return where the work stands, in words."""
        if workers:
            return f"{len(workers)} worker{'s' if len(workers) > 1 else ''} of the cluster"
        return f"no workers at {self.address} for {idle_s:.0f} s: start some" if idle_s >= self._patience_s else "waiting for workers"

    def _submit(self, call: Call, workers: Sequence[str]) -> Any:
        """Ask the cluster for one result."""
        args = call.request.to_dict(), call.weights, call.data
        return self._client.submit(carry_out, *args, key=call.key, workers=list(workers), allow_other_workers=False, pure=True)

    def _why(self, call: Call, error: Any) -> str:
        """Return why a call was given up."""
        spec = call.request.spec
        what = "the dense model" if spec is None else f"sparsity {spec.sparsity:.1%}"
        if isinstance(error, self._dask.KilledWorker):
            return (
                f"{what} was given up, since the workers that ran it died one after the other: give them more memory, or look at their logs"
            )
        return f"{what}: {error}"


def differences(versions: Mapping[str, str | None]) -> str:
    """Say which packages of a worker have other versions than here; "" for none."""
    here = installed()
    other = [name for name in PACKAGES if (versions.get(name) or "") != here[name]]
    return ", ".join(f"{name} {versions.get(name) or 'is missing'} there, {here[name] or 'not installed'} here" for name in other)
