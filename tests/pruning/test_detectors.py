"""Detectors: pruned with pyramids, proposals and heads, proved before they choose boxes by score, and trained by their own losses."""

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import Subset
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.errors import ModelError
from prunekit.models.info import described
from prunekit.models.layers import prunable_layers
from prunekit.runtimes.checking import evaluate_session
from prunekit.runtimes.torch_sessions import TorchSession
from prunekit.tasks.batch import Batch
from prunekit.tasks.detection import DETECTION
from prunekit.tasks.torchvision_detectors import TorchvisionForm
from tests.perception import DETECTORS, SEGMENTERS, pruned
from tests.yolo import SingleShot

FORM = TorchvisionForm()
SHAPE = (3, 48, 48)


class Pyramid(nn.Module):
    """Two stages with norms that do not learn, and a feature pyramid over them."""

    out_channels = 12

    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), FrozenBatchNorm2d(8), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(8, 10, 3, 2, 1), FrozenBatchNorm2d(10), nn.ReLU())
        self.fpn = FeaturePyramidNetwork([8, 10], 12)

    def forward(self, x):
        one = self.one(x)
        return self.fpn(OrderedDict([("0", one), ("1", self.two(one))]))


@pytest.fixture
def detector():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MaskRCNN(
            Pyramid(), min_size=48, max_size=48, rpn_anchor_generator=AnchorGenerator(((8,), (16,)), ((1.0,),) * 2),
            box_roi_pool=MultiScaleRoIAlign(["0", "1"], 3, 2), box_head=TwoMLPHead(12 * 9, 14), box_predictor=FastRCNNPredictor(14, 4),
            mask_roi_pool=MultiScaleRoIAlign(["0", "1"], 4, 2), mask_head=MaskRCNNHeads(12, (9,), 1),
            mask_predictor=MaskRCNNPredictor(9, 7, 4),
        )  # fmt: skip
    return model.eval()


def scenes(n=2):
    noise = torch.Generator().manual_seed(1)
    targets = [{"boxes": torch.tensor([[4.0 + i, 6.0, 20.0, 30.0]]), "labels": torch.tensor([i % 3])} for i in range(n)]
    return Batch.of(torch.rand(n, *SHAPE, generator=noise), targets)


def test_pyramid_proposals_and_heads_go_and_the_detector_still_detects_and_learns(detector):
    spec = PruneSpec(mode="structured", criterion="random", sparsity=0.5, layers=prunable_layers(detector))
    result = prunekit.prune(detector, spec, input_shape=SHAPE)
    assert result.proof.passed
    layers = {layer.name: layer for layer in result.layers}
    shrunk = {name for name, layer in layers.items() if layer.shape_before[0] != layer.shape_after[0]}
    assert {"backbone.fpn.inner_blocks.0.0", "rpn.head.conv.0.0", "roi_heads.box_head.fc6", "roi_heads.mask_predictor.conv5_mask"} <= shrunk
    assert {"rpn.head.cls_logits", "rpn.head.bbox_pred", "roi_heads.box_predictor.cls_score"}.isdisjoint(shrunk)
    assert type(result.model) is MaskRCNN and result.after.macs < 0.6 * result.before.macs
    batch = scenes()
    with torch.no_grad():
        found = FORM.forward(result.model, batch).found
    labels = torch.cat([each.labels for each in found])
    assert len(found) == 2 and labels.numel() and set(labels.tolist()) <= {0, 1, 2}
    with torch.enable_grad():
        small = result.model.train().requires_grad_(True)
        output = FORM.forward(small, batch)
        FORM.loss(output, batch).backward()
    assert {"loss_classifier", "loss_objectness"} <= output.losses.keys() and "loss_mask" not in output.losses
    dense = FORM.forward(detector, batch)
    assert float(FORM.distance(dense, dense, batch, 1.0).detach()) == 0 < float(FORM.distance(output, dense, batch, 1.0).detach())
    assert small.training and small.roi_heads.training and small.roi_heads.mask_roi_pool is not None
    assert small.backbone.one[0].weight.grad.abs().sum() > 0


def test_the_heads_are_those_that_the_detector_decides_by(detector):
    seen = {}
    detector.roi_heads.box_predictor.register_forward_hook(lambda _m, _a, out: seen.update(scores=out[0]))
    detector.rpn.head.register_forward_hook(lambda _m, _a, out: seen.update(objectness=out[0]))
    batch = scenes()
    with torch.no_grad():
        heads = FORM.heads(detector, batch)
        own = dict(seen)
        listed = FORM.heads(detector, Batch.of(list(batch.args[0]), samples=2))
        detector(list(batch.args[0]))
    assert torch.equal(own["objectness"][0], seen["objectness"][0])
    assert heads["class_logits"].shape == (2, 4, 4) and heads["masks"].shape == (2, 4, 4, 8, 8)
    assert all(torch.allclose(heads[name], listed[name], atol=1e-6) for name in heads)


def test_losses_in_evaluation_leave_norms_as_they_are(detector):
    before = detector.backbone.one[1].running_mean.clone()
    with torch.enable_grad():
        output = FORM.forward(detector.requires_grad_(True), scenes())
    assert FORM.loss(output, scenes()).requires_grad and len(output.found) == 2
    assert not detector.training and not detector.rpn.training and torch.equal(before, detector.backbone.one[1].running_mean)


@pytest.mark.slow
@pytest.mark.parametrize("parts", ["chunk", "split"])
def test_single_shot_blocks_go_in_evaluation_and_in_training_and_attention_alone_stays(parts):
    torch.manual_seed(0)
    model = SingleShot(parts=parts).eval()
    for share in (0.3, 0.5):
        spec = PruneSpec(mode="structured", criterion="random", sparsity=share, layers=prunable_layers(model))
        result = prunekit.prune(model, spec, input_shape=(3, 32, 32))
        assert result.proof.passed and "training mode" in result.proof.forms
        assert result.after.params < (1 - share) * result.before.params
    held = {limit.partition(" stays whole")[0] for limit in result.limits if "a size written" in limit}
    # attention lays its values out by the width of what comes in; its queries and keys become less wide
    assert held == {"attn.enter.conv", "attn.ffn.1.conv", "attn.attn.proj.conv", "attn.attn.place.conv"}
    before, after = model.attn.attn, result.model.attn.attn
    assert after.key_dim < before.key_dim and after.head_dim == before.head_dim and after.scale == before.scale
    small = result.model
    if parts == "split":
        assert small.one.width == small.one.enter.conv.out_channels // 2 < 8
    found, maps = small(torch.rand(1, 3, 64, 64))
    assert found.shape == (1, 7, 320) and [tuple(x.shape[2:]) for x in maps] == [(16, 16), (8, 8)]
    small.train().requires_grad_(True)
    sum(x.square().mean() for x in small(torch.rand(2, 3, 32, 32))).backward()
    assert all(p.grad is not None for name, p in small.named_parameters() if "dfl" not in name)


@pytest.mark.slow
def test_a_set_of_boxes_goes_with_its_hidden_width_and_learns_by_matching():
    from tests.hugging_face import build, inputs

    model, given = build("YOLOS"), inputs("YOLOS")
    spec = PruneSpec(mode="structured", sparsity=0.5, scope="uniform", layers=prunable_layers(model))
    result = prunekit.prune(model, spec, input_shape=given)
    assert result.proof.passed and result.after.params < 0.35 * result.before.params  # the hidden width is no answer of a detector
    targets = [
        {"boxes": torch.tensor([[2.0, 3.0, 20.0, 25.0]]), "labels": torch.tensor([1])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0)},
    ]
    batch, small = Batch.of(given, targets), result.model.train().requires_grad_(True)
    with torch.enable_grad():
        output = DETECTION.forward(small, batch)
        DETECTION.loss(output, batch).backward()
    assert small.vit.embeddings.detection_tokens.grad.abs().sum() > 0
    dense = DETECTION.forward(model, batch)
    assert float(DETECTION.distance(dense, dense, batch).detach()) == 0 < float(DETECTION.distance(output, dense, batch).detach())
    found = DETECTION.detections(output, batch)[0]
    middle = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    assert len(found.scores) and set(found.labels.tolist()) <= set(range(4)) and bool(((middle >= 0) & (middle <= 32)).all())


def test_a_session_gives_the_heads_and_is_judged_by_what_is_found(detector):
    session, batch = TorchSession(detector, "cpu"), scenes()
    with torch.no_grad():
        expected = FORM.heads(detector, batch)
    assert session.outputs(batch).keys() == expected.keys() and session.bind(batch)().keys() == expected.keys()
    assert len(DETECTION.detections(session.answer(batch), batch)) == 2


def test_a_file_of_heads_is_not_judged_by_what_the_model_finds_and_pixels_are_not_normalised_twice(detector):
    batch = scenes()
    data = Subset(list(zip(batch.args[0], batch.targets, strict=True)), [0, 1])
    with pytest.raises(ModelError, match="measure mAP@50 in a runtime of torch"):
        evaluate_session(SimpleNamespace(), data, task=DETECTION, model=detector)
    known = described(None, detector)
    assert (known.mean, known.std) == ((0, 0, 0), (1, 1, 1)), "such a detector normalises its pictures itself"


@pytest.mark.nightly
@pytest.mark.parametrize("name", [*DETECTORS, *SEGMENTERS])
def test_each_of_torchvisions_builders(name):
    row = pruned(name, export=False)
    assert row["reopens"] and row["trains"] and not row["limits"] and all(row[share]["proof"]["passed"] for share in ("0.3", "0.5"))
