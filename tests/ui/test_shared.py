"""What people share: jobs, uploads, caches of numbers."""

import threading
import time

import numpy as np
import pytest

import prunekit
from prunekit.choices import WEIGHT_CRITERIA
from prunekit.errors import CheckpointError, PrunekitError
from prunekit.plots import CutBins
from prunekit.ui import bins, cuts, store
from prunekit.ui.background import MOST_FINISHED, Board
from prunekit.ui.store import Images, Source
from prunekit.ui.uploads import Store, fingerprint


def settle(job, seconds=10):
    start = time.monotonic()
    while job.active:
        assert time.monotonic() - start < seconds
        time.sleep(0.01)
    return job


def test_a_job_reports_progress_parts_and_its_result():
    def work(job):
        job.progress(0.5, "half")
        job.add(1)
        return "done"

    job = settle(Board().submit("a", "A", work, "me"))
    assert (job.state, job.result, job.partial, job.fraction) == ("done", "done", [1], 1.0)


def test_the_same_question_is_one_job_and_its_answer_is_kept():
    board, runs = Board(), []
    first = settle(board.submit("a", "A", lambda job: runs.append(1), "me"))
    assert board.submit("a", "A", lambda job: runs.append(1), "you") is first
    assert runs == [1]


def test_one_job_runs_at_a_time():
    board, running, most = Board(), [], []

    def work(job):
        running.append(job)
        most.append(len(running))
        time.sleep(0.02)
        running.remove(job)

    jobs = [board.submit(str(i), "", work, "me") for i in range(4)]
    for job in jobs:
        settle(job)
    assert max(most) == 1


def test_cancel_stops_the_work_once_nobody_wants_it():
    board, begun = Board(), threading.Event()

    def work(job):
        begun.set()
        while True:
            time.sleep(0.005)
            job.progress(0.1)

    job = board.submit("a", "A", work, "me")
    board.submit("a", "A", work, "you")
    begun.wait(5)
    board.stop("a", "me")
    time.sleep(0.05)
    assert job.active, "you still want it"
    board.stop("a", "you")
    assert settle(job).state == "cancelled"
    assert settle(board.submit("a", "A", lambda job: 7, "me")).result == 7, "it can be asked for again"


def test_a_waiting_job_can_be_cancelled():
    board, gate = Board(), threading.Event()
    first = board.submit("a", "A", lambda job: gate.wait(5), "me")
    second = board.submit("b", "B", lambda job: 1 / 0, "me")
    board.stop("b", "me")
    gate.set()
    settle(first)
    assert settle(second).state == "cancelled"


def test_errors_are_said_in_words(caplog):
    def known(job):
        raise PrunekitError("no such thing")

    def unknown(job):
        raise RuntimeError("secret detail")

    board = Board()
    assert settle(board.submit("a", "A", known, "me")).error == "no such thing"
    job = settle(board.submit("b", "B", unknown, "me"))
    assert job.state == "failed"
    assert "secret" not in job.error
    assert "secret detail" in caplog.text


def test_finished_jobs_are_bounded():
    board = Board()
    for i in range(MOST_FINISHED + 10):
        settle(board.submit(str(i), "", lambda job: None, "me"))
    board.submit("last", "", lambda job: None, "me")
    assert board.get("0") is None
    assert board.get(str(MOST_FINISHED + 9)) is not None


def test_uploads_are_held_by_content_and_bounded():
    held = Store(most_files=2, most_bytes=10)
    a, b = held.put("a.pt", b"aaaa"), held.put("b.pt", b"bbbb")
    assert a == fingerprint(b"aaaa") != b
    assert held.get(a).payload == b"aaaa"
    c = held.put("c.pth", b"cccc")
    assert held.get(b) is None, "the oldest goes, the one just looked at stays"
    assert held.get(a) and held.get(c)
    held.put("d.th", b"d" * 10)
    assert held.get(a) is None and held.get(c) is None


@pytest.mark.parametrize("name", ["evil.py", "model.pkl", "noending", "x.safetensors.exe"])
def test_only_checkpoints_are_taken(name):
    with pytest.raises(CheckpointError, match=r"\.safetensors"):
        Store().put(name, b"x")


def test_too_big_an_upload_is_refused():
    with pytest.raises(CheckpointError, match="at most 3 are kept"):
        Store(most_bytes=3).put("a.pt", b"aaaa")


@pytest.mark.parametrize("criterion", ["l1", "l2", "random"])
@pytest.mark.parametrize("scope", ["global", "uniform"])
@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.9])
def test_the_numbers_of_a_move_are_those_of_pruning(criterion, scope, sparsity):
    spec = prunekit.PruneSpec(sparsity=sparsity, criterion=criterion, scope=scope)
    view = cuts.view(Source("digits_mlp"), spec)
    result = prunekit.prune(prunekit.load_model("digits_mlp"), spec)
    assert view.gone == result.achieved.removed
    assert view.params == (result.before.params, result.after.nonzero)
    assert view.macs[1] == pytest.approx(result.after.effective_macs, abs=2)
    assert view.sparsity == pytest.approx(result.after.sparsity)
    assert list(view.frame["removed"]) == pytest.approx([layer.sparsity for layer in result.layers])


@pytest.mark.parametrize("scope", ["global", "uniform"])
@pytest.mark.parametrize("sparsity", [0.2, 0.6])
def test_the_numbers_of_a_structured_move_are_those_of_surgery(scope, sparsity):
    spec = prunekit.PruneSpec(mode="structured", sparsity=sparsity, scope=scope)
    view = cuts.view(Source("digits_cnn"), spec)
    result = prunekit.prune(prunekit.load_model("digits_cnn"), spec)
    assert view.params == (result.before.params, result.after.params)
    assert view.macs == (result.before.macs, result.after.macs)
    assert list(view.frame["after"]) == [layer.shape_after for layer in result.layers]
    kept = cuts.kept_channels(view)
    assert {name: tuple(np.flatnonzero(mask)) for name, mask in kept.items()} == {n: k for n, k in result.kept.items() if n in kept}


MASKED = [("unstructured", criterion) for criterion in WEIGHT_CRITERIA] + [("nm", "l1"), ("nm", "taylor")]


@pytest.mark.parametrize(("mode", "criterion"), MASKED)
@pytest.mark.parametrize("focus", [None, "fc1"])
def test_the_drawn_cut_agrees_with_the_masks(mode, criterion, focus):
    amount = {} if mode == "nm" else {"sparsity": 0.6}
    spec = prunekit.PruneSpec(mode=mode, criterion=criterion, samples=64, **amount)
    view = cuts.view(Source("digits_mlp"), spec, Images("digits"))
    layers = tuple(view.frame["name"])
    found = bins.cut_bins(Source("digits_mlp"), view, focus, layers)
    assert isinstance(found, CutBins)
    model = prunekit.load_model("digits_mlp")
    masks = prunekit.prune(model, spec, prunekit.load_data("digits", model=model)).masks
    names = [focus] if focus else layers
    kept = np.concatenate([masks[n].numpy().ravel() for n in names])
    weights = np.concatenate([model.get_submodule(n).weight.numpy().ravel() for n in names])
    assert found.kept.sum() + found.removed.sum() == pytest.approx(kept.size)
    assert found.removed.sum() == pytest.approx((~kept).sum())
    if criterion != "random":  # drawn as the same share of each bar
        # what lies outside the picture counts in its outermost bars
        inside = np.clip(weights[~kept], found.edges[0] + 1e-9, found.edges[-1] - 1e-9)
        expected, _ = np.histogram(inside, bins=found.edges)
        assert np.abs(found.removed - expected).sum() <= 0.02 * (~kept).sum()
    by_size = mode == "unstructured" and (criterion in ("l1", "l2") or (criterion == "lamp" and focus))
    assert (found.threshold is not None) == bool(by_size), "a line stands only where one magnitude parts what stays from what goes"
    if by_size:
        assert (np.abs(weights) < found.threshold).mean() == pytest.approx((~kept).mean(), abs=0.01)


def test_distributions_count_every_weight_over_shared_bins():
    layers = store.load(Source("digits_cnn")).layers
    found = bins.distributions(Source("digits_cnn"), layers)
    for one in found:
        weights = store.load(Source("digits_cnn")).model.get_submodule(one.name).weight
        assert one.counts.sum() == weights.numel()
        assert np.array_equal(one.edges, found[0].edges)
        assert one.mean == pytest.approx(float(weights.mean()), abs=1e-6)
        inside = one.counts[1:-1]
        expected, _ = np.histogram(weights.numpy().astype(np.float64), bins=one.edges)
        assert np.abs(inside - expected[1:-1]).sum() <= 0.02 * weights.numel() + 4
