"""The Find page: its question as a request, what a search found, and its runs on the other pages."""

from dataclasses import replace

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.home import store
from prunekit.experiments.jobs import board
from prunekit.experiments.search.request import SearchRequest
from prunekit.experiments.search.run import search_through
from prunekit.ui.find import results
from prunekit.ui.shared import measuring
from prunekit.ui.shared.model_cache import Source, load
from prunekit.ui.state import target_scaling
from prunekit.ui.state.address import decode
from tests.ui.test_other_tasks import WRONG, quiet, said

ASKED = SearchRequest(ModelId("digits_mlp"), DataId("digits", limit=200), lose=0.05, epochs=0, budget_s=0.0, trials=5)


@pytest.fixture
def asked(monkeypatch):
    seen = []
    monkeypatch.setattr(measuring, "ask", lambda kind, request, title: seen.append(SearchRequest.from_dict(request)))
    return seen


def test_the_question_is_what_the_command_would_ask(tab, asked):
    one = tab("find", model="digits_mlp", minutes="2", drop="0.5", tuned="3", limit="60")
    one.click("find_start")
    plain = SearchRequest(ModelId("digits_mlp"), DataId("digits", limit=60), lose=0.005, epochs=3, budget_s=120.0)
    assert asked[-1] == plain
    one.set("pick_minimise", "macs").set("pick_floor", "hold")
    assert one.app.button(key="find_start").disabled and "Press **Start**" not in one.text
    one.set("pick_hold", 96.5).click("find_start")
    assert asked[-1] == replace(plain, minimise="macs", hold=0.965, lose=None)
    assert {name: one.address[name] for name in ("minimise", "floor", "hold")} == {"minimise": "macs", "floor": "hold", "hold": "0.965"}


def test_what_was_found_goes_to_prune_compare_and_export(tab, asked):
    found = search_through(ASKED, store())
    one = tab("find", model="digits_mlp", limit="200", drop="5", tuned="0")
    assert "Go on for 5 min" in one.app.button(key="find_start").label
    assert one.metric("Parameters").value.replace("\u202f", " ") in (f"{found.best.params:,}", f"{found.best.params / 1000:.1f} k")
    assert found.confirmation.sentence.split(":")[0] in one.text and len(one.table("setting")) == len(found.trials)
    own = next(trial for trial in found.trials if trial.run and PruneSpec.from_dict(store().get_run(trial.run).spec).overrides)
    for trial in (own, found.trials[-1]):
        one = tab("find", model="digits_mlp", limit="200", drop="5", tuned="0", opened=trial.run[:12])
        one.app.button(key="find_prune").click().run()
        assert not one.app.exception and not one.app.error
        now, loaded = decode(one.address)[0], load(Source("digits_mlp"))
        spec = target_scaling.followed(now, loaded.source).spec(loaded.every)
        kept = PruneSpec.from_dict(store().get_run(trial.run).spec)
        assert (spec.mode, spec.criterion, spec.target, spec.seed) == (kept.mode, kept.criterion, kept.target, kept.seed)
        assert dict(spec.overrides) == pytest.approx(dict(kept.overrides)) and spec.sparsity == pytest.approx(kept.sparsity)
    one = tab("find", model="digits_mlp", limit="200", drop="5", tuned="0")
    one.app.button(key="find_compare").click().run()
    suggested = next(trial for trial in found.trials if trial.number == 0)
    assert one.address["runs"].split("_") == list(dict.fromkeys([found.best.run[:12], suggested.run[:12]]))


def test_ticked_rows_add_up_and_those_that_are_shown_are_nobodys_pick(monkeypatch):
    taken, state = [], {"key": {"selection": {"rows": [1]}}}
    monkeypatch.setattr(results.session, "change", lambda **values: taken.append(values))
    monkeypatch.setattr(results.st, "session_state", state)
    results._take("key", ["a", "b"], ["b"])
    assert not taken
    state["key"]["selection"]["rows"] = [0, 1]
    results._take("key", ["a", "b"], ["b"])
    assert taken == [{"opened": "a"}] and state[results.TICKED] == ("b", "a"), "the last one ticked is opened"
    state["key"]["selection"]["rows"] = []
    results._take("key", ["a", "b"], ["b", "a"])
    assert taken[-1] == {"opened": ""} and state[results.TICKED] == ()


@pytest.mark.slow
def test_a_search_of_another_metric_runs_stops_and_goes_on(tab):
    one = tab("find", model="diabetes_mlp", minutes="0.2", tuned="0", drop="5")
    assert "measure that first" in "\n".join(info.value for info in one.app.info)
    one.click("measure_dense").wait(quiet)
    one.app.run()
    one.click("find_start").wait(lambda: board().all()[-1].partial and board().all()[-1].partial[-1].trials, 120)
    board().forget_all()
    one.wait(quiet)
    one = tab("find", model="diabetes_mlp", minutes="0.2", tuned="0", drop="5")
    tried = len(one.table("setting"))
    one.click("find_start").wait(quiet)
    one.app.run()
    assert len(one.table("setting")) > tried and "R²" in one.text and "confirm" in one.text.lower()
    assert not [word for word in said(one) if WRONG.search(word)]
