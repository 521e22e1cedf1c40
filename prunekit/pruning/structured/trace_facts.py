"""`Facts`: what the forward passes of a model told about its channels."""

from __future__ import annotations

from dataclasses import dataclass, field

from prunekit.models.branches import Path
from prunekit.pruning.structured.axis_tracker import Call, Notes, Record
from prunekit.pruning.structured.coupling_solver import Ids, Variables
from prunekit.pruning.structured.input_forms import Form
from prunekit.pruning.structured.residual_blocks import Block


@dataclass(frozen=True, eq=False)
class Product:
    """One product of a forward pass."""

    weight: str  # state name of the weight that takes part; empty for a product of activations
    macs: int  # multiply-accumulates of the dense model on the samples that were run
    axes: tuple[Ids, ...]  # variables of the axes whose lengths it is proportional to
    where: str  # the module that runs it


Axis = tuple[str, int]
Number = tuple[str, str]  # module and attribute


@dataclass(frozen=True)
class Facts:
    """What one model's forward passes told."""

    variables: Variables
    axes: dict[Axis, Ids]  # (name in the state dict, axis) -> variables of that axis. Tied parameters appear under their first name
    grouped: dict[str, Ids]  # grouped convolutions by module name -> the variables of their groups
    seen: set[str]  # state names that took part in a forward pass
    unknown: dict[str, str]  # operations without a rule -> the module they were met in
    notes: Notes  # what the proof has to mind besides zeroes
    products: tuple[Product, ...]  # what costs multiply-accumulates, in the order in which it runs
    splits: frozenset[str]  # modules that take an axis apart into a grid, such as heads and their dimensions
    blocks: tuple[Block, ...]  # residual blocks that can go as a whole
    outputs: dict[str, Ids]  # state name of a weight that takes part in a product -> variables of the outputs that it makes
    lengths: dict[str, Ids]  # norms by module name -> variables of the axis that they work on
    # variables of the axes of products of activations along which each index has a product of its own: heads of attention
    heads: tuple[Ids, ...]
    # variables of the axes of which so many have to stay: so many of them are chosen, such as experts, or their deviation is taken
    routes: tuple[tuple[Ids, int], ...]
    multiples: tuple[tuple[Ids, int], ...]  # variables of the axes whose length an operation wants to be a multiple of a number
    records: dict[Call, Record]  # every call in evaluation mode: what a smaller model's has to be like
    forms: tuple[tuple[Form, Notes], ...] = ()  # the further forms in which the model runs, traced along
    # module and attribute of somebody's own class that is a whole number -> variables of the axes, of grids there, that are as long: it
    # follows in a smaller copy. The rehearsal takes out what only stands in the way
    kept: dict[Number, tuple[Ids, ...]] = field(default_factory=dict)
    path: Path | None = None  # the branches that were taken, of a model that takes some by what a tensor says
    held: tuple[str, ...] = ()  # tensors of the model itself that a copy of it, without values, went on using
    # state name of a parameter that is looked up by number -> every operation that takes it, and the module that runs that
    uses: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    pieces: tuple[Ids, ...] = ()  # variables of the pieces of axes that are cut at sizes which a module keeps: each is something of its own
    experts: tuple[Ids, ...] = ()  # variables of the axes along which experts are packed that a router chooses from

    def made_by(self, weight: str) -> Ids:
        """Return the variables of the outputs of a weight; of its first axis where it takes part in no product."""
        return self.outputs.get(weight, self.axes[weight, 0])
