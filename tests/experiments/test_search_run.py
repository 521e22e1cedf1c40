"""The search: what it answers holds on what chose it, goes on where it was, and is no larger than what sensitivity suggests."""

import threading
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from optuna.trial import FixedTrial

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.sensitivity.layer_targets import counter, together
from prunekit.evaluation.sensitivity.suggested_targets import suggest
from prunekit.experiments.load_run import open_run
from prunekit.experiments.search import objective, space
from prunekit.experiments.search.objective import FEW
from prunekit.experiments.search.race import Look
from prunekit.experiments.search.request import SearchRequest
from prunekit.experiments.search.run import search_through, stored
from prunekit.experiments.search.space import Space, further
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense
from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.report import CandidateLatency
from prunekit.models.cost import count
from prunekit.models.load import load_model
from prunekit.pruning.api import prune

ASKED = SearchRequest(ModelId("digits_mlp"), DataId("digits"), lose=0.05, epochs=0, budget_s=0.0, trials=4)


@pytest.fixture(scope="module")
def mlp():
    return load_model("digits_mlp")


def suggestion(kept, mlp, data):
    """Return the setting that the Sensitivity page suggests for the loss that is allowed, from the curves in the store."""
    plain, shape = PruneSpec(mode="structured", criterion="l2", sparsity=0.0), tuple(data.validation[0][0].shape)
    found = sense(SensitivityRequest(ASKED.model, ASKED.data, plain, "validation", 4 * FEW), kept, model=mlp, data=data)
    dense = count(mlp, shape)
    targets = suggest(found, drop=0.05, totals=(dense.params, dense.macs), counter=counter(mlp, plain, shape, data)).overrides
    return together(found, {name: round(share, 4) for name, share in targets.items()}, plain, mlp, shape, data)


def test_the_floor_holds_by_its_own_measure_and_the_search_goes_on(kept, mlp, data):
    first = search_through(ASKED, kept, model=mlp, data=data)
    assert first.best.state == "holds" and first.best.loss <= 0.05 and first.best.cost < first.before
    assert all((t.loss <= 0.05 + 1e-12) == (t.state == "holds") for t in first.trials)
    assert first.confirmation.drop.n == len(data.test)
    suggested = next(t for t in first.trials if t.number == 0)
    assert suggested.params == prune(mlp, suggestion(kept, mlp, data), data).after.params, "it begins with what sensitivity suggests"
    assert suggested.state != "holds" or first.best.params <= suggested.params
    seen = []
    more = search_through(replace(ASKED, trials=6), kept, report=seen.append, model=mlp, data=data)
    assert more.trials[: len(first.trials)] == first.trials and [len(each.trials) for each in seen] == [4, 5, 6]
    assert more.best.cost <= first.best.cost
    assert search_through(replace(ASKED, trials=6), kept, model=mlp, data=data) == more == stored(ASKED, kept, mlp, data)
    opened = open_run(more.best.run, kept).model
    assert sum(p.numel() for p in opened.parameters()) == more.best.params
    assert evaluate(opened, data.validation).value == more.best.value


def test_cancel_keeps_what_was_tried(kept, mlp, data):
    stop, seen = threading.Event(), []

    def note(so_far):
        if so_far.trials:
            seen.append(so_far)
            stop.set()

    with pytest.raises(Cancelled):
        search_through(ASKED, kept, Progress(cancel=stop), report=note, model=mlp, data=data)
    assert search_through(ASKED, kept, model=mlp, data=data).trials[:1] == seen[0].trials


def test_the_fastest_of_the_smallest_is_chosen_by_time_that_was_measured_apart(kept, mlp, data, monkeypatch):
    timed, inside = [], []

    def pretended(candidates, **_):
        timed.append([candidate.name for candidate in candidates])
        assert inside == ["in"]
        ratios = [1.0, 0.9, 0.5, 0.7][: len(candidates)]
        rows = [
            CandidateLatency(c.name, "eager", 1, 1, median_ms=r, ratio=Ratio(r, r, r, r < 1))
            for c, r in zip(candidates, ratios, strict=True)
        ]
        return SimpleNamespace(candidates=rows)

    @contextmanager
    def apart():
        inside.append("in")
        yield
        inside.append("out")

    monkeypatch.setattr(objective, "measure_latency", pretended)
    asked = replace(ASKED, minimise="latency", lose=0.2, trials=8)
    found = search_through(asked, kept, model=mlp, data=data, apart=apart)
    smallest = sorted((t for t in found.trials if t.state == "holds"), key=lambda t: (t.cost, t.loss))[:3]
    assert timed == [["dense", *(f"trial {t.number}" for t in smallest)]] and len(smallest) > 1
    assert found.best == smallest[1] and found.time.ratio == 0.5 and inside == ["in", "out"]
    assert stored(asked, kept, mlp, data) == found, "what was timed is kept, and not timed again for the same finalists"
    search_through(asked, kept, model=mlp, data=data)
    assert len(timed) == 1


@pytest.mark.slow
def test_int8_is_measured_in_its_runtime_and_the_file_counts(kept, mlp, data):
    asked = replace(ASKED, minimise="bytes", epochs=1, lose=0.4, trials=11)
    found = search_through(asked, kept, model=mlp, data=data)
    small = found.best
    plain = next(t for t in found.trials if t.number == small.number - 1)
    assert "int8" in small.title and small.title.replace("int8, ", "") == plain.title
    run = kept.get_run(small.run)
    assert (run.kind, run.parent) == ("quantised", plain.run) and small.cost == run.info["bytes"] < plain.cost
    assert {row.runtime for row in kept.measurements(small.run)} == {"int8"}
    tuned = open_run(plain.run, kept).model
    assert "1 epoch" in plain.title and evaluate(tuned, data.validation).value == plain.value, "the weights of what holds are kept"
    assert found.confirmation.drop.n == len(data.test) and stored(asked, kept, mlp, data) == found
    others = [trial.run for trial in found.trials if trial != found.best]
    assert not [row for run in others for row in kept.measurements(run) if row.split == "test"], "the test samples judge the best alone"


def test_whole_blocks_are_among_the_choices_of_a_model_that_has_some():
    space = Space(load_model("cifar10_resnet20"), (3, 32, 32), None, "params", 4, {}, 0.01)
    begun = [space.setting(space.suggest(FixedTrial(drawn)))[0] for drawn in space.start]
    assert {spec.depth for spec in begun} == {0.0, 0.25}
    assert further({"structured sparsity": 0.5, "depth": 25}, 0.4)["depth"] == 25


def test_further_removes_more_and_stays_below_everything():
    drawn = {"mode": "structured", "structured price": 2.0, "structured sparsity": 0.5, "structured conv": 0.9, "epochs": 8}
    moved = further(drawn, 0.4)
    assert all(drawn[name] < moved[name] for name in drawn if isinstance(drawn[name], float))
    assert moved["epochs"] == 8 and moved["structured conv"] < 1


@pytest.mark.parametrize("wrong", [{"lose": None}, {"hold": 0.9}, {"minimise": "time"}, {"trials": 0}])
def test_what_cannot_be_asked_is_refused(wrong):
    with pytest.raises(SpecError):
        replace(ASKED, **wrong)


@pytest.mark.parametrize("own", [24, 0])
def test_a_look_further_than_was_measured_goes_as_far_as_that(kept, mlp, data, monkeypatch, own):
    monkeypatch.setattr(space, "OWN", own)
    plain = PruneSpec(mode="structured", criterion="l2", sparsity=0.0)
    found = sense(SensitivityRequest(ASKED.model, ASKED.data, plain, "validation", 4 * FEW), kept, model=mlp, data=data)
    choices = Space(mlp, tuple(data.validation[0][0].shape), data, "params", 0, {"structured": found}, 0.05)
    sizes = []
    for size in (0.5, 0.1, 0.002):
        drawn = choices.looked("structured", Look("measured", "l2", "sgd", 0, size))
        spec, _ = choices.setting(choices.suggest(FixedTrial(drawn)))
        sizes.append(prune(mlp, spec, data).after.params)
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0]
    for each in (choices, Space(mlp, choices.shape, data, "params", 0, {}, 0.05)):
        drawn, left = each.start[0], []
        for _ in range(3):
            left.append(prune(mlp, each.setting(each.suggested(drawn))[0], data).after.params)
            drawn = each.less(drawn, 0.5)
        assert left[0] < left[1] < left[2], "ever less is removed"


def test_something_that_holds_is_found_first_though_little_may_be_lost(kept, mlp, data):
    asked = replace(ASKED, lose=0.001, epochs=0, trials=6)
    found = search_through(asked, kept, model=mlp, data=data)
    assert found.best is not None
    first = next(trial for trial in found.trials if trial.state == "holds")
    assert all(a.cost < b.cost for a, b in pairwise(found.trials[: found.trials.index(first) + 1]))


def test_a_beginning_that_cannot_be_made_is_tried_once(kept, mlp, data, monkeypatch):
    plain = Space.setting

    def setting(self, p):
        if p["shares"] == "measured":
            raise SpecError("not this")
        return plain(self, p)

    monkeypatch.setattr(Space, "setting", setting)
    found = search_through(replace(ASKED, trials=3), kept, model=mlp, data=data)
    assert [trial.state == "failed" for trial in found.trials] == [True, False, False]
