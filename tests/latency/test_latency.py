"""The child process: what it is asked, what it answers, and every way in which it can fail. No test asserts a time."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from time import monotonic

import pytest
import torch
from torch import nn

import prunekit
from prunekit.errors import LatencyError
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.latency import worker
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate
from prunekit.latency.worker import TURN, run_child

latency_module = sys.modules["prunekit.latency.measure"]

FACTORY = """
import torch
from torch import nn

print("a model that talks on stdout")

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.fc = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3), nn.Linear(16 * 16, 10)

    def forward(self, x):
        return self.fc(self.conv(self.stem(x).relu()).relu().flatten(1))

def make():
    return Net()
make.input_shape = (1, 8, 8)
"""


@pytest.fixture
def model(tmp_path: Path) -> nn.Module:
    (tmp_path / "mynet.py").write_text(FACTORY)
    return prunekit.load_model(f"{tmp_path / 'mynet.py'}:make")


def test_dense_masked_and_smaller_take_turns(model: nn.Module) -> None:
    small = prunekit.prune(model, prunekit.PruneSpec(mode="structured", sparsity=0.5), input_shape=(1, 8, 8))
    masked = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.9), input_shape=(1, 8, 8))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen: list[float] = []
    report = measure_latency(
        [
            Candidate("dense", model, small.before.macs),
            Candidate("masked", masked.model),
            Candidate("smaller", small.model, small.after.macs),
        ],
        input_shape=(1, 8, 8),
        batch=2,
        budget_s=0.5,
        min_rounds=6,
        progress=lambda share, text: seen.append(share),
    )
    assert [c.name for c in report.candidates] == ["dense", "masked", "smaller"]
    (turns,) = report.turns
    assert {len(c.samples_ms) for c in report.candidates} == {turns.rounds} == {len(turns.orders)}
    assert turns.rounds >= 6
    assert len(set(turns.orders)) > 1
    assert all(sorted(order) == [0, 1, 2] for order in turns.orders)
    for c in report.candidates:
        assert 0 < min(c.samples_ms) <= c.q1_ms <= c.median_ms <= c.q3_ms <= max(c.samples_ms)
        assert c.ratio.low <= c.ratio.value <= c.ratio.high
    dense, unpriced, smaller = report.candidates
    assert dense.ratio.to_dict() == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert (dense.macs_ratio, unpriced.macs_ratio) == (1.0, None)
    assert smaller.macs_ratio == pytest.approx(small.after.macs / small.before.macs)
    assert (turns.batch, turns.threads, report.input_shape) == (2, 1, (1, 8, 8))
    assert turns.stopped in ("narrow enough", "time budget")
    assert seen == sorted(seen)
    assert len(report.to_frame()) == 3 * turns.rounds
    plain = json.loads(json.dumps(report.to_dict()))
    assert set(plain["candidates"][0]) >= {"name", "median_ms", "q1_ms", "q3_ms", "samples", "ratio", "macs_ratio"}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_shape_that_does_not_fit_is_one_sentence(model: nn.Module) -> None:
    with pytest.raises(LatencyError, match=r"nothing could be measured: dense: .*\[3, 8, 8\]"):
        measure_latency([Candidate("dense", model)], input_shape=(3, 8, 8), budget_s=0.2)


def test_a_model_from_elsewhere_is_named(model: nn.Module) -> None:
    with pytest.raises(LatencyError, match=r"mine cannot be built again.*prunekit.load_model"):
        measure_latency([Candidate("dense", model), Candidate("mine", nn.Linear(4, 2))], input_shape=(4,))
    with pytest.raises(LatencyError, match="alone cannot be built again"):
        measure_latency([Candidate("alone", nn.Linear(4, 2))], input_shape=(4,))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch": 0}, "batch must be"),
        ({"batch": 1.5}, "batch must be"),
        ({"batch": (1, 0)}, "batch must be"),
        ({"batch": ()}, "at least one batch"),
        ({"runtimes": ("magic",)}, "choose runtimes"),
        ({"runtimes": ("eager", "eager")}, "each once"),
        ({"runtimes": ()}, "choose runtimes"),
        ({"device": "tpu"}, "device must be"),
        ({"batch": tuple(range(1, 66))}, "more than 64 rows"),
        ({"threads": 0}, "threads must be"),
        ({"threads": 10_000}, "threads must be"),
        ({"budget_s": 0}, "time budget"),
        ({"budget_s": float("nan")}, "time budget"),
        ({"min_rounds": 0}, "min_rounds"),
        ({"candidates": []}, "candidates"),
        ({"candidates": "twice"}, "a name of its own"),
    ],
)
def test_settings_are_checked_before_anything_starts(model: nn.Module, change: dict[str, object], says: str, monkeypatch) -> None:
    monkeypatch.setattr(latency_module, "run_child", lambda *a, **k: pytest.fail("started"))
    candidates = change.pop("candidates", [Candidate("dense", model)])
    candidates = [Candidate("a", model), Candidate("a", model)] if candidates == "twice" else candidates
    with pytest.raises(LatencyError, match=says):
        measure_latency(candidates, input_shape=(1, 8, 8), **change)


# --- stand-ins for the child, to see what its parent does ---


def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> dict[str, object]:
    """Write a module that plays the child and return the arguments that run it."""
    (tmp_path / "stub_child.py").write_text("import json, os, sys, time, pathlib\n" + code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(worker, "MAIN", "stub_child")
    return {"request": tmp_path / "request.json", "threads": 1, "work": "some:work"}


def test_progress_streams_and_the_result_comes_back(tmp_path: Path, monkeypatch) -> None:
    code = """
print(json.dumps({"progress": 0.5, "text": "3 rounds"}), flush=True)
print(json.dumps({"result": {"threads": os.environ["OMP_NUM_THREADS"], "args": sys.argv[1:]}}))
"""
    seen = []
    result = run_child(**stub(tmp_path, monkeypatch, code) | {"threads": 2}, progress=lambda share, text: seen.append((share, text)))
    assert result == {"threads": "2", "args": ["some:work", str(tmp_path / "request.json")]}
    assert seen == [(0.5, "3 rounds")]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('out of luck')", r"exit code 1\): RuntimeError: out of luck"),
        ("os.kill(os.getpid(), 9)", r"exit code -9\): it left no message"),
        ("print(json.dumps({'error': 'no such model'}))", "^no such model$"),
        ("print('hello')", "something else than a measurement: hello"),
        ("pass", "without a result"),
        ("time.sleep(60)", "said nothing for 0 s"),
    ],
)
def test_a_child_that_fails_becomes_one_sentence(tmp_path: Path, monkeypatch, code: str, says: str) -> None:
    start = monotonic()
    with pytest.raises(LatencyError, match=says) as caught:
        run_child(**stub(tmp_path, monkeypatch, code), stall_s=0.3 if "sleep" in code else 30)
    assert "\n" not in str(caught.value)
    assert monotonic() - start < 30


def test_cancel_kills_the_child(tmp_path: Path, monkeypatch) -> None:
    code = """
if os.fork() == 0:
    time.sleep(60)
    os._exit(0)
pathlib.Path(sys.argv[2] + ".pid").write_text(str(os.getpid()))
print(json.dumps({"progress": 0, "text": ""}), flush=True)
time.sleep(60)
"""
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        run_child(**stub(tmp_path, monkeypatch, code), progress=Progress(lambda *_: cancel.set(), cancel))
    group = int((tmp_path / "request.json.pid").read_text())
    until = monotonic() + 20
    while monotonic() < until:  # what it started goes with it
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a process that the child started goes on")


def test_measurements_wait_for_each_other(model: nn.Module, monkeypatch) -> None:
    running, most, lock = [], [], threading.Lock()

    def pretend(*args: object, **kwargs: object) -> dict[str, object]:
        with lock:
            running.append(1)
            most.append(len(running))
        threading.Event().wait(0.15)
        with lock:
            running.pop()
        turn = {
            "batch": 1,
            "length": 0,
            "phase": "pass",
            "rows": ["0-eager-1"],
            "energy_j": [None],
            "seconds": [[0.1, 0.2]],
            "orders": [[0], [0]],
        }
        turn |= {"repetitions": [1], "stopped": "time budget"}
        trial = {"peak_bytes": 1, "file_bytes": 1, "compile_s": None, "notes": [], "check": None}
        return {"turns": [turn], "trials": {"0-eager-1": trial}, "energy": ""}

    monkeypatch.setattr(latency_module, "run_child", pretend)
    said: list[str] = []

    def measure() -> None:
        measure_latency([Candidate("dense", model)], input_shape=(1, 8, 8), progress=lambda _, text: said.append(text))

    threads = [threading.Thread(target=measure) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]
    assert any("waiting" in text for text in said)


def test_waiting_can_be_cancelled(model: nn.Module) -> None:
    cancel = threading.Event()
    cancel.set()
    with TURN, pytest.raises(Cancelled):
        measure_latency([Candidate("dense", model)], input_shape=(1, 8, 8), progress=Progress(cancel=cancel))


def test_nothing_is_left_behind(model: nn.Module, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(latency_module, "run_child", lambda *a, **k: (_ for _ in ()).throw(LatencyError("no")))
    with pytest.raises(LatencyError, match="no"):
        measure_latency([Candidate("dense", model)], input_shape=(1, 8, 8))
    assert not list(tmp_path.glob("prunekit-latency-*"))
