"""Boxes and classes of pixels over a picture: what is right, what was missed, and that the colours are those of the classes."""

import base64
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image
from torchvision.ops import box_iou

from prunekit.plots import sample_answers
from prunekit.tasks.shown import Boxes, ClassMap

NAMES = ("cat", "dog", "<b>").__getitem__


def boxes(rows, classes, scores=None):
    return Boxes(np.array(rows, dtype=float).reshape(-1, 4), np.array(classes, dtype=int), np.array(scores or [1.0] * len(classes)), NAMES)


TRUTH = boxes([[0, 0, 10, 10], [20, 20, 40, 40]], [0, 1])


def image_of(svg):
    """The picture in an SVG, as an array."""
    href = next(node.attrib["href"] for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("image"))
    return np.asarray(Image.open(BytesIO(base64.b64decode(href.partition(",")[2]))))


def test_a_box_is_right_once_for_an_object_of_its_class_that_it_covers_by_half():
    found = boxes([[1, 1, 10, 10], [0, 0, 10, 10], [20, 20, 40, 40], [19, 22, 40, 40]], [0, 0, 0, 1], [0.9, 0.8, 0.7, 0.6])
    assert sample_answers.verdicts(found, TRUTH) == (["right", "wrong", "wrong", "right"], [True, True])
    assert float(box_iou(torch.tensor(found.boxes[:1]), torch.tensor(TRUTH.boxes[:1]))) > sample_answers.OVERLAP
    assert sample_answers.boxes_caption(found, TRUTH) == "2 of 2 found, 2 wrong"


def test_what_nothing_finds_is_missed_and_nothing_at_all_is_said():
    nothing = boxes([], [])
    assert sample_answers.verdicts(nothing, TRUTH) == ([], [False, False])
    assert sample_answers.boxes_caption(nothing, TRUTH) == "0 of 2 found, 2 missed"
    assert sample_answers.boxes_caption(nothing, None) == "nothing"
    assert sample_answers.verdicts(boxes([[0, 0, 3, 3]], [1]), nothing) == (["wrong"], [])


def test_boxes_are_drawn_where_they_are_with_their_names_escaped():
    picture = np.zeros((48, 64, 1), dtype=np.uint8)
    svg = sample_answers.boxes_over(picture, boxes([[20, 20, 40, 40]], [2], [0.5]), TRUTH)
    frames = [node.attrib for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("rect") and node.attrib.get("fill") == "none"]
    assert [(f["x"], f["y"], f["width"]) for f in frames] == [
        ("0.00", "0.00", "10.00"),
        ("20.00", "20.00", "20.00"),
        ("20.00", "20.00", "20.00"),
    ]
    assert ["stroke-dasharray" in f for f in frames] == [True, True, False]
    assert "&lt;b&gt; 50 %" in svg.replace("\u202f", " ").replace("\xa0", " ")


def test_pixels_take_the_colour_of_their_class_and_those_of_none_stay_grey():
    picture = np.full((4, 6, 3), 100, dtype=np.uint8)
    svg = sample_answers.classes_over(picture, ClassMap(np.array([[0, 1, -1]]), NAMES), opacity=1.0)
    drawn = image_of(svg)
    expected = [[int(sample_answers.class_colour(k)[i : i + 2], 16) for i in (1, 3, 5)] for k in (0, 1)] + [[100, 100, 100]]
    assert (drawn == np.repeat(np.array(expected), 2, axis=0)[None]).all()


def test_the_caption_of_a_class_map_counts_pixels_and_names_the_class_with_the_least_overlap():
    truth = ClassMap(np.array([[0, 0, 1, 1, -1]]), NAMES)
    said = sample_answers.class_map_caption(ClassMap(np.array([[0, 0, 0, 1, 1]]), NAMES), truth)
    assert said.replace("\u202f", " ").replace("\xa0", " ") == "75 % of the pixels are right; worst is dog (IoU 50 %)"
    assert [name for name, _ in sample_answers.legend([truth])] == ["cat", "dog"]
