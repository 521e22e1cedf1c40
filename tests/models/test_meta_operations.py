"""Shapes that are made straight away are torch's own, and copies that are made the short way are deep copies."""

import copy
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from prunekit.models.cost import macs_of
from prunekit.models.meta_copy import copied
from prunekit.models.meta_operations import SHORTCUTS, without_values

aten = torch.ops.aten
sides = st.integers(1, 5)
types = st.sampled_from([torch.float32, torch.float64, torch.bfloat16])


def described(out):
    """Return what a shortcut has to say of a result: shapes, types and the device of all tensors in it."""
    outs = out if isinstance(out, (tuple, list)) else [out]
    return [(tuple(t.shape), t.dtype, t.device.type) for t in outs]


def agrees(func, *args, **kwargs):
    """Say whether the short way gives what torch gives, or fails where torch does."""
    try:
        expected = described(func(*args, **kwargs))
    except (RuntimeError, IndexError):
        with pytest.raises((RuntimeError, IndexError)):
            without_values(func, args, kwargs)
        return True
    return described(without_values(func, args, kwargs)) == expected


def empty(shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


@given(st.lists(sides, max_size=4), st.lists(st.sampled_from([1, 1, 2, 3, 5]), max_size=4), types, types, st.data())
def test_sums_and_products_have_torchs_shape_and_type_or_torchs_error(a, b, first, second, data):
    b = [data.draw(st.sampled_from([1, size, other])) for size, other in zip(a[::-1], [*b, *[1] * len(a)], strict=False)][::-1]
    for packet in (aten.add.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.sub.Tensor, aten.add_.Tensor, aten.mul_.Tensor):
        assert agrees(packet, empty(a, first), empty(b, second))
        assert agrees(packet, empty(b, second), empty(a, first))
        assert agrees(packet, empty(a, first), 2) and agrees(packet, empty(a, first), 0.5)


@given(st.lists(sides, min_size=1, max_size=4), st.lists(st.integers(-5, 4), max_size=3, unique=True), st.booleans(), types)
def test_means_have_torchs_shape(shape, dims, keep, dtype):
    assert agrees(aten.mean.dim, empty(shape, dtype), dims, keep)
    assert agrees(aten.mean.dim, empty(shape, dtype), dims)


@given(st.lists(sides, min_size=1, max_size=4), st.integers(-5, 4), st.lists(sides, min_size=1, max_size=4), st.booleans())
def test_joined_tensors_have_torchs_shape_and_parts_that_do_not_fit_are_refused(shape, dim, lengths, spoil):
    parts = [empty([length if axis == dim % len(shape) else size for axis, size in enumerate(shape)]) for length in lengths]
    parts = [*parts, empty([size + 1 for size in shape])] if spoil else parts
    assert agrees(aten.cat.default, parts, dim)


@given(st.integers(1, 3), sides, sides, st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.data())
def test_convolutions_have_torchs_shape_or_torchs_error(axes, rows, inside, kernel, stride, padding, dilation, data):
    groups, off = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([0, 0, 0, 1]))
    transposed = data.draw(st.booleans())
    x = empty([2, inside * groups + off, *data.draw(st.lists(st.integers(1, 9), min_size=axes, max_size=axes))])
    if data.draw(st.booleans()):
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    w = empty([rows * groups, inside, *[kernel] * axes])
    told = [[value] * axes for value in (stride, padding, dilation)]
    assert agrees(aten.convolution.default, x, w, None, *told, transposed, [0] * axes, groups)


@given(st.lists(st.integers(0, 6), min_size=4, max_size=4), types, st.data())
def test_pools_have_torchs_shape_or_torchs_error(shape, dtype, data):
    x = empty(shape, dtype)
    if data.draw(st.booleans()):
        x = x.transpose(2, 3)
    pair = st.lists(st.integers(0, 3), min_size=1, max_size=2)
    told = [data.draw(pair), data.draw(st.just([]) | pair), data.draw(pair), [data.draw(st.integers(1, 2))], data.draw(st.booleans())]
    assert agrees(aten.max_pool2d_with_indices.default, x, *told[: data.draw(st.integers(1, 5))])


@given(sides, sides, st.integers(0, 1), sides, st.sampled_from(["vector", "matrix", "one"]), types, types)
def test_matrix_products_with_a_bias_have_torchs_shape_or_torchs_error(rows, inner, off, columns, bias, first, second):
    shape = {"vector": (columns,), "matrix": (rows, columns), "one": (1,)}[bias]
    assert agrees(aten.addmm.default, empty(shape, second), empty((rows, inner), first), empty((inner + off, columns), first))


@pytest.mark.parametrize("function", [F.relu, F.gelu, F.silu, F.hardswish, F.hardsigmoid, F.relu6, torch.sigmoid])
def test_activations_pass_shape_type_and_order_through(function):
    x = empty((2, 3, 4)).transpose(1, 2)
    packet = {F.relu6: aten.hardtanh}.get(function) or getattr(aten, function.__name__)
    assert packet in SHORTCUTS
    args = (x, 0.0, 6.0) if function is F.relu6 else (x,)
    out = without_values(packet.default, args, {})
    assert out.stride() == function(x).stride() and described(out) == described(function(x))


def test_nothing_is_made_up_for_tensors_that_have_values():
    x, w = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3)
    args = (x, w, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    assert torch.equal(without_values(aten.convolution.default, args, {}), F.conv2d(x, w))
    assert torch.equal(without_values(aten.add.Tensor, (x, x), {"alpha": 3}), 4 * x)
    assert torch.equal(without_values(aten.cat.default, ([x, x], 1), {}), torch.cat([x, x], 1))


@given(sides, sides, sides, sides, st.integers(1, 3))
def test_the_formula_asked_directly_counts_what_torchs_counter_counts(batch, rows, columns, side, groups):
    x, w = empty((batch, columns * groups, side, side)), empty((rows * groups, columns, 1, 1))
    args = (x, w, None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups)
    assert macs_of(aten.convolution.default, args, {}, aten.convolution.default(*args)) == batch * rows * groups * columns * side * side
    a, b = empty((batch, rows)), empty((rows, columns))
    assert macs_of(aten.mm.default, (a, b), {}, a @ b) == batch * rows * columns


class Tangled(nn.Module):
    """Holds what makes copying hard: tied weights, a way back to itself, tensors outside the tables, lists and hooks."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight
        self.again = self.a
        object.__setattr__(self, "back", self)
        self.parts, self.table = [self.a, self.b], {"w": self.a.weight, 1: [2]}
        self.plain = torch.ones(2)
        self.shared = self.parts
        self.norm = nn.BatchNorm1d(3)
        self.calls = []
        self.a.register_forward_hook(note)

    def forward(self, x):
        return self.norm(self.b(torch.relu(self.a(x))))


def note(module, _args, _out):
    module.seen = getattr(module, "seen", 0) + 1


def test_a_short_copy_is_a_deep_copy():
    model = Tangled().eval()
    model.a.requires_grad_(False)
    one, other = copied(model), copy.deepcopy(model)
    for new in (one, other):
        assert type(new) is Tangled and new.back is new and new.b.weight is new.a.weight and new.again is new.a
        assert new.parts[0] is new.a and new.shared is new.parts and new.table["w"] is new.a.weight and new.table[1] == [2]
        assert new.parts is not model.parts and new.plain is not model.plain and torch.equal(new.plain, model.plain)
        assert not new.training and not new.a.weight.requires_grad and new.norm.weight.requires_grad
        assert all(torch.equal(a, b) and a is not b for a, b in zip(new.state_dict().values(), model.state_dict().values(), strict=True))
        x = torch.randn(4, 3)
        assert torch.equal(new(x), model(x)) and new.a.seen == 1 and model.a.seen == 1
        del model.a.seen
    assert vars(one).keys() == vars(other).keys() and [n for n, _ in one.named_modules()] == [n for n, _ in other.named_modules()]
    one.norm.register_forward_hook(note)
    assert not model.norm._forward_hooks and not one.b._forward_hooks


def test_what_is_named_takes_an_objects_place_in_a_copy():
    model, other = Tangled(), nn.Parameter(torch.zeros(3, 3))
    new = copied(model, {id(model.a.weight): other})
    assert new.a.weight is other and new.b.weight is other and new.table["w"] is other


class OwnWay(nn.Linear):
    def __deepcopy__(self, memo):
        new = OwnWay(self.in_features, self.out_features)
        new.was = weakref.ref(self)
        return new


def test_a_module_that_says_how_it_is_copied_is_copied_so():
    model = nn.Sequential(nn.Linear(2, 2), OwnWay(2, 3))
    new = copied(model)
    assert new[1].was() is model[1] and torch.equal(new[0].weight, model[0].weight) and new[0] is not model[0]
