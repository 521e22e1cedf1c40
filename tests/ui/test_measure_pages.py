"""The pages that measure in the background: Sensitivity, Quality vs sparsity, Recover, and training on Start."""

import pytest

from prunekit.evaluation.quality import accuracy_of
from prunekit.experiments.home import store
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import KINDS, work_of
from prunekit.experiments.quantised_run import Quantised
from prunekit.experiments.requests import AccuracyRequest
from prunekit.plots.quality_curves import AXES
from prunekit.training.result import Epoch


def words(one):
    return "\n".join([one.text, *(str(m.value) for m in one.app.markdown)])


def done(one, key, label):
    return lambda: one.app.button(key=key).label == label


def measured(one, key):
    """Measure, unless an earlier test has: what is stored is read."""
    if one.app.button(key=key).label == "Measure":
        one.click(key)
    return one.wait(done(one, key, "Measured"), 120)


def test_sensitivity_is_measured_kept_and_taken_to_the_prune_page(tab):
    one = tab("sensitivity", model="digits_mlp", drop="3", limit="300")
    assert "Nothing has been measured" in words(one)
    measured(one, "measure_sensitivity")
    assert "gives way first" in one.text and "would go" in one.text
    again = tab("sensitivity", model="digits_mlp", drop="3", limit="300")
    assert again.app.button(key="measure_sensitivity").label == "Measured", "whoever comes later finds it"
    again.set("pick_full", True)
    assert again.app.button(key="measure_sensitivity").label == "Measure" and "another allowed loss" in again.text
    again.set("pick_full", False)
    again.app.button(key="use_targets").click().run()
    assert not again.app.exception
    assert "targets" in again.address
    there = tab("prune", **again.address)
    assert there.app.button(key="drop_targets").label == "targets from Sensitivity"
    for share in (20.0, 70.0):
        there.set("pick_sparsity", share)
        assert not there.app.error


def test_sensitivity_of_channels_suggests_for_a_goal_in_macs(tab):
    one = tab("sensitivity", model="digits_cnn", mode="structured", goal="macs", goal_share="40", limit="200")
    measured(one, "measure_sensitivity")
    said = next(c.value for c in one.app.caption if "of the MACs would go" in c.value)
    share = float(said.split("parameters and ")[1].split(" %")[0])
    assert abs(share - 40) <= 2


def test_a_goal_out_of_reach_is_said(tab):
    one = tab("sensitivity", model="digits_cnn", mode="structured", goal="macs", goal_share="99", limit="200")
    measured(one, "measure_sensitivity")
    assert any("at most" in str(i.value) for i in one.app.info)


@pytest.mark.parametrize("across", list(AXES))
def test_curves_are_drawn_across_every_axis(tab, across):
    one = tab("accuracy", model="digits_mlp", across=across, down="drop", limit="100", evaluations="4", curves="unstructured-l2-global")
    measured(one, "measure_curves")
    assert "goes furthest" in one.text


def test_a_subset_says_how_many_and_seeds_show_their_spread(tab):
    one = tab("accuracy", model="digits_mlp", images="60", repeats="3", evaluations="4", curves="unstructured-random-global")
    measured(one, "measure_curves")
    assert "Measured on 60 validation images" in one.text and "Bars span 3 seeds" in one.text


def test_a_curve_with_recovery_is_measured_after_it(tab):
    one = tab("accuracy", model="digits_cnn", limit="200", evaluations="3", curves="structured-l1-global_structured-l1-global-r")
    measured(one, "measure_curves")
    assert len([r for r in store().runs(kind="recovered") if r.recovery["recalibrate"]]) >= 2


def test_how_far_is_found_exactly_and_confirmed_on_test(tab):
    one = tab("accuracy", model="digits_mlp", drop="2", curves="unstructured-l1-global", evaluations="5", seed="4")
    measured(one, "measure_curves")
    one.click("find_furthest").wait(lambda: "onfirmed" in one.text or "Likely" in one.text, 120)


def test_what_was_measured_is_there_after_a_restart(tab):
    settings = {"model": "digits_mlp", "curves": "unstructured-l1-uniform", "evaluations": "4", "limit": "120"}
    one = tab("accuracy", **settings)
    measured(one, "measure_curves")
    for job in board().all():
        board().drop(job.key)  # a new server knows no jobs, only the store
    again = tab("accuracy", **settings)
    assert again.app.button(key="measure_curves").label == "Measured"
    assert "goes furthest" in again.text


def test_recalibration_shows_before_and_after(tab):
    one = tab("recover", model="digits_cnn", mode="structured", sparsity="70", limit="400")
    one.click("recalibrate_start").wait(lambda: "What does each step bring back?" in [s.value for s in one.app.subheader], 120)
    assert "Pruning alone left" in words(one) and any("Recalibrating BatchNorm brought" in c.value for c in one.app.caption)


def test_fine_tuning_shows_curves_and_keeps_the_weights(tab):
    one = tab("recover", model="digits_mlp", sparsity="90", epochs="2", recalibrate="0", limit="300")
    one.click("recover_start").wait(lambda: "Kept: epoch" in one.text, 120)
    assert any("Download the recovered model" in str(b.label) for b in one.app.get("download_button"))


def test_a_schedule_is_planned_before_it_runs_and_needs_its_epochs(tab):
    one = tab("recover", model="digits_mlp", sparsity="80", epochs="4", schedule="agp", steps="4", recalibrate="0")
    assert "4 cuts to" in one.text
    few = tab("recover", model="digits_mlp", sparsity="80", epochs="2", schedule="agp", steps="4", recalibrate="0")
    assert "set at least 4 epochs" in few.text and few.app.button(key="recover_start").disabled


def test_a_model_without_batchnorm_offers_no_recalibration(tab):
    one = tab("recover", model="digits_mlp", recalibrate="0")
    assert one.app.button(key="recalibrate_start").disabled


def test_a_sample_is_trained_on_start_and_its_weights_are_used(tab):
    one = tab("start", model="digits_mlp")
    one.set("train_epochs_digits_mlp", 2)
    one.click("train_start").wait(lambda: "was kept" in words(one), 120)
    one.click("use_trained")
    assert len(one.address["upload"]) == 20
    run = max(store().runs(kind="trained"), key=lambda run: run.created)
    assert run.info["file"].startswith(one.address["upload"]) and len(run.info["history"]) == 2
    assert one.go("accuracy").app.button(key="measure_curves").label == "Measure", "other weights, other measurements"


def test_a_job_of_a_closed_tab_is_shown_to_others_who_may_cancel_it(tab):
    one = tab("accuracy", model="digits_cnn", curves="structured-l1-global-f3", evaluations="12")
    one.click("measure_curves")
    job = next(job for job in board().all() if job.active)
    other = tab("layers")  # a test's tab is never open for the server: whoever comes may stop it
    other.click(f"cancel_side_{job.key}")
    other.wait(lambda: not job.active, 60)
    assert job.state == "cancelled"


def test_jobs_have_the_same_key_for_the_same_question():
    request = {"model": {"name": "digits_mlp"}, "data": {"name": "digits"}}
    assert key_of("train", request) == key_of("train", dict(reversed(request.items()))) != key_of("sweep", request)


def stages_of(one):
    """Recover on the page, quantise, and return the table of stages."""
    if "Kept: epoch" not in one.text:
        one.click("recover_start").wait(lambda: "Kept: epoch" in one.text, 120)
    one.click("quantise_start").wait(lambda: one.app.dataframe, 180)
    table = one.app.dataframe[0].value
    assert list(table["step"]) == ["Dense", "Pruned", "Recovered", "Quantised to int8"]
    assert "int8 against the same model in float32" in one.text
    return table


def test_a_model_without_batchnorm_is_recovered_by_default_and_the_page_says_why_nothing_is_recalibrated(tab):
    one = tab("recover", model="digits_mlp", sparsity="91", epochs="1", limit="200")
    assert one.app.checkbox(key="pick_recalibrate").disabled
    one.click("recover_start").wait(lambda: "Pruning alone left" in one.text, 120)
    assert not one.app.error and any("has no BatchNorm" in c.value for c in one.app.caption)
    steps = one.app.table[0].value
    assert list(steps.index) == ["Dense", "Pruned", "Recovered"] and all("%" in text for text in steps.iloc[:, 0])


def test_what_was_recovered_is_quantised_and_stands_in_one_table(tab, monkeypatch, tmp_path):
    file, asked = tmp_path / "model.int8.onnx", []
    file.write_bytes(b"int8")

    def quantise(request, job):
        asked.append(AccuracyRequest.from_dict(request))
        accuracies = (accuracy_of([True] * right + [False] * (100 - right)) for right in (91, 92, 93, 94))
        return Quantised("7" * 64, "6" * 64, file, 1000, 4000, *accuracies)

    work_of("quantise")
    monkeypatch.setitem(KINDS, "quantise", quantise)
    one = tab("recover", model="digits_mlp", sparsity="90", epochs="1", recalibrate="0", limit="300")
    table = stages_of(one)
    assert list(table.iloc[-1])[-2:] == ["1.00\u202fkB", "7" * 12] and table["ONNX file"].iloc[-2] == "4.00\u202fkB"
    assert table.iloc[-1, 1].startswith("91.0") and table.iloc[-1, 2].startswith("92.0") and "4.00× smaller" in one.text
    (request,) = asked
    assert (request.spec.sparsity, request.recovery.epochs, request.data.limit) == (0.9, 1, 300)


@pytest.mark.slow
def test_what_was_recovered_is_quantised_for_real(tab):
    stages_of(tab("recover", model="digits_mlp", sparsity="85", epochs="1", recalibrate="0", limit="300"))
    run = max(store().runs(kind="quantised"), key=lambda run: run.created)
    assert store().get_run(run.parent).kind == "recovered"


def test_latency_in_several_runtimes_says_what_failed_and_why_it_is_not_faster(tab, no_clock):
    one = tab("latency", model="digits_mlp", sparsity="80", budget="2", runtimes="eager_onnxruntime_csr", batch="1_8", limit="200")
    one.click("measure_latency").wait(lambda: one.app.dataframe, 240)
    assert "nothing to run sparse" in "\n".join(w.value for w in one.app.warning)
    assert one.text.count("In ONNX Runtime, smaller is 1.05× slower than dense") == 1, "faster than dense in eager, and yet slower here"
    table = one.app.dataframe[0].value
    assert (table["as fast as dense, eager"] != table["in its runtime"]).any()
    assert list(one.app.dataframe[1].value["model"]) == list(table["model"]) == ["dense"] * 3 + ["masked"] * 3 + ["smaller"] * 3
    assert (table["median ms"] == "not measured").sum() == 2
    assert "batch 8" in words(one) or "batch 8" in one.text
    before = [frame.value for frame in one.app.dataframe], [c.value for c in one.app.caption if c.value.startswith("Measured 2")]
    again = _restarted(tab, **one.address)
    after = [frame.value for frame in again.app.dataframe], [c.value for c in again.app.caption if c.value.startswith("Measured 2")]
    assert str(after) == str(before) and len(before[1]) == 1, "it stands there again, with its date"
    assert "nothing to run sparse" in "\n".join(w.value for w in again.app.warning) and words(again) == words(one)
    assert again.app.button(key="measure_latency").label == "Measure again"
    again.set("why_whose", "masked")
    again.click("why_start").wait(lambda: "its MACs of non-zero weights promise" in words(again), 120)


def _restarted(tab, **address):
    """Return the Latency page of a server that was started again: the store is all that is left."""
    board().forget_all()
    return tab("latency", **address)


def test_what_a_cancelled_job_keeps_is_said_and_it_goes_on_from_there(tab):
    one = tab("recover", model="digits_cnn", mode="structured", sparsity="60", epochs="200", limit="300")
    one.click("recover_start")
    job = next(job for job in board().all() if job.active)
    one.wait(lambda: any(isinstance(part, Epoch) for part in job.partial), 120)
    one.click(f"cancel_{job.key}").wait(lambda: "begins anew" in one.text, 60)
    assert not job.active and "Kept: epoch" not in one.text, "weights on the way are not kept"
    one = tab("accuracy", model="digits_cnn", curves="structured-l1-global-f2", evaluations="12", limit="300")
    one.click("measure_curves")
    job = next(job for job in board().all() if job.active)
    one.wait(lambda: len(job.partial) > 2, 120)
    one.click(f"cancel_{job.key}").wait(lambda: one.app.button(key="measure_curves").label == "Measure", 60)
    assert not job.active and "**Measure** goes on from there" in one.text
    seen = sum(point.requested > 0 for point in job.partial)
    board().drop(job.key)  # as a new server: the store alone knows
    again = tab("accuracy", **one.address)
    assert f"{seen} points" in again.text and "goes on from there" in again.text


def test_a_curve_of_a_model_without_batchnorm_is_fine_tuned_alone(tab):
    one = tab("accuracy", model="digits_mlp", curves="unstructured-l1-global-f1", evaluations="3", limit="100")
    measured(one, "measure_curves")
    assert not one.app.error
