"""A run leaves as an archive and comes back as a run, in a real browser."""

import re
import subprocess
import sys
import zipfile

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.archive.reader import read_manifest
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.save_run import save
from prunekit.experiments.store import RunStore

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def kept_run(home, sparsity):
    home.mkdir(exist_ok=True)
    store = RunStore(home / "runs.sqlite")
    spec = PruneSpec(mode="structured", sparsity=sparsity)
    run = save(AccuracyRequest(ModelId("digits_cnn"), DataId("digits"), spec, split="test"), store).id
    store.close()
    return run


def test_a_run_is_exported_downloaded_opened_elsewhere_and_taken_in_again(visitor, tmp_path):
    tab, home = visitor
    run = kept_run(home, 0.5)
    tab.go(f"export?opened={run[:12]}")
    assert tab.title() == "How do I take it away?"
    tab.page.get_by_role("button", name="Make the archive").click()
    tab.page.get_by_text("every form gives the predictions of the run").first.wait_for(timeout=400_000)
    assert tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    with tab.page.expect_download() as coming:
        tab.page.get_by_role("button", name=re.compile("Download")).click()
    file = tmp_path / coming.value.suggested_filename
    coming.value.save_as(file)
    assert file.name.startswith("digits_cnn-structured-l1")
    assert read_manifest(file).run == run
    zipfile.ZipFile(file).extractall(tmp_path / "there")
    done = subprocess.run(
        [sys.executable, "-I", "load.py"], cwd=tmp_path / "there", capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == "first prediction: (1, 10)"
    tab.page.locator('input[type="file"]').set_input_files(str(file))
    tab.page.get_by_role("button", name="Take it in").click()
    tab.page.get_by_text("measured elsewhere, not here").first.wait_for(timeout=180_000)
    tab.idle()
    store = RunStore(home / "runs.sqlite")
    (taken,) = store.runs(kind="imported")
    store.close()
    assert taken.info["told"]["run"] == run
    tab.page.get_by_role("button", name="Export it").click()
    tab.address(f"opened={taken.id[:12]}")


def test_a_cancelled_export_leaves_nothing(visitor):
    tab, home = visitor
    run, before = kept_run(home, 0.6), set(home.glob("archives/*"))
    tab.go(f"export?opened={run[:12]}")
    tab.page.get_by_role("button", name="Make the archive").click()
    tab.page.get_by_text(re.compile("torch's exporter|writing model|opening .* without prunekit")).first.wait_for()  # each may pass unseen
    tab.page.get_by_role("button", name="Cancel", exact=True).first.click()
    tab.page.get_by_text("Cancelled: Archive of").first.wait_for(timeout=120_000)
    assert set(home.glob("archives/*")) == before
