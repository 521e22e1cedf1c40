"""Work on a Dask cluster: the results of one process, whatever dies meanwhile."""

import builtins
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress

import pytest
import torch

from prunekit.cli import main
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.experiments.cluster import client as clusters
from prunekit.experiments.cluster import scheduler
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.cluster.scheduler import differences
from prunekit.experiments.identity import installed
from prunekit.experiments.jobs import work
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.load_run import open_run
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.search.request import SearchRequest
from prunekit.experiments.search.run import search_through
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import sweep_through
from prunekit.models.load import load_model
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


def test_a_dashboard_uses_the_cluster_it_is_told_of(monkeypatch):
    monkeypatch.delenv("PRUNEKIT_CLUSTER", raising=False)
    assert clusters.shared() is None
    made = []
    monkeypatch.setattr(clusters, "Cluster", lambda address: made.append(address) or address)
    monkeypatch.setenv("PRUNEKIT_CLUSTER", "tcp://there:1")
    assert clusters.shared() == clusters.shared() == "tcp://there:1" and made == ["tcp://there:1"]
    asked = []
    monkeypatch.setattr(work, "sweep_through", lambda *_, cluster: asked.append(cluster))
    work.sweep(request_of((0.5,)).to_dict(), Job("key", "title"))
    assert asked == ["tcp://there:1"]


def test_a_scheduler_that_does_not_answer_is_said():
    pytest.importorskip("distributed")
    with pytest.raises(PrunekitError, match="no Dask scheduler answers at tcp:"):
        Cluster("tcp://127.0.0.1:1")
    with socket.create_server(("127.0.0.1", 0)) as there, pytest.raises(PrunekitError, match="wants a certificate: name yours in DASK_"):
        Cluster(f"tls://127.0.0.1:{there.getsockname()[1]}")  # said before a client is made, which would go on trying


NET = """
import os, signal, time
from pathlib import Path
from torch import nn

HERE = Path(__file__).parent

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)
    def forward(self, x):
        with (HERE / "batches").open("a") as told:
            told.write(f"{os.getpid()}\\n")
        if (HERE / "slow").exists() and os.getpid() != int((HERE / "client").read_text()):
            time.sleep(0.2)
        if (HERE / "deadly").exists() and 0.45 < (self.first.weight == 0).float().mean() < 0.55 and os.getpid() != int(
            (HERE / "client").read_text()
        ):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.last(self.first(x.flatten(1)).relu())

def make():
    return Net()

make.input_shape = (1, 8, 8)
"""


@pytest.fixture
def own(tmp_path):
    """A model of one's own that notes its batches, and whose weights lie where only this process looks for them."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "client").write_text(str(os.getpid()))
    name = f"{tmp_path}/net.py:make"
    made = load_model(name)
    torch.save(made.state_dict(), tmp_path / "weights.pt")
    return tmp_path, ModelId(name, str(tmp_path / "weights.pt"))


def batches_elsewhere(folder):
    """Return how many batches other processes have seen."""
    return sum(int(line) != os.getpid() for line in (folder / "batches").read_text().split())


def own_sweep(model_id, sparsities, images=0):
    return SweepRequest(model_id, DataId("digits"), PruneSpec(mode="unstructured"), split="train", images=images, sparsities=sparsities)


@pytest.mark.nightly
def test_weights_go_to_workers_that_lack_them_and_cancel_is_seen_at_the_next_batch(local, cluster, own):
    folder, model_id = own
    model = load_model(model_id)
    data = load_data("digits", model=model)
    (folder / "weights.pt").rename(folder / "moved.pt")
    points = sweep_through(own_sweep(model_id, (0.2, 0.8)), None, model=model, data=data, cluster=cluster)
    assert len(points) == 3 and batches_elsewhere(folder)
    (folder / "slow").touch()
    stop, before = threading.Event(), batches_elsewhere(folder)

    def tell(*_):
        if batches_elsewhere(folder) > before:
            stop.set()

    with pytest.raises(Cancelled):
        sweep_through(own_sweep(model_id, (0.3, 0.4, 0.5, 0.6)), None, Progress(tell, stop), model=model, data=data, cluster=cluster)
    at_the_end = batches_elsewhere(folder)
    time.sleep(2.0)  # ten batches of each worker
    assert batches_elsewhere(folder) <= at_the_end + 2 * len(local.workers)


@pytest.mark.nightly
def test_what_kills_three_workers_is_given_up_and_the_others_go_on(local, cluster, own, tmp_path):
    folder, model_id = own
    (folder / "deadly").touch()
    request, store, seen = own_sweep(model_id, (0.2, 0.5, 0.8, 0.9)), RunStore(tmp_path / "runs"), []
    model = load_model(model_id)
    data = load_data("digits", model=model)
    with pytest.raises(PrunekitError, match=r"sparsity 50.0 %: given up, since three workers died"):
        sweep_through(request, store, report=seen.append, model=model, data=data, cluster=cluster)
    assert sorted(point.requested for point in seen) == [0.0, 0.2, 0.8, 0.9]
    (folder / "deadly").unlink()
    assert [p.requested for p in sweep_through(request, store, model=model, data=data, cluster=cluster)] == [0.0, 0.2, 0.5, 0.8, 0.9]


def start(*words):
    return subprocess.Popen([sys.executable, "-m", "distributed.cli." + words[0], *words[1:]], stderr=subprocess.DEVNULL)


@pytest.mark.nightly
def test_a_scheduler_that_dies_costs_what_was_in_work(tmp_path):
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"

    def begin():
        scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        return [scheduler, start("dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny")]

    there, again, seen = begin(), [], []
    request, store, alone = request_of(SPARSITIES[:12]), RunStore(tmp_path / "a"), RunStore(tmp_path / "b")
    said = []

    def tell(_, text):
        said.append(text)
        if "no workers" in text and not again:
            assert len(store.points(request.id)) == len(seen)  # what came is kept
            again.extend(begin())

    def report(point):
        seen.append(point)
        if len(seen) == 4:
            there[0].kill()

    try:
        for _ in range(60):
            with suppress(PrunekitError):
                cluster = Cluster(address, patience_s=1.0)
                break
        with closing(cluster):
            points = sweep_through(request, store, Progress(tell), report=report, cluster=cluster)
        sweep_through(request, alone)
        assert again and len(points) == 13 and rows_of(store, request) == rows_of(alone, request)
    finally:
        for process in (*there, *again):
            process.kill()
            process.wait()


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
    monkeypatch.setattr(scheduler, "differences", lambda _: "torch 1.0 there, 2.0 here")

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


def test_prune_is_carried_out_by_a_worker_as_it_is_here(local, tmp_path, capsys):
    flags = ["--data", "digits", "--mode", "structured", "--sparsity", "0.7", "--epochs", "1", "--recalibrate", "--json"]
    answers = []
    for more in (["--cluster", local.scheduler_address, "--out", str(tmp_path / "pruned")], []):
        assert main(["prune", "digits_cnn", *flags, *more]) == 0
        answers.append(json.loads(capsys.readouterr().out))
        del answers[-1]["recovery"]["history"][0]["seconds"]
    there, here = answers
    assert there == here
    assert evaluate(load_model(str(tmp_path / "pruned")), load_data("digits").test).value == there["after"]["accuracy"]["value"]


@pytest.mark.nightly
def test_a_search_tries_as_many_settings_at_a_time_as_there_are_workers(cluster, kept):
    asked = SearchRequest(ModelId("digits_mlp"), DataId("digits"), lose=0.05, epochs=1, budget_s=0.0, trials=5)
    seen = []
    found = search_through(asked, kept, report=seen.append, cluster=cluster)
    assert len(found.trials) == 5 and found.best.state == "holds" and found.best.cost < found.before
    for trial in (trial for trial in found.trials if trial.state == "holds"):
        opened = open_run(trial.run, kept).model
        data = load_data("digits", model=opened)
        assert evaluate(opened, data.validation).value == trial.value
    assert found.confirmation.drop.n == len(data.test)
    assert search_through(asked, kept).trials == found.trials
