"""The folder that pruning writes: it opens again, exactly, and nothing in it is trusted."""

import copy
import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import prunekit
from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.errors import CheckpointError, ModelError, PrunekitError, SpecError
from prunekit.evaluation.sizes import file_bytes, sparse_bytes
from prunekit.models.folder import read_result
from prunekit.models.layers import prunable_layers
from prunekit.models.rebuilding import apply_widths
from prunekit.models.state import state_hash
from prunekit.models.widths import widths
from tests import transformers


def written(path, name="digits_cnn", **spec):
    model = prunekit.load_model(name)
    setting = PruneSpec(**({"mode": "structured", "sparsity": 0.4} | spec))
    result = prunekit.prune(model, setting)
    recipe = Recipe(prunekit.info(model).id.to_dict(), {"name": "digits"}, setting)
    prunekit.write_folder(path, result.model, recipe, {"answer": 42})
    return result.model, recipe


@pytest.mark.parametrize("name", ["digits_cnn", "digits_mlp", "torchvision/squeezenet1_1"])
@pytest.mark.parametrize("mode", ["structured", "unstructured"])
def test_it_opens_again_bit_for_bit(tmp_path, name, mode):
    model, recipe = written(tmp_path / "out", name, mode=mode)
    again = prunekit.load_model(tmp_path / "out")
    assert state_hash(again) == state_hash(model) and widths(again) == widths(model)
    assert type(again) is type(model) and not again.training
    assert not any(p.requires_grad for p in again.parameters())
    assert Recipe.from_yaml((tmp_path / "out" / "recipe.yaml").read_text()) == recipe
    assert read_result(tmp_path / "out") == {"answer": 42}
    x = torch.randn(2, *prunekit.info(again).input_shape)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)


def test_a_pruned_folder_is_pruned_further(tmp_path):
    written(tmp_path / "first")
    smaller = prunekit.load_model(tmp_path / "first")
    setting = PruneSpec(mode="structured", sparsity=0.5)
    result = prunekit.prune(smaller, setting)
    prunekit.write_folder(tmp_path / "second", result.model, Recipe(prunekit.info(smaller).id.to_dict(), None, setting))
    shutil.rmtree(tmp_path / "first")  # the second stands on its own
    assert state_hash(prunekit.load_model(tmp_path / "second")) == state_hash(result.model)


def test_what_it_wrote_is_replaced_and_anything_else_is_left_alone(tmp_path):
    written(tmp_path / "out", sparsity=0.2)
    model, _ = written(tmp_path / "out", sparsity=0.6)
    assert state_hash(prunekit.load_model(tmp_path / "out")) == state_hash(model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(PrunekitError, match="prunekit did not write it"):
        written(tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PrunekitError, match="did not write it"):
        written(tmp_path / "file")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_failure_in_the_middle_leaves_the_old_folder_and_no_half(tmp_path, monkeypatch):
    model, _ = written(tmp_path / "out", sparsity=0.2)

    def full_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("prunekit.models.saved_values.save_file", full_disk)
    with pytest.raises(PrunekitError, match="No space left"):
        written(tmp_path / "out", sparsity=0.6)
    assert state_hash(prunekit.load_model(tmp_path / "out")) == state_hash(model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_model_from_nowhere_cannot_be_written(tmp_path):
    with pytest.raises(ModelError, match="load it with load_model"):
        prunekit.write_folder(tmp_path / "out", torch.nn.Linear(2, 2), Recipe(None, None, PruneSpec()))
    assert not list(tmp_path.iterdir())


def metadata(path):
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda told: told.update(architecture="digits_mlp"), CheckpointError),
        (lambda told: told.update(architecture="no_such_model"), ModelError),
        (lambda told: told.update(version=99), CheckpointError),
        (lambda told: told["widths"]["conv2"].update(out_channels=-1), CheckpointError),
        (lambda told: told["widths"]["conv2"].update(out_channels=7), CheckpointError),
        (lambda told: told.pop("widths"), CheckpointError),
    ],
)
def test_tampered_metadata_is_refused(tmp_path, change, error):
    written(tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    told = json.loads(metadata(path)["prunekit"])
    change(told)
    save_file(load_file(path), path, metadata={"prunekit": json.dumps(told)})
    with pytest.raises(error):
        prunekit.load_model(tmp_path / "out")


def test_damaged_files_are_refused(tmp_path):
    written(tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError):
        prunekit.load_model(tmp_path / "out")
    path.write_bytes(whole)
    (tmp_path / "out" / "recipe.yaml").write_text("version: 1\nprune: {}\nrun: rm")
    with pytest.raises(SpecError, match="unknown keys: run"):
        prunekit.load_model(tmp_path / "out")


FACTORY = """
import torch, pathlib
pathlib.Path(__file__).with_name("ran").touch()
def make():
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
make.input_shape = (6,)
"""


def test_a_users_factory_is_rebuilt_from_its_own_file(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    model, _ = written(tmp_path / "out", "nets.py:make")
    monkeypatch.chdir(tmp_path.parent)
    assert state_hash(prunekit.load_model(tmp_path / "out")) == state_hash(model)
    (tmp_path / "nets.py").unlink()
    with pytest.raises(ModelError, match="bring the file back"):
        prunekit.load_model(tmp_path / "out")


def test_code_inside_the_folder_is_never_run(tmp_path):
    (tmp_path / "nets.py").write_text(FACTORY)
    written(tmp_path / "out", f"{tmp_path}/nets.py:make")
    (tmp_path / "ran").unlink()
    path = tmp_path / "out" / "model.safetensors"
    (tmp_path / "nets.py").rename(tmp_path / "out" / "nets.py")
    told = json.loads(metadata(path)["prunekit"]) | {"architecture": f"{tmp_path}/out/nets.py:make"}
    save_file(load_file(path), path, metadata={"prunekit": json.dumps(told)})
    with pytest.raises(ModelError, match="code inside itself"):
        prunekit.load_model(tmp_path / "out")
    assert not (tmp_path / "out" / "ran").exists()


@pytest.mark.parametrize("factory", ["vit", "swin", "swin_v2", "maxvit", "convnext", "Grouped", "Encoder"])
def test_attention_and_norms_over_channels_open_again(tmp_path, factory):
    model = prunekit.load_model(f"{transformers.__file__}:{factory}")
    setting = PruneSpec(mode="structured", sparsity=0.5, layers=prunable_layers(model))
    result = prunekit.prune(model, setting, input_shape=transformers.SHAPE)
    prunekit.write_folder(tmp_path / "out", result.model, Recipe(prunekit.info(model).id.to_dict(), None, setting))
    again = prunekit.load_model(tmp_path / "out")
    assert state_hash(again) == state_hash(result.model) and widths(again) == widths(result.model)
    assert [type(m) for m in again.modules()] == [type(m) for m in result.model.modules()]
    x = torch.randn(2, *transformers.SHAPE)
    torch.testing.assert_close(again(x), result.model(x), rtol=1e-5, atol=1e-6)
    told = json.loads(safe_open(str(tmp_path / "out" / "model.safetensors"), "pt").metadata()["prunekit"])["widths"]
    for name, values in told.items():
        for attribute in values:
            bad = {**told, name: {**values, attribute: -1}}
            with pytest.raises(CheckpointError):
                apply_widths(copy.deepcopy(again), bad)
        break


@pytest.mark.parametrize("mode", ["structured", "unstructured"])
def test_tied_weights_stand_in_the_file_once(tmp_path, mode):
    (tmp_path / "tied.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Tied(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.embed, self.inner, self.head = nn.Embedding(40, 12), nn.Linear(12, 12), nn.Linear(12, 40, bias=False)\n"
        "        self.head.weight = self.embed.weight\n\n"
        "    def forward(self, ids):\n        return self.head(self.inner(self.embed(ids)).relu())\n\n\n"
        "def make():\n    return Tied()\n\n\nmake.example = torch.arange(10)[None]\n"
    )
    model = prunekit.load_model(f"{tmp_path / 'tied.py'}:make")
    result = prunekit.prune(model, PruneSpec(mode=mode, sparsity=0.5, layers=("head",) if mode == "unstructured" else None))
    prunekit.write_folder(tmp_path / "out", result.model, Recipe(prunekit.info(model).id.to_dict(), None, result.spec))
    path = tmp_path / "out" / "model.safetensors"
    assert sorted(load_file(path)) == ["embed.weight", "inner.bias", "inner.weight"]
    assert file_bytes(result.model) < path.stat().st_size, "what the file says about itself is not counted"
    if mode == "unstructured":  # the mask is the head's, the tensor stands under the embedding's name
        assert sparse_bytes(model, result.masks) == sparse_bytes(result.model) and sparse_bytes(result.model)[0] < file_bytes(model)
    again = prunekit.load_model(tmp_path / "out")
    assert again.head.weight is again.embed.weight
    ids = torch.arange(40)[None]
    assert torch.equal(again(ids), result.model(ids)) and state_hash(again) == state_hash(result.model)
