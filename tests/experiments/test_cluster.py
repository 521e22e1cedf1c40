"""Sweeps on a Dask cluster: the rows of one process, whatever dies meanwhile."""

import builtins
import os
import signal
import threading

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.experiments import cluster as clusters
from prunekit.experiments.cluster import Cluster, differences
from prunekit.experiments.identity import installed
from prunekit.experiments.requests import SweepRequest
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import sweep_through

SPARSITIES = tuple(i / 40 for i in range(1, 40))


def request_of(sparsities=SPARSITIES):
    return SweepRequest(ModelId("digits_cnn"), DataId("digits"), PruneSpec(mode="unstructured"), sparsities=sparsities)


def rows_of(store, request):
    return [(row.position, row.requested, row.run.id, row.measurement.id, row.measurement.value) for row in store.points(request.id)]


def test_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "distributed":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PrunekitError, match=r"pip install 'prunekit\[dask\]'"):
        Cluster("tcp://127.0.0.1:1")


def test_other_versions_are_named_on_both_sides():
    here = installed()
    assert not differences(here)
    assert differences({**here, "torch": "1.0"}) == f"torch 1.0 there, {here['torch']} here"
    assert "torch is missing there" in differences({**here, "torch": None})


@pytest.fixture(scope="module")
def local():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=None, silence_logs=50
    ) as made:
        made.scheduler.allowed_failures = 20  # each death may hit the same point
        yield made


@pytest.mark.slow
def test_the_rows_of_one_process_whatever_dies(local, tmp_path):
    request, alone, spread = request_of(), RunStore(tmp_path / "a"), RunStore(tmp_path / "b")
    sweep_through(request, alone)
    over, killed = threading.Event(), []

    def kill():
        while not over.wait(0.5) and len(killed) < 3:
            for worker in list(local.workers.values())[:1]:
                if worker.pid and worker.pid not in killed:
                    killed.append(worker.pid)
                    os.kill(worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with_workers = Cluster(local.scheduler_address)
    begun = threading.Event()

    def first(_):
        if not begun.is_set():
            begun.set()
            killer.start()

    try:
        points = sweep_through(request, spread, report=first, cluster=with_workers)
    finally:
        over.set()
        killer.join()
        with_workers.close()
    assert killed
    assert [point.requested for point in points] == [0.0, *SPARSITIES]
    assert rows_of(spread, request) == rows_of(alone, request)


@pytest.mark.slow
def test_cancel_stops_and_other_versions_take_no_part(local, tmp_path, monkeypatch):
    stop, said = threading.Event(), []
    with_workers = Cluster(local.scheduler_address, patience_s=0.2)
    monkeypatch.setattr(clusters, "differences", lambda _: "torch 1.0 there, 2.0 here")

    def tell(_, text):
        said.append(text)
        if "start some" in text:
            stop.set()

    warned = []
    with pytest.raises(Cancelled):
        sweep_through(request_of((0.5,)), None, Progress(tell, stop, warned.append), cluster=with_workers)
    with_workers.close()
    assert any("torch 1.0 there" in sentence for sentence in warned)
    assert said[0] == "waiting for workers"
