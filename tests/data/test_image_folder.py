"""Image folders: every layout, every mistake."""

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from prunekit.data import image_files
from prunekit.data.load import load_data
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo, remember


def write(folder, names=("ant", "bee"), n=6, size=(20, 16), mode="RGB", ending="png"):
    rng = np.random.default_rng(zlib.crc32(folder.name.encode()))
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(n):
            shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name / f"{i:02d}.{ending}")
    return folder


def load(folder, **options):
    return load_data(f"imagefolder:{folder}", **options)


def model(channels=3, size=None, **more):
    shape = (channels, size or 16, size or 16)
    return remember(nn.Identity(), ModelInfo(input_shape=shape, size=size, **more))


@pytest.mark.parametrize("second", ["test", "val"])
def test_train_beside_test_or_val(tmp_path, second):
    write(tmp_path / "train", n=30)
    write(tmp_path / second, n=5)
    data = load(tmp_path)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [54, 6, 10]
    assert data.classes == ("ant", "bee") and data.note == ""
    assert np.bincount(data.validation.labels).tolist() == [3, 3]
    files = [set(s.source.files) for s in (data.train, data.validation)]
    assert not files[0] & files[1] and len(files[0] | files[1]) == 60


def test_train_val_and_test(tmp_path):
    for name, n in (("train", 8), ("val", 3), ("test", 2)):
        write(tmp_path / name, n=n)
    data = load(tmp_path)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [16, 6, 4]


def test_class_folders_alone_are_test_images_and_it_is_said(tmp_path):
    data = load(write(tmp_path / "here"))
    assert data.train is None and data.validation is None and len(data.test) == 12
    assert "same images serve" in data.note


def test_it_is_what_torchvision_reads(tmp_path):
    folder = write(tmp_path / "here", size=(50, 37))
    data = load(folder, size=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    steps = [
        v2.Resize(16),
        v2.CenterCrop(16),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)),
    ]
    theirs = ImageFolder(str(folder), transform=v2.Compose(steps))
    assert data.classes == tuple(theirs.classes) and data.test.labels.tolist() == theirs.targets
    for i in range(len(theirs)):
        assert torch.allclose(data.test[i][0], theirs[i][0], atol=1e-6)
    assert data.test.picture(0).shape == (16, 16, 3)
    x, _ = next(data.test.batches(100))
    assert torch.equal(x, torch.stack([data.test[i][0] for i in range(len(data.test))]))


def test_a_second_pass_reads_no_file_where_memory_allows_and_is_the_same_where_not(tmp_path, monkeypatch):
    folder = write(tmp_path / "here")
    kept = load(folder)
    first = [x for x, _ in kept.test.batches(5)]
    monkeypatch.setattr(image_files, "KEPT", 0)
    unkept = load(folder)
    assert all(torch.equal(a, b) for a, (b, _) in zip(first, unkept.test.batches(5), strict=True))
    for file in folder.rglob("*.png"):
        file.unlink()
    assert all(torch.equal(a, b) for a, (b, _) in zip(first, kept.test.batches(5), strict=True))
    with pytest.raises(DataError, match="cannot read"):
        next(unkept.test.batches(5))


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 1), ("L", 3), ("L", 1), ("RGB", 3)])
def test_grey_and_colour_become_what_the_model_takes(tmp_path, mode, channels):
    folder = write(tmp_path / "here", mode=mode)
    data = load(folder, model=model(channels))
    assert data.test[0][0].shape == (channels, 16, 20)
    expected = np.array(Image.open(folder / "ant" / "00.png").convert("L" if channels == 1 else "RGB")).reshape(16, 20, channels)
    assert np.array_equal(data.test.picture(0), expected)


def test_the_models_size_and_normalisation_are_the_defaults(tmp_path):
    data = load(write(tmp_path / "here"), model=model(3, 8, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0)))
    assert data.test.normal.mean == (0.1, 0.2, 0.3) and data.test[0][0].shape == (3, 8, 8)
    assert "8 pixels" in data.pixels


def test_folders_named_like_the_models_classes_count_as_those(tmp_path):
    folder = write(tmp_path / "here", names=("Bee", "wasp"))
    data = load(folder, model=model(classes=("wasp", "ant", "bee")))
    assert data.classes == ("wasp", "ant", "Bee")
    files = data.test.source.files
    assert sorted(set(zip((f.split("/")[0] for f in files), data.test.labels.tolist(), strict=True))) == [
        ("Bee", 2),
        ("wasp", 0),
    ]
    other = load(folder, model=model(classes=("a", "b", "c")))
    assert other.classes == ("Bee", "wasp") and "alphabetical" in other.note


def test_other_files_hidden_ones_and_deeper_folders(tmp_path):
    folder = write(tmp_path / "here", n=2)
    (folder / "ant" / "notes.txt").write_text("not an image")
    (folder / ".cache").mkdir()
    (folder / "ant" / "._00.png").write_bytes(b"junk")
    (folder / "readme.md").write_text("about")
    (folder / "ant" / "deeper").mkdir()
    Image.new("RGB", (20, 16)).save(folder / "ant" / "deeper" / "x.JPG", "JPEG")
    data = load(folder)
    assert data.test.source.files == ("ant/00.png", "ant/01.png", "ant/deeper/x.JPG", "bee/00.png", "bee/01.png")


def test_a_limit_is_stratified(tmp_path):
    data = load(write(tmp_path / "here", n=20), limit=10)
    assert np.bincount(data.test.labels).tolist() == [5, 5]


def test_the_fingerprint_sees_files_and_normalisation(tmp_path):
    folder = write(tmp_path / "here")
    prints = {load(folder).test.fingerprint(), load(folder, size=8).test.fingerprint(), load(folder, limit=5).test.fingerprint()}
    assert len(prints) == 3 and load(folder).test.fingerprint() in prints


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no folder ''|no folder '.'"):
        load_data("imagefolder:")
    with pytest.raises(DataError, match="no class folders"):
        load(tmp_path)
    (tmp_path / "ant").mkdir()
    with pytest.raises(DataError, match=r"no images in its folders \(ant\)"):
        load(tmp_path)
    write(tmp_path / "other" / "train")
    with pytest.raises(DataError, match="neither test/ nor val/"):
        load(tmp_path / "other")
    (tmp_path / "other" / "test").mkdir()
    with pytest.raises(DataError, match="test holds no class folders"):
        load(tmp_path / "other")


@pytest.mark.parametrize(("train", "test", "named"), [(("ant", "bee"), ("ant",), "bee"), (("ant",), ("ant", "cow"), "cow")])
def test_parts_with_other_classes_are_refused_by_name(tmp_path, train, test, named):
    write(tmp_path / "train", names=train)
    write(tmp_path / "test", names=test)
    with pytest.raises(DataError, match=rf"{named} has images in \w+/ but none in"):
        load(tmp_path)


@pytest.mark.parametrize("damage", ["junk", "cut", "empty"])
def test_an_unreadable_image_is_named(tmp_path, damage):
    folder = write(tmp_path / "here", ending="jpg")
    bad = folder / "bee" / "03.jpg"
    whole = bad.read_bytes()
    bad.write_bytes({"junk": b"this is no image", "cut": whole[: len(whole) // 2], "empty": b""}[damage])
    with pytest.raises(DataError, match=r"cannot read the image .*bee/03\.jpg"):
        list(load(folder, size=8).test.batches())


def test_images_of_different_sizes_need_a_size(tmp_path):
    folder = write(tmp_path / "here")
    Image.new("RGB", (9, 7)).save(folder / "bee" / "99.png")
    with pytest.raises(DataError, match=r"differ in size \(20 x 16 and 9 x 7, at .*99\.png\): give size"):
        list(load(folder).test.batches())
    assert next(load(folder, size=8).test.batches())[0].shape == (13, 3, 8, 8)


def test_a_mean_for_another_number_of_channels_is_refused(tmp_path):
    with pytest.raises(DataError, match="mean"):
        load(write(tmp_path / "here"), mean=(0.5,))


def test_two_threads_that_read_different_halves_see_the_right_pixels(tmp_path):
    write(tmp_path, n=20)
    expected = load(tmp_path, size=8).test.images(np.arange(40))
    for _ in range(10):
        split, together = load(tmp_path, size=8).test, threading.Barrier(2)

        def read(half, split=split, together=together):
            together.wait()
            return split.images(half)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(read, (np.arange(20), np.arange(20, 40))))
        assert torch.equal(split.images(np.arange(40)), expected)
