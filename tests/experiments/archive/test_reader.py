"""An archive from a stranger: whatever is wrong with it, it is refused as a whole, and nothing in it is run."""

import io
import json
import pickle
import stat
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

import prunekit
from prunekit.errors import CheckpointError, ModelError, PrunekitError, SpecError
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.manifest import MOST_RATIO, ArchiveError
from prunekit.experiments.archive.reader import read_manifest, recipe_of
from tests.experiments.archive.made import STRUCTURED, files_of, forged, zipped


class Harm:
    def __reduce__(self):
        return (open, ("/tmp/prunekit-harm", "w"))


def refused(payload, store, words):
    """It is refused with these words, and nothing of it is kept."""
    with pytest.raises(ArchiveError, match=words):
        import_archive(payload, store)
    assert store.runs() == []
    assert not list(store.path.parent.glob("models/*"))


def test_a_whole_one_is_read_and_says_what_it_holds(payload, run, tmp_path):
    manifest = read_manifest(payload)
    assert manifest.run == run and manifest.architecture == "digits_mlp" and manifest.code == "architecture.py"
    assert set(manifest.files) | {"manifest.json"} == set(files_of(payload))
    assert recipe_of(payload).prune == STRUCTURED
    (tmp_path / "it.zip").write_bytes(payload)
    assert read_manifest(tmp_path / "it.zip") == manifest


@pytest.mark.parametrize("name", ["model.safetensors", "recipe.yaml", "result.json", "README.md", "load.py", "architecture.py"])
def test_a_changed_file_is_refused(payload, elsewhere, name):
    files = files_of(payload)
    content = bytearray(files[name])
    content[-2] ^= 1
    refused(zipped({**files, name: bytes(content)}), elsewhere, f"{name} is not the file that the archive's manifest.json describes")


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_changes_what_is_read(payload, place, bit):
    damaged = bytearray(payload)
    damaged[int(place * len(damaged))] ^= 1 << bit
    try:
        found = read_manifest(bytes(damaged))
    except ArchiveError:
        return
    assert found.files == read_manifest(payload).files  # a bit that says nothing, as one of a time


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_short_is_refused(payload, share):
    with pytest.raises(ArchiveError, match="cut short or damaged"):
        read_manifest(payload[: int(share * len(payload))])


@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused(junk):
    with pytest.raises(ArchiveError):
        read_manifest(junk)


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "..\\evil.py", "/etc/passwd", "a/../../b.py", "C:\\evil.py", "C:evil.py", "folder/load.py", "models/", "..", ".", "//x"],
)
def test_names_that_lead_out_are_refused(payload, elsewhere, name, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    refused(zipped({**files_of(payload), name: b"x = 1\n"}), elsewhere, "leads out of the archive")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_cut_by_a_null_byte_is_refused(payload, elsewhere):
    raw = zipped({**files_of(payload), "READYOU.md.py": b"x = 1\n"})
    refused(raw.replace(b"READYOU.md.py", b"READYOU.py\0pk"), elsewhere, "leads out of the archive")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(payload, elsewhere, kind):
    def change(entry):
        entry.create_system = 3
        entry.external_attr = (kind | 0o777) << 16 if entry.filename == "README.md" else 0
        return entry

    refused(zipped({**files_of(payload), "README.md": b"/etc/passwd"}, change), elsewhere, "no plain file")


@pytest.mark.parametrize("twice", ["load.py", "model.safetensors", "Load.py", "Architecture.py"])
def test_a_name_that_comes_twice_is_refused(payload, elsewhere, twice):
    refused(zipped([*files_of(payload).items(), (twice, b"x = 1\n")]), elsewhere, "twice")


@pytest.mark.parametrize("name", ["weights.pkl", "model.pt", "model.bin", "data.PICKLE", "x.joblib", "a.npy"])
def test_a_pickle_by_its_name_is_refused(payload, elsewhere, name):
    refused(zipped({**files_of(payload), name: pickle.dumps(Harm())}), elsewhere, "can run code")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", ["model.safetensors", "recipe.yaml", "result.json", "README.md", "model.onnx", "model.pt2"])
def test_a_pickle_by_its_bytes_is_refused_or_inert(payload, elsewhere, name, protocol):
    files = forged({**files_of(payload), name: pickle.dumps(Harm(), protocol=protocol)})
    if protocol == 0 and name == "README.md":  # text like any other, and nobody opens it
        assert import_archive(zipped(files), elsewhere).kind == "imported"
        return
    with pytest.raises((ArchiveError, SpecError), match=name.replace(".", r"\.") + "|recipe"):
        import_archive(zipped(files), elsewhere)
    assert elsewhere.runs() == []


def torch_file(content):
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt2", "result.json"])
def test_a_file_of_torch_save_under_another_name_is_refused(payload, elsewhere, name):
    files = forged({**files_of(payload), name: torch_file({"a": 1})})
    refused(zipped(files), elsewhere, "which can run code")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(payload, elsewhere):
    bomb = b"\0" * (MOST_RATIO * 4 << 16)
    files = forged({**files_of(payload), "model.onnx": bomb})
    refused(zipped(files), elsewhere, "as a zip bomb does")


def sizes_changed(payload, name, size):
    """Return a zip file whose directory lies about the size of a file."""
    raw = bytearray(payload)
    place = raw.rindex(b"PK\x01\x02", 0, raw.rindex(name.encode()))
    raw[place + 24 : place + 28] = struct.pack("<I", size)
    return bytes(raw)


@pytest.mark.parametrize("size", [1, 100, 4_000_000_000])
def test_a_directory_that_lies_about_sizes_is_refused(payload, elsewhere, size):
    refused(sizes_changed(payload, "model.safetensors", size), elsewhere, "model.safetensors|cut short or damaged")


def test_entries_that_share_their_bytes_are_refused(payload, elsewhere):
    """One large block that several entries of the directory point to."""
    raw = zipped(
        forged({**files_of(payload), "model.onnx": b"\x08" + bytes(range(256)) * 4000, "model.pt2": b"PK"}), kind=zipfile.ZIP_STORED
    )
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        large, other = archive.getinfo("model.onnx"), archive.getinfo("model.pt2")
    changed = bytearray(raw)
    place = changed.rindex(b"PK\x01\x02", 0, changed.rindex(b"model.pt2"))
    changed[place + 16 : place + 28] = struct.pack("<III", large.CRC, large.compress_size, large.file_size)
    assert other.header_offset != large.header_offset
    refused(bytes(changed), elsewhere, "overlap")


def test_too_many_files_too_large_ones_and_unknown_ones_are_refused(payload, elsewhere):
    files = files_of(payload)
    refused(zipped([(f"file{i}.py", b"") for i in range(20)]), elsewhere, "more than")
    refused(zipped({**files, "README.md": bytes(range(32, 127)) * 60_000}), elsewhere, "at most")
    refused(zipped({**files, "notes.txt": b"hello"}), elsewhere, "no file of an archive")
    refused(zipped({**files, "setup.py": b"x = 1\n"}), elsewhere, "more than one Python file")


def test_encrypted_and_oddly_packed_entries_are_refused(payload, elsewhere):
    refused(zipped(files_of(payload), kind=zipfile.ZIP_LZMA), elsewhere, "does not use")
    raw = bytearray(payload)
    place = raw.index(b"PK\x01\x02")
    raw[place + 8] |= 1
    refused(bytes(raw), elsewhere, "encrypted")


@pytest.mark.parametrize("name", ["manifest.json", "recipe.yaml", "result.json", "model.safetensors"])
def test_what_is_missing_is_named(payload, elsewhere, name):
    files = {key: value for key, value in files_of(payload).items() if key != name}
    refused(zipped(files), elsewhere, f"no .*{name}")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"prunekit_archive": 2}, "version"),
        ({"run": "../../x"}, "name its run"),
        ({"weights": "zz"}, "hashes"),
        ({"title": 7}, "texts"),
        ({"code": "../x.py"}, "code"),
        ({"code": "other.py"}, "no other.py"),
        ({"input_shape": [1, -8, 8]}, "shape"),
        ({"input_shape": "188"}, "shape"),
        ({"input_shape": [2**40]}, "shape"),
        ({"extra": 1}, "keys"),
        ({"architecture": "/etc/passwd"}, "different architectures"),
    ],
)
def test_a_manifest_that_lies_is_refused(payload, elsewhere, told, words):
    refused(zipped(forged(files_of(payload), **told)), elsewhere, words)


@pytest.mark.parametrize("text", [b"[]", b"{}", b"{", b"\xff\xfe", b"[" * 100_000, b'{"prunekit_archive": 1}'])
def test_a_manifest_that_is_none_is_refused(payload, elsewhere, text):
    refused(zipped({**files_of(payload), "manifest.json": text}), elsewhere, "manifest|damaged|keys")


def test_a_manifest_that_lists_more_or_less_is_refused(payload, elsewhere):
    files = files_of(payload)
    manifest = json.loads(files["manifest.json"])
    manifest["files"].pop("README.md")
    refused(zipped({**files, "manifest.json": json.dumps(manifest).encode()}), elsewhere, "does not hold what")
    refused(zipped({name: content for name, content in files.items() if name != "README.md"}), elsewhere, "does not hold what")


def weights_changed(files, change, drop=()):
    """Return files whose weights tell something else of themselves."""
    raw = files["model.safetensors"]
    length = int.from_bytes(raw[:8], "little")
    told = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["prunekit"])
    change(told)
    state = {name: tensor for name, tensor in load(raw).items() if name not in drop}
    return forged({**files, "model.safetensors": save(state, metadata={"prunekit": json.dumps(told)})})


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["widths"]["fc1"].update(out_features=2**23, in_features=2**23),
        lambda told: told["widths"]["fc1"].update(out_features=0),
        lambda told: told["widths"]["fc1"].update(__class__=7),
        lambda told: told["widths"].update({"fc9": {"out_features": 3}}),
        lambda told: told.update(version=9),
    ],
)
def test_weights_that_lie_about_their_widths_are_refused(payload, elsewhere, change):
    with pytest.raises((ArchiveError, CheckpointError, ModelError)):
        import_archive(zipped(weights_changed(files_of(payload), change)), elsewhere)
    assert elsewhere.runs() == [] and not list(elsewhere.path.parent.glob("models/*"))


def test_another_architecture_in_the_weights_than_in_the_manifest_is_refused(payload, elsewhere):
    refused(
        zipped(weights_changed(files_of(payload), lambda told: told.update(architecture="digits_cnn"))),
        elsewhere,
        "different architectures",
    )


@pytest.mark.parametrize("name", ["/usr/lib/python3/antigravity.py:main", "os.py:abort", "/tmp", "torchvision/../x", "timm/x"])
def test_an_architecture_that_is_no_model_here_is_refused_and_not_run(payload, elsewhere, name):
    files = weights_changed(files_of(payload), lambda told: told.update(architecture=name))
    refused(zipped(forged(files, architecture=name)), elsewhere, "never run|no model of prunekit")


def test_missing_tensors_and_nan_are_refused(payload, elsewhere):
    with pytest.raises(CheckpointError, match="missing"):
        import_archive(zipped(weights_changed(files_of(payload), lambda told: None, drop=("fc1.bias",))), elsewhere)
    raw = files_of(payload)["model.safetensors"]
    state = load(raw)
    state["fc1.bias"][0] = float("nan")
    length = int.from_bytes(raw[:8], "little")
    told = json.loads(raw[8 : 8 + length])["__metadata__"]
    with pytest.raises(CheckpointError, match="NaN"):
        import_archive(zipped(forged({**files_of(payload), "model.safetensors": save(state, metadata=told)})), elsewhere)
    assert elsewhere.runs() == []


@pytest.mark.parametrize(
    "recipe",
    [
        b"version: 1\nprune: !!python/object/apply:os.system ['true']\n",
        b"a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nversion: 1\nprune: {}\nmodel: {name: *b}\n",
        b"version: 1\nprune: {}\nrun: rm\n",
        b"version: 1\nprune: {}\nmodel: {name: [1, 2]}\n",
        b"version: 1\nprune: {mode: none}\n",
        b"{" * 1500,
        b": : :",
    ],
)
def test_a_recipe_that_is_none_is_refused_and_runs_nothing(payload, elsewhere, recipe):
    with pytest.raises(PrunekitError):
        import_archive(zipped(forged({**files_of(payload), "recipe.yaml": recipe})), elsewhere)
    assert elsewhere.runs() == []


@pytest.mark.parametrize("result", [b"[]", b"[" * 100_000, b"nope", b'"text"'])
def test_a_result_that_is_none_is_refused(payload, elsewhere, result):
    refused(zipped(forged({**files_of(payload), "result.json": result})), elsewhere, "result.json")


def test_figures_that_are_no_figures_are_left_out(payload, elsewhere):
    rows = [{"what": "accuracy", "value": {"value": "1e999", "low": [], "high": None, "n": True}, "split": {"a": 1}}, 7, None]
    info = {"params": "many", "macs": float("nan"), "sizes": [1]}
    result = json.dumps({"run": {"info": info}, "measurements": rows * 100}).encode()
    run = import_archive(zipped(forged({**files_of(payload), "result.json": result})), elsewhere)
    told = run.info["told"]
    assert told["counts"] == {} == told["sizes"]
    assert {tuple(sorted(row)) for row in told["measurements"]} == {("what",)} and len(told["measurements"]) <= 64


def test_code_in_an_archive_is_not_run(payload, elsewhere, tmp_path):
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w')\n".encode()
    run = import_archive(zipped(forged({**files_of(payload), "load.py": code, "architecture.py": code})), elsewhere)
    prunekit.load_model(elsewhere.path.parent / "models" / run.id)
    assert not mark.exists()
