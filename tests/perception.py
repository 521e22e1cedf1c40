"""torchvision's detectors and segmentation networks with random weights: pruned, proved, trained one step on canvas, exported."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.models import detection, segmentation

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.data.canvas import CANVAS, MASKS
from prunekit.errors import PrunekitError
from prunekit.models.layers import prunable_layers
from prunekit.models.outputs import tensors_of
from prunekit.models.rebuilding import apply_widths
from prunekit.models.widths import widths
from prunekit.pruning.structured.grouping import trace
from prunekit.runtimes.export import export_onnx
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import samples_at
from prunekit.tasks.detection import DETECTION
from prunekit.tasks.input_form import answer
from prunekit.tasks.segmentation import SEGMENTATION

DETECTORS = (
    *("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn"),
    *("fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn", "keypointrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn"),
    *("maskrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large"),
)
SEGMENTERS = (
    *("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "deeplabv3_resnet101", "fcn_resnet50", "fcn_resnet101"),
    "lraspp_mobilenet_v3_large",
)
SHARES = (0.3, 0.5)
SHAPE, CLASSES = (3, 96, 96), 10
BACKGROUND = ("fasterrcnn", "maskrcnn", "keypointrcnn", "ssd")


def build(name: str) -> nn.Module:
    """Return a model, the same every time: detectors at the size of canvas where they take any."""
    options: dict[str, Any] = {"num_classes": CLASSES + name.startswith(BACKGROUND) + (name in SEGMENTERS)}
    if name in DETECTORS and not name.startswith("ssd"):
        options |= {"min_size": SHAPE[1], "max_size": SHAPE[1]}
    if name in SEGMENTERS and not name.startswith("lraspp"):
        options["aux_loss"] = True
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = getattr(detection if name in DETECTORS else segmentation, name)(weights=None, weights_backbone=None, **options)
    model: nn.Module = made.eval()
    return model


def scenes(model: nn.Module, name: str, n: int = 2) -> Batch:
    """Return pictures of canvas with what is to be found in them, and what the model learns from."""
    batch = samples_at(prunekit.load_data(CANVAS if name in DETECTORS else MASKS, model=model).train, np.arange(n))
    if name.startswith("keypointrcnn"):  # canvas knows no joints: the middle of each digit serves
        for place, target in enumerate(batch.targets):
            middle = (target["boxes"][:, :2] + target["boxes"][:, 2:]) / 2
            batch.targets[place] = {**target, "keypoints": torch.cat((middle, torch.ones(len(middle), 1)), 1)[:, None].repeat(1, 17, 1)}
    return batch


def trains(model: nn.Module, name: str) -> bool:
    """Take one step on canvas by the task's own loss; return whether gradients are finite and nearly all layers moved, all of the heads."""
    torch.manual_seed(0)
    task, batch = DETECTION if name in DETECTORS else SEGMENTATION, scenes(model, name)
    model.train().requires_grad_(True)
    before = [p.detach().clone() for p in model.parameters()]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    with torch.enable_grad():
        task.loss(task.forward(model, batch), batch).backward()
    optimiser.step()
    finite = all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)
    model.eval().requires_grad_(False)
    moved = {part: not torch.equal(a, b) for a, (part, b) in zip(before, model.named_parameters(), strict=True)}
    return finite and bool(np.mean(list(moved.values())) > 0.6) and all(moved[part] for part in moved if part.startswith("roi_heads."))


def exported(model: nn.Module) -> str:
    """Return "yes", or why a model cannot be exported."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_onnx(model, SHAPE, Path(folder) / "model.onnx")
        except PrunekitError as error:
            return " ".join(str(error).split())[:100]
    return "yes"


def pruned(name: str, *, export: bool = True) -> dict[str, Any]:
    """Prune a model at 30 % of random channels and at 50 % by L1, all layers; prove, reopen, train, export; return what was seen."""
    start, model = time.process_time(), build(name)
    graph = trace(model, SHAPE)
    row: dict[str, Any] = {"name": name, "groups": len(graph.groups), "blocks": len(graph.blocks), "limits": graph.limits}
    row["whole"] = {layer: why for layer, why in graph.immovable.items() if "outputs" not in why}
    for share in SHARES:
        criterion = "random" if share < 0.5 else "l1"
        spec = PruneSpec(mode="structured", sparsity=share, criterion=criterion, layers=prunable_layers(model))
        result = prunekit.prune(model, spec, input_shape=SHAPE)
        assert result.proof is not None and type(result.model) is type(model)
        row[f"{share:g}"] = {
            "params": (result.before.params, result.after.params), "macs": (result.before.macs, result.after.macs),
            "proof": result.proof.to_dict(),
        }  # fmt: skip
    small, x = result.model, torch.rand(1, *SHAPE)
    again = build(name)
    apply_widths(again, widths(small), {**small.state_dict(), **dict(small.named_buffers())})
    again.load_state_dict(small.state_dict())
    with torch.no_grad():
        both = [tensors_of(answer(each, Batch.of(x))) for each in (small, again)]
    row["reopens"] = all(torch.equal(both[0][path], both[1][path]) for path in both[0])
    row["trains"] = trains(small, name)
    row["onnx"] = exported(small) if export else ""
    return row | {"seconds": time.process_time() - start}
