"""Forward passes that symbolic tracing cannot follow: pruned and proved, or refused with the line that stops them and what to change."""

import inspect
import math
import re
from collections import OrderedDict
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.layers import weight_of
from prunekit.pruning.api import prune
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import shrink

SHAPE = (1, 8, 8)
HALF = PruneSpec(mode="structured", sparsity=0.5, layers=("a", "b"), seed=3)


def uneven(graph, seed):
    """Remove another random share of every group."""
    noise = np.random.default_rng(seed)
    return Removal(graph, np.concatenate([noise.permutation(g.atoms)[: int(noise.uniform(0.2, 0.8) * g.size)] for g in graph.groups]))


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.fc = nn.Conv2d(1, 10, 3), nn.Conv2d(10, 16, 3), nn.Linear(256, 3)
        self.register_buffer("times", torch.tensor(2))
        self.eval()

    def features(self, x):
        return torch.relu(self.b(torch.relu(self.a(x))))

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))


class FlowOfShapes(Base):
    """Python decides by sizes, flags and types, none of which depends on values."""

    def forward(self, x, extra=None, *, repeat=2, **others):
        found, batch = self.features(x), int(x.shape[0]) * int(x.shape[2] // x.shape[3])
        for step in range(repeat):
            if found.shape[1] > 3 and not self.training and extra is None and not others:
                found = found * (step + 1) + torch.ones(1)  # made on the CPU, with values
        return self.fc(found.reshape(batch, -1)) * torch.tensor([1.0, 2.0, 3.0])


def test_symbolic_tracing_refuses_what_is_followed_here():
    with pytest.raises(TypeError, match="Proxy"):
        torch.fx.symbolic_trace(FlowOfShapes())


class GivesADict(Base):
    def forward(self, pixel_values=None, labels=None, output_hidden_states=None, return_dict=None):
        if pixel_values is None:
            raise ValueError("You have to specify pixel_values")
        logits = super().forward(pixel_values)
        return OrderedDict(logits=logits, loss=None if labels is None else nn.functional.cross_entropy(logits, labels))


class ByKeyword(Base):
    def forward(self, *, pixel_values, return_dict=True):
        return {"logits": super().forward(pixel_values)}


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = ByKeyword()

    def forward(self, x):
        return self.inner(pixel_values=x)


@pytest.mark.parametrize("kind", [FlowOfShapes, GivesADict, Wrapped])
def test_control_flow_without_values_is_followed_and_proved(kind):
    model = kind().eval()
    graph = trace(model, SHAPE)
    assert {group.layers[0].removeprefix("inner."): group.size for group in graph.groups} == {"a": 10, "b": 16}
    for seed in range(3):
        assert prove(model, uneven(graph, seed)).passed


class Looks(Base):
    def forward(self, x):
        found = self.features(x)
        if found.sum().item() > 0:
            found = found * 2
        return self.fc(found.flatten(1))


class Scales(Base):
    def forward(self, x):
        return super().forward(x / x.abs().max().item())


class Loops(Base):
    def forward(self, x):
        for _ in range(int(x.sum())):
            x = x * 0.5
        return super().forward(x)


class Converts(Base):
    def forward(self, x):
        return super().forward(x - float(x.numpy().mean()))


class Prints(Base):
    def forward(self, x):
        print(f"{x.mean():.3f}")
        return super().forward(x)


class Picks(Base):
    def forward(self, x):
        found = self.features(x).flatten(1)
        return self.fc(found[found[:, 0] > -1])


class Sorts(Base):
    def forward(self, x):
        return super().forward(x)[torch.unique((x[:, 0, 0, 0] > 0).long())]


class Searches(Base):
    def forward(self, x):
        return super().forward(x)[torch.nonzero(x[:, 0, 0, 0] > -9).flatten()]


class Places(Base):
    def forward(self, x):
        found = torch.zeros(2, 16, 4, 4, device="cpu")
        found[:, :] = self.features(x)
        return self.fc(found.flatten(1))


class Measures(Base):
    def forward(self, x):
        if x.shape[-1] != 9:
            raise ValueError("only images of 9 pixels")
        return super().forward(x)


@pytest.mark.parametrize(
    ("kind", "line", "cause"),
    [
        (Looks, "if found.sum().item() > 0:", "data-dependent control flow.*torch.where"),
        (Scales, "return super().forward(x / x.abs().max().item())", "value of a tensor"),
        (Loops, "for _ in range(int(x.sum())):", "value of a tensor"),
        (Converts, "return super().forward(x - float(x.numpy().mean()))", "value of a tensor"),
        (Prints, 'print(f"{x.mean():.3f}")', "value of a tensor"),
        (Sorts, "return super().forward(x)[torch.unique((x[:, 0, 0, 0] > 0).long())]", "shape of what comes out depends on values.*mask"),
        (Places, "found[:, :] = self.features(x)", "device=x.device"),
        (Measures, 'raise ValueError("only images of 9 pixels")', r"only images of 9 pixels.*samples of shape \[1, 8, 8\]"),
    ],
)
def test_what_stops_a_forward_pass_is_told_with_its_line_and_what_to_change(kind, line, cause):
    model = nn.Sequential(OrderedDict(first=nn.Identity(), body=kind()))
    lines, start = inspect.getsourcelines(kind)
    number = start + next(i for i, text in enumerate(lines) if line in text)
    with pytest.raises(PruningError, match=cause) as told:
        trace(model.eval(), SHAPE)
    assert f"in body ({kind.__name__}), test_forwards.py:{number}, `{line}`: " in str(told.value)
    assert str(told.value).endswith("or use mode unstructured")


class Experts(nn.Module):
    """Each token goes to the two experts that it is given to: those that are given none do not run."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.first, self.gate, self.last = nn.Linear(8, 12), nn.Linear(12, 3), nn.Linear(12, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 12)) for _ in range(3))

    def forward(self, x):
        x = self.first(x).relu()
        shares, which = self.gate(x).softmax(-1).topk(2)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            if self.how == "where":
                rows, places = torch.where(which == number)
                out[rows] += shares[rows, places, None] * expert(x[rows])
            elif self.how == "mask":
                hit = (which == number).any(-1)
                if hit.any():
                    out[hit] = out[hit] + expert(x[hit])
            else:
                rows = (which[:, 0] == number).nonzero().squeeze(1)
                out.index_add_(0, rows, expert(x[rows]))
        return self.last(out + x)


@pytest.mark.parametrize("how", ["where", "mask", "nonzero"])
def test_experts_that_run_for_some_samples_shrink_inside_and_cost_what_they_did(how):
    torch.manual_seed(0)
    model = Experts(how)
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5, scope="uniform"), input_shape=(8,))
    assert result.proof.passed and all(len(result.kept[f"experts.{k}.0"]) == 5 for k in range(3))
    assert result.before.macs == 8 * 12 + 12 * 3 + (1 if how == "nonzero" else 2) * 2 * 12 * 10 + 12 * 4


@pytest.mark.parametrize("kind", [Picks, Searches])
def test_rows_that_are_picked_by_values_pass(kind):
    assert prune(kind(), HALF, input_shape=SHAPE).proof.passed


@pytest.mark.parametrize("how", ["list", "turned"])
def test_sequences_are_packed_by_their_lengths(how):
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.words, self.state, self.head = nn.Embedding(20, 8), nn.GRU(8, 10, batch_first=True), nn.Linear(10, 3)

        def forward(self, ids, lengths):
            lengths = lengths.tolist() if how == "list" else lengths.cpu()
            packed = pack_padded_sequence(self.words(ids), lengths, batch_first=True, enforce_sorted=how == "list")
            states, (last,) = self.state(packed)
            return self.head(pad_packed_sequence(states, batch_first=True)[0].mean(1) + last)

    lengths = torch.tensor([6, 4, 3] if how == "list" else [3, 6, 4])
    result = prune(Packed(), PruneSpec(mode="structured", sparsity=0.5, scope="uniform"), input_shape=(torch.randint(20, (3, 6)), lengths))
    assert result.proof.passed and (len(result.kept["words"]), len(result.kept["state.weight_ih_l0"])) == (4, 15)


def test_a_forward_pass_that_wants_more_than_a_batch_is_told_to_be_wrapped():
    with pytest.raises(
        PruningError, match=r"ByKeyword.forward\(\) takes 1 positional.*wrap it in a module whose forward\(self, x\)"
    ) as told:
        trace(ByKeyword(), SHAPE)
    assert "unstructured" not in str(told.value)  # nor does it run in any other mode


def test_a_forward_pass_through_numpy_is_counted_with_values():
    result = prune(Converts(), PruneSpec(sparsity=0.5), input_shape=SHAPE)
    assert result.achieved.removed and result.before.macs == prune(Base(), PruneSpec(sparsity=0.5), input_shape=SHAPE).before.macs


def test_a_layer_of_torch_that_does_not_fit_the_samples_is_named():
    with pytest.raises(PruningError, match=r"in 1 \(Conv2d\): .*samples of shape \[3, 8, 8\]"):
        trace(nn.Sequential(nn.Identity(), nn.Conv2d(1, 4, 3)), (3, 8, 8))


class Flat(Base):
    def forward(self, x):
        return self.fc(self.features(x).view(-1, 256))


def test_a_size_written_into_forward_limits_its_layer_alone_and_is_told_with_its_line():
    graph = trace(Flat().eval(), SHAPE)
    (stuck,) = {name for name, why in graph.immovable.items() if "written" in why}
    assert re.search(r"in .*test_forwards.py:\d+, `return self.fc\(self.features\(x\).view\(-1, 256\)\)`", graph.immovable[stuck])
    result = prune(Flat(), HALF, input_shape=SHAPE)
    assert result.proof.passed and len(result.kept[stuck]) == len(weight_of(Flat(), stuck))


CONFIG = SimpleNamespace(hidden_size=24, num_attention_heads=4, intermediate_size=40, layers=2, patches=9)
IMAGE = (3, 6, 6)


class SelfAttention(nn.Module):
    """Queries, keys and values by layers of their own; both sizes of the grid are ``stored``, or heads ``inferred``, or the length is."""

    def __init__(self, config, style):
        super().__init__()
        self.heads, self.head_size, self.style = config.num_attention_heads, config.hidden_size // config.num_attention_heads, style
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))

    def split(self, x):
        batch, length = x.shape[:2]
        grid = {"stored": (length, self.heads), "inferred": (length, -1), "length": (-1, self.heads)}[self.style]
        return x.view(batch, *grid, self.head_size).transpose(1, 2)

    def forward(self, hidden_states, attention_mask=None, output_attentions=False, **kwargs):
        q, k, v = (self.split(layer(hidden_states)) for layer in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.head_size)
        if attention_mask is not None:
            scores = scores + attention_mask
        weights = nn.functional.softmax(scores, -1)
        context = (weights @ v).transpose(1, 2).contiguous()
        width = -1 if self.style == "inferred" else self.heads * self.head_size
        return (context.reshape(*hidden_states.shape[:2], width), *([weights] if output_attentions else []))


class Layer(nn.Module):
    def __init__(self, config, style):
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.attention, self.output, self.norm = SelfAttention(config, style), nn.Linear(width, width), nn.LayerNorm(width)
        self.up, self.down, self.last = nn.Linear(width, inner), nn.Linear(inner, width), nn.LayerNorm(width)

    def forward(self, hidden_states, **kwargs):
        hidden_states = self.norm(self.output(self.attention(hidden_states, **kwargs)[0]) + hidden_states)
        return (self.last(self.down(nn.functional.gelu(self.up(hidden_states))) + hidden_states),)


@dataclass
class ModelOutput:
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class ImageClassifier(nn.Module):
    """An encoder as libraries of language models write it: sizes in a config, everything optional, a dataclass out."""

    def __init__(self, style, config=CONFIG):
        super().__init__()
        torch.manual_seed(1)
        self.config = config
        self.patches = nn.Conv2d(3, config.hidden_size, 2, stride=2)
        self.positions = nn.Parameter(torch.randn(1, config.patches, config.hidden_size))
        self.layer = nn.ModuleList(Layer(config, style) for _ in range(config.layers))
        self.classifier = nn.Linear(config.hidden_size, 5)

    def forward(self, pixel_values=None, attention_mask=None, labels=None, output_attentions=None, return_dict=True, **kwargs):
        if pixel_values is None:
            raise ValueError("You have to specify pixel_values")
        hidden_states = self.patches(pixel_values).flatten(2).transpose(1, 2) + self.positions
        for layer in self.layer:
            hidden_states = layer(hidden_states, attention_mask=attention_mask, output_attentions=output_attentions)[0]
        logits = self.classifier(hidden_states[:, 0])
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ModelOutput(loss, logits) if return_dict else (logits,)


@pytest.mark.parametrize("style", ["stored", "inferred", "length"])
def test_an_encoder_with_its_sizes_in_a_config_loses_what_its_code_allows(style):
    model = ImageClassifier(style).eval()
    graph = trace(model, IMAGE)
    sizes = {group.layers[0]: group.size for group in graph.groups}
    assert sizes["patches"] == 24 and sizes["layer.0.up"] == sizes["layer.1.up"] == 40 and not graph.limits
    queries = [f"layer.{i}.attention.{name}" for i in (0, 1) for name in ("query", "key", "value")]
    # whole heads, of queries, keys and values together; where forward() reads their number from an attribute, that follows
    assert [(group.size, group.kind) for group in graph.groups if set(group.layers) <= set(queries)] == [(4, "heads")] * 2
    for seed in range(4):
        removal = uneven(graph, seed)
        assert removal.atoms.size and prove(model, removal, batch=2).passed


def test_a_pruned_encoder_answers_and_trains_as_its_dense_one_does():
    model = ImageClassifier("inferred").eval()
    small = shrink(model, uneven(trace(model, IMAGE), 5)).train()
    x, labels = torch.randn(4, *IMAGE), torch.tensor([0, 1, 2, 3])
    out = small(pixel_values=x, labels=labels, attention_mask=torch.zeros(4, 1, 1, 9))
    out.loss.backward()
    assert isinstance(out, ModelOutput) and out.logits.shape == (4, 5)
    assert all(p.grad is not None for p in small.parameters())
    assert small(x, return_dict=False)[0].shape == (4, 5)
