"""Every coupled group with the outputs and inputs that are removed together, and a sentence that names them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prunekit.formatting import plural
from prunekit.pruning.structured.channel_groups import DIMENSIONS, EXPERTS, HEADS, ChannelGraph, Group
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.trace_facts import Coupling
from prunekit.ui.components import show
from prunekit.ui.shared import cuts
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.model_cache import Source

# what an operation does to the layers that meet in it: for one module, and for several
VERBS = {
    "addition": ("adds", "add"),
    "product": ("multiplies", "multiply"),
    "division": ("divides", "divide"),
    "concatenation along another axis": ("stacks", "stack"),
    "matrix product": ("takes the matrix product of", "take matrix products of"),
}
INSIDE = {
    HEADS: "one of the **{0}** of **{1}** takes its queries, keys and values along, {2}; the other heads stay as they are.",
    DIMENSIONS: "one of the {0} of **{1}** takes it from **every head at once**, {2}, so that all heads stay equally wide.",
}


@dataclass(frozen=True)
class Follower:
    """What one layer loses with one unit of a group."""

    layer: str
    side: str  # ``outputs`` or ``inputs``
    each: int  # channels that go with one unit; the most where units differ
    of: int  # channels that there are

    def __str__(self) -> str:
        """Return ``1 of 16 outputs``."""
        return f"{self.each} of {self.of:,} {self.side}"


@dataclass(frozen=True, eq=False)
class Shrinking:
    """A group, and what follows it."""

    group: Group
    members: tuple[Follower, ...]  # members, readers: layers that lose outputs with it, and layers that lose inputs
    readers: tuple[Follower, ...]
    at_once: int  # in how many layers one unit takes outputs; the most where units differ
    others: int  # modules other than these layers that shrink along, such as norms

    @property
    def coupled(self) -> bool:
        """Whether it holds two or more layers."""
        return len(self.group.layers) > 1

    @property
    def channels(self) -> int:
        """Channels that can go from its first layer."""
        return self.group.size * self.members[0].each

    @property
    def units(self) -> str:
        """Return what one removes, in words: ``16 channels``, ``6 × 8 channels``, ``12 heads``, ``64 dimensions of each head``."""
        if self.group.kind in (HEADS, EXPERTS):
            return plural(self.group.size, self.group.kind.removesuffix("s"))
        if self.group.kind == DIMENSIONS:
            return f"{plural(self.group.size, 'dimension')} of each head"
        each = {member.each for member in self.members}
        if each == {1}:
            return plural(self.group.size, "channel")
        return f"{self.group.size:,} × {each.pop()} channels" if len(each) == 1 else plural(self.group.size, "set") + " of channels"


@shared(24, "Following every channel, once …")
def shrinking(source: Source) -> tuple[Shrinking, ...]:
    """Return the groups of a model with what follows them: coupled ones first, each in the order of depth."""
    return follow(cuts.graph(source))


def follow(graph: ChannelGraph) -> tuple[Shrinking, ...]:
    """Return the groups of a traced model with what follows them."""
    owner = np.full(graph.solution.label.size, -1)
    for place, group in enumerate(graph.groups):
        owner[group.atoms] = place
    members, readers = _followers(graph, owner, "outputs"), _followers(graph, owner, "inputs")
    others = _others(graph, owner)
    found = [
        Shrinking(group, tuple(members[place]), tuple(readers.get(place, ())), _at_once(graph, group), others[place])
        for place, group in enumerate(graph.groups)
    ]
    depth = {name: place for place, name in enumerate(graph.layers)}
    return tuple(sorted(found, key=lambda entry: (not entry.coupled, depth[entry.group.layers[0]])))


def _followers(graph: ChannelGraph, owner: Ids, what: str) -> dict[int, list[Follower]]:
    """Return for each group the layers that lose outputs, or inputs, with it."""
    found: dict[int, list[Follower]] = {}
    for name in graph.layers:
        readers = graph.weights[name], 1 - graph.layouts.get(name, (0, 1))[0]
        classes = graph.outputs[name] if what == "outputs" else graph.classes(readers)
        positions, atoms, _ = graph.solution.atoms(classes)
        pairs = np.unique(np.stack([atoms, positions], 1), axis=0)
        each, times = np.unique(pairs[:, 0], return_counts=True)
        for place in np.unique(owner[each]).tolist():
            most = int(times[owner[each] == place].max())
            found.setdefault(place, []).append(Follower(name, what, most, classes.size))
    return found


def _others(graph: ChannelGraph, owner: Ids) -> Counter[int]:
    """Count for each group the modules without a prunable weight that shrink along."""
    met = set()
    for name, axis in graph.facts.axes:
        module = name.rpartition(".")[0]
        if module not in graph.layers:
            atoms = graph.solution.atoms(graph.classes((name, axis)))[1]
            met |= {(place, module) for place in np.unique(owner[atoms]).tolist()}
    return Counter(place for place, _ in met)


def _at_once(graph: ChannelGraph, group: Group) -> int:
    """Return from how many layers one unit takes outputs, at most."""
    touched = [np.unique(graph.incidence[name][1]) for name in group.layers]
    _, times = np.unique(np.concatenate(touched)[np.isin(np.concatenate(touched), group.atoms)], return_counts=True)
    return int(times.max())


def sentence(entry: Shrinking) -> str:
    """Say what removing one channel of a group does, and why."""
    group, sets = entry.group, entry.units.replace("×", "sets of")
    if not entry.coupled:
        name = show.plain(group.layers[0])
        if group.kind in INSIDE:
            return f"Removing {INSIDE[group.kind].format(sets, name, entry.members[0])}{_rest(entry)}"
        return f"**{name}** shrinks alone: removing one of its {sets} takes no other layer's outputs along.{_rest(entry)}"
    layers = ("up to " if entry.at_once < len(group.layers) else "") + plural(entry.at_once, "layer")
    why = f", because {because(group)}" if group.couplings else ""
    return f"Removing one of these {sets} removes it from **{layers} at once**{why}.{_rest(entry)}"


def _rest(entry: Shrinking) -> str:
    """Say what follows: inputs of layers, norms."""
    readers, others = len(entry.readers), entry.others
    found = [f"{plural(readers, 'layer')} {'loses' if readers == 1 else 'lose'} inputs"] if readers else []
    found += [f"{plural(others, 'norm or the like', 'norms and the like')} {'shrinks' if others == 1 else 'shrink'}"] if others else []
    return f" With it {' and '.join(found)}." if found else ""


def because(group: Group) -> str:
    """Say which operations tie the layers of a group: ``layer1.0 and layer1.1 add outputs of these layers``."""
    operations = dict.fromkeys(coupling.operation for coupling in group.couplings)
    return "; ".join(_does(name, [c for c in group.couplings if c.operation == name]) for name in operations)


def _does(operation: str, same: Sequence[Coupling]) -> str:
    """Say what the modules with one operation do."""
    one, modules = len(same) == 1, listed([coupling.module or "the model" for coupling in same])
    if operation == "depthwise convolution":
        return f"{modules} {'filters' if one else 'filter'} each channel on its own ({operation})"
    if operation == "grouped convolution":
        return f"{modules} {'is a' if one else 'are'} {operation}{'' if one else 's'}, where whole groups go"
    if operation not in VERBS:
        return f"{modules} {'needs' if one else 'need'} them alike ({operation})"
    return f"{modules} {VERBS[operation][not one]} " + (f"the outputs of {listed(_own(same[0]))}" if one else "outputs of these layers")


def _own(coupling: Coupling) -> list[str]:
    """Return the layers that meet, those inside the module by their name in it."""
    inside = f"{coupling.module}."
    return [f"its {name.removeprefix(inside)}" if coupling.module and name.startswith(inside) else name for name in coupling.layers]


def listed(names: Sequence[str], most: int = 4, *, escape: bool = True) -> str:
    """Return names as ``a, b and c``, the last ones counted where they are many."""
    shown = [show.plain(name) for name in names] if escape else list(names)
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def operations(group: Group) -> str:
    """Return how often each operation couples a group: ``3 additions, 1 product``."""
    counted = Counter(coupling.operation for coupling in group.couplings)
    many = {"concatenation along another axis": "concatenations along another axis"}
    return ", ".join(plural(times, operation, many.get(operation, "")) for operation, times in counted.items())
