"""A removal in numbers: counts and shapes follow from which channels go, without touching a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prunekit.pruning.graph import Axis
from prunekit.pruning.groups import Bools, ChannelGraph, Group
from prunekit.pruning.solve import Ids
from prunekit.spec import PruneSpec


@dataclass(frozen=True, eq=False)
class Removal:
    """Channels to remove, with everything that follows from counting.

    Attributes
    ----------
    graph : ChannelGraph
        The model's couplings.
    atoms : ndarray of int
        What goes.
    """

    graph: ChannelGraph
    atoms: Ids

    @classmethod
    def leaving(cls, graph: ChannelGraph, kept: Mapping[str, Sequence[int]]) -> Removal:
        """Return the removal that leaves certain outputs of each layer.

        Parameters
        ----------
        graph : ChannelGraph
            The dense model's couplings.
        kept : mapping of str to sequence of int
            Layer -> original indices of the outputs that stay; what is not named stays whole.
        """
        classes = [np.delete(graph.outputs[name], np.asarray(stay, dtype=np.int64)) for name, stay in kept.items() if name in graph.outputs]
        return Removal(graph, np.unique(np.concatenate(classes)) if classes else np.zeros(0, dtype=np.int64))

    @cached_property
    def gone(self) -> Bools:
        """By class: whether it is removed."""
        return self.graph.solution.removed(self.atoms)

    @cached_property
    def masks(self) -> dict[Axis, Bools]:
        """(State name, axis) -> which elements stay, for every axis that loses some."""
        return self.graph.kept(self.gone)

    @cached_property
    def kept(self) -> dict[str, tuple[int, ...]]:
        """Layer -> original indices of the outputs that stay, for every prunable layer."""
        return {name: tuple(np.flatnonzero(~self.gone[classes]).tolist()) for name, classes in self.graph.outputs.items()}

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the new shape of a state entry."""
        return self.graph.meter.shape(name, self._counts)

    @cached_property
    def _counts(self) -> Ids:
        """How many elements of each axis stay."""
        return self.graph.meter.kept(self.gone)

    @cached_property
    def layer_shapes(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """Layer -> shape of its weight before and after."""
        meter = self.graph.meter
        return {name: (meter.shape(weight), meter.shape(weight, self._counts)) for name, weight in self.graph.weights.items()}

    def layer_macs(self) -> dict[str, int]:
        """Return each layer's MACs afterwards; under ``""`` those of all other products."""
        return self.graph.meter.macs(self._counts)

    def removed_macs(self) -> int:
        """Return how many MACs go, for one sample."""
        return sum(self.graph.macs.get(name, 0) - macs for name, macs in self.layer_macs().items())

    def removed_params(self, parameters: dict[str, tuple[int, ...]]) -> int:
        """Return how many parameters go.

        Parameters
        ----------
        parameters : dict of str to tuple
            Shape of every parameter of the dense model, by name.
        """
        return self.graph.meter.removed_params(self._counts, parameters)


@dataclass(frozen=True, eq=False)
class Plan(Removal):
    """A removal, and the setting that it answers.

    Attributes
    ----------
    spec : PruneSpec
        The setting.
    groups : tuple of Group
        What was open to removal.
    requested : dict of str to float or None
        Group id to the sparsity asked of it (None where the scope, a threshold or a target in parameters or MACs decides).
    unit : {"channels", "params", "macs"}
        What the next three count.
    total : int
        Removable channels in the chosen groups, or parameters or MACs of the whole model.
    wanted : int or None
        Asked for; None under a threshold.
    removed : int
        What goes.
    limits : tuple of str
        What stood in the way, in plain sentences.
    """

    spec: PruneSpec
    groups: tuple[Group, ...]
    requested: dict[str, float | None]
    unit: str
    total: int
    wanted: int | None
    removed: int
    limits: tuple[str, ...]
