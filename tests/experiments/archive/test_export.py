"""A run as an archive: every form opens in a fresh process without prunekit and predicts as the run does."""

import contextlib
import copy
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

import prunekit
from prunekit.cli import main
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.experiments.archive import exporting, proving
from prunekit.experiments.archive.architecture import adapters_of
from prunekit.experiments.archive.exporting import export_run
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.manifest import EXPORTED, LOADER, ONNX
from prunekit.experiments.load_run import open_run
from prunekit.experiments.quantised_run import quantise_through
from prunekit.experiments.recovery_run import recover_through
from prunekit.experiments.requests import AccuracyRequest
from prunekit.models.widths import widths
from prunekit.tasks.batch import Batch
from tests.experiments.archive.made import STRUCTURED, files_of, no_exporter, run_of, store_in

FLOAT = {"model.safetensors", ONNX, EXPORTED}

LOOK = """
import sys
class No:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("prunekit", "sample_models"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, No)
import numpy as np
x = np.load("x.npy")
"""
OPENERS = {
    "model.safetensors": "import torch\nsys.path.insert(0, '.')\nimport load\nout = load.predict(load.load_model(), torch.from_numpy(x))",
    ONNX: "import onnxruntime\nout = onnxruntime.InferenceSession('model.onnx').run(None, {'images': x})[0]",
    EXPORTED: "import torch\nout = torch.export.load('model.pt2').module()(torch.from_numpy(x)).detach().numpy()",
    "model.int8.onnx": "sys.path.insert(0, '.')\nimport load\nout = load.predict(load.load_model(), x)",
}


def opened(archive, files, x, folder, more=""):
    """Unpack with plain zipfile, open the forms in a fresh interpreter elsewhere, and return the scores of each."""
    folder.mkdir(exist_ok=True)
    zipfile.ZipFile(archive).extractall(folder)
    np.save(folder / "x.npy", x.numpy())
    parts = [f"{OPENERS[file]}\nnp.save('{file}.npy', np.asarray(out))" for file in files]
    code = "\n".join([LOOK, *parts, more, "assert 'prunekit' not in sys.modules"])
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([sys.executable, "-P", "-c", code], cwd=folder, check=True, capture_output=True, timeout=300, env=env)
    return {file: torch.from_numpy(np.load(folder / f"{file}.npy")) for file in files}


def all_agree(found, files=frozenset(FLOAT)):
    assert {form.file for form in found.formats} == set(files)
    assert all(form.agrees for form in found.formats), [form.sentence for form in found.formats]


def same_as_run(found, store, folder, more=""):
    """Each form gives the run's own scores, asked in another way than the export itself does."""
    run, x = open_run(found.run, store), torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        expected = run.model(x) if run.model is not None else run.session.scores(x)
    for scores in opened(found.path, [form.file for form in found.formats if form.agrees], x, folder, more).values():
        torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def load_py_agrees(found):
    assert [form.agrees for form in found.formats] == [True, False, False], [form.sentence for form in found.formats]


@pytest.fixture(scope="module")
def whole(kept, home, tmp_path_factory):
    """The archive of a run with fewer channels, all its forms in it."""
    return export_run(run_of(kept, "digits_cnn", limit=None), tmp_path_factory.mktemp("whole") / "it.zip", kept)


def test_every_form_gives_the_run_s_predictions_without_prunekit_and_pixels_are_normalised_as_the_images_were(whole, kept, home, tmp_path):
    all_agree(whole)
    data, there = prunekit.load_data("digits"), tmp_path / "there"
    there.mkdir()
    torch.save(data.test.pixels[:4].float() / 16, there / "pixels.pt")
    same_as_run(whole, kept, there, "torch.save(load.normalise(torch.load('pixels.pt')), 'out.pt')")
    torch.testing.assert_close(torch.load(there / "out.pt"), data.test.images(np.arange(4)))
    assert "256 of 256 test images of digits" in whole.formats[0].sentence


def test_it_holds_what_was_measured_and_how_to_use_it(whole, kept, home):
    files = files_of(whole.path.read_bytes())
    assert set(files) == {
        *FLOAT,
        LOADER,
        "samples.safetensors",
        "architecture.py",
        "recipe.yaml",
        "result.json",
        "README.md",
        "manifest.json",
    }
    (seen,) = [m for m in kept.measurements(whole.run) if m.what == "accuracy"]
    readme = files["README.md"].decode()
    for figure in (f"{100 * seen.value['value']:.1f} %", f"{kept.get_run(whole.run).info['params']:,}", "0.3053", "360 test images"):
        assert figure in readme
    told = json.loads(files["result.json"])
    dense, left = told["dense"]["info"], told["run"]["info"]
    share = 1 - (left["nonzero"] if left["params"] == dense["params"] else left["params"]) / dense["params"]
    assert f"| gone or zero, of all parameters | 0.0 % | {100 * share:.1f} % |" in readme
    assert told["measurements"][0]["value"] == seen.value and told["measurements"][0]["machine"] == seen.machine
    assert told["input"]["shape"] == [1, 8, 8] and told["input"]["classes"] == list("0123456789")
    assert b"prunekit" not in files[ONNX] and b"sample_models" not in files[EXPORTED]


def test_load_py_runs_by_itself_and_says_the_shape(whole, tmp_path):
    zipfile.ZipFile(whole.path).extractall(tmp_path)
    done = subprocess.run([sys.executable, "-I", str(tmp_path / "load.py")], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == "first prediction: (1, 10)"
    assert "prunekit" not in "".join(line for line in (tmp_path / "load.py").read_text().splitlines() if "import" in line)


def test_prunekit_cannot_be_imported_where_forms_are_checked(whole, home, tmp_path):
    """A load.py that imports it fails there, although it is installed here."""
    folder = tmp_path / "made"
    folder.mkdir()
    zipfile.ZipFile(whole.path).extractall(folder)
    for name in ("prunekit", "sample_models"):
        (folder / LOADER).write_text(f"import {name}\n")
        gathered = proving.Gathered(None, Batch.of(torch.zeros(2, 1, 8, 8)), {"": torch.zeros(2, 10)}, {"": 0}, "", "2 samples")
        found = proving.prove(folder, LOADER, gathered, tmp_path)
        assert not found.agrees and f"No module named '{name}'" in found.sentence


def test_it_is_taken_in_on_another_home_and_predicts_the_same(whole, kept, home, tmp_path, monkeypatch):
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    expected = open_run(whole.run, kept).model(x)
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "there"))
    other = store_in(tmp_path / "there")
    run = import_archive(whole.path, other)
    torch.testing.assert_close(open_run(run, other).model(x), expected, rtol=0, atol=0)
    other.close()


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        pytest.param("digits_mlp", PruneSpec(sparsity=0.8), marks=pytest.mark.nightly),
        pytest.param("digits_mlp", PruneSpec(mode="nm", pattern="2:4"), marks=pytest.mark.nightly),
        pytest.param("digits_mlp", PruneSpec(sparsity=0.999), marks=pytest.mark.slow),  # nearly all zeros pack very well
        pytest.param("digits_cnn", None, marks=pytest.mark.nightly),
        pytest.param("digits_cnn", STRUCTURED, marks=pytest.mark.nightly),
    ],
)
def test_masked_and_dense_runs(kept, home, tmp_path, model, spec):
    found = export_run(run_of(kept, model, spec), tmp_path / "it.zip", kept)
    all_agree(found)
    same_as_run(found, kept, tmp_path / "there")
    assert import_archive(found.path, kept).kind == "imported"
    again = export_run(found.run, tmp_path / "again.zip", kept)
    assert again.path.read_bytes() == found.path.read_bytes(), "the same run gives the same bytes"


@pytest.mark.slow
def test_load_py_of_a_dense_run(kept, home, tmp_path):
    with no_exporter():
        found = export_run(run_of(kept, "digits_cnn", None), tmp_path / "it.zip", kept)
    load_py_agrees(found)
    same_as_run(found, kept, tmp_path / "there")
    assert import_archive(found.path, kept).kind == "imported"


@pytest.mark.slow
def test_recovered_and_quantised_runs(kept, home, tmp_path):
    request = AccuracyRequest(ModelId("digits_cnn"), DataId("digits", limit=200), STRUCTURED, Recovery(epochs=1))
    recovered = recover_through(request, kept)[-1].run
    with no_exporter():
        found = export_run(recovered, tmp_path / "recovered.zip", kept)
    load_py_agrees(found)
    same_as_run(found, kept, tmp_path / "there")
    quantised = quantise_through(request, kept).run
    found = export_run(quantised, tmp_path / "int8.zip", kept)
    all_agree(found, {"model.int8.onnx"})
    assert set(files_of(found.path.read_bytes())) == {
        "model.int8.onnx", LOADER, "samples.safetensors", "recipe.yaml", "result.json", "README.md", "manifest.json"
    }  # fmt: skip
    same_as_run(found, kept, tmp_path / "int8")
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    expected = open_run(quantised, kept).session.scores(x)
    again = import_archive(found.path, kept)
    torch.testing.assert_close(open_run(again, kept).session.scores(x), expected, rtol=0, atol=0)


OWN = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8 * 16, 10)

    def forward(self, x):
        x = self.conv2(self.conv1(x).relu()).relu()
        return self.fc(x.flatten(1))


def make():
    return Net()


make.input_shape = (1, 8, 8)
"""
READS = """
from pathlib import Path
import torch
from torch import nn

ROWS, WIDTH = map(int, (Path(__file__).parent / "sizes.txt").read_text().split())


def make():
    return nn.Sequential(nn.Embedding(ROWS, WIDTH), nn.Flatten(), nn.Linear(6 * WIDTH, 4))


def data():
    return torch.utils.data.TensorDataset(torch.arange(240).reshape(40, 6) % ROWS, torch.arange(40) % 4)
"""
FIXED = OWN.replace("x.flatten(1)", "x.reshape(x.shape[0] if x.shape[0] == 1 else 2, -1)")


@pytest.mark.slow
def test_code_of_ones_own_travels_beside_load_py(kept, home, tmp_path):
    (tmp_path / "my_net.py").write_text(OWN)
    (tmp_path / "random.py").write_text(OWN + "\n# its name would hide a module of Python\n")
    for file, name in (("my_net.py", "my_net.py"), ("random.py", "architecture.py")):
        with no_exporter() if file == name else contextlib.nullcontext():
            found = export_run(run_of(kept, f"{tmp_path / file}:make", STRUCTURED), tmp_path / f"{file}.zip", kept)
        (load_py_agrees if file == name else all_agree)(found)
        files = files_of(found.path.read_bytes())
        assert files[name] == (tmp_path / file).read_bytes() and ("random.py" in files) is False
        same_as_run(found, kept, tmp_path / f"there-{file}")


@pytest.mark.slow
def test_code_that_needs_its_neighbours_is_named_and_the_other_forms_are_offered(kept, home, tmp_path):
    (tmp_path / "blocks_of_mine.py").write_text(OWN)
    (tmp_path / "net.py").write_text(
        "from blocks_of_mine import make as build\ndef make():\n    return build()\nmake.input_shape = (1, 8, 8)\n"
    )
    found = export_run(run_of(kept, f"{tmp_path / 'net.py'}:make", STRUCTURED), tmp_path / "it.zip", kept)
    assert {form.file: form.agrees for form in found.formats} == {LOADER: False, ONNX: True, EXPORTED: True}
    assert "net.py imports blocks_of_mine" in found.formats[0].sentence
    assert LOADER not in files_of(found.path.read_bytes())


@pytest.mark.nightly
def test_code_that_reads_a_file_beside_it_is_told_so_and_the_readme_promises_no_load_py(kept, home, tmp_path):
    (tmp_path / "sizes.txt").write_text("40 8")
    (tmp_path / "net.py").write_text(READS)
    run = run_of(kept, f"{tmp_path / 'net.py'}:make", PruneSpec(sparsity=0.5), f"{tmp_path / 'net.py'}:data", limit=20)
    found = export_run(run, tmp_path / "it.zip", kept)
    files = files_of(found.path.read_bytes())
    assert "net.py reads sizes.txt, which an archive does not hold" in found.formats[0].sentence
    assert LOADER not in files and LOADER not in files["README.md"].decode()


@pytest.mark.slow
def test_a_model_that_fixes_its_batch_leaves_out_what_cannot_be(kept, home, tmp_path):
    (tmp_path / "fixed.py").write_text(FIXED)
    run = run_of(kept, f"{tmp_path / 'fixed.py'}:make", PruneSpec(sparsity=0.5), limit=2)
    found = export_run(run, tmp_path / "it.zip", kept)
    agrees = {form.file: form.agrees for form in found.formats}
    assert agrees["model.safetensors"] and not agrees[ONNX]
    if agrees[EXPORTED]:
        assert "one sample at a time" in found.formats[2].sentence and any("one sample" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        pytest.param("torchvision/squeezenet1_1", STRUCTURED, marks=pytest.mark.nightly),
        pytest.param("torchvision/googlenet", STRUCTURED, marks=pytest.mark.nightly),
        pytest.param("torchvision/mobilenet_v3_small", STRUCTURED, marks=pytest.mark.nightly),
        pytest.param("cifar10_resnet20", PruneSpec(mode="structured", depth=0.4, sparsity=0.5), marks=pytest.mark.slow),
    ],
)
def test_models_of_the_catalog_some_without_some_of_their_blocks(kept, home, tmp_path, name, spec):
    from prunekit.experiments.experiment import Experiment, Keeper

    model_id = ModelId(name)
    model = prunekit.load_model(model_id)
    data = noise(model)
    experiment = Experiment(AccuracyRequest(model_id, DataId("noise"), spec, split="test"), model, data, Keeper(kept))
    run = experiment.point(spec, Recovery()).run
    found = export_run(run, tmp_path / "it.zip", kept)
    all_agree(found)
    code = {name for name in files_of(found.path.read_bytes()) if name.endswith(".py")}
    assert code == ({LOADER} if "/" in name else {LOADER, "architecture.py"})
    assert "the same class as the run on " in found.formats[0].sentence, found.formats[0].sentence
    taken = import_archive(found.path, kept)
    x = torch.randn(2, *data.test[0][0].shape)
    torch.testing.assert_close(open_run(taken, kept).model(x), open_run(run, kept).model(x))


def noise(model):
    """Random images of a model's size."""
    from prunekit.data.dataset import Data, Normal, TensorSplit

    side = prunekit.info(model).input_shape[-1]
    pixels = torch.randint(0, 255, (2, 3, side, side), dtype=torch.uint8)
    split = TensorSplit(pixels, [0, 1], Normal((0.5,) * 3, (0.5,) * 3))
    return Data(DataId("noise"), split, split, split)


def test_on_the_command_line(kept, home, tmp_path, capsys, monkeypatch):
    run = run_of(kept, "digits_mlp", PruneSpec(sparsity=0.4))
    monkeypatch.setattr(exporting, "make_forms", lambda *_: {name: {"error": "not now", "batch": 0} for name in exporting.FORMS})
    assert main(["export", run[:10], "--out", str(tmp_path / "it.zip"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == run and told["bytes"] == (tmp_path / "it.zip").stat().st_size
    assert [form["agrees"] for form in told["formats"]] == [True, False, False]
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "there"))
    assert main(["import", str(tmp_path / "it.zip")]) == 0
    assert "measured elsewhere, not here" in capsys.readouterr().out
    assert main(["import", str(tmp_path / "it.zip"), "--json"]) == 0
    taken = json.loads(capsys.readouterr().out)
    assert taken["kind"] == "imported" and taken["info"]["told"]["run"] == run
    (tmp_path / "junk.zip").write_bytes(b"junk")
    for words in (["import", str(tmp_path / "junk.zip")], ["export", "nothing", "--out", str(tmp_path / "x.zip")]):
        assert main(words) == 2
        assert capsys.readouterr().err.startswith("prunekit: error: ")
    assert not (tmp_path / "x.zip").exists()


def test_attention_with_fewer_heads_is_rebuilt_by_code_that_stands_in_load_py():
    layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    attention = "self_attn"
    result = prunekit.prune(layer, PruneSpec(mode="structured", sparsity=0.5, layers=(attention,)), input_shape=(6, 16))
    small, known = result.model, dict[str, object]()
    exec(adapters_of(small), known)
    told, part = widths(small)[attention], copy.deepcopy(layer.self_attn)
    known["adapt"](part, told)
    for name, value in told.items():
        if not isinstance(value, list):
            setattr(part, name, value)
    part.in_proj_weight, part.in_proj_bias = small.self_attn.in_proj_weight, small.self_attn.in_proj_bias
    part.out_proj, x = small.self_attn.out_proj, torch.randn(2, 6, 16)
    assert adapters_of(layer) == "" and small.self_attn.in_proj_weight.shape[0] < 48
    torch.testing.assert_close(part(x, x, x), small.self_attn(x, x, x))
