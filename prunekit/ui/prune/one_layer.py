"""One layer of a cut: its weights, its mask, and the ways to show them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import nn

from prunekit.config import fields
from prunekit.models.layers import weight_of
from prunekit.plots.weight_pixels import Blocks, blocks, parts, planes
from prunekit.pruning.structured.plan import Plan
from prunekit.ui.shared import cuts
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]

FEW = 4  # inputs: up to so many, a convolution is shown as a gallery of its kernels
GALLERY = 16_000  # pixels of one gallery
SIDES, OF_EMBEDDING = ("output", "input"), ("row", "channel")

LARGE = 250_000  # weights of a layer that is shown as a whole first


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a cut."""

    name: str
    weight: Floats  # weight, kept: [out, in, *kernel]: its dense weight, and True where a weight stays
    kept: Bools
    block: int  # M of the N:M pattern that lies on it; 0 where none does
    channels: bool  # whether whole channels go
    ticked: bool  # whether the setting works on it
    coupled: int = 0  # how many other layers lose the same channels
    # what lies along the two axes of its weight; of an embedding its rows come first, and its columns are its channels
    sides: tuple[str, str] = SIDES

    @cached_property
    def kernels(self) -> tuple[int, ...]:
        """Shape of the weight with two axes for the kernel."""
        return planes(self.weight).shape

    @cached_property
    def blocks(self) -> Blocks:
        """What stays, averaged over blocks."""
        return blocks(self.kept)

    @property
    def pixels(self) -> int:
        """Pixels of one kernel."""
        return math.prod(self.kernels[2:])

    @property
    def gallery(self) -> bool:
        """Whether its kernels are better shown output by output."""
        return self.pixels > 1 and self.kernels[1] <= FEW and not self.block

    @property
    def coloured(self) -> bool:
        """Whether its kernels are pictures in red, green and blue."""
        return self.pixels > 1 and self.weight.ndim == 4 and self.kernels[1] == 3

    def parts(self, how: str) -> tuple[tuple[range, ...], tuple[range, ...]]:
        """Return how outputs and inputs are cut into parts for one way of showing them."""
        out, ins = self.kernels[:2]
        if how == "density":
            return (range(out),), (range(ins),)
        if how in ("filters", "colours") or self.gallery:
            each = self.pixels * (1 if how == "filters" else ins)
            step = max(8, 2 ** int(math.log2(max(GALLERY // each, 1))))
            return tuple(range(a, min(a + step, out)) for a in range(0, out, step)), (range(ins),)
        return parts(self.weight.shape, comb=bool(self.block))

    @property
    def ways(self) -> list[str]:
        """Ways of showing it, the best first."""
        first = ["filters"] if self.channels and self.weight.ndim > 2 else []
        both = ["mask", "values"] if self.block else ["values", "mask"]
        big = not self.block and any(len(side) > 1 for side in self.parts("values"))
        # of a large matrix a part shows noise: block by block the share that is gone comes first
        both = both if not big else ["density", *both] if self.weight.size > LARGE else [*both, "density"]
        return [*first, *both, *(["colours"] if self.coloured else [])]


def layer_of(loaded: Loaded, view: View, name: str) -> Layer:
    """Return one layer with what a cut leaves of it."""
    weight: Floats = weight_of(loaded.model, name).cpu().float().numpy()
    sides = OF_EMBEDDING if isinstance(loaded.model.get_submodule(name), nn.Embedding) else SIDES
    ticked = bool(view.frame["ticked"].to_numpy()[view.frame["name"].tolist().index(name)])
    if isinstance(view.cut, Plan):
        members = {member for group in view.cut.groups if name in group.layers for member in group.layers}
        return Layer(name, weight, _shrunk(view.cut, name, weight.shape), 0, True, ticked, max(len(members) - 1, 0), sides)
    kept = cuts.mask_of(view, name) if name in view.cut else np.ones(weight.shape, dtype=np.bool_)
    block = fields.pattern(view.spec.pattern)[1] if view.spec.mode == "nm" else 0
    return Layer(name, weight, kept, block if ticked and block <= weight.shape[1] else 0, False, ticked, sides=sides)


def _shrunk(plan: Plan, name: str, size: tuple[int, ...]) -> Bools:
    """Return which weights of a layer stay when channels go: those of its own outputs and of inputs that are still delivered."""
    kept = np.ones(size, dtype=np.bool_)
    for axis in (0, 1):
        stays = plan.masks.get((plan.graph.weight(name), axis))
        if stays is not None:
            kept &= stays.reshape([-1 if k == axis else 1 for k in range(len(size))])
    return kept
