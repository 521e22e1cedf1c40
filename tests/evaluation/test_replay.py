"""What comes before a change is replayed, and no prediction differs from that of a whole pass by a bit."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

from prunekit.errors import ModelError
from prunekit.evaluation.sensitivity.replay import Replay
from prunekit.models.layers import prunable_layers
from prunekit.models.state import state_hash
from tests.nets import SHAPE, nets


def noisy(model: nn.Module, seed: int = 0) -> nn.Module:
    """A model whose norms do something and whose classes are told apart."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model.eval().requires_grad_(False)


def samples(shape: tuple[int, ...], n: int = 5, seed: int = 3) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def changes(model: nn.Module, most: int = 8) -> Iterator[tuple[str, Tensor]]:
    """Half of a layer's weights, one layer after the other: the first, the last and some between."""
    generator, layers = torch.Generator().manual_seed(1), prunable_layers(model)
    for name in layers[:: -(-len(layers) // most)] if len(layers) > most else layers:
        weight = model.get_submodule(name).weight
        yield f"{name}.weight" if name else "weight", torch.rand(weight.shape, generator=generator) < 0.5


def whole(model: nn.Module, name: str, gone: Tensor, x: Tensor) -> Tensor:
    """The outcome of a copy that is changed and run from start to end."""
    changed = copy.deepcopy(model)
    changed.state_dict()[name].masked_fill_(gone, 0)
    with torch.inference_mode():
        out = changed(x.clone())
    return out if isinstance(out, Tensor) else out[0]


def check(model: nn.Module, x: Tensor, **settings: int) -> Replay:
    """Every layer's change, on two batches, is what whole passes give; the model stays as it is."""
    before, gone = state_hash(model), list(changes(model))
    replay = Replay(model, x, [[name] for name, _ in gone], **settings)
    for batch in (x[: max(replay.batch_size // 2, 1)].flip(0), x[: replay.batch_size]):
        with torch.inference_mode():
            out = model(batch.clone())
        assert torch.equal(replay.load(batch.clone()), out if isinstance(out, Tensor) else out[0])
        moved = 0
        for index, (name, mask) in reversed(list(enumerate(gone))):
            expected = whole(model, name, mask, batch)
            for _ in range(2):
                assert torch.equal(replay.predict(index, [(name, mask)]), expected), name
            moved += not torch.equal(expected, out if isinstance(out, Tensor) else out[0])
        assert moved > len(gone) / 2
    assert state_hash(model) == before
    return replay


FAMILIES = {
    "resnet18": 32, "vgg11": 32, "vgg11_bn": 32, "mobilenet_v2": 32, "mobilenet_v3_small": 40, "densenet121": 32, "googlenet": 40,
    "squeezenet1_1": 40, "shufflenet_v2_x0_5": 40, "mnasnet0_5": 40, "efficientnet_b0": 32, "convnext_tiny": 32, "vit": 16,
    "swin_t": 32, "regnet_y_400mf": 32, "resnext50_32x4d": 32, "alexnet": 64, "maxvit_t": 224, "small vgg": 16, "small densenet": 16,
}  # fmt: skip
QUICK = ["resnet18", "small vgg", "mobilenet_v2", "small densenet", "squeezenet1_1", "shufflenet_v2_x0_5", "vit"]
LARGE = ["vgg11_bn", "convnext_tiny", "resnext50_32x4d", "maxvit_t"]


def family(name: str) -> nn.Module:
    given = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    torch.manual_seed(0)
    if name == "vit":
        model = torchvision.models.VisionTransformer(16, 8, 3, 4, 32, 64, num_classes=7)
        nn.init.normal_(model.heads.head.weight)  # zero from the start: no change would show
        return noisy(model)
    if name == "small vgg":
        features = torchvision.models.vgg.make_layers([8, "M", 12, "M", 16, 16, "M"])
        classifier = nn.Sequential(nn.Linear(16 * 49, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 7))
        return noisy(nn.Sequential(features, nn.AdaptiveAvgPool2d(7), nn.Flatten(), classifier))
    if name == "small densenet":
        return noisy(torchvision.models.DenseNet(8, (2, 3), 16, num_classes=7))
    model = getattr(torchvision.models, name)(num_classes=7, **given)
    if name.startswith("vgg"):
        model.classifier = nn.Sequential(nn.Linear(25088, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 7))
    return noisy(model)


def when(name: str) -> list[pytest.MarkDecorator]:
    return [] if name in QUICK else [pytest.mark.nightly if name in LARGE else pytest.mark.slow]


@pytest.mark.parametrize("name", [pytest.param(name, marks=when(name)) for name in FAMILIES])
def test_families_of_torchvision_are_replayed_to_the_bit(name: str) -> None:
    side = FAMILIES[name]
    replay = check(family(name), samples((3, side, side), 2))
    assert not replay.reason
    assert replay.stored_bytes > 0


@given(nets(), st.integers(1, 4))
def test_random_networks_are_replayed_to_the_bit(model: nn.Module, n: int) -> None:
    x = samples(SHAPE, n)
    gone = list(changes(model))
    replay = Replay(model, x, [[name] for name, _ in gone])
    replay.load(x)
    assert not replay.reason
    for index, (name, mask) in enumerate(gone):
        assert torch.equal(replay.predict(index, [(name, mask)]), whole(model, name, mask, x))


class Functional(nn.Module):
    """Everything between the layers is a function, and one tensor is written to in place."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.act, self.same, self.fc, self.step = nn.ReLU(inplace=True), nn.Identity(), nn.Linear(6, 5), step

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if self.step == "function":
            x = F.relu(x)
        elif self.step == "in place":
            x = F.relu(x, inplace=True)
        elif self.step == "module in place, the old name read":
            self.act(x)
        elif self.step == "alias":
            y = self.same(x)
            y += 1
        elif self.step == "view":
            y = x[:, :3]
            y.mul_(2)
        skip = x
        x = self.b(x)
        x += skip
        x = F.relu_(x)
        y = self.same(x)
        y = self.c(y)
        y *= 0.5
        return self.fc(F.relu(y + x, inplace=True).mean((2, 3)))


@pytest.mark.parametrize("step", ["function", "in place", "module in place, the old name read", "alias", "view"])
def test_what_is_written_to_in_place_is_replayed_as_it_was(step: str) -> None:
    torch.manual_seed(1)
    assert not check(noisy(Functional(step)), samples((2, 8, 8))).reason


class Twice(nn.Module):
    """One module called twice, and one that stands under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.shared, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.left = nn.Sequential(self.shared, nn.ReLU(inplace=True), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()))
        self.right, self.fc = nn.Sequential(self.shared, self.norm), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.a(x))
        x = self.left(x) + self.right(x)
        return self.fc(self.norm(self.shared(self.left(x))).mean((2, 3)))


def test_modules_that_are_called_again_or_stand_under_two_names_are_told_apart() -> None:
    assert not check(noisy(Twice()), samples((2, 6, 6))).reason


class Leaky(nn.Module):
    """Hands memory on behind its caller's back, and returns parameters, pairs and dictionaries."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bias = nn.Conv2d(3, 3, 1), nn.Parameter(torch.randn(1, 3, 1, 1))

        def forward(self, x: Tensor, *, scale: float = 1.0) -> dict[str, object]:
            self.seen = self.conv(x)
            first, second = torch.cat([x, self.seen * scale], 1).chunk(2, 1)
            return {"parts": (first, [second]), "bias": self.bias, "n": 3, "none": None}

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.last, self.fc = nn.Conv2d(2, 3, 3), self.Inner(), nn.Conv2d(3, 3, 1), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        found = self.inner(self.stem(x), scale=0.3)
        first, (second,) = found["parts"]
        first.mul_(1.5)
        return self.fc((self.last(second + found["bias"]) + first + self.inner.seen).mean((2, 3)))


def test_what_a_module_hands_on_by_other_ways_is_no_trap() -> None:
    assert not check(noisy(Leaky()), samples((2, 6, 6))).reason


class WritesInput(nn.Module):
    """Normalises its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.3)
        return self.body(x)


def test_a_model_that_writes_to_its_input_sees_the_same_input_every_time() -> None:
    x = samples((2, 4))
    before = x.clone()
    assert not check(noisy(WritesInput()), x).reason
    assert torch.equal(x, before)


class Branching(nn.Module):
    """What it calls depends on the values it sees."""

    def __init__(self, early: bool) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(4, 4) for _ in range(4))
        self.early = early

    def forward(self, x: Tensor) -> Tensor:
        if self.early and bool(x[0, 0] > 0):
            x = self.c(self.b(x))
        x = self.a(x)
        for layer in (self.b, self.c) if bool(x.mean() > 0) else (self.c, self.d, self.b):
            x = layer(torch.tanh(x))
        return self.d(x)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_model_that_takes_another_way_is_run_as_a_whole(early: bool, seed: int) -> None:
    torch.manual_seed(seed)
    model = noisy(Branching(early))
    gone = list(changes(model))
    replay = Replay(model, samples((4,), 3), [[name] for name, _ in gone])
    for other in range(4):
        x = samples((4,), 3, seed=other)
        replay.load(x)
        for index, (name, mask) in enumerate(gone):
            assert torch.equal(replay.predict(index, [(name, mask)]), whole(model, name, mask, x))


class Counting(nn.Module):
    """Has a memory: a buffer that each pass changes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.b(self.a(x))


def test_a_model_that_changes_its_own_state_is_never_replayed() -> None:
    model = noisy(Counting())
    replay = Replay(model, samples((4,)), [["a.weight"], ["b.weight"]])
    assert "state" in replay.reason
    replay.load(samples((4,)))
    assert replay.stored_bytes == 0
    mask = torch.rand(4, 4) < 0.5
    assert torch.equal(replay.predict(1, [("b.weight", mask)]), whole(model, "b.weight", mask, samples((4,))))
    assert model.passes == 0


class Stubborn(nn.Linear):
    """Lets nobody in between."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "forward":
            raise AttributeError(name)
        super().__setattr__(name, value)


def test_a_model_that_cannot_be_followed_is_run_as_a_whole() -> None:
    model = noisy(nn.Sequential(nn.Linear(4, 4), Stubborn(4, 4), nn.Linear(4, 3)))
    replay = check(model, samples((4,)))
    assert "followed" in replay.reason
    assert replay.stored_bytes == 0


@pytest.fixture(scope="module")
def unbound() -> tuple[nn.Module, Tensor, int]:
    """A model, a batch of it, and the bytes of outputs that are kept where there is no limit."""
    torch.manual_seed(0)
    model, x = noisy(ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7)), samples((3, 16, 16), 24)
    free = check(model, x, batch_size=24)
    assert free.batch_size == 24
    free.load(x)
    return model, x, free.stored_bytes


@pytest.mark.parametrize("share", [1.0, 0.3, 0.1, 0.0])
def test_kept_outputs_stay_within_the_budget(unbound: tuple[nn.Module, Tensor, int], share: float) -> None:
    model, x, free = unbound
    budget = int(free * share)
    bound = check(model, x, batch_size=24, budget_bytes=budget)
    assert bound.batch_size == (24 if share == 1 else 16)
    bound.load(x[: bound.batch_size])
    assert bound.stored_bytes <= budget
    if share >= 0.1:
        assert bound.stored_bytes > budget / 3  # and what there is room for is kept


def test_containers_are_replayed_as_a_whole_so_that_little_is_kept() -> None:
    model, x = family("vgg11"), samples((3, 32, 32), 4)
    outputs: list[int] = []
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _m, _i, out: outputs.append(out.numel() * 4))
    model(x)
    for module in model.modules():
        module._forward_hooks.clear()
    replay = Replay(model, x, [[f"{name}.weight"] for name in prunable_layers(model)])
    replay.load(x)
    assert replay.stored_bytes < sum(outputs) * 0.75


def test_only_what_comes_after_the_change_runs_again() -> None:
    model, ran = family("resnet18"), []
    x = samples((3, 40, 40), 2)
    replay = Replay(model, x, [["layer3.0.conv1.weight"]])
    replay.load(x)
    for name, module in replay._working.model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, out, name=name: ran.append((name, tuple(out.stride()))))
    inner = replay._working.model.layer1[0].conv1
    calls: list[int] = []
    inner.register_forward_hook(lambda *_: calls.append(1))
    replay.predict(0, [("layer3.0.conv1.weight", torch.ones(256, 128, 3, 3, dtype=torch.bool))])
    assert not calls
    assert [name for name, stride in ran if 0 not in stride] == [
        "layer3.0.conv1", "layer3.0.conv2", "layer3.0.downsample.0", "layer3.1.conv1", "layer3.1.conv2",
        "layer4.0.conv1", "layer4.0.conv2", "layer4.0.downsample.0", "layer4.1.conv1", "layer4.1.conv2",
    ]  # fmt: skip


def test_what_does_not_run_is_said() -> None:
    with pytest.raises(ModelError, match="does not run on samples of shape"):
        Replay(noisy(WritesInput()), samples((3, 4)), [])
