"""torch-pruning's view of a model, and ours in its terms: shared by the tests against it and the script that compares all models."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

oracle = pytest.importorskip("torch_pruning")


def is_depthwise(module):
    return isinstance(module, _ConvNd) and module.groups == module.out_channels > 1


class Theirs:
    """torch-pruning's view of a copy of a model."""

    def __init__(self, model, shape):
        self.model = copy.deepcopy(model).requires_grad_(True)
        self.graph = oracle.DependencyGraph().build_dependency(self.model, torch.zeros(1, *shape), verbose=False)
        self.modules = dict(self.model.named_modules())
        self.names = {module: name for name, module in self.modules.items()}

    def knows(self, layer):
        return self.modules[layer] in self.graph.module2node

    def group(self, layer, channels):
        """Return what torch-pruning removes when asked for some outputs of a layer."""
        module = self.modules[layer]
        return self.graph.get_pruning_group(module, self.graph.get_pruner_of_module(module).prune_out_channels, list(channels))

    def removed(self, layer, channels):
        """Return the same as a set of (layer, "in" or "out", index)."""
        found = set()
        for dep, indices in self.group(layer, channels):
            module = dep.target.module
            if isinstance(module, (_ConvNd, nn.Linear, _BatchNorm)):
                single = isinstance(module, _BatchNorm) or is_depthwise(module)
                side = "out" if single or self.graph.is_out_channel_pruning_fn(dep.handler) else "in"
                found |= {(self.names[module], side, index) for index in indices}
        return found

    def without(self, layer, channels):
        """Return the model after torch-pruning removed some outputs of a layer."""
        self.group(layer, channels).prune()
        return self.model.eval()


def ours_removed(model, graph, atoms):
    """Return what goes with some atoms as a set of (layer, "in" or "out", index), inputs of grouped convolutions counted through."""
    gone, found = graph.solution.removed(np.atleast_1d(atoms)), set()
    for name, module in model.named_modules():
        if not isinstance(module, (_ConvNd, nn.Linear, _BatchNorm)):
            continue
        found |= {(name, "out", i) for i in np.flatnonzero(gone[graph.classes((f"{name}.weight", 0))]).tolist()}
        if isinstance(module, _BatchNorm) or is_depthwise(module):
            continue
        inputs = gone[graph.classes((f"{name}.weight", 1))]
        if getattr(module, "groups", 1) > 1:
            inputs = (gone[graph.solution.label[graph.facts.grouped[name]]][:, None] | inputs[None]).ravel()
        found |= {(name, "in", i) for i in np.flatnonzero(inputs).tolist()}
    return found


class OurScores:
    """An importance for torch-pruning: of each channel, the score that it has here."""

    def __init__(self, graph, by_atom):
        self.graph, self.by_atom = graph, by_atom
        self.names = {}

    def __call__(self, group):
        layer = self.names[group[0].dep.target.module]
        positions, atoms, _ = self.graph.incidence[layer]
        scores = torch.zeros(self.graph.outputs[layer].size, dtype=torch.float64)
        for position, atom in zip(positions.tolist(), atoms.tolist(), strict=True):
            scores[position] += self.by_atom.get(atom, 0.0)
        return scores


def they_prune(model, graph, shape, by_atom, ratio, everywhere):
    """Return the model that torch-pruning makes with our scores, and which outputs of each layer it kept."""
    small, scores = copy.deepcopy(model).requires_grad_(True), OurScores(graph, by_atom)
    modules = dict(small.named_modules())
    scores.names = {module: name for name, module in modules.items()}
    pruner = oracle.pruner.BasePruner(
        small,
        torch.zeros(1, *shape),
        scores,
        global_pruning=everywhere,
        pruning_ratio=ratio,
        ignored_layers=[modules[name] for name in graph.immovable],
        in_channel_groups={},
        out_channel_groups={},
    )
    kept = {name: set(range(classes.size)) for name, classes in graph.outputs.items()}
    for group in pruner.step(interactive=True):
        for dep, indices in group:
            name = scores.names.get(dep.target.module)
            if name in kept and (pruner.DG.is_out_channel_pruning_fn(dep.handler) or is_depthwise(dep.target.module)):
                kept[name] -= set(indices)
        group.prune()
    return small.eval(), {name: tuple(sorted(left)) for name, left in kept.items()}


def same_state(a, b):
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def places(graph):
    """Return the groups of atoms without those that are whole groups of a grouped convolution."""
    whole = np.concatenate([graph.solution.label[ids] for ids in graph.facts.grouped.values()])
    return [group for group in graph.groups if not np.isin(group.atoms, whole).any()]
