"""`PruneResult`: the model, masks (kept as bits) or kept channels, and what was reached beside what was requested."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.config.spec import PruneSpec
from prunekit.formatting import count, error, percent, shape
from prunekit.models.cost import Counts, share_of_all
from prunekit.notebook import bar, card, notes, table
from prunekit.pruning.proof import Proof
from prunekit.pruning.skipped import Skipped
from prunekit.pruning.structured.grouping import CoupledGroup, coupled
from prunekit.pruning.structured.plan import Plan

if TYPE_CHECKING:
    import pandas as pd


class PackedMasks(Mapping[str, Tensor]):
    """Layer name to mask, True where a weight stays; read only.

    Each look-up unpacks a fresh BoolTensor of the weight's shape: use ``dict(masks)`` to look often.
    """

    def __init__(self, masks: Iterable[tuple[str, Tensor]]) -> None:
        self.removed: dict[str, int] = {}
        self._bits: dict[str, tuple[NDArray[np.uint8], tuple[int, ...]]] = {}
        for name, mask in masks:
            kept = mask.cpu().numpy()
            self.removed[name] = kept.size - int(np.count_nonzero(kept))
            self._bits[name] = np.packbits(kept), kept.shape

    @property
    def total(self) -> int:
        """How many weights the masks are over."""
        return sum(math.prod(shape) for _, shape in self._bits.values())

    def __getitem__(self, name: str) -> Tensor:
        bits, shape = self._bits[name]
        return torch.from_numpy(np.unpackbits(bits, count=math.prod(shape)).view(np.bool_)).view(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._bits)

    def __len__(self) -> int:
        return len(self._bits)


@dataclass(frozen=True)
class LayerResult:
    """One prunable layer, before and after.

    Attributes
    ----------
    name, type : str
        Module name and class.
    shape_before, shape_after : tuple of int
        Shape of the weight.
    requested : float or None
        Sparsity asked of this layer; None where the scope decides, under a threshold, or where the layer was not chosen.
    sparsity : float
        Achieved: share of zeros among the layer's weights (masks), or share of its output channels that went (structured).
    kept : tuple of int or None
        Original indices of the outputs that stay; None for masks.
    rows : tuple of int or None
        Rows of an embedding table that lost some, before and after; the one that is shared counts.
    """

    name: str
    type: str
    shape_before: tuple[int, ...]
    shape_after: tuple[int, ...]
    requested: float | None
    sparsity: float
    kept: tuple[int, ...] | None
    rows: tuple[int, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        lists = {"shape_before": list(self.shape_before), "shape_after": list(self.shape_after)}
        rows = None if self.rows is None else list(self.rows)
        return {**asdict(self), **lists, "kept": None if self.kept is None else list(self.kept), "rows": rows}


UNITS = {"weights": "weights", "channels": "channels", "params": "parameters", "macs": "MACs", "bytes": "bytes", "rows": "rows"}
"""What a setting removes, by the name of what is counted: as people read it."""


@dataclass(frozen=True)
class Achieved:
    """What was asked for beside what was reached, over all chosen layers.

    Attributes
    ----------
    unit : {"weights", "channels", "params", "macs", "bytes", "rows"}
        What is counted; rows of the tables that may lose some, where nothing else goes.
    requested : float or None
        Share asked for; None under a threshold.
    sparsity : float
        Share removed.
    removed, total : int
        Counts behind it.
    """

    unit: str
    requested: float | None
    sparsity: float
    removed: int
    total: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class PruneResult:
    """The outcome of :func:`prunekit.prune`.

    Attributes
    ----------
    model : nn.Module
        A pruned copy of the original class; the dense model is untouched.
    spec : PruneSpec
        The setting.
    input_shape : tuple of int
        Shape of one sample.
    packed : PackedMasks or None
        The masks as they are held, a bit for each weight; None for structured pruning.
    kept : dict of str to tuple of int, or None
        Layer name to the original indices of its remaining outputs; None for masks.
    layers : tuple of LayerResult
        Every prunable layer.
    before, after : Counts
        Parameters, non-zeros, MACs and sparsity of the dense and of the pruned model.
    achieved : Achieved
        Requested and reached.
    proof : Proof or None
        That surgery was faithful; None for masks, and where nothing was removed.
    limits : tuple of str
        What stood in the way, in plain sentences.
    plan : Plan or None
        The channels that went, for structured pruning.
    skipped : tuple of Skipped
        The modules whose weights took no part, and why.
    """

    model: nn.Module
    spec: PruneSpec
    input_shape: tuple[int, ...]
    packed: PackedMasks | None
    kept: dict[str, tuple[int, ...]] | None
    layers: tuple[LayerResult, ...]
    before: Counts
    after: Counts
    achieved: Achieved
    proof: Proof | None
    limits: tuple[str, ...]
    plan: Plan | None = None
    skipped: tuple[Skipped, ...] = ()

    @cached_property
    def groups(self) -> tuple[CoupledGroup, ...]:
        """The coupled groups of the dense model, with the units of each that went; none for masks."""
        return () if self.plan is None else coupled(self.plan.graph, self.plan.gone)

    @property
    def kept_rows(self) -> dict[str, tuple[int, ...]]:
        """Embedding table -> the ids that keep a row of their own; of tables that lost rows alone."""
        return {} if self.plan is None else self.plan.kept_rows

    @property
    def of_all(self) -> float:
        """Share of all parameters of the dense model that are zero or gone."""
        return share_of_all(self.before.params, self.after.params, self.after.nonzero)

    @cached_property
    def masks(self) -> dict[str, Tensor] | None:
        """Layer name to BoolTensor, True where a weight stays, unpacked when first asked for; None for structured pruning."""
        return None if self.packed is None else dict(self.packed)

    def figures(self) -> dict[str, Any]:
        """Return what was counted, as a tracker is told it."""
        proof = (
            {} if self.proof is None else {"proof/error": self.proof.max_relative_error, "proof/output_change": self.proof.output_change}
        )
        counts = {"dense": self.before.to_dict(), "pruned": self.after.to_dict()}
        return {"sparsity": self.achieved.sparsity, "of_all": self.of_all, **counts, **proof}

    def _repr_html_(self) -> str:
        """Return it for a notebook: what went, the counts before and after, and each layer."""
        done, gone = self.achieved, "gone" if self.spec.mode == "structured" else "zero"
        lead = f"{percent(done.sparsity)} removed: {done.removed:,} of {done.total:,} {done.unit}; "
        lead += f"of all parameters {percent(self.of_all)} are {gone}."
        names = {"params": "parameters", "nonzero": "not zero", "macs": "MACs", "effective_macs": "effective MACs"}
        sides = [(title, *(count(getattr(side, name)) for side in (self.before, self.after))) for name, title in names.items()]
        layers = [
            (layer.name, layer.type, shape(layer.shape_before), shape(layer.shape_after), bar(layer.sparsity, percent(layer.sparsity)))
            for layer in self.layers
        ]
        proof = "" if self.proof is None else f"Proved: as zeroing does, to {error(self.proof.max_relative_error)} (1e-4 is allowed)."
        parts = (table(["", "before", "after"], sides), table(["layer", "type", "before", "after", "removed"], layers, "layers"))
        return card(f"{self.spec.mode}, {self.spec.criterion}", lead, *parts, proof, notes(self.limits))

    @property
    def report(self) -> pd.DataFrame:
        """One row for each prunable layer: shapes, requested and achieved sparsity, kept weights."""
        import pandas as pd  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

        return pd.DataFrame([asdict(layer) for layer in self.layers])
