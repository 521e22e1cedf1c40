"""Data by name: fixed splits, exact pixels, clear errors."""

import pickle
import urllib.error

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.datasets import CIFAR10, MNIST
from torchvision.transforms import v2

from prunekit.config import registered
from prunekit.config.ids import DATA, DATASETS, DataId, data_folder
from prunekit.config.registered import register_data, registered_data
from prunekit.data import downloads, load
from prunekit.data.dataset import Normal, TensorSplit
from prunekit.data.downloads import Raw, reencode
from prunekit.data.load import BUILT_IN, load_data
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo, remember
from prunekit.models.load import load_model
from sample_models import SAMPLES
from tests.tables import case


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def raw_of(split):
    """Return pixels in 0..1 as the split's own normalisation says they were."""
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (split.normal.mean, split.normal.std))
    return torch.cat([x for x, _ in split.batches()]) * std + mean


def test_digits_are_scikit_learns_each_once(digits):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    splits = (digits.train, digits.validation, digits.test)
    assert [len(s) for s in splits] == [1293, 144, 360]
    rows = [torch.column_stack([(raw_of(s) * 16).round().to(int).flatten(1), torch.from_numpy(s.labels)]) for s in splits]
    ours = sorted(map(tuple, torch.cat(rows).tolist()))
    theirs = sorted((*map(int, image.flatten()), int(label)) for image, label in zip(bunch.images, bunch.target, strict=True))
    assert ours == theirs
    assert digits.classes == tuple("0123456789") and digits.note == "" and "8 x 8" in digits.pixels


def test_every_split_has_each_class_in_proportion(digits):
    for split in (digits.train, digits.validation, digits.test):
        assert np.all(np.abs(np.bincount(split.labels) / len(split) - 0.1) < 0.01)


def test_the_splits_are_the_same_each_time_and_differ_from_each_other(digits):
    again = load_data("digits")
    prints = [getattr(digits, part).fingerprint() for part in ("train", "validation", "test")]
    assert prints == [getattr(again, part).fingerprint() for part in ("train", "validation", "test")]
    assert len(set(prints)) == 3


def test_normalisation_has_mean_0_and_deviation_1_on_the_training_images(digits):
    x = torch.cat([x for x, _ in digits.train.batches()])
    assert abs(float(x.mean())) < 0.01 and abs(float(x.std()) - 1) < 0.01


@given(st.integers(1, 400))
def test_batches_are_the_items_in_order(batch_size):
    split = load_data("digits", limit=50).test
    pairs = list(split.batches(batch_size))
    assert [len(y) for _, y in pairs[:-1]] == [batch_size] * (len(pairs) - 1)
    x, y = torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])
    assert x.dtype == torch.float32 and y.dtype == torch.int64
    for i in range(len(split)):
        item, label = split[i]
        assert torch.equal(item, x[i]) and label == int(y[i]) == split.labels[i] and isinstance(label, int)


def test_a_split_is_a_sequence(digits):
    assert torch.equal(digits.test[-1][0], digits.test[len(digits.test) - 1][0])
    with pytest.raises(IndexError):
        digits.test[len(digits.test)]
    assert len(list(torch.utils.data.DataLoader(digits.test, batch_size=100))) == 4


def test_a_picture_is_the_image_for_the_screen(digits):
    picture = digits.test.picture(5)
    assert picture.dtype == np.uint8 and picture.shape == (8, 8, 1)
    assert np.array_equal(picture[..., 0], np.round(raw_of(digits.test)[5, 0].numpy() * 255).astype(np.uint8))


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_limit_is_a_fixed_stratified_choice_of_each_split(a, b):
    small, large = (load_data("digits", limit=n) for n in sorted((a, b)))
    for part, most in (("train", 1293), ("validation", 144), ("test", 360)):
        one, other = getattr(small, part), getattr(large, part)
        assert len(one) == min(a, b, most)
        counts = np.bincount(one.labels, minlength=10)
        assert counts.max() - counts.min() <= 1 + len(one) / 100
        items = {image.tobytes() for image in other.pixels.numpy()}
        inside = sum(image.tobytes() in items for image in one.pixels.numpy())
        assert inside >= len(one) - 10  # nested within each class; the shares round by at most one
    assert small.id.limit == min(a, b)


def test_what_is_given_wins_over_the_model_and_the_model_over_the_data():
    model = remember(nn.Identity(), ModelInfo(input_shape=(1, 12, 12), mean=(0.25,), std=(0.125,), size=12))
    data = load_data("digits", model=model)
    assert data.test.normal == Normal((0.25,), (0.125,), 12) and data.test[0][0].shape == (1, 12, 12)
    data = load_data(DataId("digits", size=10, mean=(0.5,)), std=(2.0,), model=model)
    assert data.test.normal == Normal((0.5,), (2.0,), 10)
    assert data.id == DataId("digits", size=10, mean=(0.5,), std=(2.0,))


def test_a_model_for_colour_leaves_grey_images_to_their_own_normalisation(digits):
    data = load_data("digits", model=load_model("torchvision/squeezenet1_1"), limit=20)
    assert data.test.normal.mean == digits.test.normal.mean and data.test[0][0].shape == (1, 224, 224)


def test_resizing_keeps_the_shape_of_things():
    pixels = torch.zeros(1, 1, 20, 40, dtype=torch.uint8)
    pixels[..., 15:25] = 255  # an upright bar in the middle
    split = TensorSplit(pixels, [0], Normal((0.0,), (1.0,), 10))
    x = split[0][0][0]
    assert x.shape == (10, 10) and float(x[:, 0].max()) == 0 and float(x[:, 4:6].min()) > 0.9


def test_a_mistake_is_named():
    for name, options, said in [
        ("digit", {}, "did you mean digits"),
        ("imagenet", {}, "must be digits, mnist, .*reviews, .*shakespeare, .*table:PATH, .*csv:PATH, .* or path/to/file.py:factory"),
        ("digits", {"mean": (0.5, 0.5, 0.5)}, "mean"),
        ("digits", {"std": (1.0, 1.0)}, "std"),
        ("digits", {"limit": 0}, "limit"),
        ("", {}, "data must be a name"),
    ]:
        with case(name, options, said), pytest.raises(DataError, match=said):
            load_data(name, **options)


def test_wrong_batch_sizes_and_limits_are_refused(digits):
    with pytest.raises(DataError, match="batch_size"):
        next(digits.test.batches(0))
    with pytest.raises(DataError, match="limit"):
        digits.test.subset(0)
    with pytest.raises(DataError, match="a label each"):
        TensorSplit(torch.zeros(3, 1, 2, 2), [0, 1], Normal((0.0,), (1.0,)))


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("cifar10", "cifar-10-batches-py")])
def test_offline_says_what_is_missing_where_and_what_to_do(name, folder, tmp_path, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(DataError, match=rf"not in {tmp_path / folder} and cannot be downloaded.*PRUNEKIT_DATA") as caught:
        load_data(name)
    assert "\n" not in str(caught.value)


def test_a_damaged_download_is_no_traceback(tmp_path, monkeypatch):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for resource in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{resource}-ubyte").write_bytes(b"\x00\x00\x08\x01\x00\x00")

    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(DataError, match="MNIST"):
        load_data("mnist")


def test_downloads_go_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("PRUNEKIT_DATA")
    assert data_folder().name == "prunekit" and data_folder().is_absolute()


def test_mnist_is_torchvisions(mnist_here):
    data = load_data("mnist")
    assert [len(s) for s in (data.train, data.validation, data.test)] == [54000, 6000, 10000]
    own = MNIST(data_folder(), train=False)
    assert np.array_equal(data.test.labels, own.targets.numpy()) and torch.equal(data.test.pixels[:, 0], own.data)
    x = torch.cat([x for x, _ in data.train.batches(10000)])
    assert abs(float(x.mean())) < 0.01 and abs(float(x.std()) - 1) < 0.01


def jpeg_model():
    return remember(nn.Identity(), ModelInfo(input_shape=(3, 32, 32), size=32, data="cifar10", card={"jpeg_quality": 75}))


def write_cifar10(root, monkeypatch):
    """Write 20 random images for each of torchvision's six files, in the published form."""
    rng = np.random.default_rng(0)
    folder = root / "cifar-10-batches-py"
    folder.mkdir(exist_ok=True)
    names = [name for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list)]
    for name in names:
        content = {"data": rng.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": list(range(10)) * 2}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(SAMPLES["cifar10_resnet20"].classes)}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)


@pytest.fixture
def small_cifar(monkeypatch):
    """Stand in for the download: smooth colour pictures, ten of each class."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(200, 3, 4, 4, generator=generator) * 255
    pixels = nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear").to(torch.uint8)
    labels = np.tile(np.arange(10), 10)
    asked = []

    def cifar10(quality):
        asked.append(quality)
        images = pixels if quality is None else reencode(pixels, quality)
        return Raw(images[:100], labels, images[100:], labels)

    monkeypatch.setattr(load, "cifar10", cifar10)
    return asked, pixels


def test_cifar10_is_reencoded_where_the_models_card_says_so(small_cifar):
    asked, pixels = small_cifar
    plain = load_data("cifar10")
    jpeg = load_data("cifar10", model=jpeg_model())
    assert asked == [None, 75]
    assert "JPEG of quality 75" in jpeg.pixels and "as published" in plain.pixels
    assert torch.equal(plain.test.pixels, pixels[100:])
    difference = (jpeg.test.pixels.float() - plain.test.pixels.float()).abs()
    assert 0 < float(difference.mean()) < 8, "the same pictures, a little worse"
    assert [len(s) for s in (jpeg.train, jpeg.validation, jpeg.test)] == [90, 10, 100]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_reencoding_is_what_torchvision_does_at_that_quality(small_cifar):
    pixels = small_cifar[1][:20]
    theirs = torch.stack([v2.JPEG(75)(image) for image in pixels])
    assert float((reencode(pixels, 75).float() - theirs.float()).abs().mean()) < 0.1


def test_reencoded_images_are_kept_beside_the_download(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    write_cifar10(tmp_path, monkeypatch)
    first = load_data("cifar10", model=jpeg_model())
    monkeypatch.setattr(downloads, "reencode", lambda *_: pytest.fail("encoded twice"))
    again = load_data("cifar10", model=jpeg_model())
    assert first.train.fingerprint() == again.train.fingerprint() and first.test.fingerprint() == again.test.fingerprint()
    assert load_data("cifar10").test.fingerprint() != first.test.fingerprint()
    kept = tmp_path / "prunekit" / "cifar10-test-jpeg75.safetensors"
    kept.write_bytes(kept.read_bytes()[:100])
    monkeypatch.undo()
    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    write_cifar10(tmp_path, monkeypatch)
    assert load_data("cifar10", model=jpeg_model()).test.fingerprint() == first.test.fingerprint()


def test_a_validation_split_that_was_trained_on_is_said(small_cifar):
    card = {"jpeg_quality": 75, "trained_on": "imagefolder"}
    model = remember(nn.Identity(), ModelInfo(input_shape=(3, 32, 32), size=32, data="cifar10", card=card))
    assert "were among its training images" in load_data("cifar10", model=model).note
    assert load_data("cifar10").note == ""


def test_registered_data_are_listed_once(monkeypatch):
    monkeypatch.setattr(registered, "_DATA", [])
    mine = DataId("imagefolder:here", size=64)
    register_data(mine)
    register_data(DataId("imagefolder:here", size=64))
    assert registered_data() == (mine,)
    with pytest.raises(DataError, match="register a DataId"):
        register_data("digits")


def test_what_data_there_are_is_said_once():
    assert set(DATASETS) == set(BUILT_IN) and all(name in DATA for name in DATASETS)
