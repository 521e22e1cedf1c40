"""`Cluster`: a Dask cluster as an executor: calls go to workers, whatever dies meanwhile, and come back as futures."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from torch import nn

from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.cluster.worker import TOPIC, Call, Lacking, carry_out, packed, take
from prunekit.experiments.identity import PACKAGES, installed

VARIABLE = "PRUNEKIT_CLUSTER"
"""Address of the scheduler that the dashboard's jobs are carried out by."""
PATIENCE_S = 60.0
"""So long without workers, or without the scheduler, and whoever waits is told."""
LOOK_S = 0.5
"""Between two looks at which workers are there, and at whether the work is still wanted; results come at once."""
DEATHS = 3
AHEAD = 2  # calls a worker has, so that it need not wait for the next
CONNECT_S, FETCH_S = 15.0, 60.0
_GONE = (OSError, TimeoutError, ValueError)
_NOT_THERE = (*_GONE, TypeError)  # the last one: tls:// without certificates


@dataclass(eq=False)
class _Asked:
    """A call, and where it is."""

    call: Call
    model: nn.Module | None
    future: Future[Any] = field(default_factory=Future)
    deaths: int = 0
    worker: str = ""
    task: Any = None
    fraction: float = 0.0
    text: str = ""


class Cluster:
    """A Dask cluster, as this process uses it; after ``patience_s`` seconds without workers whoever waits is told."""

    def __init__(self, address: str, patience_s: float = PATIENCE_S) -> None:
        try:
            import distributed  # noqa: PLC0415 (an extra)

            self._dask: Any = distributed
        except ImportError:
            raise PrunekitError("a cluster needs the package distributed: pip install 'prunekit[dask]'") from None
        self.address, self._patience_s = address, patience_s
        self._versions: dict[str, dict[str, str]] = {}
        self._refused: dict[str, str] = {}
        self._waiting, self._out = deque[_Asked](), dict[str, _Asked]()
        self._lock, self._changed, self._closed = threading.Lock(), threading.Event(), threading.Event()
        self._numbers, self._workers, self._looked, self._well = count(1), list[str](), 0.0, time.monotonic()
        self._payloads: dict[str, bytes] = {}
        self._given = set[tuple[str, str]]()
        try:
            self._client = self._connected()
        except _NOT_THERE as error:
            raise PrunekitError(
                f"no Dask scheduler answers at {address}: start one with `dask scheduler`, and name its address ({error})"
            ) from None
        self._thread = threading.Thread(target=self._serve, name="prunekit-cluster", daemon=True)
        self._thread.start()

    def _connected(self) -> Any:
        """Return a client of the scheduler; where nothing listens, it is said before one is made, which would go on trying."""
        with socket.create_connection(self._dask.comm.get_address_host_port(self.address), timeout=CONNECT_S):
            pass
        client = self._dask.Client(self.address, timeout=CONNECT_S, set_as_default=False, direct_to_workers=False)
        client.subscribe_topic(TOPIC, self._hear)
        return client

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        self._closed.set()
        self._changed.set()
        self._thread.join()
        self._client.close()

    @property
    def workers(self) -> list[str]:
        """The workers with the versions of this process."""
        return list(self._workers)

    @property
    def refused(self) -> dict[str, str]:
        """Why workers are not used, by their addresses."""
        return dict(self._refused)

    @property
    def standing(self) -> str:
        """Where the work stands, in words."""
        workers, idle_s = len(self._workers), time.monotonic() - self._well
        if workers:
            return f"{workers} worker{'s' if workers > 1 else ''} of the cluster"
        return f"no workers at {self.address} for {idle_s:.0f} s: start some" if idle_s >= self._patience_s else "waiting for workers"

    def submit(self, call: Call, model: nn.Module | None = None) -> Future[Any]:
        """Ask for one result.

        A worker's or the scheduler's death costs what was in work, which is asked for again. A call that was in work on three workers
        that died is given up, and fails with a `PrunekitError`, as one does that a worker refuses. Cancelled, it stops at its next batch.
        """
        asked = _Asked(call, model)
        asked.future.add_done_callback(lambda _: self._changed.set())
        with self._lock:
            if not (self._out or self._waiting):
                self._well = time.monotonic()  # until now nobody missed a worker
            self._waiting.append(asked)
        self._changed.set()
        return asked.future

    def results(self, calls: Sequence[Call], progress: Progress = QUIET, *, model: nn.Module | None = None) -> Iterator[tuple[int, Any]]:
        """Yield the place of a call and its result, each as it comes; what fails is left out, and the error comes last."""
        done, failed, warned = queue.SimpleQueue[Future[Any]](), list[str](), set[str]()
        places = {self.submit(call, model): place for place, call in enumerate(calls)}
        for future in places:
            future.add_done_callback(done.put)
        try:
            for finished in range(len(calls)):
                future = self._next(done, places, finished / len(calls), progress, warned)
                place = places[future]
                try:
                    result = future.result()
                except PrunekitError as error:
                    failed.append(f"{calls[place].title}: {error}")
                    continue
                yield place, result
        finally:
            for future in places:
                future.cancel()
        if failed:
            raise PrunekitError("; ".join(failed))

    def _next(
        self, done: queue.SimpleQueue[Future[Any]], places: Mapping[Future[Any], int], share: float, progress: Progress, warned: set[str]
    ) -> Future[Any]:
        """Wait for one result, and tell how far all is."""
        while True:
            for worker, why in self.refused.items():
                if worker not in warned:
                    warned.add(worker)
                    progress.warn(f"the worker {worker} is not used: {why}")
            with self._lock:
                mine = [asked for asked in self._out.values() if asked.future in places]
            share += sum(asked.fraction for asked in mine) / len(places)
            text = next((asked.text for asked in mine if asked.text), "") if len(places) == 1 else ""
            progress(min(share, 1.0), ": ".join(filter(None, (self.standing, text))))
            with suppress(queue.Empty):
                return done.get(timeout=LOOK_S)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Note how far a worker is with a call."""
        told = event[1]
        with self._lock:
            asked = self._out.get(told["key"])
        if asked is not None:
            asked.fraction, asked.text = told["fraction"], told["text"]

    # what follows runs in the thread of this cluster alone

    def _serve(self) -> None:
        """Give calls to workers and take results, until closed."""
        while not self._closed.is_set():
            self._changed.wait(LOOK_S)
            self._changed.clear()
            try:
                self._look()
                self._collect()
                self._hand_out()
            except _GONE:  # the scheduler went meanwhile: seen at the next look
                self._looked = 0.0
        for asked in (*self._out.values(), *self._waiting):
            asked.future.cancel()
            self._drop(asked)

    def _look(self) -> None:
        """See which workers are there: none where the scheduler does not answer; one that is back is found again."""
        now = time.monotonic()
        if now - self._looked < LOOK_S and self._client.status == "running":
            return
        self._looked = now
        try:
            if self._client.status == "closed":
                self._client = self._connected()
            self._workers = self._fit() if self._client.status == "running" else []
        except _GONE:
            self._workers = []
        if self._workers:
            self._well = time.monotonic()

    def _fit(self) -> list[str]:
        """Return the workers with the versions of this process."""
        there = list(self._client.scheduler_info(n_workers=-1)["workers"])
        if set(there) - set(self._versions):
            for worker, found in self._client.get_versions(packages=PACKAGES)["workers"].items():
                if found and worker not in self._versions:
                    self._versions[worker] = dict(found["packages"])
        told = {worker: differences(self._versions[worker]) for worker in there if worker in self._versions}
        self._refused = {worker: why for worker, why in told.items() if why}
        return [worker for worker, why in told.items() if not why]

    def _collect(self) -> None:
        """Take what has come, and have done again what was lost."""
        running = {asked.worker: key for key, asked in reversed(self._out.items())}  # of each worker the call that came first
        for key, asked in list(self._out.items()):
            status = asked.task.status
            if asked.future.cancelled():
                self._take_back(key)
            elif status == "finished":
                self._finish(key, asked)
            elif status == "error":
                self._fail(key, asked, asked.task.exception(timeout=FETCH_S))
            elif status != "pending":  # lost with the scheduler
                self._again(key, asked)
            elif self._workers and asked.worker not in self._workers:
                asked.deaths += running[asked.worker] == key
                self._again(key, asked)

    def _finish(self, key: str, asked: _Asked) -> None:
        """Fetch a result; one that was lost on the way is asked for again."""
        try:
            result = asked.task.result(timeout=FETCH_S)
        except (*_GONE, self._dask.client.FutureCancelledError):
            self._again(key, asked)
            return
        self._take_back(key)
        with suppress(InvalidStateError):
            asked.future.set_result(result)

    def _fail(self, key: str, asked: _Asked, error: Any) -> None:
        """See why a call failed."""
        if isinstance(error, self._dask.KilledWorker):
            asked.deaths += error.allowed_failures + 1
            self._again(key, asked)
        elif isinstance(error, Lacking) and asked.model is not None:
            if asked.call.weights not in self._payloads:
                self._payloads = {asked.call.weights: packed(asked.model)}  # of one model at a time: they are large
            self._given.discard((asked.call.weights, asked.worker))
            self._again(key, asked)
        else:
            self._take_back(key)
            with suppress(InvalidStateError):
                asked.future.set_exception(error if isinstance(error, PrunekitError) else PrunekitError(f"{type(error).__name__}: {error}"))

    def _again(self, key: str, asked: _Asked) -> None:
        """Have a call done again, after all others; given up where it was in work on three workers that died."""
        self._take_back(key)
        if asked.deaths < DEATHS:
            with self._lock:
                self._waiting.append(asked)
            self._changed.set()
            return
        why = "given up, since three workers died while they ran it: give workers more memory, or look at their logs"
        with suppress(InvalidStateError):
            asked.future.set_exception(PrunekitError(why))

    def _take_back(self, key: str) -> None:
        """Forget what was asked for: a worker that runs it stops at its next batch."""
        with self._lock:
            asked = self._out.pop(key)
        self._drop(asked)

    @staticmethod
    def _drop(asked: _Asked) -> None:
        """Let go of a task."""
        if asked.task is not None:
            with suppress(*_GONE):
                asked.task.cancel()
        asked.task, asked.fraction, asked.text = None, 0.0, ""

    def _hand_out(self) -> None:
        """Give each worker a call, and the next one beside it."""
        load = dict.fromkeys(self._workers, 0)
        for asked in self._out.values():
            if asked.worker in load:
                load[asked.worker] += 1
        while load and min(load.values()) < AHEAD:
            with self._lock:
                if not self._waiting:
                    return
                asked = self._waiting.popleft()
            if asked.future.cancelled():
                continue
            asked.worker = min(load, key=load.__getitem__)
            load[asked.worker] += 1
            self._send(asked)

    def _send(self, asked: _Asked) -> None:
        """Give a call to its worker, the weights before it where workers lack them."""
        weights, key = asked.call.weights, f"prunekit-{self._client.id}-{next(self._numbers)}"
        where = [asked.worker]
        try:
            if weights in self._payloads and (weights, asked.worker) not in self._given:
                self._client.run(take, weights, self._payloads[weights], workers=where)
                self._given.add((weights, asked.worker))
            asked.task = self._client.submit(carry_out, asked.call, key=key, workers=where, allow_other_workers=False, pure=False)
        except _GONE:
            with self._lock:
                self._waiting.append(asked)
            raise
        with self._lock:
            self._out[key] = asked
        asked.task.add_done_callback(lambda _: self._changed.set())


def differences(versions: Mapping[str, str | None]) -> str:
    """Say which packages of a worker have other versions than here; "" for none."""
    here = installed()
    other = [name for name in PACKAGES if (versions.get(name) or "") != here[name]]
    return ", ".join(f"{name} {versions.get(name) or 'is missing'} there, {here[name] or 'not installed'} here" for name in other)


_SHARED: dict[str, Cluster] = {}
_SHARING = threading.Lock()


def shared() -> Cluster | None:
    """Return the cluster that ``PRUNEKIT_CLUSTER`` names, one for the process, or None."""
    address = os.environ.get(VARIABLE, "").strip()
    if not address:
        return None
    with _SHARING:
        if address not in _SHARED:
            _SHARED[address] = Cluster(address)
        return _SHARED[address]
