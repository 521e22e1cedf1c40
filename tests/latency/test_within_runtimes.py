"""Speed within each runtime: a smaller model that is faster than dense eager may be slower than the dense one in its own runtime."""

import json
import sys

import pytest

import prunekit
from prunekit.cli.latency import _page
from prunekit.latency.interleaved_timing import ratio, speed_words
from prunekit.latency.measure import measure_latency as latency
from prunekit.latency.report import Candidate
from tests.ui import pretended


@pytest.fixture(scope="module")
def report():
    model = prunekit.load_model("digits_mlp")
    smaller = prunekit.prune(model, prunekit.PruneSpec(mode="structured", sparsity=0.5)).model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["prunekit.latency.measure"], "run_child", pretended.run_child)
        candidates = [Candidate("dense", model, 100.0), Candidate("smaller", smaller, 50.0)]
        yield latency(candidates, input_shape=(1, 8, 8), runtimes=("eager", "onnxruntime"), batch=1, threads=1)


def test_each_row_is_compared_with_the_baseline_and_with_the_dense_model_in_its_runtime(report):
    rows = {(row.name, row.runtime): row for row in report.candidates}
    assert rows["dense", "onnxruntime"].within.value == 1.0 < rows["dense", "onnxruntime"].ratio.speed[0]
    slower = rows["smaller", "onnxruntime"]
    dense = rows["dense", "onnxruntime"].samples_ms
    assert slower.within == ratio(slower.samples_ms, dense), "paired by round"
    assert slower.ratio.value < 0.5 and slower.within.value > 1.0 and slower.within.different
    assert rows["smaller", "eager"].within == rows["smaller", "eager"].ratio


def test_a_sentence_says_that_the_smaller_model_is_slower_there(report):
    eager, elsewhere = report.within_runtimes(1, 1)
    assert eager.startswith("In eager, smaller is 2.0") and "× faster than dense" in eager
    slower = next(row for row in report.candidates if (row.name, row.runtime) == ("smaller", "onnxruntime")).within
    assert elsewhere == f"In ONNX Runtime, smaller {speed_words(slower, 'dense')}" and "is 1.05× slower than dense" in elsewhere


def test_json_and_text_hold_the_ratio_within_the_runtime_beside_the_other(report):
    told = json.loads(json.dumps(report.to_dict()))
    assert all({"ratio", "within"} <= set(row) and row["within"]["low"] <= row["within"]["value"] for row in told["candidates"])
    assert told["within_runtimes"]["batch 1, threads 1"] == list(report.within_runtimes(1, 1))
    text = _page("digits_mlp", report)
    assert "in its runtime (95 %)" in text and "is 1.05× slower than dense" in text and "0.95×" in text


@pytest.mark.parametrize(
    ("times", "says"), [((1.0, 1.001), "no significant difference from dense"), ((2.0,), "slower"), ((0.5,), "faster")]
)
def test_the_words_turn_with_the_figures(times, says):
    found = ratio([each for each in times for _ in range(20)], [1.0] * 20 * len(times))
    assert says in speed_words(found, "dense") and (says != "slower" or "2.00×" in speed_words(found, "dense"))
