"""Models on disk in every form, made once for all tests here: exporting takes seconds."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import prunekit
from prunekit.models.info import info
from prunekit.runtimes.export import export_onnx
from prunekit.runtimes.quantise import quantise_onnx
from prunekit.runtimes.runtime import Files

SAMPLES = ("digits_cnn", "mnist_lenet5", "cifar10_resnet20", "cifar10_mobilenetv2")
# one of each family as it is and halved, the largest alone both ways; the others with the slow ones
FORMS = [("digits_cnn", "dense"), ("mnist_lenet5", "half"), ("cifar10_resnet20", "half"), ("cifar10_mobilenetv2", "dense")]
OTHERS = [("digits_cnn", "half"), ("mnist_lenet5", "dense"), ("cifar10_resnet20", "dense"), ("cifar10_mobilenetv2", "half")]


@dataclass(frozen=True)
class Case:
    """A model and its files."""

    model: nn.Module
    files: Files
    shape: tuple[int, ...]

    def noise(self, batch, seed=0):
        return torch.randn(batch, *self.shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    """Return a function from (sample, what was done to it) to its case."""
    made = {}

    def case(name, done="dense"):
        if (name, done) not in made:
            made[name, done] = build(name, done, tmp_path_factory.mktemp(f"{name}-{done}"))
        return made[name, done]

    return case


def build(name, done, folder):
    dense = prunekit.load_model(name)
    shape = info(dense).input_shape
    model = {"dense": lambda: dense, "folder": lambda: dense, "half": lambda: half(dense), "sparse": lambda: sparse_linear(dense)}[done]()
    recipe = prunekit.Recipe({"name": name}, None, prunekit.PruneSpec())
    prunekit.write_folder(folder / "model", model, recipe)
    onnx = export_onnx(model, shape, folder / "model.onnx") if done in ("dense", "half") else None
    return Case(model, Files(folder / "model", onnx), shape)


def half(model):
    return prunekit.prune(model, prunekit.PruneSpec(mode="structured", sparsity=0.5, criterion="l1", scope="uniform")).model


def sparse_linear(model):
    layers = tuple(name for name, module in model.named_modules() if isinstance(module, nn.Linear))
    return prunekit.prune(model, prunekit.PruneSpec(mode="unstructured", sparsity=0.9, scope="uniform", layers=layers)).model


@pytest.fixture(scope="session")
def int8(cases, tmp_path_factory):
    """Return a function from a sample to its case with the int8 file, calibrated on noise."""
    made = {}

    def case(name):
        if name not in made:
            of = cases(name)
            path = quantise_onnx(of.files.onnx, [of.noise(8, seed).numpy() for seed in (1, 2)], tmp_path_factory.mktemp("int8") / "m.onnx")
            made[name] = Case(of.model, Files(of.files.folder, of.files.onnx, path), of.shape)
        return made[name]

    return case
