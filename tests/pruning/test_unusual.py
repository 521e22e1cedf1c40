"""Unusual but plausible models: each is pruned right, limited by name, or refused with what to do."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.errors import ModelError, PruningError, SpecError
from prunekit.models.cost import count, layer_macs
from prunekit.models.layers import prunable_layers
from prunekit.pruning.api import prune
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink

STRUCTURED = PruneSpec(mode="structured", sparsity=0.5)


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(1, 10, 3), nn.Conv2d(10, 16, 3), nn.Linear(256, 3)
        self.eval()

    def features(self, x):
        return torch.relu(self.b(torch.relu(self.a(x))))

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))


SHAPE = (1, 8, 8)


class UnusedHead(Base):
    def __init__(self):
        super().__init__()
        self.aux = nn.Conv2d(10, 16, 1)


class WantsTargets(UnusedHead):
    def forward(self, x, targets=None):
        if self.training and targets is None:
            raise ValueError("targets are needed in training")
        return super().forward(x)


@pytest.mark.parametrize("kind", [UnusedHead, WantsTargets])
def test_what_takes_no_part_in_a_forward_pass_stays_whole(kind):
    result = prune(kind(), PruneSpec(mode="structured", sparsity=0.5, layers=("a", "b", "aux")), input_shape=SHAPE)
    assert result.proof.passed and tuple(result.model.aux.weight.shape) == (16, 10, 1, 1)
    assert any("aux stays whole: it takes no part in a forward pass" in said for said in result.limits)
    assert result.achieved.total == 26


class AuxiliaryHead(Base):
    """GoogLeNet's way: a head that runs in training only."""

    def __init__(self):
        super().__init__()
        self.aux = nn.Linear(10 * 36, 3)
        self.eval()

    def forward(self, x):
        first = torch.relu(self.a(x))
        main = self.fc(torch.relu(self.b(first)).flatten(1))
        return (main, self.aux(first.flatten(1))) if self.training else main


def test_an_auxiliary_head_shrinks_along_and_trains():
    result = prune(AuxiliaryHead(), PruneSpec(mode="structured", sparsity=0.5, layers=("a", "b")), input_shape=SHAPE)
    assert result.model.aux.in_features == 36 * len(result.kept["a"])
    main, aux = result.model.train()(torch.randn(4, *SHAPE))
    (main.sum() + aux.sum()).backward()


@dataclass
class Answer:
    logits: torch.Tensor
    features: torch.Tensor


class Answers(Base):
    def forward(self, x):
        found = self.features(x)
        return Answer(self.fc(found.flatten(1)), found.mean((2, 3)))


def test_outputs_in_a_dataclass_are_seen_and_frozen():
    graph = trace(Answers(), SHAPE)
    assert set(graph.immovable) == {"b", "fc"}
    assert prune(Answers(), PruneSpec(mode="structured", sparsity=0.5, layers=("a",)), input_shape=SHAPE).proof.passed


class TwoHeads(Base):
    def __init__(self):
        super().__init__()
        self.small = nn.Linear(256, 3)
        self.eval()

    def forward(self, x):
        found = self.features(x).flatten(1)
        return self.fc(found) * 1e6, self.small(found)


def test_the_proof_looks_at_every_output_on_its_own_scale():
    net = TwoHeads()
    plan = ChannelRanking.of(net, PruneSpec(mode="structured", sparsity=0.3, layers=("b",)), trace(net, SHAPE)).cut()

    def careless(model, plan):
        small = shrink(model, plan)
        with torch.no_grad():
            small.small.weight.copy_(small.small.weight.roll(1, 1))
        return small

    assert prove(net, plan).passed and not prove(net, plan, surgery=careless).passed


class Reordered(Base):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return self.fc(self.how(torch.relu(self.b(torch.relu(self.a(x))))).flatten(1))


@pytest.mark.parametrize(
    "how",
    [lambda x: x.flip(1), lambda x: x.roll(1, 1), lambda x: x.index_select(1, torch.arange(15, -1, -1, device=x.device))],
    ids=["flip", "roll", "index_select"],
)
def test_an_axis_whose_order_changes_stays_whole(how):
    result = prune(Reordered(how), PruneSpec(mode="structured", sparsity=0.5, layers=("a", "b")), input_shape=SHAPE)
    assert result.proof.passed and len(result.kept["b"]) == 16 and len(result.kept["a"]) == 5


@pytest.mark.parametrize(
    "how", [lambda x: torch.rsub(x, x * 0.5), lambda x: x / 2.0, lambda x: nn.functional.interpolate(x, scale_factor=1)]
)
def test_other_pointwise_operations_pass(how):
    result = prune(Reordered(how), PruneSpec(mode="structured", sparsity=0.5, layers=("a", "b")), input_shape=SHAPE)
    assert result.proof.passed and len(result.kept["b"]) < 16


class Meets(nn.Module):
    """Two layers whose outputs are stacked, or meet what is repeated."""

    def __init__(self, how):
        super().__init__()
        self.a, self.b, self.out = nn.Conv2d(3, 9, 1), nn.Conv2d(3, 9, 1), nn.Conv2d(9, 4, 1)
        self.gate, self.table, self.how = nn.Conv2d(3, 1, 1), nn.Parameter(torch.randn(1, 9, 4, 4)), how
        self.eval()

    def forward(self, x):
        a, b = torch.relu(self.a(x)), self.b(x)
        found = {
            "stacked": lambda: torch.stack([a, b], 1).sum(1),
            "stacked last": lambda: torch.stack((a, b), -1).amax(-1),
            "table": lambda: a * b + self.table.repeat(len(x), 1, 1, 1),
            "gate": lambda: a * b * torch.sigmoid(self.gate(x)).repeat(1, a.shape[1], 1, 1),
        }[self.how]
        return self.out(found())


@pytest.mark.parametrize("how", ["stacked", "stacked last", "table", "gate"])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_stacked_or_repeated_goes_together(how, seed):
    model = Meets(how)
    graph = trace(model, (3, 4, 4))
    (group,) = graph.groups
    assert group.layers == ("a", "b") and group.size == 9 and not graph.limits
    noise = np.random.default_rng(seed)
    assert prove(model, Removal(graph, noise.permutation(group.atoms)[: noise.integers(1, 8)]), batch=2).passed


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.out = nn.Conv2d(3, 9, 1), nn.Conv2d(18, 4, 1)
        self.eval()

    def forward(self, x):
        return self.out(torch.relu(self.a(x)).repeat(1, 2, 1, 1))


def test_a_channel_that_comes_twice_goes_twice():
    result = prune(Doubled(), PruneSpec(mode="structured", sparsity=0.4, layers=("a",)), input_shape=(3, 4, 4))
    assert result.proof.passed and result.model.out.in_channels == 2 * len(result.kept["a"]) == 10


@pytest.mark.parametrize("mode", ["structured", "unstructured"])
@pytest.mark.parametrize(
    "wrap",
    [
        parametrizations.weight_norm,
        lambda layer: torch_prune.l1_unstructured(layer, "weight", amount=0.3),
    ],
    ids=["weight_norm", "torch prune"],
)
def test_a_computed_weight_is_refused_before_a_mask_on_it_is_lost(mode, wrap):
    net = Base()
    wrap(net.b)
    with pytest.raises(ModelError, match="layer b is computed"):
        prune(net, PruneSpec(mode=mode), input_shape=SHAPE)


def test_a_lazy_module_is_refused(tmp_path):
    with pytest.raises(ModelError, match="lazy"):
        prune(nn.Sequential(nn.LazyLinear(3)), PruneSpec(), input_shape=(4,))
    file = tmp_path / "own.py"
    file.write_text("from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.LazyLinear(3))\n", encoding="utf-8")
    with pytest.raises(ModelError, match="lazy"):
        prunekit.load_model(f"{file}:net")


class DataDependent(Base):
    def forward(self, x):
        return super().forward(x) if x.sum().item() > -1 else x


def test_control_flow_on_values_is_counted_by_running_it():
    assert count(DataDependent(), SHAPE) == count(Base(), SHAPE)
    result = prune(DataDependent(), PruneSpec(sparsity=0.5), input_shape=SHAPE)
    assert result.after.effective_macs < result.before.macs
    with pytest.raises(PruningError, match="without values"):
        prune(DataDependent(), STRUCTURED, input_shape=SHAPE)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.b.weight = self.a.weight
        self.again = self.a

    def forward(self, x):
        return self.fc(self.again(self.b(self.a(x))))


def test_shared_weights_count_every_use():
    net = Twice()
    assert prunable_layers(net) == ("a", "fc")
    assert layer_macs(net, (16,)) == {"a": 3 * 256, "fc": 48}
    result = prune(net, PruneSpec(sparsity=0.5, layers=("a",)), input_shape=(16,))
    assert result.before.macs - result.after.effective_macs == 3 * 128


def test_macs_do_not_depend_on_what_other_threads_run():
    net, stop = Base(), threading.Event()
    expected = layer_macs(net, SHAPE)

    def busy():
        with torch.inference_mode():
            while not stop.is_set():
                net(torch.zeros(1, *SHAPE))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        assert all(layer_macs(Base(), SHAPE) == expected for _ in range(30))
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_pruned_and_evaluated(dtype):
    net = Base().to(dtype)
    samples = torch.utils.data.TensorDataset(torch.randn(20, *SHAPE), torch.zeros(20, dtype=torch.long))
    for spec in (PruneSpec(sparsity=0.5), STRUCTURED):
        result = prune(net, spec, input_shape=SHAPE)
        assert next(result.model.parameters()).dtype == dtype
        assert prunekit.evaluate(result.model, samples).n == 20


@pytest.mark.parametrize("mode", ["structured", "unstructured"])
def test_requested_says_what_was_asked_of_each_layer(mode):
    net = nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 3))
    spec = PruneSpec(mode=mode, sparsity=0.5, scope="uniform", layers=("0", "2", "4"), overrides={"0": 0.9})
    result = prune(net, spec, input_shape=(8,))
    layers = {layer.name: layer for layer in result.layers}
    sizes = {name: (layers[name].shape_before[0] if mode == "structured" else net.get_submodule(name).weight.numel()) for name in "024"}
    free = (round(0.5 * sum(sizes.values())) - round(0.9 * sizes["0"])) / (sizes["2"] + sizes["4"])
    assert layers["0"].requested == 0.9 and layers["6"].requested is None
    assert layers["2"].requested == layers["4"].requested == pytest.approx(free)
    assert layers["2"].sparsity == pytest.approx(free, abs=0.02)
    assert not any("emptied" in said for said in result.limits)


def test_a_threshold_above_everything_says_which_layers_it_would_have_emptied():
    result = prune(Base(), PruneSpec(mode="structured", threshold=1e30, layers=("a", "b")), input_shape=SHAPE)
    assert len(result.kept["a"]) == len(result.kept["b"]) == 1
    assert [said for said in result.limits if "emptied" in said] == [
        "a would have been emptied: its best channel stays",
        "b would have been emptied: its best channel stays",
    ]


@pytest.mark.parametrize(("spec", "shape"), [({"sparsity": 0.5}, SHAPE), (PruneSpec(), 7), (PruneSpec(), (1, -8, 8))])
def test_wrong_arguments_are_named(spec, shape):
    with pytest.raises(SpecError, match=r"PruneSpec|input_shape"):
        prune(Base(), spec, input_shape=shape)


@pytest.mark.parametrize("spec", [PruneSpec(mode="structured", sparsity=0.6), PruneSpec(sparsity=0.6)], ids=["structured", "unstructured"])
def test_inference_mode_around_a_call_changes_nothing(spec):
    model = prunekit.load_model("digits_cnn")
    expected = prunekit.prune(model, spec)
    with torch.inference_mode():
        found = prunekit.prune(model, spec)
    for (name, a), b in zip(found.model.state_dict().items(), expected.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
        assert not a.is_inference(), "a copy that could never be trained"


class Held:
    """What a model may return: an object of the user's own."""

    def __init__(self, logits, sure):
        self.logits, self.sure = logits, sure


class GivesHeld(nn.Module):
    """Scores and truth values in an object."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        scores = self.c(self.b(self.a(x).relu()).relu())
        return Held(scores, scores > 0)


def test_outputs_in_an_object_and_truth_values_are_proved():
    result = prune(GivesHeld().eval(), PruneSpec(mode="structured", sparsity=0.5), input_shape=(6,))
    assert result.proof.passed and result.after.params < result.before.params


def swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.7 * x)


class Program(Base):
    """A block and a function are programs."""

    def __init__(self):
        super().__init__()
        self.block = torch.jit.script(nn.Sequential(nn.Conv2d(10, 10, 1), nn.ReLU()))
        self.swish = torch.jit.script(swish)

    def forward(self, x):
        return self.fc(self.swish(self.b(self.swish(self.block(self.a(x))))).flatten(1))


class Averages(Base):
    """A buffer is made anew in each pass."""

    def __init__(self):
        super().__init__()
        self.register_buffer("usual", torch.zeros(10))

    def forward(self, x):
        found = self.a(x)
        self.usual = 0.9 * self.usual + 0.1 * found.detach().mean((0, 2, 3))
        return self.fc(self.b((found - self.usual[:, None, None]).relu()).flatten(1))


class Choice(Base):
    """Whether two models choose alike may be chance: both are given the same numbers."""

    def forward(self, x):
        return nn.functional.gumbel_softmax(super().forward(x), hard=True)


@pytest.mark.parametrize("kind", [Program, Averages, Choice])
def test_programs_kept_state_and_choices_by_chance_are_proved(kind):
    result = prune(kind(), PruneSpec(mode="structured", sparsity=0.5, layers=("a", "b")), input_shape=SHAPE)
    assert result.proof.passed and result.achieved.removed > 3
    assert (kind is Choice) == any("random numbers (exponential)" in limit for limit in result.limits)


class Joined(nn.Module):
    """Texts end to end, and where each begins."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.inner, self.fc = nn.EmbeddingBag(20, 8), nn.Linear(8, 10), nn.Linear(10, 3)

    def forward(self, words, starts):
        return self.fc(self.inner(self.words(words, starts)).relu())


def test_inputs_of_which_no_rows_can_be_taken_are_asked_whole():
    inputs = torch.randint(20, (12,)), torch.tensor([0, 5, 9])
    result = prune(Joined(), PruneSpec(mode="structured", sparsity=0.5, scope="uniform"), input_shape=inputs)
    assert result.proof.passed and (len(result.kept["words"]), len(result.kept["inner"])) == (4, 5)
