"""The samples: each is what its card says, and what the project promises of it."""

import hashlib
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch import fx
from torch.utils.flop_counter import FlopCounterMode

from prunekit.data.load import load_data
from prunekit.evaluation.accuracy import evaluate
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.training import samples
from sample_models import SAMPLES, card, card_path, weights_path
from sample_models.augment import cut_out
from sample_models.fit import augment, fit
from sample_models.recipes import Teaching, TrainRecipe
from sample_models.teaching import soft_targets, taught_loss, view_moves

PROMISED = {
    "digits_mlp": 0.97,
    "digits_cnn": 0.97,
    "mnist_lenet300": 0.98,
    "mnist_lenet5": 0.99,
    "cifar10_resnet20": 0.87,
    "cifar10_mobilenetv2": 0.86,
}
TRAINED = [name for name in SAMPLES if weights_path(name).is_file()]
ON_DIGITS = [name for name in TRAINED if SAMPLES[name].data == "digits"]
ON_MNIST = [name for name in TRAINED if SAMPLES[name].data == "mnist"]
ON_CIFAR10 = [name for name in TRAINED if SAMPLES[name].data == "cifar10"]


def measured_equals_card(name, data):
    model, told = load_model(name), card(name)
    for split, field in ((data.test, "test_accuracy"), (data.validation, "validation_accuracy")):
        accuracy = evaluate(model, split)
        assert accuracy.n == told[field]["n"]
        for key, value in (("value", accuracy.value), ("low", accuracy.low), ("high", accuracy.high)):
            assert value == pytest.approx(told[field][key], abs=1.5 / accuracy.n)  # one image may fall the other way on another processor


def test_the_samples_for_the_first_screen_are_there():
    assert {"digits_mlp", "digits_cnn"} <= set(TRAINED)


@pytest.mark.parametrize("name", ON_DIGITS)
def test_accuracy_on_digits_is_the_cards(name):
    measured_equals_card(name, load_data("digits", model=load_model(name)))


@pytest.mark.parametrize("name", ON_MNIST)
def test_accuracy_on_mnist_is_the_cards(name, mnist_here):
    measured_equals_card(name, load_data("mnist", model=load_model(name)))


@pytest.fixture(scope="session")
def cifar10_jpeg(tmp_path_factory):
    """Unpack the JPEG copy of CIFAR-10."""
    source = Path(os.environ.get("PRUNEKIT_DATA", ""))
    archives = [source / f"cifar10-jpg-{part}.tar.gz" for part in ("train", "test")]
    if not all(archive.is_file() for archive in archives):
        pytest.skip("the JPEG copy of CIFAR-10 is not here: set PRUNEKIT_DATA to a folder that holds it")
    folder = tmp_path_factory.mktemp("cifar10")
    for archive in archives:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return folder


@pytest.mark.nightly
@pytest.mark.parametrize("name", ON_CIFAR10)
def test_accuracy_on_cifar10_is_the_cards(name, cifar10_jpeg):
    measured_equals_card(name, load_data(f"imagefolder:{cifar10_jpeg}", model=load_model(name)))


@pytest.mark.parametrize("name", TRAINED)
def test_a_sample_keeps_its_promise(name):
    told = card(name)
    assert told["test_accuracy"]["value"] >= PROMISED[name]
    assert told["test_accuracy"]["low"] < told["test_accuracy"]["value"] < told["test_accuracy"]["high"]
    assert weights_path(name).stat().st_size <= 5_000_000


@pytest.mark.parametrize("name", TRAINED)
def test_a_card_belongs_to_its_weights_and_its_definition(name):
    told, sample, payload = card(name), SAMPLES[name], weights_path(name).read_bytes()
    assert told["weights_sha256"] == hashlib.sha256(payload).hexdigest() and told["weights_bytes"] == len(payload)
    model = load_model(name)
    assert told["params"] == sum(p.numel() for p in model.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *info(model).input_shape))
    assert told["macs"] * 2 == counter.get_total_flops()
    assert tuple(told["input_shape"]) == sample.input_shape and tuple(told["mean"]) == sample.mean and tuple(told["std"]) == sample.std
    recipe = told["recipe"] | {"seed": told["seed"]}
    if "teaching" in recipe:  # the card also says which weights the teachers had then
        teachers = [teacher["name"] for teacher in recipe["teaching"]["teachers"]]
        assert all(len(teacher["weights_sha256"]) == 64 for teacher in recipe["teaching"]["teachers"])
        recipe["teaching"] = recipe["teaching"] | {"teachers": teachers}
    assert recipe == sample.recipe.to_dict()
    assert told["jpeg_quality"] == sample.jpeg_quality and tuple(told["classes"]) == sample.classes


def test_the_shapes_that_were_asked_for():
    assert tuple(SAMPLES["digits_mlp"].build().fc3.weight.shape) == (10, 100)
    assert SAMPLES["digits_cnn"].build().conv2.out_channels == 64
    lenet = SAMPLES["mnist_lenet300"].build()
    assert [tuple(m.weight.shape) for m in (lenet.fc1, lenet.fc2, lenet.fc3)] == [(300, 784), (100, 300), (10, 100)]
    assert sum(p.numel() for p in SAMPLES["cifar10_resnet20"].build().parameters()) == 272474
    assert sum(p.numel() for p in SAMPLES["cifar10_mobilenetv2"].build().parameters()) == 635210
    assert sum(p.numel() for p in SAMPLES["mnist_lenet5"].build().parameters()) == 431080


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_plain_enough_to_trace(name):
    sample = SAMPLES[name]
    model = sample.build().eval()
    x = torch.randn(2, *sample.input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(fx.symbolic_trace(model)(x), model(x))
        assert model(x).shape == (2, len(sample.classes))


def test_an_unknown_card_is_empty():
    assert card("nothing") == {}


@given(st.integers(0, 3), st.booleans(), st.integers(0, 10**6))
def test_augmentation_only_shifts_and_mirrors(shift, flip, seed):
    x = torch.rand(4, 2, 6, 7, generator=torch.Generator().manual_seed(seed)) + 1
    fill = torch.tensor([-1.0, -2.0])
    out = augment(x, TrainRecipe(epochs=1, shift=shift, flip=flip), fill, torch.Generator().manual_seed(seed))
    padded = fill.view(1, 2, 1, 1).expand(4, 2, 6 + 2 * shift, 7 + 2 * shift).clone()
    padded[:, :, shift : shift + 6, shift : shift + 7] = x
    for image, source in zip(out, padded, strict=True):
        windows = [source[:, i : i + 6, j : j + 7] for i in range(2 * shift + 1) for j in range(2 * shift + 1)]
        windows += [w.flip(2) for w in windows] if flip else []
        assert any(torch.equal(image, w) for w in windows)


@pytest.mark.parametrize("interrupted", [2, 3, 4, 5])
def test_training_goes_on_from_a_checkpoint_as_if_never_interrupted(tmp_path, interrupted):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 1, 8, 8, generator=generator), torch.randint(0, 10, (64,), generator=generator)
    recipe, fill, quiet = TrainRecipe(epochs=3, batch_size=16, shift=1, restarts=((2, 0.05),)), torch.zeros(1), lambda _: None
    whole, _ = fit(SAMPLES["digits_mlp"].build, x, y, fill, recipe, say=quiet)

    def stop(line):
        if line.startswith(f"epoch {interrupted}/5"):  # its checkpoint is not written yet: this epoch is done again
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(SAMPLES["digits_mlp"].build, x, y, fill, recipe, checkpoint=tmp_path / "c.pt", say=stop)
    resumed, _ = fit(SAMPLES["digits_mlp"].build, x, y, fill, recipe, checkpoint=tmp_path / "c.pt", say=quiet)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
    with pytest.raises(SystemExit, match="another recipe"):
        fit(SAMPLES["digits_mlp"].build, x, y, fill, TrainRecipe(epochs=5, batch_size=16), checkpoint=tmp_path / "c.pt", say=quiet)


def test_a_second_cycle_warms_up_again(monkeypatch):
    x, y = torch.zeros(32, 1, 8, 8), torch.zeros(32, dtype=torch.int64)
    recipe, rates = TrainRecipe(epochs=2, batch_size=8, max_lr=0.1, restarts=((2, 0.05),)), []
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, *a: (rates.append(self.param_groups[0]["lr"]), step(self, *a))[1])
    fit(SAMPLES["digits_mlp"].build, x, y, torch.zeros(1), recipe, say=lambda _: None)
    first, second = rates[:8], rates[8:]
    assert len(second) == 8 and max(first) == pytest.approx(0.1) and max(second) == pytest.approx(0.05)
    assert first[-1] < 1e-3 and second[0] > first[-1] and second[-1] < 1e-3


TAUGHT = TrainRecipe(epochs=1, batch_size=16, shift=1, flip=True, restarts=((3, 0.05),), teaching=Teaching(("a", "b"), views=2, cutout=3))


def _pictures(n=48):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 1, 8, 8, generator=generator), torch.randint(0, 10, (n,), generator=generator)


def _teacher(name):
    torch.manual_seed(len(name) + ord(name[0]))
    return SAMPLES["digits_mlp"].build().eval()


def test_teachers_speak_of_the_very_views_that_the_student_sees():
    x, _ = _pictures()
    fill = torch.tensor([-1.0])
    soft = soft_targets(_teacher, x, fill, TAUGHT, TAUGHT.teaching, say=lambda _: None)
    assert soft.shape == (2, 48, 10) and torch.allclose(soft.sum(2), torch.ones(2, 48))
    for view in range(2):
        seen = view_moves(48, TAUGHT, view).apply(x, TAUGHT.shift, fill)
        with torch.no_grad():
            said = [(_teacher(name)(seen) / TAUGHT.teaching.temperature).softmax(1) for name in ("a", "b")]
        assert torch.allclose(soft[view], (said[0] + said[1]) / 2, atol=1e-6)
    assert not torch.equal(soft[0], soft[1])


def test_the_loss_of_a_student_follows_its_formula():
    generator = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(5, 4, generator=generator, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    soft = torch.rand(5, 4, generator=generator, dtype=torch.float64).softmax(1)
    teaching = Teaching(("a",), temperature=3.0, share=0.25)
    z, q = logits.numpy(), soft.numpy()
    p = np.exp(z / 3) / np.exp(z / 3).sum(1, keepdims=True)
    distance = (q * (np.log(q) - np.log(p))).sum(1).mean() * 9
    hard = -np.log((np.exp(z) / np.exp(z).sum(1, keepdims=True))[np.arange(5), labels]).mean()
    assert float(taught_loss(logits, labels, soft, teaching)) == pytest.approx(0.75 * hard + 0.25 * distance)


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_a_cut_out_is_one_square_of_the_mean_colour(side, height, width, seed):
    x = torch.rand(3, 2, height, width) + 1
    out = cut_out(x, side, torch.Generator().manual_seed(seed))
    for image, source in zip(out, x, strict=True):
        gone = image == 0
        assert torch.equal(gone[0], gone[1]) and torch.equal(image[~gone], source[~gone])
        rows, columns = gone[0].any(1).nonzero()[:, 0], gone[0].any(0).nonzero()[:, 0]
        assert 1 <= len(rows) <= side and 1 <= len(columns) <= side and int(gone[0].sum()) == len(rows) * len(columns)
        assert int(rows.max() - rows.min()) == len(rows) - 1 and int(columns.max() - columns.min()) == len(columns) - 1


@pytest.mark.parametrize("interrupted", [1, 2, 3, 4])
def test_a_taught_cycle_goes_on_from_a_checkpoint_and_asks_each_teacher_once(tmp_path, interrupted):
    x, y = _pictures()
    fill, asked = torch.zeros(1), []

    def teacher(name):
        asked.append(name)
        return _teacher(name)

    whole, _ = fit(SAMPLES["digits_mlp"].build, x, y, fill, TAUGHT, teacher=_teacher, say=lambda _: None)

    def stop(line):
        if line.startswith(f"epoch {interrupted}/4"):
            raise KeyboardInterrupt

    path = tmp_path / "c.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(SAMPLES["digits_mlp"].build, x, y, fill, TAUGHT, checkpoint=path, teacher=teacher, say=stop)
    resumed, _ = fit(SAMPLES["digits_mlp"].build, x, y, fill, TAUGHT, checkpoint=path, teacher=teacher, say=lambda _: None)
    assert sorted(asked) == ["a", "a", "b", "b"]  # for both views
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))


def test_a_recipe_with_teachers_needs_them():
    x, y = _pictures(16)
    with pytest.raises(SystemExit, match="teachers"):
        fit(SAMPLES["digits_mlp"].build, x, y, torch.zeros(1), TAUGHT, say=lambda _: None)


def test_the_command_trains_and_writes_weights_and_card(tmp_path, capsys):
    samples.main(["digits_mlp", "--epochs", "2", "--out", str(tmp_path)])
    told = yaml.safe_load((tmp_path / "cards" / "digits_mlp.yaml").read_text())
    assert told["recipe"]["epochs"] == 2 and told["splits"] == {"train": 1293, "validation": 144, "test": 360}
    model = load_model("digits_mlp", weights=tmp_path / "weights" / "digits_mlp.safetensors")
    data = load_data("digits", model=model)
    assert evaluate(model, data.test).value == pytest.approx(told["test_accuracy"]["value"], abs=1e-6)
    assert "test_accuracy" in capsys.readouterr().out
    assert card_path("digits_mlp") != tmp_path / "cards" / "digits_mlp.yaml"
