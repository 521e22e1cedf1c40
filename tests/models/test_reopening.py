"""What is opened is what was saved: buffers of every kind keep their values, and a model that answers otherwise is refused and says why."""

import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import prunekit
from prunekit.cli import main
from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.errors import CheckpointError, ModelError
from prunekit.models.folder import BESIDE, WEIGHTS
from prunekit.models.probe import difference, take
from prunekit.models.rebuilding import apply_widths
from prunekit.models.state import buffers_beside, digests, state_hash
from prunekit.models.widths import widths

NETS = """
import torch
from torch import nn
from helper import BEND

SCALE = 1.0

class Net(nn.Module):
    input_shape = (6, 10)

    def __init__(self, buffers=()):
        super().__init__()
        self.inp, self.up, self.down, self.o = nn.Linear(10, 16), nn.Linear(16, 24), nn.Linear(24, 16), nn.Linear(16, 4)
        values = {
            "channel": torch.linspace(0.5, 1.5, 16),
            "pos": torch.sin(torch.arange(96.0)).view(1, 6, 16),
            "order": torch.tensor([5, 3, 1, 0, 2, 4]),
            "mask": torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0, 0.5]).view(6, 1) > 0.2,
            "mean": torch.tensor(0.25),
        }
        for name, persistent in buffers:
            self.register_buffer(name, values[name], persistent=persistent)

    def forward(self, x):
        for name, b in self.named_buffers():
            x = x[:, b] if name == "order" else x * b if name == "mask" else x - b if name == "mean" else x
        x = self.inp(x)
        for name, b in self.named_buffers():
            x = x * b if name == "channel" else x + b if name == "pos" else x
        x = x + self.down(BEND(self.up(x)))
        return self.o(x.mean(1)) * SCALE

def make():
    return Net(BUFFERS)
"""
KINDS = ("channel", "pos", "order", "mask", "mean")
SPEC = PruneSpec(mode="structured", sparsity=0.5, layers=("inp", "up", "down"))


def made(folder, buffers=(("channel", False), ("pos", False)), spec=SPEC):
    """Write files of a model, prune it, and return the smaller one and its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nets.py").write_text(NETS + f"\nBUFFERS = {tuple(buffers)!r}\n")
    name = f"{folder}/nets.py:make"
    helper(folder, "relu")
    model = prunekit.load_model(name)
    result = prunekit.prune(model, spec, input_shape=(6, 10))
    recipe = Recipe({"name": name}, None, spec, input_shape=(6, 10))
    document = {"layers": [layer.to_dict() for layer in result.layers]}
    return result.model, prunekit.write_folder(folder / "out", result.model, recipe, document)


def helper(folder, bend):
    """A module that the model's file imports; read anew."""
    import sys

    sys.modules.pop("helper", None)
    (folder / "helper.py").write_text(f"import torch\nBEND = torch.{bend}\n")
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)


def told_of(folder):
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        return json.loads(file.metadata()["prunekit"])


def tell(folder, **changes):
    """Write other metadata."""
    told = {**told_of(folder), **changes}
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, metadata={"prunekit": json.dumps(told)})


def as_before(folder):
    """Make a folder one of version 0.4.0: nothing beside the state dict, no answers."""
    tell(folder, version=1)
    (folder / BESIDE).unlink(missing_ok=True)


@given(st.dictionaries(st.sampled_from(KINDS), st.booleans()))
def test_buffers_of_every_kind_open_with_their_values(tmp_path_factory, buffers):
    small, folder = made(tmp_path_factory.mktemp("kinds"), buffers.items())
    again = prunekit.load_model(folder)
    assert digests(again) == digests(small) and widths(again) == widths(small)
    x = torch.randn(3, 6, 10)
    torch.testing.assert_close(again(x), small(x), rtol=0, atol=0)
    assert (folder / BESIDE).is_file() == (False in buffers.values())
    assert "as the model that was saved" in prunekit.info(again).checked


@given(st.sampled_from([("channel", False), ("pos", False), ("pos", True)]), st.integers(0, 3))
def test_what_an_earlier_version_wrote_is_cut_from_the_dense_model(tmp_path_factory, buffer, seed):
    spec = PruneSpec(mode="structured", sparsity=0.5, layers=SPEC.layers, criterion="random", seed=seed)
    small, folder = made(tmp_path_factory.mktemp("earlier"), [buffer], spec)
    as_before(folder)
    again = prunekit.load_model(folder)
    assert digests(again) == digests(small)
    assert "earlier version" in prunekit.info(again).checked


def test_what_an_earlier_version_wrote_is_refused_where_no_values_can_be_told(tmp_path):
    _, folder = made(tmp_path)
    as_before(folder)
    (folder / "result.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"did not keep channel, pos .*prunekit apply"):
        prunekit.load_model(folder)


def test_an_earlier_folder_of_a_model_that_was_pruned_twice_is_not_cut_by_the_wrong_indices(tmp_path):
    _, folder = made(tmp_path)
    smaller = prunekit.load_model(folder)
    result = prunekit.prune(smaller, SPEC, input_shape=(6, 10))
    document = {"layers": [layer.to_dict() for layer in result.layers]}
    twice = prunekit.write_folder(
        tmp_path / "twice", result.model, Recipe({"name": str(folder)}, None, SPEC, input_shape=(6, 10)), document
    )
    assert digests(prunekit.load_model(twice)) == digests(result.model)
    as_before(twice)
    with pytest.raises(CheckpointError, match="cannot be told"):
        prunekit.load_model(twice)


@pytest.mark.parametrize("name", ["up.weight", "o.bias", "channel", "pos"])
def test_a_tensor_that_was_changed_is_named(tmp_path, name):
    _, folder = made(tmp_path)
    path = folder / (WEIGHTS if "." in name else BESIDE)
    tensors = load_file(path)
    tensors[name].view(-1)[1] += 1e-3
    with safe_open(path, framework="pt") as file:
        save_file(tensors, path, metadata=file.metadata())
    with pytest.raises(CheckpointError, match=rf"not the one that was saved: other values .* in {name}: a file was changed"):
        prunekit.load_model(folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda f: (f / "nets.py").write_text((f / "nets.py").read_text().replace("SCALE = 1.0", "SCALE = 1.1")),
            "the file with its code has changed",
        ),
        (
            lambda f: (f / "nets.py").write_text((f / "nets.py").read_text().replace("BEND(", "torch.tanh(")),
            "the file with its code has changed",
        ),
        (lambda f: helper(f, "tanh"), "something that it imports"),
    ],
)
def test_code_that_was_changed_is_refused_and_said(tmp_path, change, why):
    _, folder = made(tmp_path)
    change(tmp_path)
    import os

    os.utime(tmp_path / "nets.py", (1, 1))  # read anew
    with pytest.raises(CheckpointError, match=f"answers differ by .*{why}"):
        prunekit.load_model(folder)


def test_carrying_a_recipe_out_again_refuses_other_code_and_other_weights(tmp_path):
    from prunekit.comparison.apply_recipe import apply_recipe

    _, folder = made(tmp_path)
    assert apply_recipe(folder).same_masks
    helper(tmp_path, "tanh")
    (tmp_path / "nets.py").touch()
    with pytest.raises(ModelError, match="are the recorded ones, and the model is another: its answers differ"):
        apply_recipe(folder)
    helper(tmp_path, "relu")
    (tmp_path / "nets.py").write_text((tmp_path / "nets.py").read_text())
    tensors = load_file(folder / WEIGHTS)
    save_file({**tensors, "o.bias": tensors["o.bias"] + 1}, folder / WEIGHTS, metadata={"prunekit": json.dumps(told_of(folder))})
    with pytest.raises(CheckpointError, match=r"other values .* in o\.bias"):
        apply_recipe(folder)


def test_code_that_gives_the_same_answers_opens(tmp_path):
    small, folder = made(tmp_path)
    (tmp_path / "nets.py").write_text((tmp_path / "nets.py").read_text() + "\n# a remark\n")
    assert state_hash(prunekit.load_model(folder)) == state_hash(small)


@pytest.mark.parametrize("gone", ["file", "entry"])
def test_missing_buffers_are_refused(tmp_path, gone):
    _, folder = made(tmp_path)
    if gone == "file":
        (folder / BESIDE).unlink()
    else:
        tensors = load_file(folder / BESIDE)
        del tensors["pos"]
        save_file(tensors, folder / BESIDE)
    with pytest.raises(CheckpointError, match="pos"):
        prunekit.load_model(folder)


@pytest.mark.parametrize("probe", [{}, {"seed": 1}, 3, {"shape": [2**40]}])
def test_a_damaged_probe_is_refused(tmp_path, probe):
    _, folder = made(tmp_path)
    tell(folder, probe={**told_of(folder)["probe"], **probe} if isinstance(probe, dict) and probe else probe)
    with pytest.raises(CheckpointError):
        prunekit.load_model(folder)


def test_no_tensor_of_another_shape_is_without_values(tmp_path):
    small, _ = made(tmp_path)
    fresh = prunekit.load_model(f"{tmp_path}/nets.py:make")
    with pytest.raises(CheckpointError, match="the values of"):
        apply_widths(fresh, widths(small))
    values = {**small.state_dict(), **buffers_beside(small)}
    fresh = prunekit.load_model(f"{tmp_path}/nets.py:make")
    apply_widths(fresh, widths(small), values)
    assert digests(fresh).keys() == values.keys()
    dense = prunekit.load_model(f"{tmp_path}/nets.py:make")
    for name, tensor in {**fresh.state_dict(), **buffers_beside(fresh)}.items():
        before = {**dense.state_dict(), **buffers_beside(dense)}[name]
        assert torch.equal(tensor, before if before.shape == tensor.shape else values[name])


OTHERS = '''
import torch
from torch import nn

class Half(nn.Module):
    input_shape = (8,)
    def __init__(self): super().__init__(); self.a, self.b = nn.Linear(8, 12), nn.Linear(12, 3)
    def forward(self, x): return self.b(self.a(x).relu())

class Tied(nn.Module):
    input_shape = (5,)
    def __init__(self):
        super().__init__(); self.e, self.b = nn.Embedding(20, 12), nn.Linear(12, 20, bias=False); self.b.weight = self.e.weight
    def forward(self, x): return self.b(self.e(x).mean(1))

class Extra(Half):
    def __init__(self): super().__init__(); self.n = KEPT
    def get_extra_state(self): return self.n
    def set_extra_state(self, n): self.n = n
    def forward(self, x): return super().forward(x) * (self.n["n"] if isinstance(self.n, dict) else 1)

class Masked(nn.Linear):
    """A layer of a known kind with a buffer of its own."""
    def __init__(self, i, o):
        super().__init__(i, o)
        self.register_buffer("keep", torch.rand(o).round())
        self.register_buffer("by", torch.rand(o), persistent=False)
    def forward(self, x): return super().forward(x) * self.keep * self.by

class Own(Half):
    def __init__(self): super().__init__(); self.a = Masked(8, 12)

class Random(Half):
    def forward(self, x): return super().forward(torch.nn.functional.dropout(x, 0.5, True))

class Counting(Half):
    """Leaves a mark on itself at each pass."""
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("last", torch.zeros(1), persistent=False)
    def forward(self, x): self.seen += 1; self.last = x.sum().view(1); return super().forward(x)

class Several(Half):
    """Gives outputs of many sizes, names and types."""
    def forward(self, x):
        y = super().forward(x)
        return {"logits": y, "all": [x.repeat(1, 400), (y > 0, y.argmax(1))], "complex": torch.fft.fft(x), "none": None, "empty": y[:0]}

class Roots(Half):
    """Takes no negative number."""
    def forward(self, x): return super().forward(x.log().sqrt().nan_to_num(nan=torch.nan))

class Dated(Half):
    """Only takes what was measured."""
    def forward(self, x):
        if not bool((x > 100).all()): raise ValueError("not a year")
        return super().forward(x - 2000)
'''


@pytest.fixture
def others(tmp_path):
    (tmp_path / "others.py").write_text(OTHERS + "\nKEPT = {'n': 2}\n")
    return lambda name: f"{tmp_path}/others.py:{name}"


def reopened(name, path, change=lambda model: model, **more):
    model = change(prunekit.load_model(name))
    folder = prunekit.write_folder(path / "out", model, Recipe({"name": name}, None, PruneSpec()), **more)
    return model, prunekit.load_model(folder)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_the_weights_is_kept(others, tmp_path, kind):
    model, again = reopened(others("Half"), tmp_path, lambda m: m.to(kind))
    assert again.a.weight.dtype == kind and digests(again) == digests(model)


def test_tied_weights_stay_tied(others, tmp_path):
    model, again = reopened(others("Tied"), tmp_path)
    assert again.b.weight is again.e.weight and sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in model.parameters())
    assert "indices by seed" in prunekit.info(again).checked


def test_tied_weights_of_another_shape_stay_tied(others):
    small, again = (prunekit.load_model(others("Tied")) for _ in range(2))
    small.e.weight = small.b.weight = torch.nn.Parameter(torch.randn(20, 6))
    small.e.embedding_dim = small.b.in_features = 6
    apply_widths(again, widths(small), small.state_dict())
    assert again.b.weight is again.e.weight and torch.equal(again.e.weight, small.e.weight)


@pytest.mark.parametrize("state", ["{'n': 3, 'of': [1, 2.5, None, 'x']}", "4", "'text'"])
def test_what_get_extra_state_gives_is_kept(others, tmp_path, state):
    (tmp_path / "others.py").write_text(OTHERS + "\nKEPT = {'n': 2}\n")
    changed = eval(state)

    def change(model):
        model.n = changed
        return model

    model, again = reopened(others("Extra"), tmp_path, change)
    assert again.n == changed and state_hash(again) == state_hash(model)
    assert prunekit.sizes(model).dense > 0


@pytest.mark.parametrize("state", [(1, 2), {1: 2}, object(), {"a": b"x"}, float("nan")])
def test_what_cannot_be_written_down_is_refused(others, tmp_path, state):
    model = prunekit.load_model(others("Extra"))
    model.n = state
    with pytest.raises(ModelError, match="by get_extra_state"):
        prunekit.write_folder(tmp_path / "out", model, Recipe({"name": others("Extra")}, None, PruneSpec()))
    assert not (tmp_path / "out").exists() and prunekit.sizes(model).dense > 0


def test_a_layer_of_a_known_kind_with_buffers_of_its_own_is_opened(others, tmp_path):
    model = prunekit.load_model(others("Own"))
    result = prunekit.prune(model, PruneSpec(mode="structured", sparsity=0.5))
    assert result.model.a.keep.shape == result.model.a.by.shape == (6,)
    folder = prunekit.write_folder(tmp_path / "out", result.model, Recipe({"name": others("Own")}, None, PruneSpec()))
    assert digests(prunekit.load_model(folder)) == digests(result.model)


def test_a_model_that_answers_differently_each_time_has_no_answers_and_says_so(others, tmp_path):
    _, again = reopened(others("Random"), tmp_path)
    assert "answers differently each time" in prunekit.info(again).checked


def test_a_probe_leaves_a_model_as_it_was(others):
    model = prunekit.load_model(others("Counting")).train()
    before, random = digests(model), torch.get_rng_state()
    probe = take(model, (8,))
    assert digests(model) == before and model.training and torch.equal(torch.get_rng_state(), random)
    assert probe.kind == "normal" and difference(model, probe) == ""
    model(torch.ones(2, 8))  # from here on it counts
    assert "in seen, last" in difference(model.eval(), probe)


def test_every_output_counts(others):
    model = prunekit.load_model(others("Several"))
    probe = take(model, (8,))
    assert len(probe.answers) == 6 and difference(model, probe) == ""
    few = take(model, (8,), most=12, hashed=False)
    assert max(len(a.values) for a in few.answers) == 2 and difference(model, few) == "" and not few.tensors
    with torch.no_grad():
        model.b.bias += 0.01
    assert "b.bias" in difference(model, probe) and "answers differ" in difference(model, few)


def test_inputs_are_valid_for_the_model(others, tmp_path):
    model = prunekit.load_model(others("Roots"))
    assert take(model, (8,)).why and not take(model, (8,)).kind  # sqrt of the log of numbers below 1
    dated, again = reopened(others("Dated"), tmp_path, samples=torch.full((3, 8), 2024.0) + torch.arange(8.0))
    assert "samples of its data" in prunekit.info(again).checked and digests(again) == digests(dated)
    (tmp_path / "others.py").write_text(OTHERS.replace("x - 2000", "x - 2001"))
    with pytest.raises(CheckpointError, match="answers differ"):
        prunekit.load_model(tmp_path / "out")


def test_options_hold_again(tmp_path, capsys):
    out = str(tmp_path / "out")
    flags = ["--size", "64", "--mode", "structured", "--sparsity", "0.4"]
    assert main(["prune", "torchvision/squeezenet1_1", *flags, "--out", out, "--json"]) == 0
    pruned = json.loads(capsys.readouterr().out)
    assert main(["inspect", out, "--json"]) == 0
    opened = json.loads(capsys.readouterr().out)
    assert opened["macs"] == pruned["after"]["macs"] and opened["input_shape"] == [3, 64, 64]
    assert main(["apply", f"{out}/recipe.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["after"]["macs"] == opened["macs"]


def test_weights_for_other_classes_open_with_as_many_outputs_and_without_names(tmp_path):
    import torchvision

    state = torchvision.models.squeezenet1_1(num_classes=7).state_dict()
    save_file(state, tmp_path / "seven.safetensors")
    flags = ["--weights", str(tmp_path / "seven.safetensors"), "--size", "32", "--sparsity", "0.5", "--out", str(tmp_path / "out")]
    assert main(["prune", "torchvision/squeezenet1_1", *flags]) == 0
    again = prunekit.load_model(tmp_path / "out")
    assert again(torch.zeros(1, 3, 32, 32)).shape == (1, 7) and prunekit.info(again).classes == ()


def test_what_torchvision_s_weights_decide_is_kept(tmp_path):
    """Downloaded weights switch the input's transform on and the auxiliary outputs off."""
    model = prunekit.load_model("torchvision/googlenet")
    model.transform_input, model.aux_logits, model.aux1, model.aux2 = True, False, None, None
    recipe = Recipe({"name": "torchvision/googlenet"}, None, PruneSpec(), input_shape=(3, 32, 32))
    again = prunekit.load_model(prunekit.write_folder(tmp_path / "out", model, recipe))
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)
    assert again.transform_input and again.aux1 is None


def test_data_are_prepared_as_they_were(tmp_path, capsys):
    out = str(tmp_path / "out")
    options = ["--data", "digits", "--limit", "50", "--mean", "0.4", "--std", "0.2"]
    assert main(["prune", "digits_cnn", "--sparsity", "0.3", *options, "--out", out, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["prune", out, "--sparsity", "0", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["before"]["accuracy"] == first["after"]["accuracy"] and again["data"] == first["data"]
    assert main(["prune", out, "--sparsity", "0", "--limit", "60", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == {**first["data"], "limit": 60}
    data = prunekit.load_data("digits", model=prunekit.load_model(out))
    assert (data.test.normal.mean, data.test.normal.std) == ((0.4,), (0.2,))
