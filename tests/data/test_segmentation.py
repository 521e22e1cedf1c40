"""``segmentation:PATH``: every layout gives the same pictures and labels, and what is wrong with a folder is said with its file."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunekit import load_data
from prunekit.data import segmentation
from prunekit.data.dataset import Data
from prunekit.errors import DataError
from prunekit.tasks import resolve

SIDES = (12, 8)
LAYOUTS = ("parts", "within", "lists", "alone")


def write(
    root: Path, layout: str = "alone", n: int = 10, *, labels: Callable[[int], np.ndarray] | None = None, palette: bool = False
) -> Path:
    """Write pictures whose red says which they are, and labels 0 to 2."""
    parts = ["train"] * (n - 4) + ["val", "val", "test", "test"]
    for i in range(n):
        below = {"parts": (parts[i], "images"), "within": ("images", parts[i])}.get(layout, ("images",))
        marked = [part if part != "images" else "labels" for part in below]
        image = Image.fromarray(np.full((SIDES[1], SIDES[0], 3), (10 * i, 0, 0), dtype=np.uint8))
        label = np.full((SIDES[1], SIDES[0]), i % 3, dtype=np.uint8) if labels is None else labels(i)
        drawn = Image.fromarray(label)
        if palette:
            drawn = Image.frombytes("P", SIDES, label.tobytes())
            drawn.putpalette([7, 99, 3, 50, 60, 70, 200, 200, 0])
        for folder, what, name in ((below, image, f"{i:02d}.jpg"), (marked, drawn, f"{i:02d}.png")):
            root.joinpath(*folder).mkdir(parents=True, exist_ok=True)
            what.save(root.joinpath(*folder, name), quality=100)
    if layout == "lists":
        for part, file in (("train", "train.txt"), ("val", "val.txt"), ("test", "test.txt")):
            (root / file).write_text("".join(f"{i:02d}{'.jpg' if part == 'val' else ''}\n" for i in range(n) if parts[i] == part))
    return root


def load(root: Path, **settings: int) -> Data:
    """Return the data under a folder."""
    return load_data(f"segmentation:{root}", **settings)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path: Path, layout: str) -> None:
    data = load(write(tmp_path, layout, palette=layout == "within"))
    sizes = [len(part) for part in (data.train, data.validation, data.test)]
    assert sizes == ([7, 1, 2] if layout == "alone" else [6, 2, 2]) and ("by a fixed rule" in data.note) == (layout == "alone")
    found = list[int]()
    for split in (data.train, data.validation, data.test):
        x, y = next(split.batches(100))
        assert x.shape[1:] == (3, 8, 12) and y.shape[1:] == (8, 12)
        which = (x[:, 0, 0, 0] * 25.5).round().int().tolist()
        assert y[:, 0, 0].tolist() == [i % 3 for i in which]  # each with its own label
        found += which
    assert sorted(found) == list(range(10)) and data.classes == ("0", "1", "2")
    assert resolve(None, data).name == "semantic-segmentation"


def test_names_void_and_size(tmp_path: Path) -> None:
    def label(i: int) -> np.ndarray:
        found = np.zeros((8, 12), dtype=np.uint8)
        found[:, 6:], found[0], found[-1] = 1, 2, 255
        return found

    root = write(tmp_path, labels=label)
    (root / "classes.txt").write_text("sky\nroad\nvoid\n")
    data = load(root)
    expected = label(0)
    expected[0] = 255
    assert data.classes == ("sky", "road") and np.array_equal(data.test.targets_at(np.array([0]))[0], expected)
    small = load(root, size=4)
    x, y = next(small.test.batches(2))
    assert (
        x.shape == (2, 3, 4, 6) and y.shape == (2, 4, 6) and set(np.unique(y)) <= {0, 1, 255} and small.test.picture(0).shape == (4, 6, 3)
    )
    assert data.test.fingerprint() == load(root).test.fingerprint() != small.test.fingerprint()
    (root / "classes.txt").write_text("void\nsky\nroad\n")
    with pytest.raises(DataError, match="'void' is class 0 and not the last one"):
        load(root)
    (root / "classes.txt").write_text("sky\nroad\n")
    with pytest.raises(DataError, match=r"\.png holds the label 2, and there are 2 classes, 0\.\.1.*write 255, or name the classes"):
        load(root)


def remove(pattern: str) -> Callable[[Path], object]:
    """Return what removes files of a folder."""
    return lambda root: [file.unlink() for file in root.glob(pattern)]


def drawn(mode: str, *sides: int, label: int = 1) -> Callable[[Path], object]:
    """Return what draws all labels again."""
    return lambda root: [Image.new(mode, sides, label).save(file) for file in root.glob("labels/*.png")]


def uneven(root: Path) -> None:
    """Draw some pictures wider, with their labels."""
    for i in range(5):
        Image.new("RGB", (20, 8)).save(root / "images" / f"{i:02d}.jpg")
        Image.new("L", (20, 8)).save(root / "labels" / f"{i:02d}.png")


@pytest.mark.parametrize(
    ("layout", "spoil", "message"),
    [
        ("alone", remove("labels/03.png"), r"images/03\.jpg has no label: write .*labels/03\.png, or remove the picture"),
        ("alone", drawn("RGB", *SIDES), r"colours \(RGB\), not classes"),
        ("alone", drawn("L", 9, 8), r"9 x 8 pixels, and its picture \d\d.jpg 12 x 8"),
        ("alone", drawn("L", *SIDES, label=0), r"go up to 0, 255 aside, .*there must be two; of masks of 0 and 255 make 255 a 1"),
        ("alone", uneven, r"the images differ in size \(.*crop or resize them to one size"),
        ("alone", remove("images/*"), r"images holds no pictures"),
        ("parts", remove("val/images/*"), r"val/images holds no pictures"),
        ("lists", lambda root: (root / "val.txt").write_text("07\nnobody\n"), r"val\.txt names 'nobody', which is not in images/"),
        ("alone", lambda root: (root / "labels").rename(root / "masks"), r"holds no images/ beside labels/"),
        ("alone", lambda root: root.rename(root.parent / "elsewhere"), r"there is no folder"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, layout: str, spoil: Callable[[Path], object], message: str) -> None:
    root = write(tmp_path / "here", layout)
    spoil(root)
    with pytest.raises(DataError, match=message):
        data = load(root)
        for split in (data.train, data.test):
            list(split.batches(100))


def test_camvid_is_read_where_it_lies_or_says_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    monkeypatch.setattr(segmentation, "user_cache_dir", lambda _: str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"put camvid-240x180\.tar\.gz, or the folder camvid-small.*set PRUNEKIT_DATA"):
        load_data("camvid")
    write(tmp_path / "elsewhere" / "camvid-small", "parts", labels=lambda i: np.full((8, 12), 11 if i % 2 else 4, dtype=np.uint8))
    with tarfile.open(tmp_path / "camvid-240x180.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "elsewhere" / "camvid-small", "camvid-small")
    data = load_data("camvid")
    assert len(data.test) == 2 and data.classes[3] == "road" and set(np.unique(data.test.targets_at(np.arange(2)))) == {4, 255}
    assert not (tmp_path / "camvid-small").exists()  # unpacked elsewhere: the folder may be somebody else's
