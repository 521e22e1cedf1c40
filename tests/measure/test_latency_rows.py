"""Rows in several runtimes, batches and threads: what each says, and that a row that fails costs only itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import prunekit
from prunekit.errors import LatencyError
from prunekit.measure import Candidate, latency, memory, trial
from prunekit.measure.energy import Meter
from prunekit.measure.latency_child import by_events
from prunekit.measure.packing import Request

FACTORY = """
import multiprocessing
import os
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, {width}, 3), nn.Linear({width}, 10)

    def forward(self, x):
        {line}
        return self.fc(self.conv(x).relu().mean((2, 3)))

def make():
    return Net()
make.input_shape = (1, {side}, {side})
"""


WIDE = """
from torch import nn


def make():
    inner = [nn.Linear(64, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10)]
    return nn.Sequential(nn.Flatten(), *inner)


make.input_shape = (1, 8, 8)
"""


def net(folder: Path, line: str = "pass", side: int = 8, width: int = 8):
    (folder / "rownet.py").write_text(FACTORY.format(line=line, side=side, width=width))
    return prunekit.load_model(f"{folder / 'rownet.py'}:make")


def quick(model, side: int = 8, **more):
    return latency([Candidate("dense", model)], input_shape=(1, side, side), budget_s=0.2, min_rounds=3, **more)


def test_every_combination_is_a_row_and_rows_are_compared_within_theirs():
    model, data = prunekit.load_model("digits_cnn"), prunekit.load_data("digits")
    small = prunekit.prune(model, prunekit.PruneSpec(mode="structured", sparsity=0.5), data)
    test = data.test.subset(100)
    report = latency(
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


def test_a_batch_that_kills_its_process_costs_only_its_row(tmp_path):
    model = net(tmp_path, "os.kill(os.getpid(), 9) if len(x) == 5 else None")
    found = {row.batch: row for row in quick(model, batch=(2, 5, 3)).candidates}
    assert "killed by the system" in found[5].error and found[5].median_ms is None and found[5].ratio is None
    assert found[2].error is found[3].error is None and found[2].median_ms > 0


def test_a_model_that_dies_only_while_it_is_timed_is_given_up_and_the_others_are_measured(tmp_path):
    line = "os._exit(7) if len(x) == 5 and multiprocessing.parent_process() is None else None"
    found = {row.batch: row for row in quick(net(tmp_path, line), batch=(2, 5)).candidates}
    assert "died while it had its turn" in found[5].error and "exit code 7" in found[5].error
    assert found[2].error is None and found[2].samples_ms


def test_a_model_that_refuses_one_batch_is_measured_at_the_others(tmp_path):
    line = "assert len(x) != 5, 'not five'"
    found = {row.batch: row for row in quick(net(tmp_path, line), runtimes=("channels_last",), batch=(5, 2)).candidates}
    assert "not five" in found[5].error and found[2].error is None


def test_memory_is_that_of_inference_and_not_of_loading(tmp_path):
    (tmp_path / "wide.py").write_text(WIDE)
    model = prunekit.load_model(f"{tmp_path / 'wide.py'}:make")
    (row,) = quick(model).candidates
    if row.peak_bytes is None:
        pytest.skip("the system does not tell how much memory a process held")
    weights = sum(p.numel() * 4 for p in model.parameters())
    assert weights <= row.peak_bytes < 1.6 * weights


def test_a_model_that_cannot_be_exported_is_measured_where_it_runs(tmp_path):
    model = net(tmp_path, "x = x * 2 if float(x.sum()) > 1e9 else x")
    eager, onnx, int8 = quick(model, runtimes=("eager", "onnxruntime", "int8")).candidates
    assert eager.error is None and eager.median_ms > 0
    assert "ONNX" in onnx.error
    assert int8.error


def test_int8_without_training_images_says_what_is_missing(tmp_path):
    eager, int8 = quick(net(tmp_path), runtimes=("eager", "int8")).candidates
    assert eager.error is None
    assert "training images" in int8.error


def test_where_the_baseline_fails_the_others_have_times_and_no_ratio(tmp_path):
    first, second = quick(net(tmp_path), runtimes=("csr", "eager")).candidates
    assert "sparse" in first.error
    assert second.median_ms > 0 and second.ratio is None


@pytest.mark.skipif(memory.settled() is None, reason="the system does not tell how much memory a process held")
def test_memory_grows_by_what_the_activations_of_a_larger_batch_take(tmp_path):
    one, many = quick(net(tmp_path, side=34, width=256), side=34, batch=(1, 64)).candidates
    assert many.peak_bytes - one.peak_bytes >= 63 * 256 * 32 * 32 * 4


def test_a_batch_whose_input_does_not_fit_is_refused_before_it_is_made(monkeypatch, tmp_path):
    request = Request(str(tmp_path), ("dense",), ("eager",), (4096,), 1, "cpu", (3, 224, 224), 1.0, 3, 0)
    monkeypatch.setattr(memory, "available", lambda: 2**30)
    with pytest.raises(LatencyError, match=r"a batch of 4096 does not fit in memory.*2.3 GiB"):
        trial.noise(request, 4096)
    monkeypatch.setattr(memory, "available", lambda: None)
    assert trial.noise(request, 2).shape == (2, 3, 224, 224)


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
