"""Which attention modules are known, how their packed rows are laid out, and what takes their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunekit.errors import PruningError


@dataclass(frozen=True)
class Heads:
    """What is known of a class of attention modules.

    The module here that is named for the library of the class declares it: ``timm_heads`` what is known of timm's. It is imported when a
    module of that library is met, so that it may import the library.

    Attributes
    ----------
    of : str
        Qualified name of the class.
    rows : str
        The parameter, relative to the module, whose rows are queries, keys and values: ``[3 * heads * width, embedding]``.
    count : str
        Attribute that holds the number of heads.
    width : str
        Attribute that holds the width of a head; the adapter's own where the dense class has none.
    adapter : type of nn.Module, optional
        The subclass that allows any number of heads and any width; None for a class that does so itself.
    whole : str
        Attribute that holds heads times width; empty where there is none.
    """

    of: str
    rows: str
    count: str
    width: str
    adapter: type[nn.Module] | None = None
    whole: str = ""


DENSE = "dense_width"  # attribute of an adapter: the width of a head before any went, which sets the scale


def adapter_of(module: nn.Module) -> Heads | None:
    """Return what is known of a module's class, or of the class that its adapter stands for."""
    if isinstance(module, nn.MultiheadAttention) and (module.in_proj_weight is None or module.bias_k is not None or module.add_zero_attn):
        return None  # keys of another width, or keys that no row makes
    kinds = type(module).__mro__ if hasattr(module, DENSE) else (type(module),)  # a class of someone else's may do anything
    for kind in kinds:
        found = _known(kind.__module__.partition(".")[0]).get(f"{kind.__module__}.{kind.__qualname__}")
        if found is not None:
            return found
    return None


@lru_cache(64)
def _known(library: str) -> dict[str, Heads]:
    """Return what is known of a library's attention, by the qualified name of the class."""
    home = f"{__package__}.{library}_heads"
    declared = vars(import_module(home)).values() if find_spec(home) else ()
    return {each.of: each for each in declared if isinstance(each, Heads)}


def adapters(model: nn.Module) -> Iterator[tuple[str, nn.Module, Heads]]:
    """Yield every attention module that is known, by name."""
    for name, module in model.named_modules():
        known = adapter_of(module)
        if known is not None:
            yield name, module, known


def packed_weight(module: nn.Module) -> nn.Parameter | None:
    """Return the packed rows that an attention module holds itself, as ``nn.MultiheadAttention`` does; None where a layer holds them."""
    return module.in_proj_weight if isinstance(module, nn.MultiheadAttention) and adapter_of(module) is not None else None


def heads_of(module: nn.Module, known: Heads) -> tuple[int, int]:
    """Return the number of heads and their width."""
    count = int(getattr(module, known.count))
    return count, module.get_parameter(known.rows).shape[0] // (3 * count)


def adapt(module: nn.Module, known: Heads, count: int, width: int, dense: int) -> None:
    """Give a module a number of heads and a width, through its adapter.

    Parameters
    ----------
    module : nn.Module
        Changed in place.
    known : Heads
        What is known of its class.
    count, width : int
        Heads, and dimensions in each of them.
    dense : int
        Width before any dimension went.
    """
    if known.adapter and not hasattr(module, DENSE):
        module.__class__ = known.adapter
        if isinstance(module, nn.MultiheadAttention):
            module._qkv_same_embed_dim = False  # keeps nn.TransformerEncoderLayer from its fused path, which knows dense heads only
    if hasattr(module, "fused_attn") and width != dense:
        # fused attention takes its scale from the width; the other path has kept the dense one
        setattr(module, "fused_attn", False)  # noqa: B010 (a module's attributes are typed as tensors)
    if known.whole:
        setattr(module, known.whole, count * width)
    for attribute, value in ((known.count, count), (known.width, width), (DENSE, dense)):
        setattr(module, attribute, value)


def kept_heads(rows: NDArray[np.bool_], count: int) -> tuple[int, int]:
    """Return how many heads stay and how wide, from which packed rows do."""
    parts = rows.reshape(3, count, -1)
    alive = parts.any((0, 2))
    widths = np.unique(parts[:, alive].sum(-1))
    if widths.size != 1:
        raise PruningError(f"the heads that stay would keep different numbers of dimensions: {widths.tolist()}")
    return int(alive.sum()), int(widths[0])
