"""One click on the Prune page keeps the setting as a run, and its latencies are kept with it."""

import json

import pytest

from prunekit.experiments.jobs import board
from prunekit.experiments.load_run import open_run


def saved():
    store = board().store
    return [store.get_run(run) for run, label in store.labels().items() if label.saved]


def test_a_setting_is_saved_with_one_click(tab):
    one = tab("prune", model="digits_mlp", sparsity=62)
    before = {run.id for run in saved()}
    assert one.app.button(key="save_run").label == "Save as run"
    one.click("save_run").wait(lambda: one.app.button(key="save_run").label == "Saved as a run")
    (run,) = [run for run in saved() if run.id not in before]
    assert run.spec["sparsity"] == 0.62 and one.app.button(key="save_run").disabled
    assert any(run.id[:12] in caption.value for caption in one.app.caption)
    assert open_run(run, board().store).note == "" and len(board().store.measurements(run.id)) == 1
    one.set("pick_sparsity", 63.0)
    assert one.app.button(key="save_run").label == "Save as run" and not one.app.button(key="save_run").disabled


def test_a_run_that_was_deleted_since_can_be_saved_again(tab):
    one = tab("prune", model="digits_mlp", sparsity=61)
    one.click("save_run").wait(lambda: one.app.button(key="save_run").label == "Saved as a run")
    (run,) = [run for run in saved() if run.spec["sparsity"] == 0.61]
    board().store.forget(run.id)
    one.app.run()
    assert one.app.button(key="save_run").label == "Save as run"
    one.click("save_run").wait(lambda: one.app.button(key="save_run").label == "Saved as a run")
    assert board().store.label(run.id).saved


def test_without_data_a_run_is_saved_and_its_accuracy_is_not_measured(tab):
    one = tab("prune", model="digits_mlp", data="none", sparsity=57)
    assert "no data" in one.app.button(key="save_run").help and "not measured" in one.text
    one.click("save_run").wait(lambda: one.app.button(key="save_run").label == "Saved as a run")
    (run,) = [run for run in saved() if run.spec["sparsity"] == 0.57]
    assert run.info["sizes"]["gzip"] and board().store.measurements(run.id) == []
    assert any("Accuracy not measured" in caption.value for caption in one.app.caption)


def test_a_run_gets_the_name_that_was_typed_and_another_later(tab):
    one = tab("prune", model="digits_mlp", sparsity=56)
    one.app.text_input(key="save_name").set_value("  first   try ")
    one.click("save_run").wait(lambda: one.app.button(key="save_run").label == "Saved as a run")
    (run,) = [run for run in saved() if run.spec["sparsity"] == 0.56]
    assert board().store.label(run.id).name == "first try" and board().store.find("first try") == run
    assert any("**first try**" in caption.value for caption in one.app.caption)
    one.app.text_input(key="save_name").set_value("second").run()
    assert one.app.button(key="save_run").label == "Rename the run"
    one.click("save_run")
    assert board().store.label(run.id).name == "second" and one.app.button(key="save_run").label == "Saved as a run"


def test_what_saving_asks_for_can_be_taken_up_by_another_process(tab):
    one = tab("prune", model="digits_mlp", sparsity=60)
    one.click("save_run").wait(lambda: one.app.button(key="save_run").label == "Saved as a run")
    (job,) = [job for job in board().all() if job.kind == "save" and job.request["spec"]["sparsity"] == 0.6]
    assert json.loads(json.dumps(job.request)) == job.request and board().store.jobs.get(job.key).state == "done"


@pytest.mark.slow
def test_what_the_latency_page_times_becomes_runs(tab):
    one = tab("latency", model="digits_mlp", sparsity=59, budget=2)
    one.click("measure_latency").wait(lambda: one.app.button(key="measure_latency").label == "Measure again", 240)
    store = board().store
    timed = [store.get_run(run) for run in store.all_measurements("latency")]
    mine = [run for run in timed if run.spec is not None and run.spec["sparsity"] == 0.59]
    assert sorted(run.spec["mode"] for run in mine) == ["structured", "unstructured"]
    for run in mine:
        seen = store.all_measurements("latency")[run.id]
        assert all(m.value["baseline"]["run"] == run.parent and m.value["median_ms"] > 0 for m in seen)
        assert open_run(run, store).note == ""
    one.click("why_start").wait(lambda: "its MACs promise" in one.text, 120)
