"""Latency of texts: by length and phase, in tokens; and the cache that one token at a time is read with. No test asserts a time."""

import copy
import json
import sys

import pytest
import torch
from torch import nn

import prunekit
from prunekit.cli.latency import _page
from prunekit.errors import LatencyError, ModelError, TaskError
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate
from prunekit.models.identity_blocks import replace_module, stand_in
from prunekit.runtimes.torch_sessions import OneToken, after_prompt
from prunekit.tasks import task
from prunekit.tasks.batch import Batch
from tests import hf_folders
from tests.ui import pretended

IDS = torch.randint(2, hf_folders.WORDS, (2, 12), generator=torch.Generator().manual_seed(1))


def gpt():
    return prunekit.load_model("shakespeare_gpt")


def fewer_heads_and_a_block_gone():
    model = copy.deepcopy(gpt())
    replace_module(model, "blocks.1", stand_in("Identity"))
    attention = model.blocks[2].attention
    attention.query, attention.key, attention.value = (nn.Linear(128, 48) for _ in range(3))
    attention.out = nn.Linear(48, 128)
    return model


@pytest.mark.parametrize("make", [gpt, fewer_heads_and_a_block_gone])
def test_what_is_read_piece_by_piece_scores_as_what_is_read_at_once(make):
    model, kept, scores = make(), (), []
    with torch.inference_mode():
        for piece in IDS.split([5, 1, 4, 2], 1):
            found, kept = model.with_cache(piece, kept)
            scores.append(found)
        torch.testing.assert_close(torch.cat(scores, 1), model(IDS), atol=1e-4, rtol=1e-4)
    assert all(each.shape[2] == IDS.shape[1] for each in kept)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_model_of_transformers_reads_on_as_its_own_generation_does(kind):
    transformers = pytest.importorskip("transformers")
    model = hf_folders.model(kind)
    step = after_prompt(model, Batch.of({"input_ids": IDS}))
    theirs = transformers.DynamicCache(config=model.config)
    with torch.inference_mode():
        model(input_ids=IDS[:, :-1], cache=theirs, use_cache=True)
        for layer, (key, value) in zip(theirs.layers, zip(step.args[1::2], step.args[2::2], strict=True), strict=True):
            torch.testing.assert_close(key, layer.keys)
            torch.testing.assert_close(value, layer.values)
        expected = model(input_ids=IDS[:, -1:], cache=theirs, use_cache=True).logits
        for _ in range(2):  # a second time finds the same, for nothing was added to what was kept
            torch.testing.assert_close(OneToken(model)(*step.args)[0], expected)


class Plain(nn.Module):
    """A language model that keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(40, 8), nn.Linear(8, 40)

    def forward(self, ids):
        return self.head(self.tokens(ids).cumsum(1))


class Forgets(Plain):
    """One whose cache is wrong."""

    def with_cache(self, ids, cache=()):
        return self(ids), (torch.zeros(len(ids), 1, ids.shape[1], 1),)


@pytest.mark.parametrize(
    ("model", "ids", "says"),
    [
        (Plain(), IDS, "keeps no keys and values"),
        (Forgets(), IDS, "gives other scores than without"),
        (Forgets(), IDS[:, :1], "at least 2 tokens"),
        (Forgets(), IDS[0], "no token ids"),
    ],
)
def test_what_cannot_be_timed_one_token_at_a_time_says_why(model, ids, says):
    with pytest.raises(ModelError, match=says):
        after_prompt(model, Batch.of(ids))


def test_texts_are_cut_or_repeated_with_all_that_each_token_has():
    texts, mask = task("text-classification"), torch.ones_like(IDS)
    batch = Batch.of({"input_ids": IDS, "attention_mask": mask, "weight": torch.ones(2)}, torch.tensor([0, 1]))
    for length in (5, 12, 30):
        found = texts.at_length(batch, length).kwargs
        assert found["input_ids"].shape == found["attention_mask"].shape == (2, length) and found["weight"].shape == (2,)
        assert torch.equal(found["input_ids"], IDS[:, [i % 12 for i in range(length)]])
    with pytest.raises(TaskError, match="at least 1 token"):
        texts.at_length(batch, 0)
    with pytest.raises(TaskError, match="images of image classification have no length"):
        task("image-classification").at_length(batch, 5)


@pytest.fixture(scope="module")
def report():
    """Return a report of a language model at two batches and two lengths, with invented times."""
    model = gpt()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["prunekit.latency.measure"], "run_child", pretended.run_child)
        candidates = [Candidate("dense", model, 100.0), Candidate("smaller", model, 50.0)]
        how = {"input_shape": prunekit.info(model).input_shape, "batch": (1, 8), "length": (32, 128)}
        return measure_latency(candidates, **how, runtimes=("eager", "onnxruntime"))


def test_every_batch_length_and_phase_is_a_group_of_its_own_and_counts_tokens(report):
    assert len(report.groups) == 8 == len(report.turns) and len(report.candidates) == 32
    for row in report.candidates:
        tokens = row.batch * (row.length if row.phase == "prompt" else 1)
        assert row.throughput == pytest.approx(1000 * tokens / row.median_ms) and row.units == "tokens"
        base = report.baseline(*row.group)
        assert (base.name, base.runtime, base.group) == ("dense", "eager", row.group)
    told = json.loads(json.dumps(report.to_dict()))
    assert {(row["length"], row["phase"], row["unit"]) for row in told["candidates"]} == {
        (length, phase, "token") for length in (32, 128) for phase in ("prompt", "one-token")
    }
    assert "one token at a time, 127 before it, batch 8, threads 1" in told["within_runtimes"]
    assert len(told["within_runtimes"]) == 8 and len(report.to_frame().groupby(["batch", "length", "phase"])) == 8
    text = _page("shakespeare_gpt", report)
    assert "prompt of 128 tokens, batch 8" in text and "one token at a time, 127 before it, batch 1" in text and "tokens/s" in text


def test_texts_of_a_classifier_are_counted_as_texts_and_images_have_no_length():
    model = prunekit.load_model("reviews_encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["prunekit.latency.measure"], "run_child", pretended.run_child)
        found = measure_latency([Candidate("dense", model)], input_shape=prunekit.info(model).input_shape, batch=8)
    (row,) = found.candidates
    assert (row.units, row.phase, row.length) == ("texts", "pass", prunekit.info(model).input_shape.example.args[0].shape[1])
    assert row.throughput == pytest.approx(8000 / row.median_ms) and "noise" not in found.checked_on
    with pytest.raises(LatencyError, match="images of image classification have no length"):
        measure_latency([Candidate("dense", prunekit.load_model("digits_mlp"))], input_shape=(1, 8, 8), length=5)


@pytest.mark.slow
def test_a_folder_of_transformers_is_timed_in_both_phases_in_eager_and_in_onnx_runtime(tmp_path):
    pytest.importorskip("transformers")
    model = prunekit.load_model(hf_folders.write(tmp_path, "llama"))
    smaller = prunekit.prune(model, prunekit.PruneSpec(mode="structured", sparsity=0.3)).model
    found = measure_latency(
        [Candidate("dense", model), Candidate("smaller", smaller)],
        input_shape=prunekit.info(model).input_shape, runtimes=("eager", "onnxruntime", "int8"), length=16, budget_s=0.2, min_rounds=3,
    )  # fmt: skip
    assert [row.phase for row in found.candidates] == ["prompt"] * 6 + ["one-token"] * 6
    assert all(row.error is None and row.check.passed for row in found.candidates)
