"""Evidence as measuring would give it, for a machine whose figures are round numbers; each kind has one cause and no other."""

from dataclasses import replace

from prunekit.latency.diagnosis.evidence import Evidence, LayerEvidence, Machine, Rounded, Spread
from prunekit.latency.interleaved_timing import Ratio

# 10 GB/s, 50 GMAC/s, 5 µs a linear and 10 µs a convolution
MACHINE = Machine(
    copies=((1e4, 1e10), (1e8, 1e10)), fresh=((1e4, 1e10), (1e8, 1e10)), macs_s=5e10, calls=(("Conv2d", 1e-5), ("Linear", 5e-6))
)


def ratio(value, width=0.02):
    low, high = value * (1 - width), value * (1 + width)
    return Ratio(value, low, high, bool((low > 1 or high < 1) and abs(value - 1) > 0.01))


def spread(ms):
    return Spread(ms, 0.98 * ms, 1.03 * ms)


def layer(name, before, after, macs, size, *, kind="Conv2d", channels=((64, 64), (32, 32)), **more):
    """One layer: times in ms, MACs and bytes as (before, after)."""
    return LayerEvidence(
        name,
        kind,
        *macs,
        *size,
        size[1] / 2,
        spread(before),
        spread(after),
        ratio(after / before),
        channels_before=channels[0],
        channels_after=channels[1],
        **more,
    )


def whole(layers, *, zeros=0.0, effective=None, between=(0.01, 0.01), **more):
    """Evidence from its layers: a pass is their sum and a little between them."""
    before, after = (sum(getattr(layer, when).ms for layer in layers) for when in ("before", "after"))
    before, after = before * (1 + between[0]), after * (1 + between[1])
    macs = sum(layer.macs_after for layer in layers) / sum(layer.macs_before for layer in layers)
    return Evidence(
        ratio(after / before), macs, macs * (1 - zeros) if effective is None else effective, zeros,
        before=spread(before), after=spread(after), layers=tuple(layers), machine=MACHINE, **more,
    )  # fmt: skip


def names(n):
    return [f"block{i}.conv" for i in range(n)]


def good(n=3, share=0.25, scale=1.0):
    """Layers bound by arithmetic whose time falls like their MACs."""
    return [layer(name, 4 * scale, 4 * scale * share, (1e8 * scale, 1e8 * scale * share), (1e6, 2.5e5)) for name in names(n)]


def masked(n=3, zeros=0.9, drift=1.0, scale=1.0):
    """Zeros everywhere, shapes and times as before."""
    same = ((64, 64), (64, 64))
    layers = [
        layer(name, 4 * scale, 4 * scale * drift, (1e8 * scale,) * 2, (1e6, 1e6), zeros_after=zeros, channels=same) for name in names(n)
    ]
    return whole(layers, zeros=zeros)


def sparse_kernel(n=3, density=0.5, slower=2.0, limit=0.2):
    """Linear layers as sparse matrices, slower than dense."""
    more = {"zeros_after": 1 - density, "sparse": True, "kind": "Linear", "channels": ((1024, 1024), (1024, 1024)), "break_even": limit}
    layers = [layer(name, 1.0, slower, (1e6, 1e6), (4e6, 4e6), **more) for name in names(n)]
    return whole(layers, zeros=1 - density, runtime="sparse linear (CSR)")


def memory(n=3, scale=1.0):
    """A quarter of the MACs, half of the bytes, and time follows the bytes: 8 MB take 0.8 ms, 4e6 MACs 0.08 ms."""
    layers = [layer(name, 1.8 * scale, 0.9 * scale, (1.6e7 * scale, 4e6 * scale), (1.6e7 * scale, 8e6 * scale)) for name in names(n)]
    return whole(layers)


def overhead(n=20):
    """Tiny layers: a call takes 5 µs, and so did it before."""
    return whole([layer(name, 0.007, 0.0066, (4096, 1024), (2e4, 5e3), kind="Linear") for name in names(n)])


def odd(n=3, gain=0.8, more=1.1):
    """61 of 96 channels: slower than its MACs say, and faster at 64."""
    channels = ((96, 96), (61, 61))
    layers = [layer(name, 10.0, 6.0, (5e8, 2e8), (1e6, 5e5), channels=channels) for name in names(n)]
    return whole(layers, rounded=Rounded(ratio(gain), more))


def between(n=3):
    """Layers as fast as their MACs say, and as much time between them as before."""
    return whole(good(n), between=(0.1, 0.4))


def kernels(n=3):
    """Half of the time for a quarter of the MACs, far above every floor, and nothing rounder was measured."""
    return whole([layer(name, 4.0, 2.4, (1e8, 2.5e7), (1e5, 5e4)) for name in names(n)])


CAUSES = {f.__name__: f for f in (masked, sparse_kernel, memory, overhead, odd, between, kernels)}


def name_of(kind):
    return "odd_channels" if kind == "odd" else kind


def without_layers(evidence):
    """The same for a runtime that does not let layers be told apart."""
    return replace(evidence, layers=(), before=None, after=None, machine=None)
