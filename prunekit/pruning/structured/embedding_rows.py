"""Which rows of embedding tables go: the tables that may lose some, how often each row is looked up, the scores, and the cut."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.config.spec import PruneSpec
from prunekit.criteria.criterion import ScoringTask
from prunekit.criteria.gradients import finite, gradients
from prunekit.criteria.samples import headless_copy, mixed, scoring_split
from prunekit.errors import DataError, PruningError, closest
from prunekit.models.layers import LOOKED_UP
from prunekit.models.running import task_of
from prunekit.models.shared_rows import SHARED, Bools, SharedRowEmbedding, SharedRowEmbeddingBag, TableCut, is_shared, row_of_id, table_of
from prunekit.pruning.structured.channel_groups import ChannelGraph
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of

Rows = dict[str, NDArray[np.float64]]
BATCH = 256


class _Enough(Exception):
    """All that a forward pass looks up has been seen."""


def count_lookups(model: nn.Module, tables: Sequence[str], data: Any) -> Rows:
    """Return how often each row of some tables is looked up, over all training samples.

    Where the lookups come first, as they mostly do, the rest of each forward pass is not run.
    """
    if data is None:
        raise DataError("how often rows are looked up is counted in training data: pass data=..., or let rows go by their norm")
    split = scoring_split(data)[0]
    own = headless_copy(model, ())
    task = task_of(model, data)
    of = {name: row_of_id(table_of(own, name)) for name in tables}
    found: Rows = {name: np.zeros(table_of(own, name).weight.shape[0]) for name in tables}
    asked: list[tuple[str, Tensor]] = []
    alike: list[bool] = []  # for each lookup of a forward pass: whether it is the same for any number of samples, as that of positions is

    def watch(name: str) -> None:
        def look(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], _out: Any) -> None:
            asked.append((name, kwargs["input"] if "input" in kwargs else args[0]))
            if len(asked) == len(alike):
                raise _Enough

        table_of(own, name).register_forward_hook(look, with_kwargs=True)

    def lookups(batch: Batch) -> list[tuple[str, Tensor]]:
        asked.clear()
        with suppress(_Enough):
            task.forward(own, batch)
        return list(asked)

    for name in tables:
        watch(name)
    with torch.no_grad():
        for batch in batches_of(split, BATCH):
            if not alike and batch.samples > 1:
                one, two = (lookups(batch.take(np.arange(samples))) for samples in (1, 2))
                alike = [a.numel() == b.numel() for (_, a), (_, b) in zip(one, two, strict=False)]
            for place, (name, ids) in enumerate(lookups(batch)):
                times = batch.samples if place < len(alike) and alike[place] else 1
                np.add.at(found[name], of[name][ids.detach().cpu().numpy().reshape(-1)], float(times))
    return found


def row_saliency(model: nn.Module, tables: Sequence[str], data: Any, *, samples: int = 512, seed: int = 0) -> Rows:
    """Return by how much the loss changes with each row, to first order: the sum over its weights of |gradient x weight|.

    Of the mean loss of each mini-batch, added up over mini-batches, as criterion taylor has it for single weights.
    """
    asking = ScoringTask(model, tuple(tables), seed, mixed(data, samples, seed))
    found: Rows = {}
    for of_batch in gradients(asking, "mean"):
        for name, gradient in of_batch.items():
            product = finite(name, (gradient * asking.weight(name).detach()).abs().double().sum(1)).numpy()
            found[name] = found.get(name, 0.0) + product
    return found


LOOKUPS = {"embedding", "_embedding_bag", "_embedding_bag_forward_only", "embedding_renorm_", "detach"}


@dataclass(frozen=True)
class Table:
    """An embedding table of a model.

    Attributes
    ----------
    name : str
        Of its module.
    ids : int
        How many ids it takes.
    rows : int
        How many rows it holds; one more than those that have an id of their own where some went.
    width : int
        Numbers in a row.
    nbytes_of_row : int
        Bytes of one row.
    nbytes : int
        Bytes of the rows, and of the remap where there is one.
    stays : str
        Why none of its rows may go; "" where they may.
    """

    name: str
    ids: int
    rows: int
    width: int
    nbytes_of_row: int
    nbytes: int
    stays: str = ""


def embedding_tables(model: nn.Module, graph: ChannelGraph) -> tuple[Table, ...]:
    """Return the embedding tables of a model, in order of definition, each with the reason why its rows stay where they do."""
    found = []
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for name, module in model.named_modules():
        if not isinstance(module, LOOKED_UP):
            continue
        weight = module.weight
        (rows, width), size = weight.shape, weight.element_size()
        remap = module.remap.nbytes if isinstance(module, (SharedRowEmbedding, SharedRowEmbeddingBag)) else 0
        uses = graph.facts.uses.get(names.get(id(weight), ""), set())
        others = sorted({where for operation, where in uses if operation not in LOOKUPS or where != name})
        tied = [other for other, each in model.named_modules() if each is not module and getattr(each, "weight", None) is weight]
        stays = ""
        if type(module) not in (*(vars(nn)[kind] for kind in SHARED), *SHARED.values()):
            stays = f"{type(module).__name__} looks rows up in a way of its own"
        elif tied:
            stays = f"its weight is that of {tied[0]} too"
        elif not uses:
            stays = "it takes no part in a forward pass"
        elif others:
            stays = f"{others[0] or 'the model'} reads its weight as a whole"
        elif rows < 3:
            stays = f"it has {rows} rows"
        found.append(Table(name, module.num_embeddings, rows, width, width * size, weight.nbytes + remap, stays))
    return tuple(found)


@dataclass(frozen=True)
class RowChoice:
    """The rows that go, and what stood in the way, in plain sentences."""

    rows: dict[str, TableCut] = field(default_factory=dict)
    limits: tuple[str, ...] = ()


def choose_rows(model: nn.Module, spec: PruneSpec, graph: ChannelGraph, data: Any = None) -> RowChoice:
    """Choose the rows that a setting takes, lowest scores first, of equals the first by number."""
    if not spec.cuts_rows:
        return RowChoice()
    known = {table.name: table for table in embedding_tables(model, graph)}
    own = dict(spec.row_shares)
    for name, share in own.items():
        if name not in known:
            raise PruningError(f"no embedding table named {name}{closest(name, known) or ':'} tables are {', '.join(known) or 'none'}")
        if share and known[name].stays:
            raise PruningError(f"the rows of {name} stay: {known[name].stays}. Leave it out of the rows of single tables")
    open_to = [name for name, table in known.items() if not table.stays and own.get(name, spec.rows)]
    limits = [f"the rows of {name} stay: {table.stays}" for name, table in known.items() if table.stays and name not in own]
    if not open_to:
        why = "; ".join(limits) if known else "the model has no embedding tables"
        raise PruningError(f"no rows can go: {why}. Leave the rows of tables out")
    counts, scores = row_scores(model, open_to, spec, data)
    wanted = _wanted(spec, own, scores, {name: _held(model, name) for name in open_to})
    found = {}
    for name in open_to:
        order = np.argsort(scores[name], kind="stable")
        order = order[~_held(model, name)[order]]
        going = min(wanted[name], order.size - 1)
        if going < wanted[name]:
            limits.append(f"{name} was to lose {wanted[name]:,} of its {order.size:,} rows and loses {going:,}: one row of its own stays")
        module = table_of(model, name)
        cut = TableCut.of(module, _leaving(order[:going], known[name].rows), counts[name])
        if not going and (spec.scope != "global" or name in own):
            limits.append(f"the rows of {name} stay: none goes at this share")
        elif going and known[name].nbytes <= cut.rows * known[name].nbytes_of_row + cut.added_bytes:
            limits.append(f"the rows of {name} stay: a shared row and the remap of its ids would take as many bytes as go")
        elif going:
            found[name] = cut
    return RowChoice(found, tuple(limits))


def row_scores(model: nn.Module, tables: Sequence[str], spec: PruneSpec, data: Any = None) -> tuple[Rows, Rows]:
    """Return how much each row of some tables counts in a shared one, and its score; the lowest go first."""
    weights = {name: table_of(model, name).weight.detach() for name in tables}
    norms: Rows = {name: weight.double().norm(dim=1).cpu().numpy() for name, weight in weights.items()}
    norms = {name: norm / (norm.mean() or 1.0) for name, norm in norms.items()}
    for name, norm in norms.items():
        if not np.isfinite(norm).all():
            raise PruningError(f"{name} holds NaN or infinity: its rows have no order. Give a model of finite weights")
    if spec.row_criterion == "norm":
        ids = {name: np.bincount(row_of_id(table_of(model, name)), minlength=norm.size) for name, norm in norms.items()}
        return {name: each.astype(np.float64) for name, each in ids.items()}, norms
    if data is None:
        raise DataError(
            f"rows by {spec.row_criterion} look at training data: pass data=..., or choose row_criterion norm, which looks at weights alone"
        )
    counts = count_lookups(model, tables, data)
    shares = {name: each / (each[~_held(model, name)].sum() or 1.0) for name, each in counts.items()}
    if spec.row_criterion == "taylor":
        found = row_saliency(model, tables, data, samples=spec.samples, seed=spec.seed)
        small = 1e-9 * max(float(each.max()) for each in found.values())  # of rows that no sample looks up, those looked up least go first
        return counts, {name: each + small * shares[name] for name, each in found.items()}
    return counts, shares if spec.row_criterion == "frequency" else {name: shares[name] * norms[name] for name in tables}


def _held(model: nn.Module, name: str) -> Bools:
    """Return which rows of a table do not compete: the one that pads, and the one that is shared already."""
    module = table_of(model, name)
    held = np.zeros(module.weight.shape[0], dtype=np.bool_)
    if module.padding_idx is not None:
        held[row_of_id(module)[module.padding_idx]] = True
    held[-1:] |= is_shared(module)
    return held


def _leaving(gone: Any, rows: int) -> Bools:
    """Return which rows stay."""
    keep = np.ones(rows, dtype=np.bool_)
    keep[gone] = False
    return keep


def _wanted(spec: PruneSpec, own: dict[str, float], scores: Rows, held: dict[str, Bools]) -> dict[str, int]:
    """Return how many rows each table is to lose."""
    sizes = {name: int((~each).sum()) for name, each in held.items()}
    found = {name: round(own.get(name, spec.rows) * size) for name, size in sizes.items()}
    free = [name for name in scores if name not in own]
    if spec.scope != "global" or len(free) < 2:
        return found
    joined = np.concatenate([scores[name][~held[name]] for name in free])
    whose = np.repeat(np.arange(len(free)), [sizes[name] for name in free])
    going = whose[np.argsort(joined, kind="stable")[: round(spec.rows * joined.size)]]
    return {**found, **{name: int((going == index).sum()) for index, name in enumerate(free)}}
