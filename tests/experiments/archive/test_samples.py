"""An archive's samples: what opens it elsewhere answers as the run or says what differs, and its accuracy can be measured again."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import prunekit
from prunekit.cli import main
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.repeating import repeat
from prunekit.experiments.load_run import open_run
from tests.experiments.archive.made import STRUCTURED, files_of, forged, plain, run_of, zipped

OWN = """
import torch
from torch import nn

FACTOR = 1.0

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 16, 3, padding=1)
        self.c, self.fc = nn.Conv2d(16, 14, 1), nn.Linear(14, 10)
    def between(self, x): return x
    def forward(self, x): return self.fc(self.c(self.between(self.b(self.a(x).relu()).relu())).relu().mean((2, 3))) * FACTOR

class LayerScale(Base):
    def __init__(self): super().__init__(); self.gamma = nn.Parameter(torch.full((16, 1, 1), 0.5))
    def between(self, x): return x * self.gamma

class Buffers(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("usage", torch.linspace(0.5, 1.5, 16))
        self.register_buffer("hidden", torch.linspace(1.5, 0.5, 16), persistent=False)
        self.register_buffer("mean", torch.tensor([0.3]))
    def between(self, x): return (x - self.mean) * self.usage[:, None, None] * self.hidden[:, None, None]

class Prelu(Base):
    def __init__(self): super().__init__(); self.mid = nn.PReLU()
    def between(self, x): return self.mid(x)

class Embedded(Base):
    def __init__(self): super().__init__(); self.e = nn.Embedding(17, 1)
    def forward(self, x): return super().forward(self.e(x.clamp(0, 16).long())[..., 0])

class Recurrent(Base):
    def __init__(self): super().__init__(); self.rnn = nn.GRU(8, 8, batch_first=True)
    def forward(self, x): return super().forward(x + self.rnn(x[:, 0])[0][:, None])

class Attention(Base):
    def __init__(self):
        super().__init__()
        self.i, self.cls, self.o = nn.Linear(8, 16), nn.Parameter(torch.randn(1, 1, 16)), nn.Linear(16, 10)
        self.l = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    def forward(self, x):
        x = torch.cat([self.cls.expand(len(x), -1, -1), self.i(x[:, 0])], 1)
        return self.o(self.l(x)[:, 0])

class Extra(Base):
    def __init__(self): super().__init__(); self.n = {"n": 1}
    def get_extra_state(self): return {"n": 3}
    def set_extra_state(self, n): self.n = n
    def between(self, x): return x * 3 if self.n["n"] in (1, 3) else x

class Dict(Base):
    def forward(self, x): return {"kept": None, "logits": super().forward(x)}

for _kind in (LayerScale, Buffers, Prelu, Embedded, Recurrent, Attention, Extra, Dict):
    _kind.input_shape = (1, 8, 8)
"""
NAMES = ("LayerScale", "Buffers", "Prelu", "Embedded", "Recurrent", "Attention", "Extra", "Dict")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "nets_of_mine.py").write_text(OWN)
    return folder / "nets_of_mine.py"


def unpacked(payload, folder):
    folder.mkdir(exist_ok=True)
    for name, content in files_of(payload).items():
        (folder / name).write_bytes(content)
    return folder


STRANGER = """
import io, json, os, runpy, sys
from contextlib import redirect_stdout
sys.modules["prunekit"] = sys.modules["sample_models"] = None
found = []
for folder, *words in json.loads(sys.argv[1]):
    os.chdir(folder)
    before, sys.path[:] = list(sys.path), [folder, *sys.path]
    sys.argv, said = ["load.py", *words], io.StringIO()
    try:
        with redirect_stdout(said):
            runpy.run_path("load.py", run_name="__main__")
        found.append([said.getvalue().strip(), ""])
    except Exception as error:
        found.append(["", f"{type(error).__name__}: {error}"])
    sys.path[:] = before
    for name in ("nets_of_mine", "architecture"):
        sys.modules.pop(name, None)
print(json.dumps(found))
"""


def strangers(*folders):
    """Run the ``load.py`` of several folders where no prunekit can be imported; return what each printed, and its error."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    request = json.dumps([list(map(str, folder if isinstance(folder, tuple) else (folder,))) for folder in folders])
    words = [sys.executable, "-P", "-B", "-c", STRANGER, request]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=300, env=env | {"OMP_NUM_THREADS": "1"})
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def buffered(kept, home, own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("buffered")
    run = run_of(kept, f"{own}:Buffers", STRUCTURED, limit=60)
    return run, plain(kept, run, folder)


def test_bare_parameters_and_buffers_open_without_prunekit(kept, home, own, tmp_path):
    folders = []
    for name in NAMES:
        (tmp_path / name).mkdir()
        payload = plain(kept, run_of(kept, f"{own}:{name}", STRUCTURED, limit=20), tmp_path / name)
        folders.append(unpacked(payload, tmp_path / name / "there"))
    found = dict(zip(NAMES, strangers(*folders), strict=True))
    found.pop("Attention")  # heads of another number need prunekit's own class: its archive offers the other forms
    assert found.pop("Dict") == ["first prediction: logits (1, 10)", ""]
    assert all(each == ["first prediction: (1, 10)", ""] for each in found.values()), found


def test_samples_are_real_and_expected_outputs_are_the_run_s(buffered, kept, home, tmp_path):
    run, payload = buffered
    folder = unpacked(payload, tmp_path / "there")
    kept_ones = load_file(folder / "samples.safetensors")
    whole = prunekit.load_data("digits", model=open_run(run, kept).model).test
    measured = prunekit.load_data("digits", limit=60, model=open_run(run, kept).model).test
    places = kept_ones["indices"].numpy()
    assert len(places) == len(set(places.tolist())) == 60 and np.array_equal(whole.labels[places], kept_ones["labels"].numpy())
    torch.testing.assert_close(whole.images(places), measured.images(np.arange(60)), rtol=0, atol=0)
    torch.testing.assert_close(kept_ones["inputs"], whole.images(places[:3]), rtol=0, atol=0)
    torch.testing.assert_close(kept_ones["outputs"], open_run(run, kept).model(kept_ones["inputs"]), rtol=1e-5, atol=1e-6)


def changed(path, name, by=0.01):
    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    tensors = load_file(path)
    save_file({**tensors, name: tensors[name] + by}, path, metadata=told)


CHANGES = (
    ("model.safetensors", lambda f: changed(f, "c.bias"), "other values in c.bias"),
    ("beside.safetensors", lambda f: changed(f, "hidden"), "other values in hidden"),
    ("samples.safetensors", lambda f: changed(f, "outputs"), "its outputs differ"),
    ("nets_of_mine.py", lambda f: f.write_text(OWN.replace("FACTOR = 1.0", "FACTOR = 1.5")), "the code or the package"),
    ("nets_of_mine.py", lambda f: f.write_text(OWN.replace("self.c(self", "self.c(1 - self")), "the code or the package"),
)


def test_load_py_refuses_another_network_and_says_what_differs(buffered, home, tmp_path):
    folders = [unpacked(buffered[1], tmp_path / str(n)) for n in range(len(CHANGES) + 1)]
    for folder, (file, change, _) in zip(folders, CHANGES, strict=False):
        change(folder / file)
    *refused, sound = strangers(*folders)
    assert sound == ["first prediction: (1, 10)", ""]
    for (printed, error), (_, _, says) in zip(refused, CHANGES, strict=True):
        assert not printed and "not the network that was saved" in error and says in error


def test_taking_it_in_refuses_another_network(buffered, own, elsewhere, tmp_path):
    payload = buffered[1]
    factory = f"{own}:Buffers"
    assert import_archive(payload, elsewhere, factory=factory).kind == "imported"
    files = files_of(payload)
    for name, tensor in (("model.safetensors", "c.bias"), ("beside.safetensors", "hidden"), ("samples.safetensors", "outputs")):
        (tmp_path / name).write_bytes(files[name])
        changed(tmp_path / name, tensor)
        bad = zipped(forged({**files, name: (tmp_path / name).read_bytes()}))
        with pytest.raises(PrunekitError, match=r"not the one that was saved|does not give the outputs"):
            import_archive(bad, elsewhere, factory=factory)
    without = {name: content for name, content in files.items() if name != "beside.safetensors"}
    with pytest.raises(PrunekitError, match="no values for hidden"):
        import_archive(zipped(forged(without)), elsewhere, factory=factory)
    assert len(elsewhere.runs()) == 1


def test_what_is_taken_in_is_opened_with_its_buffers_and_its_shape(buffered, kept, home, own, elsewhere, monkeypatch):
    with monkeypatch.context() as here:
        here.setenv("PRUNEKIT_HOME", str(home))
        model = open_run(buffered[0], kept).model
    taken = import_archive(buffered[1], elsewhere, factory=f"{own}:Buffers")
    opened = open_run(taken, elsewhere)
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(opened.model(x), model(x), rtol=0, atol=0)
    known = prunekit.info(opened.model)
    assert known.input_shape == opened.shape == (1, 8, 8) and (known.measured.name, known.measured.limit) == ("digits", 60)


def test_code_that_a_stranger_names_as_data_is_not_run(buffered, own, elsewhere, tmp_path):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef data(): pass\n")
    files = files_of(buffered[1])
    text = files["recipe.yaml"].decode().replace("name: digits\n", f"name: {tmp_path}/evil.py:data\n")
    told = json.loads(files["result.json"])
    for seen in told["measurements"]:
        seen["data"]["name"] = f"{tmp_path}/evil.py:data"
    bad = zipped(forged({**files, "recipe.yaml": text.encode(), "result.json": json.dumps(told).encode()}))
    taken = import_archive(bad, elsewhere, factory=f"{own}:Buffers")
    assert prunekit.info(open_run(taken, elsewhere).model).measured is None
    (tmp_path / "bad.zip").write_bytes(bad)
    assert repeat(tmp_path / "bad.zip", elsewhere, factory=f"{own}:Buffers").accuracy is None
    assert not (tmp_path / "ran").exists()


def test_the_accuracy_it_states_is_measured_again_as_its_readme_says(kept, home, tmp_path, monkeypatch, capsys):
    """Both commands of the README, as they stand there."""
    run = run_of(kept, "digits_cnn", PruneSpec(mode="structured", sparsity=0.7), limit=150)
    seen = kept.measurements(run)[0].value
    (tmp_path / "ARCHIVE.zip").write_bytes(plain(kept, run, tmp_path))
    folder = unpacked((tmp_path / "ARCHIVE.zip").read_bytes(), tmp_path / "there")
    readme = (folder / "README.md").read_text()
    commands = re.findall(r"```\n(.*?)\n```", readme)
    assert commands == ["prunekit check ARCHIVE.zip", "python load.py test.npz"]
    right = round(seen["value"] * seen["n"])
    assert f"{right} of 150 test samples of digits are right" in readme
    monkeypatch.chdir(tmp_path)
    assert main([*commands[0].split()[1:], "--samples", "there/test.npz"]) == 0
    assert f"{right} of 150 test samples are right, as stated" in capsys.readouterr().out
    assert strangers((folder, "test.npz")) == [[f"accuracy: {right} of 150, {100 * right / 150:.1f} %", ""]]


def test_other_samples_are_not_taken_for_those_that_were_measured(kept, home, tmp_path):
    run = run_of(kept, "digits_mlp", STRUCTURED, limit=50)
    files = files_of(plain(kept, run, tmp_path))
    for name, change, says in (
        ("labels", lambda t: (t + 1) % 10, "other classes"),
        ("indices", lambda t: t + 400, "other classes"),
    ):
        (tmp_path / "s").write_bytes(files["samples.safetensors"])
        with safe_open(tmp_path / "s", framework="pt") as file:
            told = file.metadata()
        tensors = load_file(tmp_path / "s")
        save_file({**tensors, name: change(tensors[name])}, tmp_path / "s", metadata=told)
        (tmp_path / "bad.zip").write_bytes(zipped(forged({**files, "samples.safetensors": (tmp_path / "s").read_bytes()})))
        with pytest.raises(PrunekitError, match=says):
            repeat(tmp_path / "bad.zip", kept)
    told = json.loads(files["result.json"])
    told["measurements"][0]["data"]["mean"] = [0.9]
    (tmp_path / "bad.zip").write_bytes(zipped(forged({**files, "result.json": json.dumps(told).encode()})))
    with pytest.raises(PrunekitError, match="other pixels or another normalisation"):
        repeat(tmp_path / "bad.zip", kept)


def test_a_folder_is_measured_again_on_what_it_was_measured_on(tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["prune", "digits_cnn", "--sparsity", "0.9", "--limit", "80", "--mean", "0.3", "--std", "0.4", "--out", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["after"]["accuracy"]
    assert main(["check", out, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["same"] and again["accuracy"]["value"] == told["value"] and again["data"]["limit"] == 80
    assert main(["check", str(tmp_path)]) == 2


def test_archives_of_earlier_versions_are_still_taken_in(kept, home, elsewhere, tmp_path, monkeypatch):
    """Without answers, samples and shapes."""
    with monkeypatch.context() as here:
        here.setenv("PRUNEKIT_HOME", str(home))
        run = run_of(kept, "digits_cnn", STRUCTURED)
        payload = plain(kept, run, tmp_path)
    files = files_of(payload)
    (tmp_path / "w").write_bytes(files["model.safetensors"])
    with safe_open(tmp_path / "w", framework="pt") as file:
        told = json.loads(file.metadata()["prunekit"])
    plain_told = {name: told[name] for name in ("architecture", "widths")} | {"version": 1}
    save_file(load_file(tmp_path / "w"), tmp_path / "w", metadata={"prunekit": json.dumps(plain_told)})
    recipe = "\n".join(files["recipe.yaml"].decode().partition("input_shape:")[:1])
    old = {**files, "model.safetensors": (tmp_path / "w").read_bytes(), "recipe.yaml": recipe.encode()}
    del old["samples.safetensors"]
    taken = import_archive(zipped(forged(old)), elsewhere)
    x = torch.randn(2, 1, 8, 8)
    with monkeypatch.context() as here:
        here.setenv("PRUNEKIT_HOME", str(home))
        expected = open_run(run, kept).model(x)
    torch.testing.assert_close(open_run(taken, elsewhere).model(x), expected)
    (tmp_path / "old.zip").write_bytes(zipped(forged(old)))
    assert repeat(tmp_path / "old.zip", elsewhere).same
