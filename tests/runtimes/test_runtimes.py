"""Every runtime computes what eager torch computes."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from prunekit.errors import RuntimeFault
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import check
from prunekit.runtimes.runtime import Files
from prunekit.runtimes.torch_sessions import SparseLinear
from tests.runtimes.conftest import FORMS, OTHERS, SAMPLES

EXACT = ("eager", "channels_last", "onnxruntime", "openvino")


def relative(expected, found):
    return float((expected - found).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("name", "done"), [*FORMS, *(pytest.param(*form, marks=pytest.mark.slow) for form in OTHERS)])
def test_float32_runtimes_give_the_scores_of_eager_for_any_batch(cases, name, done):
    case = cases(name, done)
    for runtime in EXACT:
        session = RUNTIMES[runtime].open(case.files)
        for batch in (1, 2, 5):
            x = case.noise(batch)
            found = session.scores(x)
            assert found.dtype == torch.float32 and found.shape == (batch, 10), runtime
            assert relative(case.model(x), found) < 1e-3, runtime
            assert RUNTIMES[runtime].precision == "float32"


@pytest.mark.parametrize("name", ["digits_cnn", "cifar10_mobilenetv2"])
def test_bfloat16_is_close_and_gives_float32_back(cases, name):
    case = cases(name)
    x = case.noise(16)
    found = RUNTIMES["bfloat16"].open(case.files).scores(x)
    assert found.dtype == torch.float32
    # 8 bits of mantissa are left of 24: nearer than that it would not be bfloat16, much further it would not be the same model
    assert 1e-4 < relative(case.model(x), found) < 0.1


@pytest.mark.slow
def test_a_compiled_model_gives_the_scores_of_eager_and_tells_its_compile_time(cases, tmp_path, monkeypatch):
    if RUNTIMES["compile"].missing():
        pytest.skip(RUNTIMES["compile"].missing())
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    case = cases("digits_mlp", "folder")
    session = RUNTIMES["compile"].open(case.files)
    assert session.compile_s is None
    x = case.noise(3)
    assert relative(case.model(x), session.scores(x)) < 1e-3
    assert session.compile_s > 0 and session.notes[0].startswith("compiled in")
    first = session.compile_s
    session.scores(case.noise(3, seed=1))
    assert session.compile_s == first


@pytest.mark.parametrize("name", ["eager", "channels_last", "onnxruntime", "openvino"])
def test_two_bound_inputs_do_not_disturb_each_other(cases, name):
    case = cases("digits_cnn")
    session = RUNTIMES[name].open(case.files)
    a, b = case.noise(2, seed=1), case.noise(2, seed=2)
    bound = session.bind(a)
    other = session.scores(b)
    bound()
    assert relative(case.model(b), other) < 1e-3
    assert relative(case.model(a), session.scores(a)) < 1e-3


@pytest.mark.parametrize("name", SAMPLES)
def test_sparse_linear_layers_give_the_scores_of_dense_ones(cases, name):
    case = cases(name, "sparse")
    session = RUNTIMES["csr"].open(case.files)
    linear = sum(isinstance(module, nn.Linear) for module in case.model.modules())
    assert session.notes == (f"{linear} of {linear} linear layers run sparse",)
    for batch in (1, 7):
        assert relative(case.model(case.noise(batch)), session.scores(case.noise(batch))) < 1e-3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_a_sparse_layer_takes_what_a_dense_one_takes(bias, leading):
    torch.manual_seed(0)
    dense = nn.Linear(9, 5, bias=bias).requires_grad_(False)
    dense.weight[torch.rand(5, 9) < 0.7] = 0
    x = torch.randn(*leading, 9)
    with torch.inference_mode():
        assert torch.allclose(SparseLinear(dense)(x), dense(x), atol=1e-6)


def test_without_zeros_there_is_nothing_to_run_sparse(cases):
    with pytest.raises(RuntimeFault, match="none of its 2 linear layers has at least 50 % zeros"):
        RUNTIMES["csr"].open(cases("digits_cnn").files)


def test_opening_a_runtime_changes_neither_the_files_nor_the_shared_model(cases):
    case = cases("digits_cnn")
    before = {path.name: path.read_bytes() for path in case.files.folder.iterdir()}
    for name in ("channels_last", "bfloat16", "onnxruntime", "openvino"):
        RUNTIMES[name].open(case.files).scores(case.noise(2))
    assert {path.name: path.read_bytes() for path in case.files.folder.iterdir()} == before
    x = case.noise(2)
    assert torch.equal(RUNTIMES["eager"].open(case.files).scores(x), case.model(x))


@pytest.mark.parametrize(("name", "package"), [("onnxruntime", "onnxruntime"), ("int8", "onnxruntime"), ("openvino", "openvino")])
def test_a_package_that_is_not_there_is_named_with_what_installs_it(monkeypatch, cases, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert package in RUNTIMES[name].missing() and "pip install" in RUNTIMES[name].missing()
    with pytest.raises(RuntimeFault, match="pip install"):
        RUNTIMES[name].open(cases("digits_cnn").files)


def test_compiling_without_a_compiler_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    assert "install g++" in RUNTIMES["compile"].missing()


def test_what_cannot_be_opened_is_refused_in_words(cases, tmp_path):
    files = cases("digits_cnn").files
    with pytest.raises(RuntimeFault, match="export the model to ONNX first"):
        RUNTIMES["onnxruntime"].open(Files(files.folder))
    with pytest.raises(RuntimeFault, match="quantise the model first"):
        RUNTIMES["int8"].open(files)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(RuntimeFault, match="cannot open this model"):
            RUNTIMES[name].open(Files(files.folder, broken))
    for wrong in (0, True, 1.5):
        with pytest.raises(RuntimeFault, match="threads"):
            RUNTIMES["eager"].open(files, threads=wrong)
    with pytest.raises(RuntimeFault, match="device"):
        RUNTIMES["onnxruntime"].open(files, device="cuda")


@pytest.mark.parametrize("name", ["eager", "onnxruntime", "openvino"])
def test_samples_of_another_shape_are_refused_in_words(cases, name):
    session = RUNTIMES[name].open(cases("digits_cnn").files)
    with pytest.raises(RuntimeFault, match="samples of shape"):
        session.scores(torch.zeros(2, 3, 5, 5))


def test_the_names_are_those_that_others_rely_on():
    expected = ["eager", "channels_last", "bfloat16", "compile", "onnxruntime", "openvino", "int8", "openvino_int8", "csr"]
    assert list(RUNTIMES) == expected and [runtime.name for runtime in RUNTIMES.values()] == expected
    assert {runtime.file for runtime in RUNTIMES.values()} == {"", "onnx", "int8"}
    assert {runtime.precision for runtime in RUNTIMES.values()} == {"float32", "bfloat16", "int8"}
    assert all(len(runtime.version().split()) == 2 for runtime in RUNTIMES.values())


SILENT = """
import sys
import torch
import prunekit.runtimes as runtimes
assert not {"onnxruntime", "onnx", "openvino"} & set(sys.modules)
from pathlib import Path
files = runtimes.Files(Path(sys.argv[1]), Path(sys.argv[2]))
for name in ("onnxruntime", "openvino"):
    runtimes.RUNTIMES[name].open(files).scores(torch.zeros(2, *eval(sys.argv[3])))
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""


def test_runtimes_load_when_they_are_used_and_neither_print_nor_report_home(cases, tmp_path):
    case = cases("digits_cnn")
    command = [sys.executable, "-c", SILENT, str(case.files.folder), str(case.files.onnx), str(case.shape)]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180, env=environment)
    assert (done.stdout, done.stderr) == ("", "")
    assert not list(tmp_path.rglob("openvino*"))


def test_the_check_lets_nothing_pass_that_is_not_the_same_model():
    torch.manual_seed(0)
    scores = torch.randn(50, 10)
    exact, coarse = RUNTIMES["onnxruntime"], RUNTIMES["int8"]
    assert check(exact, scores, scores * (1 + 5e-4)).passed
    assert not check(exact, scores, scores * (1 + 5e-3)).passed
    assert check(coarse, scores, scores * 1.1).passed
    for runtime in (exact, coarse):
        assert not check(runtime, scores, scores[:, :9]).passed
        assert not check(runtime, scores, scores[:49]).passed
        for bad in (float("nan"), float("inf")):
            spoilt = scores.clone()
            spoilt[3, 4] = bad
            assert not check(runtime, scores, spoilt).passed
            assert not check(runtime, spoilt, scores).passed


def test_agreement_is_the_share_of_equal_top_classes():
    scores = torch.eye(4)
    found = scores.clone()
    found[0] = torch.tensor([0.0, 2.0, 0.0, 0.0])
    told = check(RUNTIMES["int8"], scores, found)
    assert told.agreement == 0.75 and told.n == 4 and told.error == 2.0 and "75.0 %" in told.sentence
