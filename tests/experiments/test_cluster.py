"""Sweeps on a Dask cluster: the rows of one process, whatever dies meanwhile."""

import builtins
import os
import signal
import threading
from contextlib import closing

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.experiments.cluster import client as clusters
from prunekit.experiments.cluster.client import Cluster, differences
from prunekit.experiments.identity import installed
from prunekit.experiments.load_run import open_run
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import sweep_through
from prunekit.training.result import Epoch

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
        yield made


@pytest.fixture
def cluster(local):
    with closing(Cluster(local.scheduler_address, patience_s=2.0)) as made:
        yield made


def kills(local, count):
    """Return a report that kills a worker after each of the first results."""
    killed = []

    def report(_):
        living = [w.pid for w in local.workers.values() if w.pid and w.pid not in killed]
        if len(killed) < count and living:
            killed.append(living[0])
            os.kill(living[0], signal.SIGKILL)

    return report, killed


@pytest.mark.parametrize("count", [pytest.param(3, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.nightly)])
def test_the_rows_of_one_process_whatever_dies(local, cluster, tmp_path, count):
    request, alone, spread = request_of(SPARSITIES[: 2 * count]), RunStore(tmp_path / "a"), RunStore(tmp_path / "b")
    sweep_through(request, alone)
    report, killed = kills(local, count)
    points = sweep_through(request, spread, report=report, cluster=cluster)
    assert len(killed) == count
    assert [point.requested for point in points] == [0.0, *request.sparsities]
    assert rows_of(spread, request) == rows_of(alone, request)


@pytest.mark.slow
def test_no_workers_is_told_and_cancel_ends_it(cluster, monkeypatch):
    stop, said, warned = threading.Event(), [], []
    monkeypatch.setattr(clusters, "differences", lambda _: "torch 1.0 there, 2.0 here")

    def tell(_, text):
        said.append(text)
        if "start some" in text:
            stop.set()

    with pytest.raises(Cancelled):
        sweep_through(request_of((0.5,)), None, Progress(tell, stop, warned.append), cluster=cluster)
    assert any("torch 1.0 there" in sentence for sentence in warned)
    assert said[0] == "waiting for workers" and "no workers at tcp://127.0.0.1" in said[-1]


@pytest.mark.slow
def test_sensitivity_and_recovery_are_those_of_one_process(cluster, kept, tmp_path, model, data):
    scan = SensitivityRequest(ModelId("digits_cnn"), DataId("digits"), PruneSpec(mode="structured"), sparsities=(0.3, 0.8))
    there, here = sense(scan, kept, model=model, data=data, cluster=cluster), sense(scan, None, model=model, data=data)
    assert there.to_dict() == here.to_dict() == sense(scan, kept).to_dict()

    spec, told = PruneSpec(mode="structured", sparsity=0.7), []
    request = AccuracyRequest(ModelId("digits_cnn"), DataId("digits"), spec, Recovery(recalibrate=True, images=512, epochs=1))
    stages = recover_through(request, kept, model=model, data=data, report=told.append, cluster=cluster)
    alone = recover_through(request, RunStore(tmp_path / "alone"), model=model, data=data)
    assert [(s.name, s.run, s.accuracy.value, s.test.value, s.note) for s in stages] == [
        (s.name, s.run, s.accuracy.value, s.test.value, s.note) for s in alone
    ]
    assert [epoch.number for epoch in told if isinstance(epoch, Epoch)] == [1]
    assert evaluate(open_run(stages[-1].run, kept).model, data.test).value == stages[-1].test.value
    assert recover_through(request, kept, model=model, data=data) == stages
