"""Pictures with boxes of one's own, as COCO and YOLO write them: what is read, what is said, and what is refused."""

import json
import re

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageDraw

from prunekit.config.fields import table
from prunekit.config.ids import DataId
from prunekit.data.load import load_data
from prunekit.errors import DataError
from prunekit.tasks.resolver import resolve

SIZES = [(40, 30), (30, 40), (40, 30), (20, 20), (64, 32), (40, 30)]


def picture(path, size, box=None):
    """Write a black picture, white within a box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size)
    if box is not None:
        ImageDraw.Draw(image).rectangle([box[0], box[1], box[2] - 1, box[3] - 1], fill="white")
    image.save(path)


def coco(root, *, annotations=None, categories=({"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}), sizes=SIZES, part=""):
    """Write a folder of COCO's form; its first picture has a white box."""
    for k, size in enumerate(sizes):
        picture(root / "images" / part.strip("_") / f"{k}.png", size, (10, 5, 30, 25) if not k else None)
    images = [{"id": 10 + k, "file_name": f"{k}.png", "width": size[0], "height": size[1]} for k, size in enumerate(sizes)]
    own = [
        {"id": 1, "image_id": 10, "category_id": 7, "bbox": [10, 5, 20, 20], "area": 300.0, "iscrowd": 0},
        {"id": 2, "image_id": 11, "category_id": 3, "bbox": [-6, 2, 16, 10], "area": 160.0, "iscrowd": 0},
        {"id": 3, "image_id": 11, "category_id": 3, "bbox": [5, 5, 0, 9], "area": 0, "iscrowd": 0},
        {"id": 4, "image_id": 12, "category_id": 7, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 1},
    ]
    told = {"images": images, "annotations": own if annotations is None else annotations, "categories": list(categories)}
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"instances{part}.json").write_text(json.dumps(told))
    return root


def test_coco_is_read_and_what_was_done_is_said(tmp_path):
    with pytest.raises(DataError, match=r"differ in size \(20 x 20 and 30 x 40, ...\): give size, such as 640") as caught:
        load_data(f"coco:{coco(tmp_path)}").test.images(np.arange(1))
    assert "give “Input size”, such" in caught.value.said(lambda name: f"“{table(DataId)[name].label}”")
    data = load_data(f"coco:{tmp_path}", size=80)
    assert data.classes == ("cat", "dog") and [len(part) for part in (data.train, data.validation, data.test)] == [4, 1, 1]
    for said in ("clipped to it: 1", "no area, left out: 1", "crowds, .*: 1", "without an object, .*: 3", "held out for the test: 1"):
        assert re.search(said, data.note)
    every = {place: part for part in (data.train, data.validation, data.test) for place in part.pictures.files}
    split = every["images/0.png"]
    at = split.pictures.files.index("images/0.png")
    target, seen = split.targets[at], split.picture(at)
    assert target["labels"].tolist() == [1] and target["boxes"].tolist() == [[20, 20, 60, 60]]  # twice as large, ten pixels above and below
    assert target["area"].tolist() == [1200]
    white = np.argwhere(seen[:, :, 0] > 200)
    assert np.abs(white.min(0) - [20, 20]).max() <= 1 and np.abs(white.max(0) - [59, 59]).max() <= 1
    assert (seen[:8] == 114).all() and seen.shape == (80, 80, 3)
    split = every["images/1.png"]
    assert split.targets[split.pictures.files.index("images/1.png")]["boxes"].tolist() == [[10, 4, 30, 24]]  # clipped, then moved along
    split = every["images/2.png"]
    assert split.targets[split.pictures.files.index("images/2.png")]["crowd"].tolist() == [True]
    assert data.train.fingerprint() == data.train.take(np.arange(4)).fingerprint() != data.train.take(np.arange(4)[::-1]).fingerprint()


def test_parts_of_coco_and_classes_of_the_model(tmp_path):
    for part in ("_train2017", "_val2017"):
        coco(tmp_path, part=part, sizes=[(24, 24)] * 4)
    data = load_data(f"coco:{tmp_path}", classes=("bird", "dog", "Cat"))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [3, 1, 4]
    assert data.classes == ("bird", "dog", "Cat") and "serve as the test" in data.note
    assert data.test.targets[0]["labels"].tolist() == [1] and data.test[0][0].shape == (3, 24, 24)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations": [{"id": 5, "image_id": 10, "category_id": 4, "bbox": [1, 1, 2, 2]}]}, "category 4, which is not listed"),
        ({"annotations": [{"id": 5, "image_id": 99, "category_id": 3, "bbox": [1, 1, 2, 2]}]}, "image 99, which is not listed"),
        ({"annotations": [{"id": 5, "image_id": 10, "category_id": 3}]}, "no bbox"),
        ({"annotations": [{"id": 5, "image_id": 10, "category_id": 3, "bbox": [1, float("nan"), 2, 2]}]}, "annotation 5 has no bbox"),
        ({"annotations": [{"id": 5, "image_id": 10, "category_id": 3, "bbox": ["1", 1, 2, 2]}]}, "annotation 5 has no bbox"),
        ({"annotations": [{"id": 5, "image_id": 10, "bbox": [1, 1, 2, 2]}]}, "number 0 of its annotations, from 0, has no category_id"),
        ({"categories": ["cat", "dog"]}, "number 0 of its categories, from 0, has no id"),
        ({"categories": [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}]}, "category 3 is called 'dog' and 'cat'"),
    ],
)
def test_what_is_wrong_in_coco_is_said(tmp_path, change, said):
    with pytest.raises(DataError, match=said):
        load_data(f"coco:{coco(tmp_path, **change)}")


def test_coco_without_categories_counts_those_that_are_there_and_sizes_must_be_true(tmp_path):
    data = load_data(f"coco:{coco(tmp_path, categories=())}", size=32)
    assert data.classes == ("3", "7") and "the ids 3, 7 count as 0, 1" in data.pixels
    picture(tmp_path / "images" / "0.png", (41, 30))
    split = next(part for part in (data.train, data.validation, data.test) if "images/0.png" in part.pictures.files)
    with pytest.raises(DataError, match="41 x 30 pixels, and its boxes are of one of 40 x 30"):
        split.images(np.arange(len(split)))
    (tmp_path / "annotations" / "instances.json").write_text("{")
    with pytest.raises(DataError, match="is no JSON"):
        load_data(f"coco:{tmp_path}")
    for name, problem in (("coco:nowhere", "there is no folder"), (f"coco:{tmp_path / 'images'}", "holds no file with boxes")):
        with pytest.raises(DataError, match=problem):
            load_data(name)


def yolo(root, lines=("1 0.5 0.5 0.5 0.5", "0 0.1 0.1 0.2 0.2 0.4 0.1\n\n"), **told):
    """Write a folder of YOLO's form: two pictures to learn from, of which one has labels, and one to measure on, with a polygon."""
    for part, names in (("train", ("a", "b")), ("val", ("c",))):
        for name in names:
            picture(root / "images" / part / f"{name}.png", (40, 20))
        (root / "labels" / part).mkdir(parents=True, exist_ok=True)
    (root / "labels" / "train" / "a.txt").write_text(lines[0])
    (root / "labels" / "val" / "c.txt").write_bytes(lines[1] if isinstance(lines[1], bytes) else lines[1].encode())
    known = {"path": "/datasets/elsewhere", "train": "images/train", "val": ["images/val"], "names": {0: "cat", 1: "dog"}, **told}
    (root / "data.yaml").write_text(yaml.safe_dump(known))
    return root


def test_yolo_is_read(tmp_path):
    data = load_data(f"yolo:{yolo(tmp_path)}")
    assert data.classes == ("cat", "dog") and "without an object: 1" in data.pixels
    assert data.test.targets[0]["boxes"].tolist() == [pytest.approx([4, 2, 16, 4])] and data.test.targets[0]["labels"].tolist() == [0]
    every = torch.cat([part.targets[i]["boxes"] for part in (data.train, data.validation) for i in range(len(part))])
    assert every.tolist() == [[10, 5, 30, 15]]
    listed = tmp_path / "train.txt"
    listed.write_text("images/train/a.png\nimages/train/b.png\n")
    yolo(tmp_path, train="train.txt")
    again = load_data(f"yolo:{tmp_path / 'data.yaml'}")
    assert [part.fingerprint() for part in (again.train, again.test)] == [part.fingerprint() for part in (data.train, data.test)]
    yolo(tmp_path, val="images")
    assert "training or validation pictures as well: 2." in load_data(f"yolo:{tmp_path}").note and "as well" not in data.note


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lines": ("2 0.5 0.5 0.5 0.5", "")}, "a.txt, line 1: the class 2 is outside 0..1"),
        ({"lines": ("0 0.5 0.5 0.5", "")}, "must be a class and four numbers"),
        ({"lines": ("0 20 10 8 8", "")}, "pixels, not shares"),
        ({"names": {1: "cat"}}, "numbered from 0"),
        ({"nc": 3}, "needs the names"),
        ({"train": "pictures"}, "no such folder"),
        ({"lines": ("", "\N{SNOWMAN}".encode("utf-16"))}, "c.txt is no text"),
    ],
)
def test_what_is_wrong_in_yolo_is_said(tmp_path, change, said):
    with pytest.raises(DataError, match=said):
        load_data(f"yolo:{yolo(tmp_path, **change)}")


def test_data_of_ones_own_name_their_classes_to_the_task(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "target = {'boxes': torch.tensor([[1.0, 1, 5, 5]]), 'labels': torch.tensor([1])}\n"
        "def data():\n    return [(torch.zeros(3, 8, 8), target)] * 2\n"
        "data.task, data.classes = 'object-detection', ['cat', 'dog']\n"
    )
    data = load_data(f"{tmp_path / 'mine.py'}:data")
    assert data.classes == ("cat", "dog") and resolve(data=data.test).classes == resolve(data=data).classes == 2
    assert next(data.test.batches(2)).samples == 2
