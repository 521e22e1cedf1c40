"""The Export page: a run is picked, its archive is made in the background, and an archive is taken in."""

import zipfile
from dataclasses import replace

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.archive import exporting
from prunekit.experiments.home import home, store
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.save_run import save
from prunekit.experiments.sweep_run import measure_one
from prunekit.ui.export.export import file_name
from tests import hf_folders
from tests.experiments.archive.made import plain

UP = tuple(f"model.layers.{i}.mlp.{side}_proj" for i in range(2) for side in ("gate", "up"))


@pytest.fixture
def run():
    """A run like any other, in the home of these tests."""
    request = AccuracyRequest(ModelId("digits_mlp"), DataId("digits"), PruneSpec(sparsity=0.77), split="test")
    return store().get_run(measure_one(request, store()).run)


@pytest.fixture
def quick(monkeypatch):
    """No exporter: it is tested elsewhere."""
    monkeypatch.setattr(exporting, "make_forms", lambda *_: {name: {"error": "not now", "batch": 0} for name in exporting.FORMS})
    return monkeypatch


def words(one):
    shown = [*one.app.markdown, *one.app.caption, *one.app.error, *one.app.warning, *one.app.success]
    return "\n".join(str(part.value) for part in shown)


def downloads(one):
    return [button for button in one.app.get("download_button") if "Download" in str(button.label)]


def test_a_run_becomes_an_archive_and_every_form_says_how_it_went(tab, run, quick):
    one = tab("export", opened=run.id[:12])
    assert "accuracy (test, n = 360)" in words(one) and not downloads(one)
    one.click("export_start").wait(lambda: downloads(one), 180)
    assert "1 of 3 forms give the predictions of the run" in words(one)
    table = one.app.table[0].value
    assert list(table["without prunekit"]) == ["agrees", "left out", "left out"]
    assert "256 of 256 test images" in table["what was compared"].iloc[0] and "not now" in table["what was compared"].iloc[1]
    assert any(run.id[:12] in str(code.value) and file_name(run) in str(code.value) for code in one.app.code)
    again = tab("export", opened=run.id[:12])
    assert downloads(again), "whoever comes later finds it"


def test_the_address_names_the_run(tab, run):
    other = store().get_run(
        measure_one(AccuracyRequest(ModelId("digits_mlp"), DataId("digits"), PruneSpec(sparsity=0.66), split="test"), store()).run
    )
    store().relabel(other.id, saved=True)
    one = tab("export", opened=run.id[:12])
    one.set("pick_opened", other.id[:12])
    assert one.address["opened"] == other.id[:12]
    picked = tab("export", runs=run.id[:12])
    assert picked.app.selectbox(key="pick_opened").value == run.id[:12], "a run that was picked to compare stands ready"
    unknown = tab("export", opened="0" * 12)
    assert unknown.app.selectbox(key="pick_opened").value != "0" * 12


def test_a_saved_run_stands_ready_before_one_that_was_only_timed_later(tab, run):
    store().relabel(run.id, saved=True)
    later = measure_one(AccuracyRequest(ModelId("digits_mlp"), DataId("digits"), PruneSpec(sparsity=0.55), split="test"), store()).run
    store().put_measurement(replace(store().measurements(later)[0], id="1" * 64, what="latency", observations=None))
    one = tab("export")
    ready = store().find(one.app.selectbox(key="pick_opened").value)
    assert ready.id != later and (ready.kind not in ("dense", "pruned") or store().label(ready.id).said)
    assert any(later[:12] in option for option in one.app.selectbox(key="pick_opened").options)


def test_a_run_that_is_gone_says_so(tab, run, quick):
    def gone(*_args, **_kwargs):
        raise exporting.ArchiveError("the weights of this run are gone: recover it again")

    quick.setattr("prunekit.ui.export.export.export_run", gone)
    one = tab("export", opened=run.id[:12])
    one.click("export_start").wait(lambda: one.app.error, 60)
    assert "recover it again" in words(one) and not downloads(one)


def test_an_archive_is_taken_in_and_its_figures_are_called_told(tab, run, tmp_path):
    payload = plain(store(), run.id, tmp_path)
    one = tab("export")
    one.app.get("file_uploader")[0].set_value([("it.zip", payload, "application/zip")]).run()
    one.check()
    one.click("import_start").wait(lambda: "measured elsewhere, not here" in words(one), 120)
    taken = max(store().runs(kind="imported"), key=lambda run: run.created)
    assert taken.info["told"]["run"] == run.id
    one.click("export_imported")
    assert one.address["opened"] == taken.id[:12]


def test_an_archive_that_was_changed_is_refused_in_plain_words(tab, run, tmp_path):
    payload = bytearray(plain(store(), run.id, tmp_path))
    payload[len(payload) // 2] ^= 255
    before = len(store().runs(kind="imported"))
    one = tab("export")
    one.app.get("file_uploader")[0].set_value([("it.zip", bytes(payload), "application/zip")]).run()
    one.click("import_start").wait(lambda: one.app.error, 120)
    assert "damaged" in words(one) or "was changed" in words(one)
    assert len(store().runs(kind="imported")) == before


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["uniform", "global"])
def test_a_run_of_transformers_is_offered_as_a_folder_or_told_why_not(tab, tmp_path, scope):
    transformers = pytest.importorskip("transformers")
    name = hf_folders.write(tmp_path / "dense", "llama")
    run = save(AccuracyRequest(ModelId(name), None, PruneSpec(mode="structured", sparsity=0.5, scope=scope, layers=UP)), store())
    one = tab("export", opened=run.id[:12])
    one.click("transformers_start").wait(lambda: downloads(one) or one.app.info, 60)
    if scope == "global":
        assert "cannot say what this model is" in one.app.info[0].value and not downloads(one)
        return
    assert "LlamaForCausalLM.from_pretrained" in one.app.success[0].value
    with zipfile.ZipFile(home() / "archives" / f"{run.id[:12]}-transformers.zip") as packed:
        packed.extractall(tmp_path / "out")
    (folder,) = (tmp_path / "out").iterdir()
    assert transformers.AutoModelForCausalLM.from_pretrained(folder).config.intermediate_size == 24
