"""Times by layer: what is timed, what it is said to cost, and what goes wrong. No test asserts a time."""

import json
import math
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import prunekit
from prunekit.errors import LatencyError
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.latency.diagnosis.explain import TITLES
from prunekit.latency.diagnosis.layer_capture import RUNTIMES, capture, layers_of, prepare
from prunekit.latency.diagnosis.layer_times import LayerTimes, diagnose, layer_times
from prunekit.latency.diagnosis.worker import MOST, SMALLEST, WORK, machine_of, probes, sizes
from prunekit.models.shared_rows import share
from prunekit.tasks import Batch
from prunekit.tasks.input_form import form_of
from tests import recommenders

CONSTRUCTED = Path(__file__).with_name("constructed.py")
QUICK = {"budget_s": 0.2, "min_rounds": 4}


def pruned(tiny, **setting):
    return prunekit.prune(tiny, prunekit.PruneSpec(scope="uniform", layers=["body.0", "body.1"], **setting), input_shape=(12,))


@pytest.fixture(scope="module")
def tiny():
    return prunekit.load_model(f"{CONSTRUCTED}:tiny")


@pytest.fixture(scope="module")
def small(tiny):
    return pruned(tiny, mode="structured", sparsity=0.5)


@dataclass(frozen=True)
class Asked:
    """What one child said of several models, the progress it told, and the dense model's values before."""

    times: LayerTimes
    shares: list[float]
    before: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def asked(tiny, small, tmp_path_factory):
    before, shares = {name: value.clone() for name, value in tiny.state_dict().items()}, []
    recipe = prunekit.Recipe({"name": f"{CONSTRUCTED}:tiny"}, None, small.spec)
    models = {"dense": tiny, "pruned": small.model, "rounded": small.model}
    models["folder"] = prunekit.models.write_folder(tmp_path_factory.mktemp("causes") / "small", small.model, recipe)
    times = layer_times(models, input_shape=(12,), batch=3, whole=("rounded",), progress=lambda share, _: shares.append(share), **QUICK)
    return Asked(times, shares, before)


@pytest.fixture
def here(monkeypatch):
    """Carry a request out in this process: what is asked is what comes of it, not that a process can be started."""

    def carry_out(request, threads, **_):
        told = json.loads(Path(request).read_text())
        return json.loads(json.dumps(WORK[told["what"]](told, lambda *_: None)))

    monkeypatch.setattr(sys.modules["prunekit.latency.worker"], "run_child", carry_out)


def test_all_models_and_every_layer_take_turns(asked, tiny, small):
    times, layered = asked.times, {"dense": small.before, "pruned": small.after, "folder": small.after}
    assert set(times.samples) == {(model, layer) for model in layered for layer in ("", "body.0", "body.1", "body.2")} | {("rounded", "")}
    assert {len(series) for series in times.samples.values()} == {times.rounds} and times.rounds >= 4
    assert all(s > 0 for series in times.samples.values() for s in series)
    frame = times.to_frame().set_index(["model", "layer"])
    for model, counts in layered.items():
        layers = frame.loc[model]
        assert layers.loc["", "macs"] == 3 * counts.macs == layers.drop("")["macs"].sum()
    assert (frame["q1"] <= frame["ms"]).all() and (frame["ms"] <= frame["q3"]).all()
    assert asked.shares == sorted(asked.shares)
    assert all(torch.equal(value, asked.before[name]) for name, value in tiny.state_dict().items())


def test_bytes_are_those_of_weights_input_and_output(asked):
    first = asked.times.layers["dense"][0]
    assert first["bytes"] == 4 * (16 * 12 + 16 + 3 * 12 + 3 * 16) and first["fresh"] == 4 * 3 * 16
    assert first["channels"] == [12, 16] and first["macs"] == 3 * 12 * 16


def test_a_folder_is_as_good_as_a_model_and_whole_models_have_no_layers(asked, small):
    times = asked.times
    assert len(times.layers["folder"]) == 3 and times.layers["rounded"] == () and ("rounded", "") in times.samples
    evidence = times.evidence("dense", "folder", rounded="rounded")
    assert evidence.macs_ratio == pytest.approx(small.after.macs / small.before.macs)
    assert evidence.rounded.macs_ratio == 1 and evidence.ratio == times.ratio("folder", "dense")
    assert [layer.channels_after for layer in evidence.layers] == [(12, 8), (8, 8), (8, 4)]
    assert evidence.zeros == 0 and not any(layer.odd for layer in evidence.layers)


def test_in_csr_half_empty_layers_run_sparse_and_the_zeros_are_known(tiny):
    result = pruned(tiny, sparsity=0.75)
    times = layer_times({"dense": tiny, "pruned": result.model}, input_shape=(12,), runtime="csr", **QUICK)
    evidence = times.evidence("dense", "pruned")
    assert [layer.sparse for layer in evidence.layers] == [True, True, False]
    assert [layer.zeros_after for layer in evidence.layers] == pytest.approx([0.75, 0.75, 0])
    assert evidence.macs_ratio == 1 and evidence.effective_ratio == pytest.approx(result.after.effective_macs / result.before.macs)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_diagnosis_is_whole_in_every_runtime(tiny, small, here, runtime):
    found = diagnose(tiny, small.model, rounded=small.model, input_shape=(12,), runtime=runtime, **QUICK)
    assert found.verdict.startswith("The pruned model ") and all(cause.name in TITLES for cause in found.causes)
    machine = found.evidence.machine
    assert machine.call_ms("Linear") > 0 and machine.memory_ms(1e6, 5e5) > 0 and machine.compute_ms(1e6) > 0
    frame = found.evidence.to_frame()
    assert list(frame["type"]) == ["Linear"] * 3 + ["between"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch": 0}, "batch"), ({"threads": 10_000}, "threads"), ({"budget_s": math.nan}, "budget"), ({"min_rounds": 1.5}, "min_rounds"),
        ({"runtime": "onnxruntime"}, "runtime must be one of eager"),
    ],
)  # fmt: skip
def test_settings_are_checked_before_anything_starts(tiny, change, says, monkeypatch):
    monkeypatch.setattr(sys.modules["prunekit.latency.worker"], "run_child", lambda *a, **k: pytest.fail("started"))
    with pytest.raises(LatencyError, match=says):
        layer_times({"dense": tiny}, input_shape=(12,), **change)
    with pytest.raises(LatencyError, match="at least one"):
        layer_times({}, input_shape=(12,))
    with pytest.raises(LatencyError, match=r"mine cannot be built again.*load_model"):
        layer_times({"mine": nn.Linear(2, 2)}, input_shape=(2,))


def test_a_shape_that_does_not_fit_is_one_sentence(tiny):
    with pytest.raises(LatencyError, match=r"^dense: the model does not run .*Give the input size") as caught:
        layer_times({"dense": tiny}, input_shape=(5,), **QUICK)
    assert "\n" not in str(caught.value)


def test_cancelling_ends_it_and_leaves_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        layer_times({"dense": tiny}, input_shape=(12,), progress=Progress(lambda *_: cancel.set(), cancel), **QUICK)
    assert not list(tmp_path.glob("prunekit-causes-*"))


# --- what a pass calls, without a child ---


class Twice(nn.Module):
    """One layer called twice, one not at all, one by a name of its own, and a weight used by a function."""

    def __init__(self):
        super().__init__()
        self.shared, self.unused, self.by_function = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.conv = nn.Conv2d(2, 4, 3, padding=1, groups=2)

    def forward(self, x):
        rows = self.shared(self.shared(self.conv(x).mean(1)))
        return nn.functional.linear(rows, self.by_function.weight).flatten(1)


def test_a_layer_counts_all_its_calls_and_only_what_is_called_is_a_layer():
    model, x, pool = Twice().eval(), torch.randn(3, 2, 5, 6), {}
    layers = {layer.name: layer for layer in capture(model, layers_of(model), x, {}, pool)}
    assert sorted(layers) == ["conv", "shared"]
    assert len(layers["shared"].calls) == 2 and layers["shared"].macs == 2 * 3 * 5 * 36
    assert layers["conv"].macs == 3 * 4 * 5 * 6 * 9 and layers["conv"].channels == (2, 4)
    outs = layers["shared"].run()()
    assert len(outs) == 2 and outs[0].shape == (3, 5, 6) and layers["conv"].run()().shape == (3, 4, 5, 6)
    assert not model.shared._forward_hooks and len(pool) == 2  # one for each layout


def test_inputs_of_one_layout_are_kept_once():
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5))).eval()
    pool = {}
    found = capture(model, layers_of(model), torch.randn(2, 8), {}, pool)
    assert len(pool) == 1 and len({layer.calls[0][0][0].data_ptr() for layer in found}) == 1


def test_every_runtime_computes_what_eager_computes():
    model = prunekit.load_model(f"{CONSTRUCTED}:tiny")
    model.get_submodule("body.1").weight.data[:, 2:] = 0
    x = torch.randn(4, 12)
    expected = model(x)
    for runtime in RUNTIMES:
        copy = prunekit.load_model(f"{CONSTRUCTED}:tiny")
        copy.load_state_dict(model.state_dict())
        given, swapped = prepare(copy, Batch((x,)), runtime)
        assert list(swapped) == (["body.1"] if runtime == "csr" else [])
        assert torch.allclose(copy(*given.args).float(), expected, atol=0.05 if runtime == "bfloat16" else 1e-5)
    with pytest.raises(LatencyError, match="runtime"):
        prepare(copy, Batch((x,)), "other")


def test_probes_are_at_the_layers_own_sizes_and_give_the_machines_figures():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4 * 98 * 98, 3)).eval()
    found = capture(model, layers_of(model), torch.randn(2, 2, 100, 100), {}, {})
    runs = probes(found, 2, torch.float32)
    assert {name.split()[0] for name in runs} == {"copy", "fresh", "product", "call"}
    assert {name for name in runs if name.startswith("call")} == {"call Conv2d", "call Linear"}
    for run in runs.values():
        run()
    machine = machine_of({name: [0.002, 0.001, 0.003] for name in runs})
    assert machine.macs_s == pytest.approx(512**3 / 0.002) and machine.call_ms("Conv2d") == pytest.approx(2)
    assert machine.copies[0][0] >= SMALLEST and machine.copies == tuple(sorted(machine.copies))
    assert all(rate == pytest.approx(size / 0.002) for size, rate in (*machine.copies, *machine.fresh))


def test_few_sizes_stand_for_many():
    many = [2.0**i for i in range(10, 28)]
    assert len(sizes(many)) == MOST and sizes(many)[0] == SMALLEST and sizes(many)[-1] == 2**27
    assert sizes([5.0]) == [SMALLEST]


class Tables(nn.Module):
    """Two tables of one width, looked up by ids of their own, and a bag."""

    def __init__(self):
        super().__init__()
        self.large, self.small, self.bag = nn.Embedding(50, 4), nn.Embedding(3, 4), nn.EmbeddingBag(20, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, large, small, several):
        return self.head(self.large(large) + self.small(small) + self.bag(several))


def test_tables_are_layers_that_read_the_rows_that_are_looked_up_and_multiply_nothing():
    ids = {"large": torch.tensor([49, 0]), "small": torch.tensor([2, 2]), "several": torch.tensor([[1, 2, 3], [19, 0, 0]])}
    model = Tables().eval()
    found = {layer.name: layer for layer in capture(model, layers_of(model), Batch.of(ids), {}, {})}
    for name, read in (("large", 2), ("small", 2), ("bag", 6)):
        layer = found[name]
        assert layer.macs == 0 and layer.bytes == read * (4 * 4 + 8) + 2 * 4 * 4, "rows, ids, and what comes out"
        assert layer.rows == model.get_submodule(name).weight.shape[0] and layer.channels == (4, 4)
        layer.run()()  # with ids of its own: those of another table may lie beyond it
    assert found["head"].rows == 0 and {"call Embedding", "call EmbeddingBag"} <= set(probes(list(found.values()), 2, torch.float32))
    for run in probes(list(found.values()), 2, torch.float32).values():
        run()
    share(model.large, torch.arange(50).clamp(max=9).to(torch.uint8))
    assert layers_of(model)[0].type == "Embedding", "what it was before its rows went"


def test_layers_of_a_model_of_several_inputs_are_timed_on_inputs_of_its_form(here):
    name = str(Path(recommenders.__file__)) + ":dlrm"
    dense = prunekit.load_model(name)
    result = prunekit.prune(dense, prunekit.PruneSpec(mode="structured", sparsity=0.0, rows=0.5, row_criterion="norm"))
    times = layer_times({"dense": dense, "pruned": result.model}, input_shape=form_of(dense), batch=3, **QUICK)
    evidence = times.evidence("dense", "pruned")
    tables = {layer.name: (layer.rows_before, layer.rows_after) for layer in evidence.layers if layer.looks_up}
    assert {name: before for name, (before, _) in tables.items()} == {"user": 20, "item": 30, "history": 30}
    assert {name: after for name, (_, after) in tables.items()} == {name: len(result.model.get_submodule(name).weight) for name in tables}
    assert all(layer.type == "EmbeddingBag" for layer in evidence.layers if layer.looks_up) and evidence.macs_ratio == 1
