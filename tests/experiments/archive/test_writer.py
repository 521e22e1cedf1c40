"""The zip file: whole or not at all, the same bytes for the same files, and nothing that a reader takes for a bomb."""

import resource
import threading
import zipfile

import numpy as np
import pytest

from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.experiments.archive import exporting
from prunekit.experiments.archive.assembling import draft, is_archive, pack
from prunekit.experiments.archive.exporting import export_run
from prunekit.experiments.archive.manifest import LOADER, MOST_RATIO, ArchiveError
from prunekit.experiments.archive.reader import SMALL, read_manifest
from prunekit.experiments.archive.readme import _needed
from tests.experiments.archive.made import files_of, plain


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    (made / "manifest.json").write_text("{}")
    (made / "model.onnx").write_bytes(np.random.default_rng(0).bytes(400_000))
    (made / "zeros.py").write_bytes(b"#" * (SMALL * 20))
    return made


@pytest.fixture
def target(tmp_path):
    """A place for an archive, an older one in it."""
    path = tmp_path / "out" / "it.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", "the older one")
    return path


def untouched(target):
    with zipfile.ZipFile(target) as archive:
        assert archive.read("manifest.json") == b"the older one"
    assert [path.name for path in target.parent.iterdir()] == ["it.zip"]


def test_the_same_files_give_the_same_bytes_and_come_out_as_they_went_in(folder, tmp_path):
    pack(folder, tmp_path / "a.zip")
    (folder / "model.onnx").touch()
    pack(folder, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert files_of((tmp_path / "a.zip").read_bytes()) == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_run_gives_the_same_bytes_but_for_what_torch_exports(kept, run, home, payload, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(home))
    for turn in range(3):
        (tmp_path / str(turn)).mkdir()
        assert plain(kept, run, tmp_path / str(turn)) == payload


def test_what_packs_too_well_is_stored_as_it_is(folder, tmp_path):
    pack(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        ratios = [entry.file_size / entry.compress_size for entry in archive.infolist()]
    assert max(ratios) < MOST_RATIO


def test_a_disk_that_fills_up_in_the_middle_leaves_no_half_and_keeps_the_older_one(folder, target):
    """The system refuses to let the file grow, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ArchiveError, match=r"Nothing half-written is left"), draft(target) as part:
            pack(folder, part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    untouched(target)


@pytest.mark.parametrize("failing", ["os.fsync", "ZipFile.open"])
def test_no_space_left_is_said_in_plain_words(folder, target, monkeypatch, failing):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"prunekit.experiments.archive.assembling.{failing}", full)
    with pytest.raises(ArchiveError, match="No space left on device"), draft(target) as part:
        pack(folder, part)
    monkeypatch.undo()
    untouched(target)


def test_cancelling_leaves_no_half(folder, target):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled), draft(target) as part:
        pack(folder, part, Progress(cancel=cancel))
    untouched(target)


def test_an_older_archive_is_replaced_and_anything_else_is_left_alone(folder, target, tmp_path):
    with draft(target) as part:
        pack(folder, part)
        untouched_yet = zipfile.ZipFile(target).read("manifest.json")
    assert untouched_yet == b"the older one" and files_of(target.read_bytes())["manifest.json"] == b"{}"
    mine = tmp_path / "thesis.docx"
    with zipfile.ZipFile(mine, "w") as archive:
        archive.writestr("word/document.xml", "years of work")
    for other in (mine, folder):
        with pytest.raises(ArchiveError, match="prunekit did not write it"), draft(other):
            pytest.fail("it was begun")
    assert not is_archive(mine)
    with pytest.raises(ArchiveError, match="cannot write"), draft(mine / "below.zip"):
        pytest.fail("it was begun")


@pytest.fixture
def quick(monkeypatch):
    """No exporter, and no process."""
    monkeypatch.setattr(exporting, "make_forms", lambda *_: {name: {"error": "not now", "batch": 0} for name in exporting.FORMS})
    return monkeypatch


def test_a_full_disk_in_the_middle_of_an_export_keeps_the_older_archive(kept, run, home, target, quick):
    quick.setenv("PRUNEKIT_HOME", str(home))

    def half(folder, part, cancel):
        part.write_bytes(b"PK\x03\x04half of it")
        raise OSError(28, "No space left on device")

    quick.setattr(exporting, "pack", half)
    with pytest.raises(ArchiveError, match="No space left on device"):
        export_run(run, target, kept)
    untouched(target)


@pytest.mark.parametrize("when", ["opening the run", "predicting", "packing", "opening load.py without prunekit"])
def test_an_export_that_is_cancelled_anywhere_leaves_nothing(kept, run, home, target, quick, when):
    quick.setenv("PRUNEKIT_HOME", str(home))
    cancel = threading.Event()

    def watch(_, text):
        if text == when:
            cancel.set()

    with pytest.raises(Cancelled):
        export_run(run, target, kept, progress=Progress(watch, cancel))
    assert cancel.is_set()
    untouched(target)


def test_what_cannot_be_made_is_named_and_the_rest_is_offered(kept, run, home, tmp_path, quick):
    quick.setenv("PRUNEKIT_HOME", str(home))
    found = export_run(run[:12], tmp_path / "it.zip", kept)
    assert {form.file: form.agrees for form in found.formats} == {"model.safetensors": True, "model.onnx": False, "model.pt2": False}
    assert all("not now" in form.sentence for form in found.formats if not form.agrees)
    files = files_of(found.path.read_bytes())
    assert not {"model.onnx", "model.pt2"} & set(files) and "model.onnx: left out: not now" in files["README.md"].decode()
    assert set(read_manifest(found.path).files) == set(files) - {"manifest.json"}


@pytest.mark.slow
def test_a_readme_speaks_of_no_program_that_is_left_out(kept, run, home, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(home))
    whole = exporting.assemble

    def other_code(*args):
        made = whole(*args)
        text = (made.folder / LOADER).read_text()
        (made.folder / LOADER).write_text(text.replace("return model(images)", "return model(images) * 1.01"))
        return made

    monkeypatch.setattr(exporting, "assemble", other_code)
    found = export_run(run[:12], tmp_path / "it.zip", kept)
    files = files_of(found.path.read_bytes())
    text = files["README.md"].decode()
    assert LOADER not in files and "model.onnx" in files
    said = text.partition("## Notes")[0]
    assert LOADER not in said and "prunekit check ARCHIVE.zip\n" in said


def test_where_no_form_agrees_there_is_no_archive(kept, run, home, target, quick):
    quick.setenv("PRUNEKIT_HOME", str(home))
    quick.setattr("prunekit.experiments.archive.assembling.program", lambda *_: "def load_model():\n    raise ValueError('no')\n")
    with pytest.raises(ArchiveError, match=r"no form of this model gives its predictions.*ValueError: no"):
        export_run(run, target, kept)
    untouched(target)


def test_a_form_that_gives_other_scores_is_left_out(kept, run, home, target, quick):
    """`load.py` is wrong by one part in a hundred, and notices it on the samples that it holds."""
    quick.setenv("PRUNEKIT_HOME", str(home))
    whole = exporting.assemble

    def wrong(*args):
        made = whole(*args)
        text = (made.folder / LOADER).read_text()
        (made.folder / LOADER).write_text(text.replace("return model(images)", "return model(images) * 1.01"))
        return made

    quick.setattr(exporting, "assemble", wrong)
    with pytest.raises(ArchiveError, match=r"its outputs differ by 0.01 of the largest"):
        export_run(run, target, kept)
    untouched(target)


def test_unknown_runs_are_refused_before_anything_is_written(kept, home, target, quick):
    quick.setenv("PRUNEKIT_HOME", str(home))
    with pytest.raises(Exception, match="there is no run"):
        export_run("abcdef123456", target, kept)
    untouched(target)


def test_the_command_that_measures_again_names_code_of_ones_own():
    told = {"run": {"model": {"name": "/home/me/finder.py:finder"}}}
    assert _needed(told, {"name": "coco:shapes"}) == " --model path/to/finder.py:finder"
    assert _needed({"run": {"model": {"name": "digits_mlp"}}}, {"name": "digits"}) == ""
