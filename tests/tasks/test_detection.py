"""Object detection: values as pycocotools and torchmetrics give them, intervals, forms and bad input."""

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from prunekit.errors import DataError, ModelError
from prunekit.statistics.ranking import AveragePrecision
from prunekit.tasks.batch import Batch
from prunekit.tasks.detection import BY_SIZE, DETECTION, MAP, MAP50, ObjectDetection
from prunekit.tasks.detector_forms import Detections, PlainForm
from prunekit.tasks.observations import Observations

CLASSES, PICTURES = 4, 24
TASK = DETECTION.for_data(type("Data", (), {"classes": CLASSES}))


def boxes(generator, n):
    """Corners of boxes of all three sizes."""
    low = torch.rand(n, 2, generator=generator) * 150
    return torch.cat([low, low + 4 + torch.rand(n, 2, generator=generator) ** 2 * 200], 1)


def drawn(seed=0, crowds=True, ties=20):
    """Detections near objects and elsewhere, of some pictures: one without objects, one without detections, equal scores, crowds."""
    generator = torch.Generator().manual_seed(seed)
    found, targets = [], []
    for picture in range(PICTURES):
        n = int(torch.randint(0, 7, (), generator=generator)) if picture else 0
        there, labels = boxes(generator, n), torch.randint(0, CLASSES - 1, (n,), generator=generator)  # nothing is of the last class
        crowd = (torch.rand(n, generator=generator) < 0.2) & crowds
        near = there.repeat(2, 1) + torch.randn(2 * n, 4, generator=generator) * 6
        near = torch.stack([near[:, 0], near[:, 1], near[:, 2].maximum(near[:, 0] + 1), near[:, 3].maximum(near[:, 1] + 1)], 1)
        all_boxes = torch.cat([near, boxes(generator, 4)])[: 0 if picture == 1 else None]
        scores = (torch.rand(len(all_boxes), generator=generator, dtype=torch.float64) * ties).round() / ties
        kinds = torch.cat([labels.repeat(2), torch.randint(0, CLASSES, (4,), generator=generator)])[: len(all_boxes)]
        found.append(Detections(all_boxes, scores, kinds))
        targets.append({"boxes": there, "labels": labels, "crowd": crowd, "area": (there[:, 2:] - there[:, :2]).prod(1) * 0.7})
    return found, targets


class Drawn(ObjectDetection):
    """A task whose outputs are detections already."""

    def detections(self, output, batch):
        return output


def observed(found, targets, **options):
    """What is observed of them."""
    task = Drawn("object-detection", "", DETECTION.metrics, classes=CLASSES, **options)
    return task.observe(found, Batch.of(torch.zeros(len(found), 1), targets))


def by_pycocotools(found, targets, areas):
    """The twelve figures of COCO without those of recall, and precision by class."""
    annotations, results = [], []
    for picture, (each, target) in enumerate(zip(found, targets, strict=True)):
        for box, label, crowd, area in zip(*(target[name].tolist() for name in ("boxes", "labels", "crowd", "area")), strict=True):
            sides = [*box[:2], box[2] - box[0], box[3] - box[1]]
            one = {"image_id": picture, "category_id": label, "bbox": sides, "iscrowd": int(crowd), "area": area}
            annotations.append(one | {"id": len(annotations) + 1})
        for box, label, score in zip(each.boxes.tolist(), each.labels.tolist(), each.scores.tolist(), strict=True):
            sides = [*box[:2], box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": picture, "category_id": label, "bbox": sides, "score": score})
    coco = COCO()
    coco.dataset = {
        "images": [{"id": k} for k in range(len(found))],
        "annotations": annotations,
        "categories": [{"id": k} for k in range(CLASSES)],
    }
    coco.createIndex()
    judge = COCOeval(coco, coco.loadRes(results), "bbox")
    judge.params.areaRng = [[0, 1e10], [0, areas[0]], [*areas], [areas[1], 1e10]]
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    precision = judge.eval["precision"][..., 0, -1]
    return judge.stats, np.where(precision > -1, precision, np.nan).mean(1)


@pytest.mark.parametrize("areas", [(1024.0, 9216.0), (300.0, 2000.0)])
def test_pycocotools_gives_the_same_with_crowds_ties_and_pictures_without_objects(areas, capsys):
    found, targets = drawn()
    seen = observed(found, targets, areas=areas)
    stats, by_class = by_pycocotools(found, targets, areas)
    assert [MAP.reduce(seen), MAP50.reduce(seen)] == pytest.approx(stats[:2], abs=1e-9)
    assert [each.reduce(seen) for each in BY_SIZE] == pytest.approx(stats[3:6], abs=1e-9)
    each = [metric.figure(seen) for metric in TASK.by_class(seen)]
    np.testing.assert_allclose(each, by_class[0], atol=1e-9)
    assert np.isnan(each[-1])


@pytest.mark.slow
def test_torchmetrics_gives_the_same():
    from torchmetrics.detection import MeanAveragePrecision  # slow to import

    found, targets = drawn(1, crowds=False)
    exact = {"iou_thresholds": np.linspace(0.5, 0.95, 10).tolist(), "rec_thresholds": np.linspace(0, 1, 101).tolist()}  # theirs are float32
    theirs = MeanAveragePrecision(class_metrics=True, **exact)
    theirs.update([vars(each) for each in found], [{**each, "iscrowd": each["crowd"].long()} for each in targets])
    given, seen = theirs.compute(), observed(found, targets)
    named = {"map": MAP, "map_50": MAP50} | {metric.name: metric for metric in BY_SIZE}
    assert {name: metric.reduce(seen) for name, metric in named.items()} == pytest.approx(
        {name: float(given[name]) for name in named}, abs=1e-6
    )


def test_weights_are_pictures_repeated_and_what_is_stored_gives_the_same():
    seen = observed(*drawn(2, ties=1e9))
    counts = np.random.default_rng(0).integers(0, 3, (5, PICTURES))
    for metric in (MAP50, MAP):
        repeated = [metric.reduce(seen.repeat(row)) for row in counts]
        np.testing.assert_allclose(metric.figure.value(seen, counts), repeated, atol=1e-12)
    assert MAP.reduce(Observations.from_bytes(seen.to_bytes())) == MAP.reduce(seen)
    low, high = MAP50.interval(seen)
    assert 0 < low < MAP50.reduce(seen) < high < 1 and MAP50.compare(seen, seen).p_value == 1
    worse = observed([Detections(each.boxes + 8, each.scores, each.labels) for each in drawn(2, ties=1e9)[0]], drawn(2)[1])
    assert MAP50.compare(seen, worse).value < 0 and seen.same_samples(worse)


class Plain(nn.Module):
    """Two places in a picture, one that is learned and one that is not."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(torch.full((2, 3), -2.0))
        self.boxes = nn.Parameter(torch.tensor([[8.0, 8.0, 30.0, 30.0], [40.0, 40.0, 60.0, 60.0]]))

    def forward(self, x):
        return {"scores": self.scores.expand(len(x), -1, -1), "boxes": self.boxes.expand(len(x), -1, -1)}


BATCH = Batch.of(torch.zeros(2, 3, 64, 64), [{"boxes": torch.tensor([[10.0, 10, 34, 34]]), "labels": torch.tensor([1])}] * 2)


def test_the_loss_of_a_plain_detector_teaches_score_and_box_of_the_place_that_lies_in_the_object():
    model, task = Plain(), DETECTION.for_data(type("Data", (), {"classes": 3}))
    optimizer = torch.optim.Adam(model.parameters(), 0.3)
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(task.forward(model, BATCH), BATCH).backward()
        optimizer.step()
    with torch.no_grad():
        output = task.forward(model, BATCH)
    best = task.detections(output, BATCH)[0]
    assert best.labels[0] == 1 and best.scores[0] > 0.8 and len(output) == 2
    assert best.boxes[0].tolist() == pytest.approx([10, 10, 34, 34], abs=1)
    assert MAP50.reduce(task.observe(output, BATCH)) == 1
    with torch.no_grad():
        apart = [task.distance(each, output, BATCH, 2.0).item() for each in (output, task.forward(Plain(), BATCH))]
    assert apart[0] == pytest.approx(0, abs=1e-4) and apart[1] > 0.1
    assert task.heads(model, BATCH).keys() == {"scores", "boxes"}


def test_a_model_s_own_loss_and_the_places_that_it_names_count():
    class Own(Plain):
        def loss(self, output, targets):
            return output["scores"].sum() * len(targets)

    assert DETECTION.loss(DETECTION.forward(Own(), BATCH), BATCH).item() == -48
    placed = Plain()
    placed.boxes.data[1, :2] = 20
    placed.points = lambda height, width: torch.tensor([[height, width], [20.0, 20.0]])  # the second box's place lies in the object
    output = DETECTION.forward(placed, BATCH)
    DETECTION.loss(output, BATCH).backward()
    assert placed.boxes.grad[1].abs().sum() > 0 and not placed.boxes.grad[0].any()


def test_what_cannot_be_read_is_said():
    wrong = [
        ([{"boxes": torch.tensor([[5.0, 5, 5, 9]]), "labels": torch.tensor([0])}], "no area"),
        ([{"boxes": torch.tensor([[5.0, 5, 8, 9]]), "labels": torch.tensor([3])}], "label 3"),
        ([{"boxes": torch.tensor([[5.0, 5, 8, 9]]), "labels": torch.tensor([-1])}], "label -1"),
        ([{"boxes": torch.zeros(0, 4), "labels": torch.tensor([1])}], "0 boxes and 1 labels"),
        ([torch.zeros(3)], "must be a mapping"),
        (torch.zeros(1), "need a mapping"),
    ]
    for targets, said in wrong:
        batch = Batch.of(torch.zeros(1, 3, 8, 8), targets)
        with pytest.raises(DataError, match=said):
            DETECTION.loss(DETECTION.forward(Plain(), batch), batch)
    for model in (nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Linear(3, 2))):
        with pytest.raises(ModelError, match=r"a detector must return a dict|does not run"):
            DETECTION.forward(model, Batch.of(torch.zeros(1, 3, 8, 8)))
    with pytest.raises(DataError, match="how many classes"):
        DETECTION.observe(DETECTION.forward(Plain(), BATCH), BATCH)
    damaged = Plain()
    nn.init.constant_(damaged.boxes, float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        DETECTION.for_data(type("Data", (), {"classes": 3})).observe(DETECTION.forward(damaged, BATCH), BATCH)
    assert PlainForm().detections(DETECTION.forward(Plain(), BATCH), BATCH)[0].scores.min() > 0.01
    with pytest.raises(DataError, match="within one pixel, as shares"):
        PlainForm().loss(Plain()(BATCH.args[0]), Batch.of(BATCH.args[0], [{"boxes": [[0.1, 0.2, 0.4, 0.5]], "labels": [0]}] * 2))


def test_an_answer_in_another_form_is_told_by_its_values():
    source = torch.Generator().manual_seed(0)
    logits, corners = torch.randn(2, 50, 3, generator=source) * 3 - 4, torch.stack([boxes(source, 50), boxes(source, 50)])
    sizes = torch.cat([corners[..., :2], (corners[..., 2:] - corners[..., :2]) / 9], -1)
    batch, known = Batch.of(torch.zeros(2, 3, 300, 300), [{"boxes": [[5, 5, 8, 9]], "labels": [0]}] * 2), DETECTION.for_data

    def answer(scores, found):
        model = nn.Module()
        model.forward = lambda x: {"scores": scores, "boxes": found}
        return DETECTION.forward(model, batch)

    right = answer(logits, corners)
    assert known(type("Data", (), {"classes": 3})).observe(right, batch).n == 2
    with pytest.raises(ModelError, match="scores 3 classes, and the data have 2"):
        known(type("Data", (), {"classes": 2})).observe(right, batch)
    for scores, found, said in (
        (logits.sigmoid(), corners, "as probabilities do: return logits"), (logits, sizes, "as boxes of a place and a size do"),
        (logits, corners / 400, "as shares of the picture are"), (logits, corners.long(), "must be floating"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=said):
            answer(scores, found)
    assert answer(torch.zeros_like(logits), torch.zeros_like(corners))  # a model without weights is no mistake of form


def test_a_figure_without_objects_is_undefined():
    nothing = AveragePrecision(np.full((2, 3), -1.0), np.zeros((2, 3)), np.zeros((2, 3), dtype=np.int64), np.zeros((2, 1)))
    assert np.isnan(nothing.mean(np.ones((1, 2), dtype=np.int64))).all()
