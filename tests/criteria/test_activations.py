"""Wanda against its formula, with inputs unfolded by torch."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from prunekit.criteria.scoring import weight_scores
from prunekit.errors import ModelError
from prunekit.models.layers import prunable_layers
from tests.criteria.samples import Noise

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def norms_unfolded(conv, x):
    """Return the norm that each element of a convolution's weight meets, by a window over every position of the padded input."""
    dims, mode = x.ndim - 2, "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    windows = F.pad(x.double(), conv._reversed_padding_repeated_twice, mode=mode)
    for axis, (k, s, d) in enumerate(zip(conv.kernel_size, conv.stride, conv.dilation, strict=True)):
        windows = windows.unfold(2 + axis, d * (k - 1) + 1, s)[..., ::d]
    norm = windows.square().sum([0, *range(2, 2 + dims)]).sqrt()  # [in, *kernel]
    each, out = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    return torch.stack([norm[c // out * each : (c // out + 1) * each] for c in range(conv.out_channels)])


@st.composite
def convolutions(draw):
    """A convolution of any kind and a shape that fits it."""
    dims, groups = draw(st.integers(1, 3)), draw(st.integers(1, 2))

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(dims))

    kernel, stride, dilation = each(1, 3), each(1, 3), each(1, 2)
    padding, mode = each(0, 2), draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    if draw(st.booleans()):
        padding, stride = "same", 1
    args = {"stride": stride, "dilation": dilation, "padding": padding, "padding_mode": mode, "groups": groups, "bias": draw(st.booleans())}
    conv = CONVS[dims](groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), kernel, **args)
    return conv, (conv.in_channels, *each(5, 7))


@given(convolutions(), st.integers(0, 2**31))
def test_in_convolutions_each_element_of_the_kernel_has_its_own_norm(drawn, seed):
    conv, shape = drawn
    data = Noise(3, shape, seed=seed)
    expected = conv.weight.detach().abs() * norms_unfolded(conv, data.x)
    scores = weight_scores(nn.Sequential(conv), ["0"], "wanda", data=data)["0"]
    torch.testing.assert_close(scores, expected.float(), rtol=1e-5, atol=1e-7)


@given(st.lists(st.integers(1, 4), max_size=3), st.integers(1, 5), st.integers(1, 5), st.booleans(), st.booleans(), st.integers(0, 2**31))
def test_in_linear_layers_the_norm_is_over_all_leading_dimensions(leading, inputs, outputs, bias, turned, seed):
    net = nn.Sequential(nn.Linear(inputs, outputs, bias=bias))
    data = Noise(40, (*leading, inputs), seed=seed)
    if turned:  # the same numbers, not contiguous
        assume(leading)
        data.x = data.x.transpose(0, -2).contiguous().transpose(0, -2)
    norm = data.x.double().reshape(-1, inputs).square().sum(0).sqrt()
    expected = net[0].weight.detach().abs() * norm
    scores = weight_scores(net, ["0"], "wanda", data=data)["0"]
    torch.testing.assert_close(scores, expected.float(), rtol=1e-5, atol=1e-7)


def test_an_image_without_its_batch_axis_and_a_single_vector_count_too():
    class OneByOne(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(2, 3, 3), nn.Linear(3, 4)

        def forward(self, x):
            return torch.stack([self.fc(self.conv(image).amax((1, 2))) for image in x])

    net, data = OneByOne(), Noise(5, (2, 6, 6))
    scores = weight_scores(net, ["conv", "fc"], "wanda", data=data)
    with torch.no_grad():
        pooled = net.conv(data.x).amax((2, 3))
    torch.testing.assert_close(scores["conv"], (net.conv.weight.detach().abs() * norms_unfolded(net.conv, data.x)).float())
    torch.testing.assert_close(scores["fc"], net.fc.weight.detach().abs() * pooled.norm(dim=0))


class Shared(nn.Module):
    """One module called twice, and one weight in two modules."""

    def __init__(self):
        super().__init__()
        self.twice, self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.unused = nn.Linear(4, 4)

    def forward(self, x):
        self.seen = [x, self.twice(x)]
        self.seen += [self.twice(self.seen[-1])]
        self.seen += [self.one(self.seen[-1])]
        return self.two(self.seen[-1])


def test_what_is_used_several_times_adds_up_and_what_is_not_used_scores_zero():
    net, data = Shared(), Noise(50, (4,))
    scores = weight_scores(net, ["twice", "one", "unused"], "wanda", data=data)
    with torch.no_grad():
        net(data.x)
    for layer, inputs in (("twice", net.seen[:2]), ("one", net.seen[2:])):
        weight = net.get_submodule(layer).weight.detach()
        torch.testing.assert_close(scores[layer], weight.abs() * torch.cat(inputs).norm(dim=0), rtol=1e-5, atol=1e-7)
    assert not scores["unused"].any()


def test_weights_that_a_function_uses_count_too():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.point, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(4, 5)

        def forward(self, x):
            pixels = F.linear(x.permute(0, 2, 3, 1), self.point.weight.flatten(1))
            return pixels.mean((1, 2)) @ self.fc.weight.T

    net, data = Functional(), Noise(9, (3, 4, 4))
    scores = weight_scores(net, ["point", "fc"], "wanda", data=data)
    torch.testing.assert_close(scores["point"], (net.point.weight.detach().abs() * norms_unfolded(net.point, data.x)).float())
    with torch.no_grad():
        means = F.conv2d(data.x, net.point.weight).mean((2, 3))
    torch.testing.assert_close(scores["fc"], net.fc.weight.detach().abs() * means.norm(dim=0))


def test_a_weight_that_is_changed_before_its_use_is_refused_rather_than_scored_zero():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True))

    with pytest.raises(ModelError, match=r"cannot see what layer 0 is multiplied with.*Leave the layer out, or choose another criterion"):
        weight_scores(nn.Sequential(Standardised(2, 3, 3)), ["0"], "wanda", data=Noise(4, (2, 5, 5)))


def test_every_layer_of_a_transformer_is_seen():
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    data = Noise(40, (5, 8))
    layers = prunable_layers(encoder)
    assert set(layers) == {"self_attn", "self_attn.out_proj", "linear1", "linear2"}
    scores = weight_scores(encoder, layers, "wanda", data=data)
    with torch.no_grad():
        attention = encoder.self_attn
        q, k, v = (
            t.unflatten(-1, (2, 4)).transpose(1, 2) for t in F.linear(data.x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        first = encoder.norm1(data.x + F.linear(mixed, attention.out_proj.weight, attention.out_proj.bias))
        inner = torch.relu(encoder.linear1(first))
    torch.testing.assert_close(scores["self_attn"], attention.in_proj_weight.detach().abs() * data.x.flatten(0, 1).norm(dim=0))
    for layer, x in (("self_attn.out_proj", mixed), ("linear1", first), ("linear2", inner)):
        expected = encoder.get_submodule(layer).weight.detach().abs() * x.flatten(0, 1).norm(dim=0)
        torch.testing.assert_close(scores[layer], expected, rtol=1e-4, atol=1e-5)


def test_inputs_that_are_not_finite_are_said():
    data = Noise(4, (6,))
    data.x[0, 0] = torch.inf
    with pytest.raises(ModelError, match="the inputs of layer 0 hold NaN or infinity"):
        weight_scores(nn.Sequential(nn.Linear(6, 5)), ["0"], "wanda", data=data)


def test_a_dead_input_scores_zero():
    data = Noise(40, (6,))
    data.x[:, 2] = 0
    scores = weight_scores(nn.Sequential(nn.Linear(6, 5)), ["0"], "wanda", data=data)["0"]
    assert not scores[:, 2].any()
    assert float(scores[:, [0, 1, 3, 4, 5]].min()) > 0


class Turned(nn.Module):
    """A weight of [in, out]."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(5, 3))

    def forward(self, x):
        return x @ self.weight


class Squared(nn.Module):
    """A bilinear form of one input with itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Bilinear(5, 5, 3).weight

    def forward(self, x):
        return F.bilinear(x, x, self.weight)


class Steps(nn.Module):
    """A recurrent layer, and what its weights are multiplied with, by cells."""

    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(5, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0]

    def norms(self, x):
        states = self.rnn(x)[0]
        before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
        return {"rnn.weight_ih_l0": x.square().sum((0, 1)).sqrt(), "rnn.weight_hh_l0": before.square().sum((0, 1)).sqrt()}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_in_recurrent_layers_the_states_of_all_steps_count(kind):
    net, data = Steps(kind).eval(), Noise(8, (6, 5), seed=1)
    scores = weight_scores(net, prunable_layers(net), "wanda", data=data)
    with torch.no_grad():
        for name, norm in net.norms(data.x).items():
            torch.testing.assert_close(scores[name], net.get_parameter(name).abs() * norm, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("net", "shape", "norm"),
    [
        (Turned(), (6, 5), lambda x: x.square().sum((0, 1)).sqrt()[:, None]),
        (Squared(), (5,), lambda x: torch.einsum("ni,nj->ij", x.square(), x.square()).sqrt()),
        (nn.ConvTranspose1d(5, 3, 2), (5, 6), lambda x: x.square().sum((0, 2)).sqrt()[:, None, None]),
    ],
    ids=["in-out", "bilinear", "transposed"],
)
def test_other_products_count_what_each_weight_meets(net, shape, norm):
    data, whole = Noise(8, shape, seed=2), nn.Sequential(net)
    scores = weight_scores(whole, ["0"], "wanda", data=data)["0"]
    torch.testing.assert_close(scores, net.weight.detach().abs() * norm(data.x), rtol=1e-4, atol=1e-6)


def test_a_row_of_an_embedding_counts_as_often_as_it_is_looked_up():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(4, 3)

        def forward(self, x):
            return self.words((x > 0).long() + (x > 1).long()).sum(1)

    data = Noise(8, (6,), seed=3)
    times = torch.bincount(((data.x > 0).long() + (data.x > 1).long()).flatten(), minlength=4).sqrt()
    net = Words()
    expected = net.words.weight.detach().abs() * times[:, None]
    torch.testing.assert_close(weight_scores(net, ["words"], "wanda", data=data)["words"], expected, rtol=1e-4, atol=1e-6)
