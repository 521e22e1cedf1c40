"""Structured pruning of torchvision's classifiers: do torch-pruning and prunekit remove the same? Writes its part of docs/structured.md.

    python tests/benchmarks/differential.py --state FILE [--models resnet18 densenet121] [--again] [--table]

For each model, in a process of its own, every parameter and statistic random (a zero-initialised weight or a neutral norm would hide a
missing coupling):

- *units*: what goes together, as sets of (layer, "in" or "out", index), for every channel of every layer: there all dependency groups with
  their root indices, those of grouped convolutions joined by place as its pruner does; here the atoms.
- *picks*: both engines rank the same scores over all layers at once. In each group the order is that of L1, but another random share of
  it, between a tenth and four fifths, lies below the line: equal shares everywhere would hide a missing coupling. Compared are the
  indices that stay of each layer, and all values of the two smaller models.
- *who is right*: here the proof. There the dense model in which exactly what its groups name is zero, against its smaller model.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from prunekit import load_model
from prunekit.config.spec import PruneSpec
from prunekit.models.info import info
from prunekit.models.layers import prunable_layers
from prunekit.pruning.masked_reference import reference, zeroed
from prunekit.pruning.proof import prove
from prunekit.pruning.proof_inputs import randomise
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.importance import reserved_atoms
from prunekit.pruning.structured.plan import Plan, Removal
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink
from tests.benchmarks.states import FAILED, Row, alone, known, note
from tests.benchmarks.structured import BY_HAND, MARK, MODELS, PAGE
from tests.pruning.peer import Theirs, is_depthwise, same_state, they_prune

SMALL = 64  # pixels, where a model takes any size: couplings do not depend on it
OWN_SIZE = ("inception_v3",)
RIGHT = 1e-4
Unit = frozenset[tuple[str, str, int]]


def our_units(model: nn.Module, graph: ChannelGraph) -> dict[int, Unit]:
    """Return what goes with each atom, inputs of grouped convolutions counted through."""
    found: dict[int, set[tuple[str, str, int]]] = defaultdict(set)

    def note(name: str, side: str, classes: np.ndarray) -> None:
        positions, atoms, _ = graph.solution.atoms(classes)
        for index, atom in zip(positions.tolist(), atoms.tolist(), strict=True):
            found[atom].add((name, side, index))

    for name, module in model.named_modules():
        if not isinstance(module, (_ConvNd, nn.Linear, _BatchNorm)):
            continue
        note(name, "out", graph.classes((f"{name}.weight", 0)))
        if isinstance(module, _BatchNorm) or is_depthwise(module):
            continue
        columns = graph.classes((f"{name}.weight", 1))
        groups = getattr(module, "groups", 1)
        if groups > 1:
            whole = graph.solution.label[graph.facts.grouped[name]]
            for part in range(groups):
                for index, (atom, cell) in enumerate(zip(np.repeat(whole[part], columns.size), columns, strict=True)):
                    note_at(graph, found, name, part * columns.size + index, (atom, cell))
        else:
            note(name, "in", columns)
    return {atom: frozenset(unit) for atom, unit in found.items()}


def note_at(graph: ChannelGraph, found: dict[int, set[tuple[str, str, int]]], name: str, index: int, classes: tuple[int, int]) -> None:
    """Note that an input of a grouped convolution goes with its group, and with its place in all groups."""
    _, atoms, _ = graph.solution.atoms(np.array(classes))
    for atom in atoms.tolist():
        found[atom].add((name, "in", index))


def their_units(theirs: Theirs, ignored: set[str]) -> set[Unit]:
    """Return what goes together in torch-pruning's groups: by root index, joined by place where its pruner joins them."""
    units: set[Unit] = set()
    layers = [theirs.modules[name] for name in ignored]
    for group in theirs.graph.get_all_groups(ignored_layers=layers):
        by_root: dict[int, set[tuple[str, str, int]]] = defaultdict(set)
        parts = 1
        for at, (dep, indices) in enumerate(group):
            module = dep.target.module
            if not isinstance(module, (_ConvNd, nn.Linear, _BatchNorm)):
                continue
            single = isinstance(module, _BatchNorm) or is_depthwise(module)
            side = "out" if single or theirs.graph.is_out_channel_pruning_fn(dep.handler) else "in"
            parts = max(parts, 1 if single else getattr(module, "groups", 1))
            for index, root in zip(indices, group[at].root_idxs, strict=True):
                by_root[root].add((theirs.names[module], side, index))
        size = len(group[0].idxs) // parts
        joined: dict[int, set[tuple[str, str, int]]] = defaultdict(set)
        for root, unit in by_root.items():
            joined[root % size] |= unit
        units |= {frozenset(unit) for unit in joined.values()}
    return units


def whole_groups(model: nn.Module, graph: ChannelGraph) -> np.ndarray:
    """Return the atoms that are a whole group of a grouped convolution, of more than one channel."""
    found = [graph.solution.label[ids] for name, ids in graph.facts.grouped.items() if not is_depthwise(model.get_submodule(name))]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *found]))


def compared(model: nn.Module, graph: ChannelGraph, theirs: Theirs) -> Row:
    """Compare all units; of those that are here alone say how many are whole groups, or reach what torch-pruning does not see."""
    mine = our_units(model, graph)
    there = their_units(
        theirs, set(graph.immovable) & {name for name in theirs.modules if theirs.modules[name] in theirs.graph.module2node}
    )
    whole = set(whole_groups(model, graph).tolist())
    unseen = {name for name, module in theirs.modules.items() if module not in theirs.graph.module2node}
    row: Row = {"here": len(mine), "there": len(there), "same": 0, "unseen": 0, "groups": 0, "else": 0}
    for atom, unit in mine.items():
        seen = frozenset(entry for entry in unit if entry[0] not in unseen)
        if unit in there:
            row["same"] += 1
        elif seen != unit and (seen in there or not seen):
            row["unseen"] += 1
        else:
            row["groups" if atom in whole else "else"] += 1
    ours = set(mine.values()) | {frozenset(e for e in unit if e[0] not in unseen) for unit in mine.values()}
    row["only there"] = len(there - ours)
    row["for instance"] = sorted(min(there - ours, key=len))[:4] if there - ours else None
    return row


def uneven(model: nn.Module, graph: ChannelGraph, unseen: set[str], seed: int = 7) -> tuple[Plan, dict[int, float]]:
    """Return our plan at scores of which another share in each group is low, and the scores by atom.

    Left alone is what torch-pruning's pruner cannot choose: whole groups of a convolution, and layers that it has not seen.
    """
    ranking = ChannelRanking.of(model, PruneSpec(mode="structured", criterion="l1", scope="global", layers=prunable_layers(model)), graph)
    whole = whole_groups(model, graph)
    groups = tuple(group for group in ranking.groups if not np.isin(group.atoms, whole).any() and not set(group.layers) <= unseen)
    noise, scores, low = np.random.default_rng(seed), {}, 0
    for group in groups:
        order = np.argsort(np.argsort(ranking.scores[group.id], kind="stable")) / group.size  # 0 to 1, by L1
        count = min(int(noise.uniform(0.1, 0.8) * group.size), group.size - 1)
        scores[group.id] = order + (order >= count / group.size) + 1e-6 * noise.random(group.size)
        low += count
    by_atom = {a: float(s) for group in groups for a, s in zip(group.atoms.tolist(), scores[group.id].tolist(), strict=True)}
    names = list(dict.fromkeys(name for group in groups for name in group.layers))
    again = dataclasses.replace(ranking, groups=groups, scores=scores, reserved=reserved_atoms(graph, names, by_atom))
    return again.cut(low / sum(group.size for group in groups)), by_atom


def their_error(dense: nn.Module, graph: ChannelGraph, kept: dict[str, tuple[int, ...]], small: nn.Module, x: Tensor) -> tuple[float, bool]:
    """Return how far torch-pruning's model is from the dense one with its channels zeroed, and whether its picks obey our couplings."""
    removal = Removal.leaving(graph, kept)
    obeys = removal.kept == kept
    if not obeys:  # zero the outputs that its groups name, and no more
        other = zero_outputs(dense, kept)
        with torch.inference_mode():
            expected = other(x)
    else:
        (expected,) = reference(zeroed(dense, removal), removal, x)
    with torch.inference_mode():
        found = small(x)
    if found.shape != expected.shape:
        return float("inf"), obeys
    return float((found - expected).abs().max() / expected.abs().max()), obeys


def out_of_order(small: nn.Module, their_small: nn.Module) -> list[str]:
    """Return the vectors that hold the same values in both smaller models, in another order: a rest that was not sorted."""
    here, there = small.state_dict(), their_small.state_dict()
    vectors = [name for name, value in here.items() if value.ndim == 1 and name in there and value.shape == there[name].shape]
    differ = [name for name in vectors if not torch.equal(here[name], there[name])]
    return [name for name in differ if torch.equal(here[name].sort()[0], there[name].sort()[0])]


def zero_outputs(dense: nn.Module, kept: dict[str, tuple[int, ...]]) -> nn.Module:
    """Return a dense copy in which every output that is not kept is zero."""
    other = randomise(dense)
    other.load_state_dict(dense.state_dict())
    with torch.no_grad():
        for name, left in kept.items():
            layer = other.get_submodule(name)
            gone = np.setdiff1d(np.arange(layer.weight.shape[0]), left)
            for parameter in layer.parameters(recurse=False):
                parameter[gone] = 0
    return other


def measure(name: str) -> Row:
    """Compare the engines on one model."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model = load_model(f"torchvision/{name}")
    shape = info(model).input_shape if name in OWN_SIZE else (3, SMALL, SMALL)
    assert shape is not None
    dense = randomise(model)
    del model
    graph = trace(dense, shape)
    theirs = Theirs(dense, shape)
    row = {"name": name, **compared(dense, graph, theirs)}
    plan, by_atom = uneven(dense, graph, {layer for layer in graph.layers if not theirs.knows(layer)})
    del theirs
    small = shrink(dense, plan)
    proof = prove(dense, plan)
    row |= {"removed": int(plan.atoms.size), "channels": plan.total, "error": proof.max_relative_error, "passed": proof.passed}
    total = sum(group.size for group in plan.groups)
    their_small, kept = they_prune(dense, graph, shape, by_atom, (plan.atoms.size - 0.5) / total, everywhere=True)
    differ = [layer for layer, left in plan.kept.items() if kept[layer] != left]
    row |= {"differ": len(differ), "first": differ[:3], "equal": same_state(small, their_small)}
    row["order"] = out_of_order(small, their_small)
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    try:
        row["their error"], row["obeys"] = their_error(dense, graph, kept, their_small, x)
    except RuntimeError as error:
        row["their error"], row["obeys"] = float("inf"), str(error).splitlines()[0]
    return row


def agree(row: Row) -> bool:
    """Return whether nothing is left to explain: the same units, the same picks, the same values."""
    return not (row["groups"] or row["else"] or row["only there"] or row["unseen"] or row["differ"]) and bool(row["equal"])


def right(row: Row) -> bool:
    """Return whether torch-pruning's smaller model gives what zeroing gives."""
    return bool(row["equal"] and row["passed"]) or row["their error"] < RIGHT


def verdict(row: Row) -> str:
    """Return who is right, in words."""
    mine = "prunekit's is proved" if row["passed"] else "**prunekit's proof fails**"
    if row["equal"]:
        return "the same model, proved" if row["passed"] else mine
    if right(row):
        return f"{mine}, torch-pruning's is right too"
    why = f": it keeps {len(row['order'])} vectors in another order, such as `{row['order'][0]}`" if row.get("order") else ""
    return f"{mine}, torch-pruning's is wrong ({row['their error']:.1g}){why}"


def line(row: Row) -> str:
    """Return one line of the table."""
    told = [
        (row["unseen"], "reach training heads that torch-pruning does not see"),
        (row["groups"], "whole groups of a grouped convolution"),
        (row["else"], "others"),
    ]
    alone = "; ".join(f"{count:,} {what}" for count, what in told if count)
    picks = "the same" if not row["differ"] else f"differ in {row['differ']} layers, such as {row['first'][0]}"
    cells = [row["name"], f"{row['same']:,}", alone, f"{row['only there']:,}", f"{row['removed']:,} of {row['channels']:,}", picks]
    cells += [f"{row['error']:.0e}", verdict(row)]
    return f"| {' | '.join(cells)} |"


INTRODUCTION = """## Do they remove the same?

Written by `tests/benchmarks/differential.py`, which says exactly what is compared:

```
python tests/benchmarks/differential.py --state FILE
```

Every parameter and statistic random, the same scores for both, another share of each group below the line. Of {count} models, {same}
agree in everything: the same units, the same channels removed, the same values in the smaller model. A unit is what goes together. {more}
more differ only in units that prunekit has besides: whole groups of grouped convolutions, and heads for training. Where torch-pruning's
smaller model is wrong: {wrong}. In the last column the proof decides: each smaller model against the dense one in which what its engine
removed is zero."""


def table(rows: dict[str, Row]) -> str:
    """Return the part of the page that this script writes."""
    fine = [rows[name] for name in MODELS if name in rows and FAILED not in rows[name]]
    bad = [f"{name} ({rows[name][FAILED]})" for name in MODELS if name in rows and FAILED in rows[name]]
    titles = ["model", "same units", "units here alone", "there alone", "channels removed", "indices removed", "error", "who is right"]
    wrong = [row["name"] for row in fine if not right(row)]
    more = sum(right(row) and not agree(row) and not (row["else"] or row["only there"] or row["differ"]) for row in fine)
    told = {"count": len(fine), "same": sum(map(agree, fine)), "more": more, "wrong": ", ".join(wrong) or "nowhere"}
    head = [MARK, "", INTRODUCTION.format(**told), ""]
    head += [f"Not compared: {'; '.join(bad)}.", ""] if bad else []
    return "\n".join([*head, f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *map(line, fine), ""])


def main() -> None:
    """Compare what is not known yet, and write this part of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--again", action="store_true", help="compare what is known too")
    parser.add_argument("--table", action="store_true", help="only write the page")
    parser.add_argument("--limit", type=float, default=3600)
    parser.add_argument("--child")
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.child)))
        return
    rows = known(args.state)
    for name in [] if args.table else args.models:
        if name in rows and FAILED not in rows[name] and not args.again:
            continue
        rows[name] = row = alone(__file__, name, args.limit)
        note(args.state, row)
        print(f"{name}: {row.get(FAILED) or line(row)}", flush=True)
    before, _, after = PAGE.read_text(encoding="utf-8").partition(MARK) if PAGE.is_file() else ("", "", "")
    _, mark, by_hand = after.partition(BY_HAND)
    PAGE.write_text(before + table(rows) + ("\n" + mark + by_hand if mark else ""), encoding="utf-8")


if __name__ == "__main__":
    main()
