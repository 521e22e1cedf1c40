"""No figure of something else: whatever is edited, what was stored of it before is not shown; where nothing is, it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prunekit.cli import main
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import RunGone
from prunekit.evaluation.sweep import shape_of
from prunekit.experiments.backfill import predictions
from prunekit.experiments.identity import data_hash, weights_of
from prunekit.experiments.load_run import open_run
from prunekit.experiments.max_sparsity_run import FurthestRequest, find_furthest
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.save_run import save
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense, stored
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import known_points, measure_one, sweep_through
from prunekit.models.load import load_model

NETS = """
import torch
from torch import nn
from parts.blocks import act

SCALE = 1.0

class Net(nn.Module):
    def __init__(self, bend):
        super().__init__()
        self.bend = bend
        self.one, self.two = nn.Linear(6, 8), nn.Linear(8, 3)
    def forward(self, x):
        return self.two(act(self.one(x) * SCALE, self.bend))

def net():
    import lazily
    return Net(lazily.BEND)

def other(): return Net(2.0)
net.input_shape = other.input_shape = (6,)
"""
BLOCKS = "from .deeper import power\n\ndef act(x, bend):\n    return (x * bend).relu() ** power()\n"
DATA = """
import torch
from pathlib import Path
from torch.utils.data import TensorDataset
from mean import MEAN

def data():
    told = torch.load(Path(__file__).parent / "data.pt")
    make = lambda part: TensorDataset((told[part][0] - MEAN) / 1.0, told[part][1])
    return {"train": make("train"), "validation": make("validation"), "test": make("test")}
"""
FILES = {
    "nets.py": NETS,
    "parts/__init__.py": "",
    "parts/blocks.py": BLOCKS,
    "parts/deeper.py": "def power():\n    return 1\n",
    "lazily.py": "BEND = 1.0\n",
    "data.py": DATA,
    "mean.py": "MEAN = 0.0\n",
}
SENTINEL = 1.0  # an accuracy that a model of random weights never has on random labels


@dataclass(frozen=True)
class Project:
    """A folder with a model and data, and what is asked of them."""

    root: Path
    factory: str = "net"
    limit: int | None = None
    split: str = "test"
    relative: bool = False

    @property
    def names(self) -> tuple[ModelId, DataId]:
        """The model and the data, by name."""
        root = Path(os.path.relpath(self.root)) if self.relative else self.root
        return ModelId(f"{root}/nets.py:{self.factory}", str(root / "w.pt")), DataId(f"{root}/data.py:data", limit=self.limit)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a piece of a file; the file keeps its time, as after a copy that keeps it."""
        path, text = self.root / file, (self.root / file).read_text()
        assert old in text
        kept = path.stat()
        path.write_text(text.replace(old, new))
        os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))

    def change(self, file: str, change: Callable[..., object]) -> None:
        """Change what a file of tensors holds."""
        told = torch.load(self.root / file)
        change(told)
        torch.save(told, self.root / file)


@pytest.fixture
def project(tmp_path) -> Project:
    root = tmp_path / "project"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    g = torch.Generator().manual_seed(0)
    parts = {part: [torch.randn(60, 6, generator=g), torch.randint(0, 3, (60,), generator=g)] for part in ("train", "validation", "test")}
    torch.save(parts, root / "data.pt")
    weights = {"one": (8, 6), "two": (3, 8)}
    state = {f"{name}.weight": torch.randn(*shape, generator=g) for name, shape in weights.items()}
    torch.save({**state, **{f"{name}.bias": torch.zeros(shape[0]) for name, shape in weights.items()}}, root / "w.pt")
    return Project(root)


def figures(project: Project, store: RunStore) -> dict[str, list[float]]:
    """Return every accuracy that is shown of a project: what is read before anything is measured, and what is there afterwards."""
    model_id, data_id = project.names
    model = load_model(model_id)
    data = load_data(data_id, model=model)
    part = getattr(data, project.split)
    sweep = SweepRequest(model_id, data_id, PruneSpec(), split=project.split, sparsities=(0.5,))
    alone = SensitivityRequest(model_id, data_id, PruneSpec(), project.split, sparsities=(0.5,))
    page = known_points(sweep, store, weights_of(model, shape_of(model, part)), data_hash(part))
    layers = stored(alone, store, model, data)
    given = {"model": model, "data": data}
    furthest = find_furthest(FurthestRequest(replace(sweep, sparsities=None), 0.9), None, **given).found
    found = {
        "page": [row.measurement.evaluation.value for row in page],
        "layers": [] if layers is None else [layers.dense.value],
        "curve": [point.accuracy.value for point in sweep_through(sweep, store, **given)],
        "dense": [measure_one(AccuracyRequest(model_id, data_id, None, split=project.split), store, **given).accuracy.value],
        "sensitivity": [sense(alone, store, **given).dense.value],
    }
    assert furthest.sparsity >= 0
    return found


def falsify(store: RunStore) -> None:
    """Let every stored accuracy say that all was right: so it is seen wherever it is shown."""
    with store.database.write() as connection:
        for row in connection.execute("SELECT id, observations FROM measurements WHERE what IN ('accuracy', 'sensitivity')").fetchall():
            ones = np.full(len(row["observations"]), 255, dtype=np.uint8).tobytes()
            connection.execute("UPDATE measurements SET observations = ? WHERE id = ?", (ones, row["id"]))


def shown(found: dict[str, list[float]]) -> set[str]:
    """Return where a falsified figure is shown."""
    return {place for place, values in found.items() if SENTINEL in values}


def _permute(told: dict) -> None:
    order = torch.randperm(60, generator=torch.Generator().manual_seed(7))
    told["test"] = [tensor[order] for tensor in told["test"]]


EDITS: dict[str, Callable[[Project], Project | None]] = {
    "weights": lambda p: p.change("w.pt", lambda told: told["two.weight"][0].mul_(-1)),
    "a constant in the file": lambda p: p.edit("nets.py", "SCALE = 1.0", "SCALE = 3.0"),
    "a function in an imported file": lambda p: p.edit("parts/blocks.py", ".relu()", ".tanh()"),
    "a function in a file that this one imports": lambda p: p.edit("parts/deeper.py", "return 1", "return 2"),
    "a file that is imported inside a function": lambda p: p.edit("lazily.py", "1.0", "9.0"),
    "the factory": lambda p: replace(p, factory="other"),
    "inputs": lambda p: p.change("data.pt", lambda told: told["test"][0].mul_(10).add_(3)),
    "one input": lambda p: p.change("data.pt", lambda told: told["test"][0][41, 3].add_(1e-3)),
    "labels": lambda p: p.change("data.pt", lambda told: told["test"][1].add_(1).remainder_(3)),
    "their order": lambda p: p.change("data.pt", _permute),
    "normalisation": lambda p: p.edit("mean.py", "0.0", "0.5"),
    "limit": lambda p: replace(p, limit=40),
    "split": lambda p: replace(p, split="validation"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_no_figure_is_shown_of_what_was_there_before_an_edit(project, kept, edit):
    before = figures(project, kept)
    assert not shown(before), "a model of random weights is not always right"
    falsify(kept)
    assert shown(figures(project, kept)) == set(before), "what nobody touched is read"
    edited = edit(project) or project
    assert not shown(figures(edited, kept))


def test_touching_nothing_finds_what_is_stored(project, kept, tmp_path, monkeypatch):
    figures(project, kept)
    falsify(kept)
    everywhere = {"page", "layers", "curve", "dense", "sensitivity"}
    for file in FILES:
        (project.root / file).touch()
    assert shown(figures(project, kept)) == everywhere
    moved = replace(project, root=tmp_path / "elsewhere" / "project")
    shutil.copytree(project.root, moved.root)
    # a page draws a curve by the name that was asked for; what it asks for anew is found by what it is
    assert shown(figures(moved, kept)) == everywhere - {"page"}
    monkeypatch.chdir(project.root.parent)
    assert shown(figures(replace(project, relative=True), kept)) == everywhere - {"page"}
    shutil.rmtree(project.root)
    assert shown(figures(moved, kept)) == everywhere


def test_two_folders_with_files_of_one_name_are_told_apart(project, kept, tmp_path):
    second = replace(project, root=tmp_path / "second")
    shutil.copytree(project.root, second.root)
    second.edit("parts/deeper.py", "return 1", "return 2")
    figures(project, kept)
    falsify(kept)
    assert not shown(figures(second, kept))
    assert shown(figures(project, kept)), "and going back finds the first"
    one, two = (load_model(p.names[0]) for p in (project, second))
    x = torch.randn(4, 6)
    assert not torch.equal(one(x), two(x))
    assert torch.equal(one(x), load_model(project.names[0])(x)), "each goes on with its own code"


@pytest.mark.parametrize("edit", ["weights", "a function in an imported file", "the factory"])
def test_a_run_of_another_model_is_not_opened_and_its_like_is_another_run(project, kept, edit):
    model_id, data_id = project.names
    request = AccuracyRequest(model_id, data_id, PruneSpec(sparsity=0.5))
    run = save(request, kept)
    assert open_run(run.id, kept).note == ""
    predictions(run.id, data_id, "test", kept)
    edited = EDITS[edit](project) or project
    again = save(replace(request, model=edited.names[0]), kept)
    assert again.id != run.id and again.weights != run.weights
    assert predictions(again.id, data_id, "test", kept, stored=True) is None
    if edit != "the factory":  # which both are still there
        with pytest.raises(RunGone, match="other weights now" if edit == "weights" else "other code or options now"):
            open_run(run.id, kept)


def test_the_command_line_measures_again_after_an_edit(project, kept, capsys):
    def curve(*more: str) -> str:
        model, data = (each.name for each in project.names)
        assert main(["sweep", model, "--data", data, "--sparsities", "0,0.5", *more]) == 0
        return capsys.readouterr().out

    first = curve()
    assert curve() == first == curve("--no-store")
    project.edit("parts/blocks.py", ".relu()", ".neg()")
    second = curve()
    assert second != first and second == curve("--no-store")


def test_an_image_that_is_painted_over_is_another_one(tmp_path, kept):
    from PIL import Image

    for name in ("a", "b"):
        for i in range(3):
            (tmp_path / "images" / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 40 * i).save(tmp_path / "images" / name / f"{i}.bmp")
    model_id, data_id = ModelId("digits_mlp"), DataId(f"imagefolder:{tmp_path / 'images'}")
    measure_one(AccuracyRequest(model_id, data_id, None, split="test"), kept)
    hashed = data_hash(load_data(data_id, model=load_model(model_id)).test)
    assert data_hash(load_data(data_id, model=load_model(model_id)).test) == hashed
    Image.new("L", (8, 8), 200).save(tmp_path / "images" / "a" / "1.bmp")  # of the same size in bytes
    assert data_hash(load_data(data_id, model=load_model(model_id)).test) != hashed
