"""Each layer alone gives what pruning and measuring it alone gives, chunk by chunk, and can be taken up again."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Normal, TensorSplit
from prunekit.data.load import load_data
from prunekit.errors import DataError, PrunekitError, PruningError, SpecError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.sensitivity.drop_curves import drop_curves
from prunekit.evaluation.sensitivity.measure import SPARSITIES, Picture, sensitivity
from prunekit.evaluation.sensitivity.replay import Replay
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.evaluation.sensitivity.scan import Seen, stages
from prunekit.evaluation.sensitivity.suggested_targets import suggest
from prunekit.models.cost import count
from prunekit.models.layers import prunable_layers
from prunekit.models.load import load_model
from prunekit.models.state import state_hash
from prunekit.pruning.api import prune
from prunekit.pruning.masked_reference import zeroed
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.statistics.difference import ALPHA
from prunekit.tasks.classification import ACCURACY, IMAGES
from prunekit.tasks.observations import Observations

SHAPE = (1, 8, 8)


class Net(nn.Module):
    """Two coupled convolutions, one alone, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.inner = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 12, 3, padding=1)
        self.close, self.act, self.fc = nn.Conv2d(12, 8, 1), nn.ReLU(inplace=True), nn.Linear(8 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.stem(x)))
        x = torch.relu(x + self.close(self.act(self.inner(x))))
        return self.fc(torch.flatten(nn.functional.avg_pool2d(x, 2), 1))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    net = Net()
    net.norm.running_mean.normal_()
    net.norm.running_var.uniform_(0.5, 2)
    return net.eval().requires_grad_(False)


def split(n: int = 300, seed: int = 1) -> TensorSplit:
    generator = torch.Generator().manual_seed(seed)
    labels = np.random.default_rng(seed).integers(0, 10, n)
    return TensorSplit(torch.rand(n, *SHAPE, generator=generator), labels, Normal((0.5,), (0.5,)), 1.0)


def data(**parts: TensorSplit | None) -> SimpleNamespace:
    return SimpleNamespace(**{"train": split(60, 5), "validation": split(), "test": split(50, 2), **parts})


SPECS = [
    PruneSpec(),
    PruneSpec(criterion="random", seed=3),
    PruneSpec(criterion="lamp"),
    PruneSpec(criterion="taylor", samples=40),
    PruneSpec(mode="structured"),
    PruneSpec(mode="structured", criterion="taylor", samples=40),
    PruneSpec(mode="structured", criterion="random", seed=2),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.mode} {s.criterion}")
def test_each_point_is_what_pruning_that_layer_alone_gives(model: nn.Module, spec: PruneSpec) -> None:
    images, before = data(), state_hash(model)
    found = sensitivity(model, images, spec)
    assert state_hash(model) == before
    assert found.dense == evaluate(model, images.validation)
    names = [layer.name for layer in found.layers]
    assert names == (list(prunable_layers(model)) if spec.mode == "unstructured" else ["stem", "inner"])
    moved = 0
    for layer in found.layers:
        assert [point.requested for point in layer.points] == list(SPARSITIES)
        for point in layer.points:
            setting = {"mode": spec.mode, "criterion": spec.criterion, "seed": spec.seed, "samples": spec.samples}
            one = prune(model, PruneSpec(**setting, layers=layer.layers, sparsity=point.requested), images)
            assert (point.accuracy.correct == evaluate(one.model, images.validation).correct).all()
            assert point.sparsity == pytest.approx(one.achieved.sparsity)
            assert point.removed == one.achieved.removed
            if spec.mode == "structured":
                assert (point.params, point.macs) == (one.before.params - one.after.params, one.before.macs - one.after.macs)
            else:
                assert point.params == one.before.nonzero - one.after.nonzero
                assert point.macs == pytest.approx(one.before.effective_macs - one.after.effective_macs, abs=1)
            moved += point.accuracy != found.dense
    assert moved > len(names)


def test_channels_are_zeroed_as_the_proof_zeroes_them(model: nn.Module) -> None:
    images, spec = data(), PruneSpec(mode="structured", layers=("inner",))
    point = sensitivity(model, images, spec, [0.5]).layers[0].points[0]
    plan = ChannelRanking.of(model, spec, trace(model, SHAPE)).cut(0.5)
    assert (point.accuracy.correct == evaluate(zeroed(model, plan), images.validation).correct).all()


def test_every_report_is_a_whole_picture_of_a_stratified_part(model: nn.Module) -> None:
    images, seen = data(validation=split(1000)), list[Sensitivity]()
    done = sensitivity(model, images, sparsities=[0.5, 0.9], report=seen.append)
    assert [s.images for s in seen] == [128, 384, 896, 1000]
    assert seen[-1] == done
    assert done.done
    for picture in seen:
        part = images.validation.subset(picture.images)
        assert (picture.dense.correct == evaluate(model, part).correct).all()
        one = prune(model, PruneSpec(layers=("fc",), sparsity=0.9), input_shape=SHAPE).model
        assert (picture.layers[-1].points[1].accuracy.correct == evaluate(one, part).correct).all()
        assert not picture.done or picture is seen[-1]
    widths = [s.dense.high - s.dense.low for s in seen]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_it_goes_on_from_where_it_was(model: nn.Module, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images, seen = data(validation=split(1000)), list[Sensitivity]()
    spec = PruneSpec(mode="structured")
    whole = sensitivity(model, images, spec, [0.3, 0.6], report=seen.append)
    looked: list[int] = []
    take = TensorSplit.images
    monkeypatch.setattr(TensorSplit, "images", lambda self, which: looked.append(which.size) or take(self, which))
    again = sensitivity(model, images, spec, [0.3, 0.6], start=seen[after])
    assert again == whole
    for a, b in zip(again.layers, whole.layers, strict=True):
        for p, q in zip(a.points, b.points, strict=True):
            assert (p.accuracy.correct == q.accuracy.correct).all()
    assert sum(looked) < 1000 - seen[after].images + 100


def test_what_is_done_is_not_measured_again(model: nn.Module) -> None:
    images = data()
    done = sensitivity(model, images, sparsities=[0.5])
    assert sensitivity(model, images, sparsities=[0.5], start=done, report=lambda _: pytest.fail("measured again")) == done


def sides(drop: float, losses: np.ndarray, size: int, seed: int) -> tuple[Picture, np.ndarray, np.ndarray]:
    """Scan layers of which it is known how often they are wrong, stage by stage; return the picture and the sides: told, and at the end."""
    noise, seen = np.random.default_rng(seed), Seen(size, losses.size, 1, ACCURACY)
    dense = noise.random(size) < 0.95
    layers = np.where(dense, noise.random((losses.size, size)) >= losses[:, None] / 0.95, noise.random((losses.size, size)) < 0.05)
    picture = Picture(PruneSpec(), "", (), drop, False, (), seen, IMAGES)

    def bits(right: np.ndarray) -> Observations:
        return Observations(right.reshape(-1, 1), ("correct",))

    for n in stages(size):
        for which, these in seen.lacking(n, ~picture.settled):
            seen.note(
                which, bits(dense[which]), [[bits(row[which]) if wanted else None] for row, wanted in zip(layers, these[:, 0], strict=True)]
            )
        picture.look(n)
    told = np.array([dense[: n[0]].mean() - row[: n[0]].mean() for row, n in zip(layers, picture.n, strict=True)]) > drop
    return picture, told, dense.mean() - layers.mean(1) > drop


def test_what_settles_early_is_on_the_side_that_the_full_scan_finds() -> None:
    wrong = settled = 0
    for seed in range(2):
        picture, told, found = sides(0.02, np.linspace(0.0, 0.08, 30), 1500, seed)
        early = picture.settled[:, 0] & (picture.n[:, 0] < 1500)
        wrong, settled = wrong + int((told != found)[early].sum()), settled + int(early.sum())
    assert settled > 30 and wrong <= ALPHA * 60


@pytest.mark.parametrize("mode", ["unstructured", "structured"])
def test_points_that_are_clear_of_the_allowed_loss_see_no_more_images(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("digits_cnn")
    images, spec, passes = load_data("digits", model=model).train, PruneSpec(mode=mode), [0]
    predict = Replay.predict
    monkeypatch.setattr(Replay, "predict", lambda self, *more: passes.append(passes.pop() + self._x.samples) or predict(self, *more))
    shares = (0.1, 0.4, 0.7, 0.9)
    full, of_all = sensitivity(model, images, spec, shares), passes[0]
    early, of_some = sensitivity(model, images, spec, shares, drop=0.02), passes[0] - of_all
    assert early.done and early.dense == full.dense and early.answers(0.02) and not full.early and full.saved == 0
    assert of_some / of_all == pytest.approx(1 - early.saved, abs=0.02) and early.saved > 0.2
    apart = [(early.lost(p) > 0.02) != (full.lost(q) > 0.02) for p, q in zip(early.points, full.points, strict=True) if p.settled]
    assert sum(apart) <= 1 < len(apart), "on the same side, but for what the level allows"
    for p, q in zip(early.points, full.points, strict=True):
        assert p.dense == (None if p.accuracy.n == early.total else p.dense) and (p.settled or p.accuracy == q.accuracy)
    worst, first = (max(drop_curves(found), key=lambda curve: curve.mean).name for found in (early, full))
    assert worst == first
    totals = count(model, SHAPE)
    some, all_ = (suggest(found, drop=0.02, totals=(totals.params, totals.macs)) for found in (early, full))
    assert some.params == pytest.approx(all_.params, abs=0.05)


def test_the_start_of_another_setting_is_refused(model: nn.Module) -> None:
    images = data()
    done = sensitivity(model, images, sparsities=[0.5])
    for change in ({"sparsities": [0.6]}, {"split": "test"}, {"images": 200}, {"spec": PruneSpec(criterion="random")}):
        with pytest.raises(PrunekitError, match="another setting"):
            sensitivity(model, images, **{"sparsities": [0.5], "start": done, **change})


def test_so_many_images_are_those_of_the_fixed_choice(model: nn.Module) -> None:
    images = data()
    found = sensitivity(model, images, sparsities=[0.9], images=100)
    assert found.total == found.dense.n == 100
    assert (found.dense.correct == evaluate(model, images.validation.subset(100)).correct).all()


def test_the_split_is_said(model: nn.Module) -> None:
    assert sensitivity(model, data(), sparsities=[0.5]).split == "validation"
    assert sensitivity(model, data(), sparsities=[0.5], split="test").dense.n == 50
    found = sensitivity(model, data(validation=None), sparsities=[0.5])
    assert found.split == "test"
    assert "test samples served" in found.notes[0]
    assert sensitivity(model, split(40), sparsities=[0.5]).split == ""
    with pytest.raises(DataError, match="no validation part"):
        sensitivity(model, data(validation=None), split="validation")


def test_a_tight_budget_changes_nothing_but_the_time(model: nn.Module) -> None:
    free = sensitivity(model, data(), sparsities=[0.5, 0.8])
    assert sensitivity(model, data(), sparsities=[0.5, 0.8], budget_bytes=0) == free


def test_progress_rises_and_cancel_stops_at_once(model: nn.Module) -> None:
    seen: list[float] = []
    sensitivity(model, data(), sparsities=[0.5], progress=Progress(lambda share, text: seen.append(share)))
    assert seen == sorted(seen)
    assert seen[-1] == 1
    cancel, pictures = threading.Event(), list[Sensitivity]()
    images = data(validation=split(1000))
    with pytest.raises(Cancelled):
        sensitivity(model, images, sparsities=[0.5], progress=Progress(cancel=cancel), report=lambda s: pictures.append(s) or cancel.set())
    assert len(pictures) == 1


def test_weights_that_are_zero_already_are_not_counted_as_saved(model: nn.Module) -> None:
    model.fc.weight[:, :64] = 0
    points = sensitivity(model, data(), PruneSpec(layers=("fc",)), [0.3, 0.5, 0.6]).layers[0].points
    assert [p.params for p in points] == [0, 0, 128]
    assert [round(p.sparsity, 3) for p in points] == [0.5, 0.5, 0.6]


def test_bad_input_is_said(model: nn.Module) -> None:
    with pytest.raises(PrunekitError, match="one sparsity"):
        sensitivity(model, data(), PruneSpec(mode="nm"))
    with pytest.raises(PruningError, match="no prunable layer"):
        sensitivity(model, data(), PruneSpec(layers=("nowhere",)))
    with pytest.raises(SpecError, match="sparsity"):
        sensitivity(model, data(), sparsities=[1.0])
    with pytest.raises(PrunekitError, match="at least one"):
        sensitivity(model, data(), sparsities=[])
    with pytest.raises(DataError, match="no samples"):
        sensitivity(model, split(0))
    with pytest.raises(DataError, match="give a split"):
        sensitivity(model, [(torch.rand(2, *SHAPE), torch.tensor([0, 1]))])
    with pytest.raises(DataError, match="at least 0"):
        sensitivity(model, data(), images=-1)


def test_plain_values_hold_what_the_command_line_prints(model: nn.Module) -> None:
    plain = sensitivity(model, data(), sparsities=[0.5]).to_dict()
    assert {"mode", "dense", "split", "images", "layers"} <= set(plain)
    layer = plain["layers"][1]
    assert {"name", "params", "macs", "points"} <= set(layer)
    assert layer["params"] == 12 * 8 * 9 + 12
    assert layer["macs"] == 12 * 8 * 9 * 64
    assert set(layer["points"][0]["accuracy"]) == {"value", "low", "high", "n"}
