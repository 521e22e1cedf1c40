"""What a proof runs: a copy with other values within what they mean, the smallest inputs, and a pass that gives the same each time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from prunekit.models.meta_copy import Seeing, copied, locating, meta_copy
from prunekit.models.outputs import answers_of
from prunekit.models.wrappers import exact
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.dry_run import Listing, listed
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, answer

SEED = 20_240_917
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
POOL = 262_139  # values, a prime number: in a larger model the noise is this long, and no two rows of a matrix begin at one place of it
STRIDE = 100_003  # from the place of one tensor to that of the next
LOOKED_AT = 2**16  # values: of a larger parameter nobody asks whether all are positive
LEAST_CENTRE = 0.05


def randomise(model: nn.Module, seed: int = SEED, *, like_own: bool = False, channels_last: bool = False) -> nn.Module:
    """Return a copy whose every floating-point parameter and statistic is random.

    Weights have the standard deviation sqrt(1 / fan-in), so that activations neither explode nor die through a hundred layers (at twice the
    variance a deep residual network reaches 1e8, and float32 no longer tells right from wrong); norms and statistics are far from neutral.
    What is positive stays positive. Buffers of whole numbers or in order (places, masks, borders) are left alone. Fake quantisation is off.

    ``channels_last``: lay weights of four axes out with the second one last, as torch convolves soonest.
    """
    # parameters are filled below: their values are not copied first
    memo: dict[int, object] = {id(b): b.detach().clone() for b in model.buffers() if type(b) is Tensor}
    for p in model.parameters():
        if p.is_floating_point():
            layout = torch.channels_last if channels_last and p.dim() == 4 else torch.preserve_format
            memo[id(p)] = nn.Parameter(torch.empty_like(p, memory_format=layout), requires_grad=False)
    other, noise = copied(model, memo).eval(), _Noise(seed, sum(p.numel() for p in model.parameters()))
    done = set[int]()  # a parameter that several modules share is one
    with torch.no_grad():
        exact(other)
        for old_module, module in zip(model.modules(), other.modules(), strict=True):
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            for name, tensor in own:
                if tensor.is_floating_point() and id(tensor) not in done:
                    done.add(id(tensor))
                    _draw((old_module, module), name, noise, like_own=like_own)
    return other


def _draw(modules: tuple[nn.Module, nn.Module], name: str, noise: _Noise, *, like_own: bool) -> None:
    """Fill one tensor of the second module."""
    found = getattr(modules[1], name)
    new, weight = found.detach(), isinstance(found, nn.Parameter)
    if isinstance(modules[1], NORMS):
        positive = name in ("weight", "running_var")
        noise.fill(new, 1.0 if positive else 0.0, 0.25 if positive else 0.3)
        return
    old = getattr(modules[0], name).detach()
    if not weight and _looked_up(old):
        return
    matrix = new.dim() > 1 and new.shape[0] > 1
    if not (weight and matrix and not like_own) and 0 < old.numel() <= LOOKED_AT and _positive(old):
        mean = float(old.float().mean())
        centre = mean if mean >= LEAST_CENTRE else 0.3
        noise.fill(new, centre, 0.25 * centre)
    elif like_own and old.numel() > 1:
        centre, spread = float(old.float().mean()), float(old.float().std())
        noise.fill(new, centre, spread if spread > 0 else 0.02)
    elif matrix:
        noise.fill(new, 0.0, (1 / max(new[0].numel(), 1)) ** 0.5)
    else:
        noise.fill(new, 0.0, 0.3)


class _Noise:
    """Uniform noise by a seed; for a large model the same stretch of it over and over, from another place in each tensor."""

    def __init__(self, seed: int, numbers: int) -> None:
        self.source = torch.Generator().manual_seed(seed)
        self.place = int(torch.randint(POOL, (), generator=self.source))
        self.pool = torch.empty(POOL).uniform_(-(3**0.5), 3**0.5, generator=self.source) if numbers > POOL else None

    def fill(self, tensor: Tensor, centre: float, spread: float) -> None:
        """Fill a tensor with values of a mean and a standard deviation."""
        half, last = spread * 3**0.5, tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        tensor = tensor.permute(0, 2, 3, 1) if last else tensor
        plain = tensor.is_cpu and tensor.is_contiguous() and tensor.dtype == torch.float32
        if plain and self.pool is not None:
            flat, self.place = tensor.view(-1), (self.place + STRIDE) % POOL
            for start in range(-self.place, flat.numel(), POOL):
                piece = flat[max(start, 0) : start + POOL]
                torch.mul(self.pool[max(-start, 0) :][: piece.numel()], spread, out=piece)
                if centre:
                    piece.add_(centre)
        elif plain:
            tensor.uniform_(centre - half, centre + half, generator=self.source)
        else:
            tensor.copy_(torch.empty(tensor.shape).uniform_(centre - half, centre + half, generator=self.source))


def _positive(values: Tensor) -> bool:
    """Return whether no value is negative, and not all are zero."""
    low, high = values.float().aminmax()
    return bool(low >= 0) and 0 < float(high) < float("inf")


def _looked_up(values: Tensor) -> bool:
    """Return whether a buffer holds places, a mask or borders: whole numbers, an order, or infinities, but not one number all over."""
    flat = values.detach().float().reshape(-1)
    if flat.numel() < 2 or bool((flat == flat[0]).all()):
        return False
    steps = flat.diff()
    return not bool(torch.isfinite(flat).all()) or bool((flat == flat.round()).all()) or bool((steps > 0).all() or (steps < 0).all())


NOISE = {"randn_like", "rand_like", "randn", "rand", "normal", "uniform", "normal_functional", "exponential", "log_normal"}
KEEPS = {"bernoulli", "native_dropout", "rrelu_with_noise", "_fused_dropout"}
OTHERS = {"randint", "randint_like", "randperm", "multinomial", "random", "cauchy", "geometric"}
DRAWN_SEED = 7


def fresh(model: nn.Module) -> nn.Module:
    """Return a copy that starts from what a model holds now: its parameters too, for some models write to them when they run."""
    return copied(model)


@contextmanager
def repeatable(kind: torch.dtype | None = None) -> Iterator[Repeatable]:
    """Let whatever runs draw the same random numbers each time, and compute in one floating type, whatever its code asks for."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (the model's own code may use it)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(DRAWN_SEED)
        random.seed(DRAWN_SEED)
        np.random.seed(DRAWN_SEED)  # noqa: NPY002
        try:
            with Repeatable(kind) as mode:
                yield mode
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def random_states() -> tuple[Any, ...]:
    """Return where the generators stand from which a model may draw: torch's, Python's and numpy's."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), (name, keys.tobytes(), *rest)  # type: ignore[attr-defined]


class Repeatable(Seeing):
    """Gives random operations one number each, and operations that name a floating type the one that is asked for."""

    def __init__(self, kind: torch.dtype | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind, self.drawn = kind, list[str]()
        self.decides = False  # whether a single number was drawn, such as one by which forward() skips a layer
        self._source = torch.Generator().manual_seed(DRAWN_SEED)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        asked = kwargs.get("dtype")
        if self.kind is not None and isinstance(asked, torch.dtype) and asked.is_floating_point:
            kwargs["dtype"] = self.kind
        name = func.overloadpacket.__name__.rstrip("_")
        if name == "native_dropout":
            self.drawn.append(name)
            return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
        if name in OTHERS:
            torch.manual_seed(DRAWN_SEED + len(self.drawn))
        out = func(*args, **kwargs)
        if name in NOISE | KEEPS | OTHERS:
            self.drawn.append(name)
            self.decides |= isinstance(out, Tensor) and not out.dim()
        if isinstance(out, Tensor) and name in KEEPS:
            out.fill_(1)
        elif isinstance(out, Tensor) and name in NOISE and out.dim():
            out.fill_(float(torch.rand((), generator=self._source)))
        return out


LEAST_SIDE = 48  # fewer pixels a side are not looked for
LEAST_MACS = 2**26  # below that the pass is over before a smaller one is found
LAYOUT = frozenset({"view", "_unsafe_view", "clone", "as_strided_"})  # which of them flattening takes is the memory's matter
_FOUND: WeakKeyDictionary[ChannelGraph, tuple[int, ...]] = WeakKeyDictionary()


def smallest(model: nn.Module, graph: ChannelGraph) -> tuple[int, ...]:
    """Return the shape of a sample, its sides halved as often as the model runs the same operations in the same order of every module."""
    shape = graph.input_shape
    if isinstance(shape, InputForm) or sum(graph.macs.values()) < LEAST_MACS:
        return shape
    if graph not in _FOUND:
        candidates = list(_halved(shape))
        meta = meta_copy(model) if candidates else model
        _FOUND[graph] = next((each for each in reversed(candidates) if listed(meta, each) == graph.facts.records.keys()), shape)
    return _FOUND[graph]


def at_once(model: nn.Module, graph: ChannelGraph, inputs: Callable[[tuple[int, ...]], Batch]) -> tuple[Batch, list[Tensor]] | None:
    """Return the smallest input there may be and what a model makes of it, if that pass itself runs the operations of its own size.

    No copy without values is made and run to find that out: of a small model that takes longer than the pass.
    """
    shape, listing = graph.input_shape, Listing()
    candidates = [] if isinstance(shape, InputForm) or graph in _FOUND else list(_halved(shape))
    if not candidates or sum(graph.macs.values()) < LEAST_MACS:
        return None
    try:
        x = inputs(candidates[-1])
        with torch.no_grad(), locating(model, listing.calls.enter), listing:
            found = answers_of(answer(model, x))
    except Exception:  # whatever it says of inputs of that size
        return None
    if any(operation not in LAYOUT for _, operation, _ in listing.made ^ graph.facts.records.keys()):
        return None
    _FOUND[graph] = candidates[-1]
    return x, found


def _halved(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield shapes of half, a quarter, ... of the sides that are long enough for it."""
    while any(side // 2 >= LEAST_SIDE for side in shape[1:]):
        shape = (shape[0], *(side // 2 if side // 2 >= LEAST_SIDE else side for side in shape[1:]))
        yield shape
