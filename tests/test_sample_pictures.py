"""The samples of annotated pictures: each is what its card says, and trained by the recipe on its card."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from prunekit.data.annotated import BoxSplit, MaskSplit
from prunekit.data.dataset import Normal
from prunekit.data.load import load_data
from prunekit.errors import DataError
from prunekit.evaluation.accuracy import evaluate
from prunekit.models.entries import moves_of
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.tasks.registry import task
from prunekit.training import samples
from prunekit.training.picture_samples import NAMES, PictureRecipe, fit_pictures, varied
from prunekit.training.window_samples import Cycle, Window, WindowRecipe, fit_windows, varied_windows
from sample_models import card, weights_path

SHIPPED = [name for name in NAMES if name != "camvid_lraspp"]
PROMISED = {"canvas_detector": ("map_50", 0.95), "canvas_segmenter": ("mean_iou", 0.85)}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_is_true(name):
    told, payload, model = card(name), weights_path(name).read_bytes(), load_model(name)
    known, data = info(model), load_data(card(name)["data"], model=model)
    assert told["weights_sha256"] == hashlib.sha256(payload).hexdigest() and told["weights_bytes"] == len(payload) <= 5_000_000
    assert told["recipe"] | {"seed": told["seed"]} == PictureRecipe.of(told).to_dict()
    assert (known.task, known.data, told["params"]) == (told["task"], told["data"], sum(p.numel() for p in model.parameters()))
    assert (tuple(told["input_shape"]), tuple(told["classes"])) == (known.input_shape, data.classes) and known.classes == data.classes
    assert told["splits"] == {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
    metric, least = PROMISED[name]
    assert told["test_metrics"][metric]["low"] > least and told["macs"] == samples.cost(model, 0)["macs"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_figures_are_the_cards(name):
    model = load_model(name)
    seen = evaluate(model, load_data(card(name)["data"], model=model).test)
    for metric in seen.task.metrics:
        found, kept = metric.summary(seen.observations), card(name)["test_metrics"][metric.name]
        assert found["n"] == kept["n"] and [found[end] for end in ("value", "low", "high")] == pytest.approx(
            [kept[end] for end in ("value", "low", "high")], rel=2e-3
        )


def test_the_card_of_camvid_is_true():
    told, payload, model = card("camvid_lraspp"), weights_path("camvid_lraspp").read_bytes(), load_model("camvid_lraspp")
    assert told["weights_sha256"] == hashlib.sha256(payload).hexdigest() and told["weights_bytes"] == len(payload) <= 5_000_000
    assert (info(model).task, info(model).data, told["params"]) == (told["task"], "camvid", sum(p.numel() for p in model.parameters()))
    assert told["classes"] == list(info(model).classes) and told["test_metrics"]["mean_iou"]["low"] > 0.45 and "research" in told["licence"]
    assert moves_of(model) == (0, True) and told["recipe"] | {"seed": told["seed"]} == WindowRecipe.of(told).to_dict()
    assert "camvid_lraspp" in NAMES and sum(cycle.steps for cycle in WindowRecipe.of(told).over(2, 367).cycles) == 92


@pytest.mark.nightly
def test_figures_of_camvid_are_the_cards():
    model, told = load_model("camvid_lraspp"), card("camvid_lraspp")
    try:
        data = load_data("camvid", model=model)
    except DataError as error:
        pytest.skip(str(error))
    assert told["splits"] == {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
    seen = evaluate(model, data.test)
    for metric in seen.task.metrics:
        assert metric.reduce(seen.observations) == pytest.approx(told["test_metrics"][metric.name]["value"], rel=2e-3)


def squares(n=8):
    """Pictures with a white square each, its box and the class of each pixel."""
    generator = torch.Generator().manual_seed(0)
    pictures, masks, targets = torch.full((n, 3, 32, 32), -2.0), torch.zeros(n, 32, 32, dtype=torch.int64), []
    for row, (x, y) in enumerate(torch.randint(8, 16, (n, 2), generator=generator).tolist()):
        pictures[row, :, y : y + 8, x : x + 8] = 2
        masks[row, y : y + 8, x : x + 8] = 1
        targets.append({"boxes": torch.tensor([[x, y, x + 8.0, y + 8]]), "labels": torch.tensor([1])})
    return pictures, masks, targets


def test_boxes_and_classes_of_pixels_move_with_their_picture():
    pictures, masks, targets = squares()
    recipe = PictureRecipe(epochs=1, shift=12, colours=True)
    moved, boxes = varied(pictures, targets, recipe, torch.Generator().manual_seed(1))
    same, classes = varied(pictures, masks, recipe, torch.Generator().manual_seed(1))
    assert torch.equal(moved, same) and not torch.equal(moved, pictures)
    for picture, mask, target in zip(moved, classes, boxes, strict=True):
        inside = picture[0] == picture[0, mask.bool()][0] if mask.any() else torch.zeros(32, 32, dtype=torch.bool)
        assert torch.equal(inside, mask.bool())
        for x, y, right, low in target["boxes"].long().tolist():
            assert mask[y:low, x:right].all() and mask.sum() == (low - y) * (right - x)


def test_windows_carry_the_classes_of_their_pixels_and_a_tiny_network_learns_them():
    _, masks, _ = squares()
    pictures = (masks[:, None] * 200 + 20).expand(-1, 3, -1, -1).to(torch.uint8)
    window = Window(30, 24, (0.5, 1.5))
    cycle = Cycle(0.03, (window,), brightness=0.0, contrast=0.0)
    x, y = varied_windows(pictures, masks, window, cycle, torch.Generator().manual_seed(0))
    sure = (x.mean(1) - 0.45).abs() > 0.3  # between two classes pixels are mixed
    assert torch.equal((x.mean(1) > 0.45)[sure & (y < 255)], (y == 1)[sure & (y < 255)]) and (y == 255).any() and (y == 1).any()

    class Held:
        def pixels(self, places):
            return pictures[torch.from_numpy(places)]

    split = MaskSplit(Held(), np.arange(8), Normal((0.5,) * 3, (0.25,) * 3), lambda places: masks[torch.from_numpy(places)].byte())
    recipe = WindowRecipe((cycle, cycle), batch_size=4, weight_decay=0.0, warmup=3, average=0.9, clip=1.0)
    model, _ = fit_windows(lambda: nn.Conv2d(3, 2, 1), split, 2, recipe, say=lambda line: None)
    seen = evaluate(model, split, task="semantic-segmentation")
    assert seen.value > 0.95


class Tiny(nn.Module):
    """Two classes for each of 16 places."""

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 6, 8, 8)

    def forward(self, x):
        found = self.net(x).flatten(2).transpose(1, 2)
        y, x = torch.meshgrid(torch.arange(4) * 8 + 4, torch.arange(4) * 8 + 4, indexing="ij")
        centre, half = torch.stack([x, y], -1).flatten(0, 1), found[..., 2:4].exp() * 4
        return {"scores": found[..., :2], "boxes": torch.cat([centre - half, centre + half], 2)}


def test_training_goes_on_from_its_checkpoint(tmp_path):
    pictures, _, targets = squares()

    class Held:
        def pixels(self, places):
            return ((pictures[torch.from_numpy(places)] + 2) * 63).to(torch.uint8)

        def content(self):
            return "squares"

    split = BoxSplit(Held(), np.arange(8), Normal((0.5,) * 3, (0.25,) * 3), targets)
    recipe, judge, lines = PictureRecipe(epochs=3, batch_size=4, shift=2), task("object-detection"), []
    whole, _ = fit_pictures(Tiny, split, judge, recipe, say=lines.append)
    file = tmp_path / "checkpoint.pt"

    def stop(line):
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_pictures(Tiny, split, judge, recipe, checkpoint=file, say=stop)
    again, _ = fit_pictures(Tiny, split, judge, recipe, checkpoint=file, say=lines.append)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
    assert len(lines) == 5 and not whole.training
