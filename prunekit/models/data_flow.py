"""What flows where: the layers of one forward pass and the operations in which their outputs meet, as a graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.models.branches import Along, Path
from prunekit.models.layers import prunable_layers, weight_name
from prunekit.models.meta_copy import Seeing, locating, meta_copy
from prunekit.models.meta_operations import without_values
from prunekit.models.outputs import answers_of
from prunekit.tasks.input_form import AROUND, answer, zeros
from prunekit.tasks.nested import named_tensors

INPUT, OUTPUT = "input", "output"
SIGNS = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "cat": "concat", "stack": "concat", "bmm": "@", "baddbmm": "@", "mm": "@"}
"""Operations in which two streams meet, as they are written; others by their own name."""
ATTENTION = "attention"
LOOKUPS = {"embedding", "_embedding_bag", "_embedding_bag_forward_only"}


@dataclass(frozen=True)
class Node:
    """A layer, an operation in which several streams meet, or an end of the model."""

    id: str  # the layer's name; of another node something that no layer is called
    kind: str  # {"layer", "join", "input", "output"}
    label: str  # the layer's name, or the sign of the operation
    module: str  # where it runs: the layer itself, or the module whose forward joins
    # the layer whose weight it multiplies with; empty where it is none. A table that is tied to another layer has that one's name
    layer: str = ""


@dataclass(frozen=True)
class DataFlow:
    """A graph of nodes, in the order in which they first run."""

    nodes: tuple[Node, ...]  # the input first, the output last; a layer that runs several times stands once
    # from node to node, each pair once. One from a later node to an earlier one goes back into a layer that runs again
    edges: tuple[tuple[str, str], ...]


class _Following(Seeing):
    """Knows of every tensor from which node it comes."""

    def __init__(self, weights: Mapping[int, str], tied: Mapping[str, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tied = tied
        self.where = ""
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self._weights = dict(weights)  # by the id of a tensor: the layer whose weight it is, or a view of
        self._from: dict[int, str] = {}
        self._held: list[Tensor] = []  # so that no id is given twice

    def enter(self, name: str) -> None:
        """Note which module runs."""
        self.where = name

    def put(self, tensors: list[Tensor], node: str) -> None:
        """Note where tensors come from."""
        for tensor in tensors:
            self._from[id(tensor)] = node
            self._held.append(tensor)

    def sources(self, tensors: list[Tensor]) -> list[str]:
        """Return the nodes that tensors come from, each once."""
        return list(dict.fromkeys(self._from[id(tensor)] for tensor in tensors if id(tensor) in self._from))

    def node(self, node: Node, sources: list[str]) -> str:
        """Add a node, and what flows into it."""
        self.nodes.setdefault(node.id, node)
        self.edges.update(dict.fromkeys((source, node.id) for source in sources if source != node.id))
        return node.id

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        out = without_values(func, args, kwargs or {}, most=True)
        taken = [tensor for _, tensor in named_tensors((args, kwargs), "")]
        made = [tensor for _, tensor in named_tensors(out, "")]
        name = func.overloadpacket.__name__
        layers = list(dict.fromkeys(self._weights[id(tensor)] for tensor in taken if id(tensor) in self._weights))
        sources = self.sources(taken)
        if layers and not sources and len(layers) == 1 and name not in LOOKUPS:
            self._weights.update((id(tensor), layers[0]) for tensor in made)  # a view of a weight, or computed from it alone
            self._held.extend(made)
        elif layers:
            layer = self.where if self.tied.get(self.where) == layers[0] else layers[0]
            self.put(made, self.node(Node(layer, "layer", layer, self.where, layers[0]), sources))
        elif name.startswith("new_") or name.endswith("_like"):
            pass  # of its argument it takes the shape alone
        elif len(sources) > 1:
            self.put(made, self._join(name, sources))
        elif sources:
            self.put(made, sources[0])
        return out

    def _join(self, operation: str, sources: list[str]) -> str:
        """Return the node in which streams meet: one for a whole attention, whose products follow each other in one module."""
        name = operation.strip("_")
        sign = ATTENTION if "attention" in name else SIGNS.get(name, name)
        if sign in ("@", ATTENTION):
            before = [each for each in sources if self.nodes[each].label == ATTENTION and self.nodes[each].module == self.where]
            if before:  # the values, after queries and keys
                return self.node(self.nodes[before[0]], sources)
            sign = ATTENTION
        number = sum(node.kind == "join" and node.module == self.where for node in self.nodes.values())
        return self.node(Node(f"{self.where}#{number}", "join", sign, self.where), sources)


@dataclass(frozen=True)
class Stack:
    """Blocks that follow each other in one container and are built alike."""

    name: str  # the container and the first and last block: ``layers.0–29``
    blocks: tuple[str, ...]


FEWEST = 3  # blocks that are worth folding into one


def stacks(model: nn.Module) -> tuple[Stack, ...]:
    """Return the runs of blocks with weights that are built alike, outer ones first."""
    found = []
    for path, module in model.named_modules():
        if not isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
            continue  # a module that calls its parts by name puts them to different uses
        children = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
        forms = [(type(each), *((name, tuple(p.shape)) for name, p in each.named_parameters())) for _, each in children]
        first = 0
        for place in range(1, len(children) + 1):
            if place < len(children) and forms[place] == forms[first]:
                continue
            if place - first >= FEWEST and len(forms[first]) > 1:
                blocks = tuple(name for name, _ in children[first:place])
                found.append(Stack(f"{blocks[0]}–{re.split('[._]', blocks[-1])[-1]}", blocks))
            first = place
    return tuple(found)


@dataclass(frozen=True)
class Folded:
    """A graph in which the blocks of some stacks are drawn as one."""

    flow: DataFlow  # the first block of each stack stands for all
    members: dict[str, tuple[str, ...]]  # node -> the nodes of the whole graph that it stands for
    stacks: dict[str, Stack]  # node -> the innermost folded stack that it stands in


def fold(flow: DataFlow, of: Sequence[Stack]) -> Folded:
    """Draw the blocks of some stacks as their first one."""
    first = {block: (stack.blocks[0], stack) for stack in of for block in stack.blocks}

    def place(name: str) -> tuple[str, Stack | None]:
        parts, inner = name.split("."), None
        for end in range(1, len(parts) + 1):
            head, _, number = ".".join(parts[:end]).partition("#")
            if head in first:
                head, inner = first[head]
                parts[:end] = [*head.split("."), *[""] * (end - len(head.split(".")))]
                parts[end - 1] += f"#{number}" if number else ""
        return ".".join(parts), inner

    nodes: dict[str, Node] = {}
    members: dict[str, list[str]] = {}
    inside: dict[str, Stack] = {}
    to = {}
    for node in flow.nodes:
        name, stack = place(node.id)
        to[node.id] = name
        module = place(node.module)[0]
        nodes.setdefault(name, Node(name, node.kind, name if node.kind == "layer" else node.label, module, node.layer))
        members.setdefault(name, []).append(node.id)
        if stack is not None:
            inside[name] = stack
    order = {name: number for number, name in enumerate(nodes)}
    pairs = dict.fromkeys((to[a], to[b]) for a, b in flow.edges)
    again = {(to[a], to[b]) for a, b in flow.edges if to[a] not in inside or inside[to[a]] is not inside.get(to[b])}
    # what one block of a stack hands to the next goes back to the top of the one that stands for them
    edges = [(a, b) for a, b in pairs if a != b and (order[a] < order[b] or (a, b) in again)]
    return Folded(DataFlow(tuple(nodes.values()), tuple(edges)), {name: tuple(m) for name, m in members.items()}, inside)


def data_flow(model: nn.Module, input_shape: tuple[int, ...], path: Path | None = None) -> DataFlow:
    """Follow one forward pass in evaluation mode, without values."""
    names = prunable_layers(model)
    meta = meta_copy(model)
    if path is not None:
        meta.__dict__[AROUND] = Along(path)
    parameters = dict(meta.named_parameters(remove_duplicate=False))
    weights = {id(parameters[weight_name(model, name)]): name for name in names}
    held = ((path.rpartition(".")[0], weights[id(tensor)]) for path, tensor in parameters.items() if id(tensor) in weights)
    tied = {module: name for module, name in held if module != weight_name(model, name).rpartition(".")[0]}
    following = _Following(weights, tied)
    batch = zeros(meta, input_shape, 2).to("meta")
    following.put([tensor for _, tensor in batch.named_tensors()], following.node(Node(INPUT, INPUT, INPUT, ""), []))
    with torch.no_grad(), locating(meta, following.enter), following:
        out = answer(meta, batch)
    following.node(Node(OUTPUT, OUTPUT, OUTPUT, ""), following.sources(answers_of(out)))
    return DataFlow(tuple(following.nodes.values()), tuple(following.edges))
