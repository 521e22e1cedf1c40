"""A sweep on a Dask cluster: points per minute beside threads of one process, and where the client becomes the limit.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/cluster.py [--points 40] [--rounds 3] [--out FILE.json]

Measured in turns, in the same run: one thread, two threads of this process, one worker and two workers of one thread, each on the same
points of the same model, each fine-tuned for two epochs. Then what a call costs whoever asks (handing out, fetching, writing the store),
measured with calls that compute nothing, and a simulation of 1 to 256 workers from these costs: a queue before the one client.
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from distributed import LocalCluster

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.experiments.cluster.client import AHEAD, Cluster
from prunekit.experiments.cluster.worker import Call
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.sources import fresh
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import sweep_through

MODEL, DATA, AFTER = ModelId("digits_cnn"), DataId("digits"), Recovery(epochs=2)
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = (0.1, 1.0, 10.0, 60.0)


def threads(count: int, request: SweepRequest, model, data) -> float:
    """Return seconds of a sweep by threads of this process, each with an experiment of its own."""
    store = RunStore(Path(tempfile.mkdtemp()) / "runs.sqlite")
    bare = AccuracyRequest(request.model, request.data, None, split=request.split)
    own = [Experiment(bare, model, data, Keeper(store)) for _ in range(count)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        parts = [request.sparsities[place::count] for place in range(count)]
        list(pool.map(lambda place: [own[place].point(request.spec.at(s), request.recovery) for s in parts[place]], range(count)))
    return time.perf_counter() - begun


def workers(local: LocalCluster, request: SweepRequest, model, data) -> float:
    """Return seconds of a sweep by the workers of a cluster."""
    with closing(Cluster(local.scheduler_address)) as cluster:
        sweep_through(replace(request, sparsities=request.sparsities[:2]), None, model=model, data=data, cluster=cluster)  # loads all
        store = RunStore(Path(tempfile.mkdtemp()) / "runs.sqlite")
        begun = time.perf_counter()
        sweep_through(request, store, model=model, data=data, cluster=cluster)
        return time.perf_counter() - begun


def empty(request, loaded, progress, result: bytes) -> bytes:
    """Carry out nothing: what a call costs beside its work."""
    return result


def costs(local: LocalCluster, calls: int = 300) -> dict[str, float]:
    """Return what a call costs the client in seconds: with nothing to compute, and the write of a point."""
    model, data = fresh(MODEL, DATA)
    store = RunStore(Path(tempfile.mkdtemp()) / "runs.sqlite")
    experiment = Experiment(AccuracyRequest(MODEL, DATA, None), model, data, Keeper(store))
    asked = AccuracyRequest(MODEL, DATA, PruneSpec(mode="unstructured", sparsity=0.5))
    made = [experiment.measure(asked.spec.at(i / 100), Recovery()) for i in range(20)]
    begun = time.perf_counter()
    for run, accuracy in made:
        experiment.keep(run, experiment.seen(run, accuracy), None)
    write = (time.perf_counter() - begun) / len(made)
    call = Call(empty, asked, experiment.weights, experiment.data_hash, "nothing", (b"0" * 4096,))
    with closing(Cluster(local.scheduler_address)) as cluster:
        list(cluster.results([call] * 10, model=model))
        begun = time.perf_counter()
        list(cluster.results([call] * calls, model=model))
        transfer = (time.perf_counter() - begun) / calls
    return {"transfer": transfer, "write": write}


def simulated(count: int, point: float, client: float, points: int = 4000) -> float:
    """Return points per second of so many workers before one client, which hands out, fetches and writes one point after the other."""
    free = 0.0  # when the client is
    done: list[tuple[float, int]] = []
    ready = [0.0] * count  # when each worker begins its next
    for worker in range(min(count, points)):
        for _ in range(AHEAD):
            begin = ready[worker]
            ready[worker] = begin + point
            heapq.heappush(done, (ready[worker], worker))
    for _ in range(points):
        at, worker = heapq.heappop(done)
        free = max(free, at) + client
        begin = max(ready[worker], free)
        ready[worker] = begin + point
        heapq.heappush(done, (ready[worker], worker))
    return points / free


def main() -> None:
    """Measure, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sparsities = tuple((i + 1) / (args.points + 2) for i in range(args.points))
    model, data = fresh(MODEL, DATA)
    request = SweepRequest(MODEL, DATA, PruneSpec(mode="structured"), AFTER, "test", sparsities=sparsities)
    settings = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None, "memory_limit": None, "silence_logs": 50}
    with LocalCluster(n_workers=1, **settings) as one, LocalCluster(n_workers=2, **settings) as two:
        ways = {
            "one thread": lambda: threads(1, request, model, data),
            "two threads": lambda: threads(2, request, model, data),
            "one worker": lambda: workers(one, request, model, data),
            "two workers": lambda: workers(two, request, model, data),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, way in ways.items():
                seconds[name].append(way())
                print(f"{name}: {60 * args.points / seconds[name][-1]:.1f} points a minute", flush=True)
        cost = costs(two)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    client = cost["transfer"] + cost["write"]
    print(f"two workers: {median['one worker'] / median['two workers']:.2f} times one worker (at least 1.7 wanted)")
    print(f"two workers: {median['two workers'] / median['two threads']:.2f} times the time of two threads (at most 1.1 wanted)")
    print(f"a call costs the client {1e3 * cost['transfer']:.1f} ms, a write {1e3 * cost['write']:.1f} ms (measured)")
    print("simulated: points per minute\n")
    print("| workers | " + " | ".join(f"a point of {point:g} s" for point in SECONDS) + " |\n|" + "---:|" * (len(SECONDS) + 1))
    for count in WORKERS:
        rates = [60 * simulated(count, point, client) for point in SECONDS]
        print(f"| {count} | " + " | ".join(f"{rate:,.0f}" for rate in rates) + " |")
    print("\nthe client is the limit from " + ", ".join(f"{point / client:,.0f} workers at {point:g} s a point" for point in SECONDS))
    if args.out:
        args.out.write_text(json.dumps({"seconds": seconds, "cost": cost}, indent=1))


if __name__ == "__main__":
    main()
