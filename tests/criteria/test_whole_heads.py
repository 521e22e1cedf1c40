"""Activation magnitude and head importance against their definitions, written out with hooks and a mask."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from prunekit import PruneSpec
from prunekit.criteria import samples
from prunekit.criteria.scoring import channel_scores, weight_scores
from prunekit.pruning.api import trace
from prunekit.pruning.structured.importance import atom_scores
from prunekit.tasks.classification import IMAGES
from tests import hf_folders
from tests.criteria.samples import Noise

HEADS, WIDTH = 3, 4


class Attention(nn.Module):
    """Self-attention whose heads can be switched off by a factor each, on the mean over positions."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(6, HEADS * WIDTH, bias=False) for _ in range(3))
        self.out = nn.Linear(HEADS * WIDTH, 5)

    def forward(self, x, factor=None):
        q, k, v = (each(x).unflatten(-1, (-1, WIDTH)).transpose(1, 2) for each in (self.query, self.key, self.value))
        found = (q @ k.transpose(-1, -2) / WIDTH**0.5).softmax(-1) @ v
        found = found if factor is None else found * factor[:, None, None]
        return self.out(found.transpose(1, 2).flatten(2).mean(1))


def test_the_importance_of_a_head_is_the_mean_size_of_the_derivative_by_its_factor():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Attention().eval().requires_grad_(False)
    data, expected = Noise(20, (7, 6)), torch.zeros(HEADS)
    for x, y in zip(data.x, data.y, strict=True):
        factor = torch.ones(HEADS, requires_grad=True)
        functional.cross_entropy(net(x[None], factor), y[None]).backward()
        expected += factor.grad.abs() / 20
    data.task = IMAGES
    graph = trace(net, (7, 6))
    (heads,) = [group for group in graph.groups if "value" in group.layers and group.size == HEADS]
    spec = PruneSpec(mode="structured", criterion="head_importance", normaliser="none", reduction="sum")
    by_channel = channel_scores(net, ["value"], "head_importance", 0, data, by_sample=True)["value"]
    by_head = np.abs(by_channel.reshape(HEADS, WIDTH, -1).sum(1)).mean(1)
    np.testing.assert_allclose(by_head, expected, rtol=1e-4)
    said = atom_scores(net, spec, graph, [heads], data)
    others = [channel_scores(net, [name], "head_importance", 0, data, by_sample=True)[name] for name in ("query", "key")]
    whole = by_head + sum(np.abs(each.reshape(HEADS, WIDTH, -1).sum(1)).mean(1) for each in others)
    np.testing.assert_allclose([said[atom] for atom in heads.atoms.tolist()], whole, rtol=1e-4)


def test_activation_magnitude_is_the_mean_size_of_what_a_layer_gives_or_a_reader_takes(monkeypatch):
    model = hf_folders.model("gpt2")
    ids = torch.randint(3, hf_folders.WORDS, (5, 9), generator=torch.Generator().manual_seed(0))
    seen = {}
    names = {"transformer.h.0.mlp.c_fc": 1, "transformer.h.0.mlp.c_proj": 0, "transformer.wte": 1}
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda _m, x, out, name=name: seen.update({name: (x[0], out)})) for name in names
    ]
    with torch.no_grad():
        model(ids)
    for hook in hooks:
        hook.remove()
    layouts = {name: (axis, 1) for name, axis in names.items()}
    data = TensorDataset(ids, torch.zeros(5, dtype=torch.int64))
    found = channel_scores(model, names, "activation", data=data, layouts=layouts)
    for name, axis in names.items():
        expected = seen[name][axis].detach().abs().flatten(0, -2).mean(0)
        np.testing.assert_allclose(found[name], expected.numpy(), rtol=1e-5)
    first, whole = next(iter(names)), weight_scores(model, names, "wanda", data=data)
    weight, met = model.get_submodule(first).weight.detach(), seen[first][0].detach().flatten(0, -2)
    torch.testing.assert_close(whole[first], weight.abs() * met.square().sum(0).sqrt()[:, None])
    monkeypatch.setattr(samples, "ANSWERS", 1)  # two texts at a time
    for name, score in weight_scores(model, names, "wanda", data=data).items():
        torch.testing.assert_close(score, whole[name])
    without = [name for name in names if name != "transformer.wte"]  # whose weight is the head's, too
    torch.testing.assert_close(weight_scores(model, without, "wanda", data=data)[first], whole[first])
    conv = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.Flatten(), nn.Linear(4, 5)).eval()
    pictures = Noise(40, (2, 5, 5))
    found = channel_scores(conv, ["0", "2"], "activation", data=pictures, layouts={"2": (1, 1)})
    with torch.no_grad():
        first = conv[0](pictures.x)
        np.testing.assert_allclose(found["0"], first.abs().mean((0, 2, 3)), rtol=1e-5)
        np.testing.assert_allclose(found["2"], first.relu().mean((0, 2, 3)).view(2, 3).mean(0), rtol=1e-5)
