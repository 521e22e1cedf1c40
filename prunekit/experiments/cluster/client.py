"""`Cluster`: a Dask cluster as an executor: calls go to workers, whatever dies meanwhile, and come back as futures."""

from __future__ import annotations

import os
import queue
import threading
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
from prunekit.experiments.cluster.scheduler import GONE, LOOK_S, Scheduler
from prunekit.experiments.cluster.worker import Call, Lacking, carry_out, packed, take

VARIABLE = "PRUNEKIT_CLUSTER"
"""Address of the scheduler that the dashboard's jobs are carried out by."""
PATIENCE_S = 60.0
"""So long without workers, or without the scheduler, and whoever waits is told."""
DEATHS = 3
AHEAD = 2  # calls a worker has, so that it need not wait for the next
FETCH_S = 60.0


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
        self._waiting, self._out = deque[_Asked](), dict[str, _Asked]()
        self._lock, self._changed, self._closed = threading.Lock(), threading.Event(), threading.Event()
        self._numbers, self._payloads = count(1), dict[str, bytes]()
        self._given = set[tuple[str, str]]()
        self.scheduler = Scheduler(address, patience_s, self._hear)
        self._thread = threading.Thread(target=self._serve, name="prunekit-cluster", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the cluster, which goes on."""
        self._closed.set()
        self._changed.set()
        self._thread.join()
        self.scheduler.client.close()

    def submit(self, call: Call, model: nn.Module | None = None) -> Future[Any]:
        """Ask for one result.

        A worker's or the scheduler's death costs what was in work, which is asked for again. A call that was in work on three workers
        that died is given up, and fails with a `PrunekitError`, as one does that a worker refuses. Cancelled, it stops at its next batch.
        """
        asked = _Asked(call, model)
        asked.future.add_done_callback(lambda _: self._changed.set())
        with self._lock:
            if not (self._out or self._waiting):
                self.scheduler.wanted()
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
            for worker, why in self.scheduler.refused.items():
                if worker not in warned:
                    warned.add(worker)
                    progress.warn(f"the worker {worker} is not used: {why}")
            with self._lock:
                mine = [asked for asked in self._out.values() if asked.future in places]
            share += sum(asked.fraction for asked in mine) / len(places)
            text = next((asked.text for asked in mine if asked.text), "") if len(places) == 1 else ""
            progress(min(share, 1.0), ": ".join(filter(None, (self.scheduler.standing, text))))
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
        gone = False
        while not self._closed.is_set():
            self._changed.wait(LOOK_S)
            self._changed.clear()
            try:
                self.scheduler.look(anew=gone)
                self._collect()
                self._hand_out()
                gone = False
            except GONE:  # the scheduler went meanwhile: seen at the next look
                gone = True
        for asked in (*self._out.values(), *self._waiting):
            asked.future.cancel()
            self._drop(asked)

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
            elif self.scheduler.workers and asked.worker not in self.scheduler.workers:
                asked.deaths += running[asked.worker] == key
                self._again(key, asked)

    def _finish(self, key: str, asked: _Asked) -> None:
        """Fetch a result; one that was lost on the way is asked for again."""
        try:
            result = asked.task.result(timeout=FETCH_S)
        except (*GONE, self.scheduler.dask.client.FutureCancelledError):
            self._again(key, asked)
            return
        self._take_back(key)
        with suppress(InvalidStateError):
            asked.future.set_result(result)

    def _fail(self, key: str, asked: _Asked, error: Any) -> None:
        """See why a call failed."""
        if isinstance(error, self.scheduler.dask.KilledWorker):
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
            with suppress(*GONE):
                asked.task.cancel()
        asked.task, asked.fraction, asked.text = None, 0.0, ""

    def _hand_out(self) -> None:
        """Give each worker a call, and the next one beside it."""
        load = dict.fromkeys(self.scheduler.workers, 0)
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
        weights, key = asked.call.weights, f"prunekit-{self.scheduler.client.id}-{next(self._numbers)}"
        where = [asked.worker]
        try:
            if weights in self._payloads and (weights, asked.worker) not in self._given:
                self.scheduler.client.run(take, weights, self._payloads[weights], workers=where)
                self._given.add((weights, asked.worker))
            asked.task = self.scheduler.client.submit(carry_out, asked.call, key=key, workers=where, allow_other_workers=False, pure=False)
        except GONE:
            with self._lock:
                self._waiting.append(asked)
            raise
        with self._lock:
            self._out[key] = asked
        asked.task.add_done_callback(lambda _: self._changed.set())


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
