"""Rows in several runtimes, batches and threads: what each says, and that a row that fails costs only itself."""

from __future__ import annotations

import json
import sys

import pytest
import torch

import prunekit
from prunekit.errors import LatencyError
from prunekit.latency import counters, trial
from prunekit.latency.counters import Meter
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate
from prunekit.latency.timing_worker import by_events
from prunekit.latency.worker_payload import Request, Row, pack, pack_samples
from prunekit.local_code import factories

FACTORY = """
import multiprocessing
import os
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, width, 3), nn.Linear(width, 10)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))

class Dense(Net):
    def __init__(self):
        super().__init__(8)

class Channels(Net):
    def __init__(self):
        super().__init__(2048)

class Killed(Dense):
    def forward(self, x):
        os.kill(os.getpid(), 9) if len(x) == 5 else None
        return super().forward(x)

class Dying(Dense):
    def forward(self, x):
        os._exit(7) if len(x) == 5 and multiprocessing.parent_process() is None else None
        return super().forward(x)

class Refusing(Dense):
    def forward(self, x):
        assert len(x) != 5, "not five"
        return super().forward(x)

class Branching(Dense):
    def forward(self, x):
        return super().forward(x * 2 if float(x.sum()) > 1e9 else x)

class Wide(nn.Sequential):
    def __init__(self):
        inner = [nn.Linear(64, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10)]
        super().__init__(nn.Flatten(), *inner)

for made in (Dense, Channels, Killed, Dying, Refusing, Branching, Wide):
    made.input_shape = (1, 8, 8)
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Return a function from a class of the file above to its model."""
    file = tmp_path_factory.mktemp("rows") / "rownet.py"
    file.write_text(FACTORY)
    return lambda name: prunekit.load_model(f"{file}:{name}")


def quick(nets, *names, **more):
    """Time some of them, each by its own name."""
    report = measure_latency([Candidate(name, nets(name)) for name in names], input_shape=(1, 8, 8), budget_s=0.2, min_rounds=3, **more)
    return {(row.name, row.runtime, row.batch): row for row in report.candidates}


@pytest.fixture(scope="module")
def rows(nets):
    """Sound models beside some that fail at a batch of five, all asked at once."""
    found = quick(nets, "Dense", "Killed", "Dying", "Refusing", "Wide", "Channels", batch=(2, 5, 32))
    return {(name, batch): row for (name, _, batch), row in found.items()}


@pytest.fixture(scope="module")
def forms(nets):
    """A model that can be exported and one that cannot, without training images, beside a baseline that fails."""
    found = quick(nets, "Dense", "Branching", runtimes=("csr", "eager", "onnxruntime", "int8"))
    return {(name, runtime): row for (name, runtime, _), row in found.items()}


@pytest.mark.slow
def test_every_combination_is_a_row_and_rows_are_compared_within_theirs():
    model, data = prunekit.load_model("digits_cnn"), prunekit.load_data("digits")
    small = prunekit.prune(model, prunekit.PruneSpec(mode="structured", sparsity=0.5), data)
    test = data.test.subset(100)
    report = measure_latency(
        [Candidate("dense", model, 4.0), Candidate("smaller", small.model, 2.0)],
        input_shape=(1, 8, 8), runtimes=("eager", "onnxruntime", "int8"), batch=(1, 4), data=data, accuracy_on=test, budget_s=0.3,
        min_rounds=3,
    )  # fmt: skip
    assert len(report.candidates) == 12
    assert not [row.error for row in report.candidates if row.error]
    for batch in (1, 4):
        rows = [row for row in report.candidates if row.batch == batch]
        base = report.baseline(batch, 1)
        assert (base.name, base.runtime, base.ratio.value) == ("dense", "eager", 1.0)
        assert [row.macs_ratio for row in rows] == [1.0] * 3 + [0.5] * 3
        assert all(row.throughput == pytest.approx(1000 * batch / row.median_ms) for row in rows)
    for row in report.candidates:
        assert row.check.passed and row.check.n == 64
        if row.runtime == "onnxruntime":
            assert row.check.error <= 1e-3
    by = {(row.name, row.runtime): row for row in report.candidates}
    assert by["dense", "eager"].accuracy == by["dense", "onnxruntime"].accuracy == prunekit.evaluate(model, test)
    assert by["dense", "int8"].file_bytes < 0.4 * by["dense", "onnxruntime"].file_bytes
    assert by["smaller", "onnxruntime"].file_bytes < by["dense", "onnxruntime"].file_bytes
    plain = json.loads(json.dumps(report.to_dict()))["candidates"][0]
    wanted = "name runtime batch threads median_ms q1_ms q3_ms samples ratio macs_ratio peak_bytes accuracy error"
    assert set(wanted.split()) <= set(plain)


@pytest.mark.slow
def test_a_row_that_fails_costs_only_itself(rows):
    bad = {("Killed", 5), ("Dying", 5), ("Refusing", 5)}
    assert {key for key, row in rows.items() if row.error} == bad
    assert all(row.median_ms > 0 and row.samples_ms and row.ratio for key, row in rows.items() if key not in bad)
    assert all(rows[key].median_ms is rows[key].ratio is None for key in bad)


@pytest.mark.slow
def test_a_batch_that_kills_its_process_says_so(rows):
    assert "killed by the system" in rows["Killed", 5].error


@pytest.mark.slow
def test_a_model_that_dies_only_while_it_is_timed_is_given_up(rows):
    assert "died while it had its turn" in rows["Dying", 5].error and "exit code 7" in rows["Dying", 5].error


@pytest.mark.slow
def test_a_model_that_refuses_one_batch_says_why(rows):
    assert "not five" in rows["Refusing", 5].error


@pytest.mark.skipif(counters.settled() is None, reason="the system does not tell how much memory a process held")
@pytest.mark.slow
def test_memory_is_that_of_inference_and_not_of_loading(rows):
    weights = 4 * (64 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 10 + 10)
    assert weights <= rows["Wide", 2].peak_bytes < 1.6 * weights


@pytest.mark.skipif(counters.settled() is None, reason="the system does not tell how much memory a process held")
@pytest.mark.slow
def test_memory_grows_by_what_the_activations_of_a_larger_batch_take(rows):
    assert rows["Channels", 32].peak_bytes - rows["Channels", 2].peak_bytes >= 30 * 2048 * 6 * 6 * 4


def test_the_memory_of_code_is_not_the_models(monkeypatch, tmp_path):
    """What a model's own file imports is there before its memory is counted."""
    (tmp_path / "code.py").write_text(
        "import sys\nfrom torch import nn\nsys.rows_were_read = True\nNet = nn.Linear(3, 2)\nNet.input_shape = (3,)\n"
    )
    model = prunekit.load_model(f"{tmp_path / 'code.py'}:Net")
    pack([Candidate("mine", model)], tmp_path / "asked")
    pack_samples(tmp_path / "asked", (3,), ("eager",), None, 0)
    request, read = Request(str(tmp_path / "asked"), ("mine",), ("eager",), (1,), 1, "cpu", (3,), 1.0, 3, 0), []
    factories._SEEN.clear()
    del sys.rows_were_read
    settled = counters.settled
    monkeypatch.setattr(counters, "settled", lambda: read.append(hasattr(sys, "rows_were_read")) or settled())
    trial.load_libraries(request)
    assert not hasattr(sys, "rows_were_read"), "one's own code may do anything: it costs only its own trial"
    trial.attempt(request, Row(0, "eager", 1))
    assert read and all(read)
    assert "error" not in json.loads(trial.result_of(request, Row(0, "eager", 1)).read_text())
    del sys.rows_were_read


@pytest.mark.slow
def test_a_model_that_cannot_be_exported_is_measured_where_it_runs(forms):
    assert forms["Branching", "eager"].error is None and forms["Branching", "eager"].median_ms > 0
    assert "ONNX" in forms["Branching", "onnxruntime"].error
    assert forms["Branching", "int8"].error


@pytest.mark.slow
def test_int8_without_training_images_says_what_is_missing(forms):
    assert forms["Dense", "onnxruntime"].error is None
    assert "training data" in forms["Dense", "int8"].error


@pytest.mark.slow
def test_where_the_baseline_fails_the_others_have_times_and_no_ratio(forms):
    assert "sparse" in forms["Dense", "csr"].error
    assert forms["Dense", "eager"].median_ms > 0 and forms["Dense", "eager"].ratio is None


def test_a_batch_whose_input_does_not_fit_is_refused_before_it_is_made(monkeypatch, tmp_path):
    request = Request(str(tmp_path), ("dense",), ("eager",), (4096,), 1, "cpu", (3, 224, 224), 1.0, 3, 0)
    monkeypatch.setattr(counters, "available", lambda: 2**30)
    with pytest.raises(LatencyError, match=r"a batch of 4096 does not fit in memory.*2.3 GiB"):
        trial.inputs(request, Row(0, "eager", 4096))
    monkeypatch.setattr(counters, "available", lambda: None)
    assert trial.inputs(request, Row(0, "eager", 2)).args[0].shape == (2, 3, 224, 224)


def test_energy_is_the_sum_of_whole_packages_and_goes_round_with_its_counter(tmp_path):
    zones = (
        ("intel-rapl:0", "package-0", 900),
        ("intel-rapl:1", "package-1", 10),
        ("intel-rapl:2", "psys", 7),
        ("intel-rapl:0:0", "core", 5),
    )
    for name, kind, value in zones:
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"{kind}\n")
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000\n")
    meter = Meter(tmp_path)
    before = meter.read()
    assert before == (900, 10) and meter.reason == ""
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("50")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("30")
    assert meter.joules(before, meter.read()) == pytest.approx((150 + 20) / 1e6)
    assert "not available here" in Meter(tmp_path / "nowhere").reason
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert "not available here" in Meter(tmp_path).reason


def test_cuda_events_time_all_repetitions_between_two_synchronisations(monkeypatch):
    said = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            said.append("event")

        def elapsed_time(self, other):
            return 30.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: said.append("sync"))
    assert by_events()(0, lambda: said.append("run"), 3) == pytest.approx(0.01)
    assert said == ["sync", "event", "run", "run", "run", "event", "sync"]
    assert said[-1] == "sync"
