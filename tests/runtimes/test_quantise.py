"""int8: its weights, its file, what it is calibrated on, and its accuracy in its runtime."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import prunekit
from prunekit.config.ids import DataId
from prunekit.data.dataset import Data, Normal, Split, TensorSplit
from prunekit.errors import DataError, ModelError, RuntimeFault
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import apart, check, evaluate_session
from prunekit.runtimes.export import export_onnx
from prunekit.runtimes.onnx_sessions import OnnxSession
from prunekit.runtimes.quantise import calibration_samples, quantise_linear, quantise_onnx

INT8 = ("int8", "openvino_int8")
NAMES = ["cifar10_mobilenetv2", pytest.param("cifar10_resnet20", marks=pytest.mark.slow)]


class Untouchable(Split):
    """A split that nobody may read."""

    labels = np.zeros(50, np.int64)

    def images(self, indices):
        raise AssertionError("these images are for the last word only")

    picture = take = subset = _identity = batches = images


def training_only(n=50):
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(n)  # each image is known by its first pixel
    train = TensorSplit(pixels, np.arange(n) % 10, Normal((0.0,), (1.0,)))
    return Data(DataId("digits"), Untouchable(), train, Untouchable())


def test_calibration_looks_at_mixed_training_images_only():
    batches = calibration_samples(training_only(), 20, seed=3)
    firsts = np.concatenate([batch.args[0][:, 0, 0, 0] for batch in batches]) * 255
    assert all(x.args[0].dtype == torch.float32 and x.args[0].ndim == 4 and len(x) <= 32 for x in batches)
    assert len(firsts) == 20 == len(set(firsts.round().tolist()))
    assert (np.diff(firsts) < 0).any()  # in an order of its own, not that of the data
    again = calibration_samples(training_only(), 20, seed=3)
    assert all(torch.equal(a.args[0], b.args[0]) for a, b in zip(batches, again, strict=True))
    assert sum(map(len, calibration_samples(training_only(), 1000))) == 50


def test_calibration_without_training_images_is_refused():
    with pytest.raises(DataError, match="training"):
        calibration_samples(replace(training_only(), train=None))
    with pytest.raises(DataError, match="at least 1"):
        calibration_samples(training_only(), 0)


def unfolded(path):
    """Return the integer weights of a quantised file with their scales and axis, by the name of what they were."""
    graph = onnx.load(path).graph
    held = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    axis = {n.input[0]: next((a.i for a in n.attribute if a.name == "axis"), 1) for n in graph.node if n.op_type == "DequantizeLinear"}
    scale = {n.input[0]: held[n.input[1]] for n in graph.node if n.op_type == "DequantizeLinear" and n.input[1] in held}
    return {name: (held[name], scale[name], axis[name]) for name in axis if name in held and held[name].dtype == np.int8}


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_int8_within_half_a_step_of_its_float_and_the_file_a_quarter(int8, name):
    case = int8(name)
    floats = [numpy_helper.to_array(w) for w in onnx.load(case.files.onnx).graph.initializer]
    floats = [w for w in floats if w.dtype == np.float32 and w.ndim > 1]
    weights = unfolded(case.files.int8)
    assert sorted(w.size for w in floats) == sorted(q.size for q, _, _ in weights.values())
    for q, scale, axis in weights.values():
        assert np.abs(q.astype(int)).max() <= 64  # 7 bits
        steps = scale.reshape([-1 if d == axis else 1 for d in range(q.ndim)])
        assert any(w.shape == q.shape and np.all(np.abs(q * steps - w) <= 0.5001 * steps) for w in floats)
    assert case.files.int8.stat().st_size < 0.4 * case.files.onnx.stat().st_size  # the graph itself weighs something in files this small


def test_the_int8_file_of_a_larger_model_is_a_quarter(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64 * 36, 500))
    onnx_file = export_onnx(model, (3, 8, 8), tmp_path / "m.onnx")
    path = quantise_onnx(onnx_file, [np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)], tmp_path / "q.onnx")
    assert 0.24 < path.stat().st_size / onnx_file.stat().st_size < 0.26


def test_what_comes_after_the_last_layer_stays_in_float(tmp_path):
    class Boxes(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 3)
            self.register_buffer("centres", 1000 * torch.arange(36.0).view(6, 6))

        def forward(self, x):
            return self.layer(x) + self.centres

    torch.manual_seed(0)
    model, x = Boxes(), np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    path = quantise_onnx(export_onnx(model, (3, 8, 8), tmp_path / "m.onnx"), [x], tmp_path / "q.onnx")
    (found,) = OnnxSession(path, 1).outputs(torch.from_numpy(x)).values()
    assert (found - model(torch.from_numpy(x))).abs().max() < 0.1  # 35,000 in 256 steps would miss by 70


def test_one_scale_for_each_weight_where_per_channel_is_off(cases, tmp_path):
    case = cases("digits_cnn")
    images = [case.noise(4).numpy()]
    for per_channel, many in ((True, True), (False, False)):
        path = quantise_onnx(case.files.onnx, images, tmp_path / f"{per_channel}.onnx", per_channel=per_channel)
        assert any(np.size(scale) > 1 for _, scale, _ in unfolded(path).values()) == many


@pytest.mark.parametrize("runtime", INT8)
@pytest.mark.parametrize("name", NAMES)
def test_agreement_of_int8_is_that_of_plain_numpy_and_it_takes_any_batch(int8, name, runtime):
    case = int8(name)
    session = RUNTIMES[runtime].open(case.files)
    x = case.noise(40)
    expected, found = case.model(x), session.scores(x)
    told = check(RUNTIMES[runtime], expected, found)
    plain = np.mean([np.argmax(a) == np.argmax(b) for a, b in zip(expected.numpy(), found.numpy(), strict=True)])
    assert told.passed and told.agreement == pytest.approx(plain) and told.agreement >= 0.8
    assert told.error > 1e-4  # coarser than float32: otherwise the wrong file was run
    parts = torch.cat([session.scores(x[:1]), session.scores(x[1:4])])
    assert check(RUNTIMES["onnxruntime"], found[:4], parts).error < 0.05


def test_quantising_is_the_same_each_time_and_says_nothing(cases, tmp_path, capfd):
    case = cases("digits_cnn")
    images = [case.noise(8, seed).numpy() for seed in (1, 2)]
    files = [quantise_onnx(case.files.onnx, iter(images), tmp_path / f"{i}.onnx") for i in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert tuple(capfd.readouterr()) == ("", "")
    assert {path.name for path in tmp_path.iterdir()} == {"0.onnx", "1.onnx"}


def test_what_cannot_be_calibrated_is_refused_in_words(cases, tmp_path):
    case, target = cases("digits_cnn"), tmp_path / "q.onnx"
    with pytest.raises(DataError, match="no samples"):
        quantise_onnx(case.files.onnx, [], target)
    with pytest.raises(DataError, match="NaN"):
        quantise_onnx(case.files.onnx, [np.full((2, *case.shape), np.nan, np.float32)], target)
    with pytest.raises(RuntimeFault, match="cannot be quantised"):
        quantise_onnx(case.files.onnx, [np.zeros((2, 3, 5, 5), np.float32)], target)
    with pytest.raises(RuntimeFault, match="export the model"):
        quantise_onnx(tmp_path / "none.onnx", [case.noise(2).numpy()], target)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(RuntimeFault, match="cannot be quantised"):
        quantise_onnx(broken, [case.noise(2).numpy()], target)
    assert not target.exists()


def test_int8_keeps_the_accuracy_of_digits_in_its_runtime(cases, tmp_path):
    case, data = cases("digits_cnn"), prunekit.load_data("digits")
    path = quantise_onnx(case.files.onnx, calibration_samples(data), tmp_path / "q.onnx")
    dense = prunekit.evaluate(case.model, data.test)
    for runtime in INT8:
        found = evaluate_session(RUNTIMES[runtime].open(replace(case.files, int8=path)), data.test)
        assert abs(prunekit.compare(dense, found).value) <= 0.01 and found.n == len(data.test)


def test_accuracy_in_a_float32_runtime_is_that_of_eager_sample_by_sample(cases):
    case, data = cases("digits_cnn"), prunekit.load_data("digits")
    expected = prunekit.evaluate(case.model, data.test)
    told = []
    session = RUNTIMES["onnxruntime"].open(case.files)
    found = evaluate_session(session, data.test, batch_size=100, progress=lambda share, text: told.append(share))
    assert found == expected and np.array_equal(found.correct, expected.correct)
    assert told == sorted(told) and told[-1] == 1.0


def test_accuracy_can_be_cancelled_and_refuses_scores_that_are_none(cases):
    import threading

    stop = threading.Event()
    stop.set()
    case, data = cases("digits_cnn"), prunekit.load_data("digits")
    session = RUNTIMES["onnxruntime"].open(case.files)
    with pytest.raises(Cancelled):
        evaluate_session(session, data.test, progress=Progress(cancel=stop))
    with pytest.raises(DataError):
        evaluate_session(session, [])

    class Broken:
        notes, compile_s = (), None

        def scores(self, x, classes=0):
            return torch.full((len(x), 10), float("nan"))

        def bind(self, x):
            return lambda: None

    with pytest.raises(ModelError, match="NaN"):
        evaluate_session(Broken(), data.test)


def test_large_images_reach_a_runtime_a_few_at_a_time_and_the_accuracy_is_the_same(cases, monkeypatch):
    case, data = cases("digits_cnn"), prunekit.load_data("digits")
    session, sizes = RUNTIMES["onnxruntime"].open(case.files), []
    whole = evaluate_session(session, data.test)
    monkeypatch.setattr("prunekit.runtimes.checking.MOST_BYTES", 7 * data.test[0][0].nbytes)

    class Counted:
        def scores(self, x, classes=0):
            sizes.append(len(x))
            return session.scores(x)

    found = evaluate_session(Counted(), data.test, batch_size=100)
    assert max(sizes) == 7 and sum(sizes) == len(data.test)
    assert np.array_equal(found.correct, whole.correct)


def graph_of_text(tmp_path, weight=None):
    """Write ids -> an embedding -> a linear layer, if there is one, as ONNX, and return the file and what it computes."""
    rows = np.random.default_rng(0).normal(size=(50, 32)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["rows", "ids"], ["out" if weight is None else "x"])]
    kept = [numpy_helper.from_array(rows, "rows")]
    if weight is not None:
        nodes.append(helper.make_node("MatMul", ["x", "w"], ["out"]))
        kept.append(numpy_helper.from_array(weight, "w"))
    wide = 32 if weight is None else weight.shape[1]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", 6])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 6, wide])
    graph = helper.make_graph(nodes, "text", [ids], [out], kept)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(tmp_path / "text.onnx"))
    return tmp_path / "text.onnx", lambda ids: rows[ids] if weight is None else rows[ids] @ weight


def test_linear_layers_of_a_text_model_become_integers_without_samples_and_embeddings_stay(tmp_path):
    weight = np.random.default_rng(1).normal(size=(32, 400)).astype(np.float32)
    file, computes = graph_of_text(tmp_path, weight)
    made = quantise_linear(file, tmp_path / "text.int8.onnx")
    ids = torch.arange(30).view(5, 6)
    (found,) = OnnxSession(made, 1).outputs(ids).values()
    expected = torch.from_numpy(computes(ids.numpy()))
    assert apart(expected, found) < 0.03 and not torch.equal(expected, found)
    assert made.stat().st_size < 0.45 * file.stat().st_size
    bare, _ = graph_of_text(tmp_path)
    with pytest.raises(RuntimeFault, match="no linear layer"):
        quantise_linear(bare, tmp_path / "bare.int8.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.int8.onnx", "text.onnx"]
