"""What cuts a dense model's tensors by the outputs that stay: the couplings know, which stand above this floor and give it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

Kept = Mapping[str, Sequence[int]]
Cutter = Callable[[nn.Module, tuple[int, ...], Kept], Mapping[str, Tensor]]

_CUTTERS: list[Cutter] = []


def use_cutter(cutter: Cutter) -> None:
    """Let a function cut: it takes a dense model, the shape of a sample and the outputs that stay in each layer, and returns tensors."""
    _CUTTERS[:] = [cutter]


def cut(dense: nn.Module, shape: tuple[int, ...], kept: Kept) -> Mapping[str, Tensor]:
    """Return those parameters and buffers of a dense model that become smaller, cut; none where nobody can cut."""
    return _CUTTERS[0](dense, shape, kept) if _CUTTERS else {}
