"""Rows of embedding tables: what is removed is looked up as one shared row, as in a dense table whose rows hold it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunekit import PruneSpec, load_data, load_model, prune
from prunekit.config.ids import ModelId
from prunekit.config.recipe import Recipe
from prunekit.config.recovery import Recovery
from prunekit.errors import DataError, ModelError, ProofError, PruningError, SpecError
from prunekit.experiments.archive.architecture import adapters_of
from prunekit.models.folder import write_folder
from prunekit.models.running import run
from prunekit.models.shared_rows import SharedRowEmbedding, SharedRowEmbeddingBag, TableCut, share
from prunekit.models.widths import widths
from prunekit.pruning import sample_shape
from prunekit.pruning.proof import prove, require
from prunekit.pruning.structured.embedding_rows import count_lookups, embedding_tables
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.surgery import shrink
from prunekit.tasks.batch import Batch
from prunekit.training.gradual import recover
from tests import recommenders

FILE = Path(recommenders.__file__)


def by_hand(weight, keep, lookups, most=None):
    """Return a table whose rows that go hold their mean by lookups: in plain loops."""
    rows, total = weight.detach().clone().double(), 0.0
    mean = torch.zeros(weight.shape[1], dtype=torch.float64)
    often = lookups if any(often for often, stays in zip(lookups, keep, strict=True) if not stays) else [1.0] * len(keep)
    for row, often_one, stays in zip(weight.detach().double(), often, keep, strict=True):
        if not stays:
            size = float(row.norm())
            mean += often_one * row * (1.0 if most is None or size <= most else most / (size + 1e-7))
            total += often_one
    for i, stays in enumerate(keep):
        if not stays:
            rows[i] = mean / total
    return rows.to(weight.dtype)


def drawn_cut(data, rows, table):
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    keep[data.draw(st.integers(0, rows - 1))] = False
    if table.padding_idx is not None:
        keep[table.padding_idx] = True
        keep[(table.padding_idx + 1) % rows] = False
    lookups = np.array(data.draw(st.lists(st.sampled_from([0.0, 1.0, 3.0]), min_size=rows, max_size=rows)))
    return keep, lookups


def without_rows(table, cut):
    small = copy.deepcopy(table)
    small.weight = nn.Parameter(cut.cut(table.weight))
    share(small, cut.remap)
    return small


@given(st.data(), st.integers(3, 9), st.sampled_from([None, 0, 2]), st.sampled_from([None, 0.7]), st.booleans(), st.booleans())
def test_a_table_answers_and_learns_as_the_dense_one_whose_rows_hold_the_shared_value(data, rows, padding, most, sparse, often):
    torch.manual_seed(0)
    table = nn.Embedding(rows, 4, padding, max_norm=most, sparse=sparse, scale_grad_by_freq=often)
    keep, lookups = drawn_cut(data, rows, table)
    cut = TableCut.of(table, keep.copy(), lookups)
    small, dense = without_rows(table, cut), copy.deepcopy(table)
    dense.weight.data = by_hand(table.weight, keep, lookups, most)
    ids = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=8)), dtype=torch.int32 if often else torch.int64)
    torch.testing.assert_close(small(ids), dense(ids))
    assert isinstance(small, nn.Embedding) and small.num_embeddings == rows and small.padding_idx == padding
    assert small.weight.shape == (int(keep.sum()) + 1, 4) and small.remap.dtype == torch.uint8
    if most is None and not often:
        for one in (small, dense):
            one(ids.long()).square().sum().backward()
        mine, theirs = (each.weight.grad.to_dense() if sparse else each.weight.grad for each in (small, dense))
        torch.testing.assert_close(mine[:-1], theirs[torch.from_numpy(cut.order)])
        torch.testing.assert_close(mine[-1], theirs[torch.from_numpy(~keep)].sum(0))
    for wrong in (-1, rows):
        with pytest.raises(IndexError):
            small(torch.tensor([wrong]))


@given(st.data(), st.integers(3, 9), st.sampled_from([None, 1]), st.sampled_from(["sum", "mean", "max"]), st.booleans(), st.booleans())
def test_a_bag_keeps_its_offsets_weights_and_padding(data, rows, padding, mode, last, weighted):
    torch.manual_seed(0)
    bag = nn.EmbeddingBag(rows, 3, mode=mode, padding_idx=padding, include_last_offset=last)
    keep, lookups = drawn_cut(data, rows, bag)
    small, dense = without_rows(bag, TableCut.of(bag, keep.copy(), lookups)), copy.deepcopy(bag)
    dense.weight.data = by_hand(bag.weight, keep, lookups)
    ids = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), min_size=6, max_size=6)))
    offsets = torch.tensor([0, 2, 2, 6] if last else [0, 2, 2])
    more = {"per_sample_weights": torch.rand(6)} if weighted and mode == "sum" else {}
    torch.testing.assert_close(small(ids, offsets, **more), dense(ids, offsets, **more))
    square = {name: each.view(2, 3) for name, each in more.items()}
    torch.testing.assert_close(small(ids.view(2, 3), **square), dense(ids.view(2, 3), **square))


def opened(name):
    model = load_model(f"{FILE}:{name}")
    return model, load_data(f"{FILE}:{name}_data", model=model)


@pytest.mark.parametrize("name", ["dlrm", *(pytest.param(name, marks=pytest.mark.slow) for name in recommenders.NAMES[1:])])
def test_rows_and_widths_go_together_are_written_read_and_pruned_again(name, tmp_path):
    model, data = opened(name)
    spec = PruneSpec(mode="structured", rows=0.5, sparsity=0.6, target="bytes", scope="uniform")
    result = prune(model, spec, data)
    assert result.proof.passed and result.proof.output_change > 0.01 and result.kept_rows
    counts = count_lookups(model, list(result.kept_rows), data)
    for table, kept in result.kept_rows.items():
        gone = np.setdiff1d(np.arange(counts[table].size), kept)
        assert gone.size == round(0.5 * (counts[table].size - (0 in kept and model.get_submodule(table).padding_idx == 0)))
        others = [i for i in kept if i != model.get_submodule(table).padding_idx]
        assert counts[table][gone].max() <= counts[table][others].min()
    whole = sum(p.nbytes for p in model.parameters())
    remaps = sum(each.remap.nbytes for each in result.model.modules() if hasattr(each, "remap"))
    left = sum(p.nbytes for p in result.model.parameters()) + remaps
    assert result.achieved.removed == whole - left and result.achieved.sparsity == pytest.approx(0.6, abs=0.03)
    identity = ModelId(f"{FILE}:{name}")
    again = load_model(write_folder(tmp_path / "made", result.model, Recipe(identity.to_dict(), None, spec, None, None)))
    known = {table: each.rows for table, each in again.named_modules() if hasattr(each, "remap")}
    assert known == {table: len(kept) + 1 for table, kept in result.kept_rows.items()}
    second = prune(again, PruneSpec(mode="structured", rows=0.4, scope="uniform"), data)
    assert all(set(kept) < set(result.kept_rows[table]) for table, kept in second.kept_rows.items()) and second.kept_rows
    masked = prune(second.model, PruneSpec(sparsity=0.5), data)
    assert masked.achieved.sparsity == pytest.approx(0.5, abs=0.01)


def test_rows_are_counted_in_the_order_of_their_lookups_and_positions_for_each_sample():
    split = recommenders.Choices(160, 1, ("history", "item"))
    counts = count_lookups(recommenders.sasrec(), ["items", "places"], split)
    rows = [each for each, _ in map(split.__getitem__, range(len(split)))]
    taken = np.concatenate([np.concatenate([np.asarray(each["history"]).ravel(), [int(each["item"])]]) for each in rows])
    assert counts["items"].tolist() == np.bincount(taken, minlength=recommenders.ITEMS).tolist()
    assert counts["places"].tolist() == [len(rows)] * recommenders.LENGTH


def moved(model, plan):
    """A surgery by which one table finds each row one too late."""
    small = shrink(model, plan)
    for each in small.modules():
        if isinstance(each, (SharedRowEmbedding, SharedRowEmbeddingBag)):
            each.remap = (each.remap + 1) % each.rows
    return small


def test_a_remap_that_is_wrong_fails_its_proof_and_rows_alone_are_proved_by_lookups_of_what_went():
    model, data = opened("deepfm")
    plan = prune(model, PruneSpec(mode="structured", row_shares={"table": 0.05}, row_criterion="norm"), data).plan
    assert int((~plan.rows["table"].keep).sum()) == 3 and require(prove(model, plan)).output_change > 0.01
    with pytest.raises(ProofError):
        require(prove(model, plan, surgery=moved))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.item, self.scored, self.own, self.free = nn.Embedding(9, 4), nn.Embedding(9, 4), Own(9, 4), nn.Embedding(9, 4)
        self.alone, self.out = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
        self.out.weight = self.item.weight

    def forward(self, ids):
        x = self.item(ids) + self.own(ids) + self.free(ids) + self.scored(ids)
        return self.out(x) + x @ self.scored.weight.T


class Own(nn.Embedding):
    def forward(self, ids):
        return 2 * super().forward(ids)


def test_tables_whose_weight_serves_otherwise_keep_their_rows_with_the_reason():
    model, ids = Tied(), torch.arange(9)[:, None].repeat(1, 2)
    tables = {table.name: table.stays for table in embedding_tables(model, trace(model, sample_shape(model, None, ids)))}
    assert "out" in tables["item"] and "way of its own" in tables["own"] and "as a whole" in tables["scored"]
    assert "no part" in tables["alone"] and tables["free"] == ""
    spec = PruneSpec(mode="structured", rows=0.5, row_criterion="norm")
    result = prune(model, spec, input_shape=ids)
    assert set(result.kept_rows) == {"free"} and any("rows of scored stay" in said for said in result.limits)
    assert next(layer for layer in result.layers if layer.name == "free").rows == (9, 6)
    wrong = {"fre": "did you mean free", "scored": "scored stay: the model reads"}
    for name, words in wrong.items():
        with pytest.raises(PruningError, match=words):
            prune(model, PruneSpec(mode="structured", row_shares={name: 0.5}, row_criterion="norm"), input_shape=ids)
    with pytest.raises(DataError, match="training data"):
        prune(model, PruneSpec(mode="structured", rows=0.5), input_shape=ids)
    with pytest.raises(PruningError, match="no embedding tables"):
        prune(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), spec, input_shape=(4,))
    for fields in ({"rows": 1.0}, {"rows": 0.5, "soft": True}, {"rows": 0.5, "indices": {"free": [0]}}):
        with pytest.raises(SpecError):
            PruneSpec(mode="structured", **fields)
    with pytest.raises(SpecError, match="belongs to mode"):
        PruneSpec(rows=0.5)


def test_ids_beyond_a_table_are_named_with_it_also_when_rows_went():
    model, data = opened("wide_and_deep")
    small = prune(model, PruneSpec(mode="structured", rows=0.5, row_criterion="norm"), data).model
    inputs = {name: each[:4] for name, each in recommenders.rows(8).items() if name in recommenders.TAKES[recommenders.WideAndDeep]}
    inputs["item"] = torch.full_like(inputs["item"], recommenders.ITEMS + 4)
    with pytest.raises(ModelError, match=r"item is 34 in a sample.*rows 0\.\.29"):
        run(small, Batch((), inputs))


def test_a_gradual_schedule_takes_rows_at_the_first_cut_and_trains_the_shared_row():
    model, data = opened("deepfm")
    spec = PruneSpec(mode="structured", rows=0.5, sparsity=0.4)
    recovery = Recovery(epochs=2, schedule="agp", steps=2, optimizer="adam", lr=0.01, distill=0.5)
    found = recover(model, spec, recovery, data)
    once = prune(model, spec, data)
    assert found.result.kept_rows == once.kept_rows and found.model.table.rows == once.model.table.rows
    assert not torch.equal(found.model.table.weight[-1, :2], once.model.table.weight[-1, :2])


def test_the_archive_brings_the_code_of_its_tables():
    model, data = opened("dlrm")
    small = prune(model, PruneSpec(mode="structured", rows=0.5, scope="uniform"), data).model
    assert adapters_of(model) == ""
    code = adapters_of(small)
    known = {"torch": torch}
    exec(code, known)
    table = copy.deepcopy(model.history)
    known["adapt"](table, widths(small)["history"])
    table.remap, table.weight, ids = small.history.remap, small.history.weight, torch.arange(30).view(5, 6)
    assert "prunekit" not in code
    torch.testing.assert_close(table(ids), small.history(ids))
