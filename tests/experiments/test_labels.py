"""What people say of runs is kept beside them; a store of the first version gains it and loses nothing."""

import sqlite3
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.config.ids import ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import StoreError
from prunekit.evaluation.quality import accuracy_of
from prunekit.experiments.database import MIGRATIONS
from prunekit.experiments.new_run import pruned_run
from prunekit.experiments.records import LONGEST_NAME, LONGEST_NOTE, LONGEST_TAG, Label, Measurement, Run, insert, values_of
from prunekit.experiments.run_list import in_passing, listed
from prunekit.experiments.store import RunStore

DENSE = Run("a" * 64, "dense", "a model", {"name": "m"}, "w", info={"params": 7})
PRUNED = Run("b" * 64, "pruned", "half of it", {"name": "m"}, "w", {"sparsity": 0.5}, None, "t", DENSE.id, info={"achieved": 0.25})


def seen(run, correct, split="test"):
    return Measurement.of(run, accuracy_of(np.array(correct)), {"name": "digits"}, "h", split)


@pytest.fixture
def store(tmp_path):
    made = RunStore(tmp_path / "runs.sqlite")
    made.put_run(DENSE)
    made.put_run(PRUNED)
    yield made
    made.close()


WAS = {"n": "images", "observations": "correct"}


def enter(connection, table, record):
    """Write a record as an earlier version did, which had not all of today's columns, and called some otherwise."""
    there = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
    values = {WAS.get(name, name): value for name, value in values_of(record).items()}
    insert(connection, table, {name: value for name, value in values.items() if name in there}, "")


@pytest.mark.parametrize("version", [1, 4])
def test_a_store_of_an_earlier_version_keeps_all_that_it_held(tmp_path, version):
    path = tmp_path / "runs.sqlite"
    old = RunStore(path, MIGRATIONS[:version])
    old.put_sweep("s", {"a": 1}, "w")
    with old.database.write() as connection:
        for place, (run, right) in enumerate([(DENSE, [True, False]), (PRUNED, [False, True])]):
            enter(connection, "runs", run)
            enter(connection, "measurements", seen(run.id, right))
            connection.execute("INSERT INTO points VALUES ('s', ?, ?, ?, ?)", (place, 0.5 * place, run.id, seen(run.id, right).id))
    old.close()
    tables = ("runs", "measurements", "sweeps", "points", "jobs")

    def content():
        with sqlite3.connect(path) as file:
            file.row_factory = sqlite3.Row
            found = {table: [dict(row) for row in file.execute(f"SELECT * FROM {table}")] for table in tables}
        kept = {"identity", "metric"}.isdisjoint
        return {table: [{WAS.get(k, k): row[k] for k in row if kept([k])} for row in rows] for table, rows in found.items()}

    before = content()
    new = RunStore(path)
    assert new.database.read("PRAGMA user_version")[0][0] == len(MIGRATIONS) > 1
    assert new.labels() == {} and new.label(PRUNED.id).said is False
    new.relabel(PRUNED.id, saved=True, tags=("good",), note="keep it")
    points = new.points("s")
    assert [replace(point.run, identity=DENSE.identity) for point in points] == [DENSE, PRUNED]
    assert points[1].measurement.evaluation == seen(PRUNED.id, [False, True]).evaluation
    assert points[1].measurement.metric == seen(PRUNED.id, [False, True]).metric
    earlier = version == 1
    assert all(point.run.earlier is point.measurement.earlier is earlier for point in points), "nobody knows what m was"
    assert (new.quality(PRUNED.id, "h", "test", 2) is None) is earlier, "so it is measured again when asked"
    new.close()
    assert content() == before and len(before["points"]) == 2
    with pytest.raises(StoreError, match="newer prunekit"):
        RunStore(path, MIGRATIONS[:1])


def labels_of(path):
    """Be one of two processes that open a store."""
    store = RunStore(path)
    found = store.labels()
    store.close()
    return found


def test_two_processes_that_open_an_old_store_at_once_both_find_it_renewed(tmp_path, forker):
    path = tmp_path / "runs.sqlite"
    RunStore(path, MIGRATIONS[:1]).close()
    assert forker.at_once("tests.experiments.test_labels:labels_of", [(str(path),)] * 2) == [{}, {}]


@given(st.booleans(), st.lists(st.text(max_size=20), max_size=5), st.text(max_size=50))
def test_a_label_comes_back_as_it_was_put(tmp_path_factory, saved, tags, note):
    store = RunStore(tmp_path_factory.mktemp("labels") / "runs.sqlite")
    store.put_run(DENSE)
    label = store.relabel(DENSE.id, saved=saved, tags=tuple(tags), note=note)
    assert label.saved == saved and label.note.split() == note.split()
    assert store.label(DENSE.id) == label == store.labels()[DENSE.id]
    assert all(tag == " ".join(tag.split()) != "" for tag in label.tags) and len(set(label.tags)) == len(label.tags)
    store.close()


def test_what_is_too_long_is_refused():
    with pytest.raises(StoreError, match="a tag has at most"):
        Label("a", tags=("x" * (LONGEST_TAG + 1),))
    with pytest.raises(StoreError, match="a note has at most"):
        Label("a", note="x" * (LONGEST_NOTE + 1))
    with pytest.raises(StoreError, match="several words"):
        Label("a", tags="word")


def test_changing_one_thing_leaves_what_others_said(store):
    store.relabel(PRUNED.id, note="mine")
    assert store.relabel(PRUNED.id, saved=True, tags=("small",)) == store.label(PRUNED.id)
    found = store.label(PRUNED.id)
    assert (found.saved, found.tags, found.note) == (True, ("small",), "mine")
    with pytest.raises(StoreError, match="store the run before"):
        store.relabel("c" * 64, saved=True)


def test_many_threads_of_two_stores_that_say_something_at_once_all_land(store):
    other = RunStore(store.path)
    faults = []

    def say(where, number):
        try:
            run = replace(DENSE, id=f"{number:064x}")
            where.put_run(run)
            where.relabel(run.id, saved=True, note=str(number))
        except StoreError as error:
            faults.append(error)

    threads = [threading.Thread(target=say, args=((store, other)[n % 2], n)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert {int(run, 16): label.note for run, label in store.labels().items()} == {n: str(n) for n in range(24)}
    other.close()


def test_a_label_goes_with_its_run(store):
    store.relabel(PRUNED.id, saved=True)
    store.forget(PRUNED.id)
    assert store.labels() == {}


# --- finding ---


def test_a_run_is_found_by_its_id_or_the_beginning_of_it(store):
    for text in (PRUNED.id, "bbbbbb", " BBBBBBBB… ", PRUNED.id[:12]):
        assert store.find(text) == PRUNED
    near = replace(DENSE, id="aaaaaaaa" + "b" * 56, title="another")
    store.put_run(near)
    with pytest.raises(StoreError, match=r"several runs begin with aaaaaa: .*a model.*Give more digits") as error:
        store.find("aaaaaa")
    assert DENSE.id[:12] in str(error.value) and "another" in str(error.value)
    assert store.find("aaaaaaaab") == near
    for text in ("aaaa", "", "zzzzzzzz", "a%", "aaaaa_"):
        with pytest.raises(StoreError, match="is no run: give its name, its id"):
            store.find(text)
    with pytest.raises(StoreError, match="there is no run cccccc; the latest are"):
        store.find("cccccc")


@given(st.sets(st.text("0123456789abcdef", min_size=64, max_size=64), min_size=1, max_size=8), st.integers(6, 63))
def test_a_beginning_leads_to_the_one_run_that_has_it(tmp_path_factory, names, digits):
    store = RunStore(tmp_path_factory.mktemp("find") / "runs.sqlite")
    for name in names:
        store.put_run(replace(DENSE, id=name))
    for name in names:
        if sum(other.startswith(name[:digits]) for other in names) == 1:
            assert store.find(name[:digits]).id == name
        else:
            with pytest.raises(StoreError, match="several"):
                store.find(name[:digits])
    store.close()


# --- all at once ---


def test_all_measurements_are_those_of_each_run(store):
    store.put_measurement(seen(DENSE.id, [True]))
    store.put_measurement(seen(PRUNED.id, [True, True], "validation"))
    store.put_measurement(replace(seen(PRUNED.id, [False]), what="latency", id="x", observations=None))
    assert store.all_measurements() == {run: store.measurements(run) for run in (DENSE.id, PRUNED.id)}
    assert [m.what for m in store.all_measurements("latency")[PRUNED.id]] == ["latency"]
    assert set(store.all_measurements("accuracy")) == {DENSE.id, PRUNED.id}


def test_points_that_nobody_asked_to_keep_are_left_out_of_the_list(store):
    def shown(**how):
        return {each.run.id for each in listed(store, **how)}

    assert in_passing(store) == {PRUNED.id}
    assert shown() == {DENSE.id} and shown(every=True) == {DENSE.id, PRUNED.id}
    child = replace(PRUNED, id="c" * 64, kind="recovered", parent=PRUNED.id)
    store.put_run(child)
    assert in_passing(store) == {child.id}, "something was made from the other"
    store.put_run(replace(child, info={"file": "x"}))
    assert shown() == shown(every=True), "its weights were kept"
    store.forget(child.id)
    for change in ({"saved": True}, {"tags": ("a",)}, {"note": "b"}):
        store.relabel(PRUNED.id, **{"saved": False, "tags": (), "note": ""} | change)
        assert PRUNED.id in shown()
    assert shown(tag="a") == set() and shown(kind="pruned") == {PRUNED.id}
    store.relabel(PRUNED.id, saved=False, tags=(), note="")
    store.put_measurement(replace(seen(PRUNED.id, [False]), what="latency", id="x", observations=None))
    assert PRUNED.id in shown()


def test_a_list_names_the_accuracy_on_most_test_images(store):
    for correct, split in (([True] * 9, "validation"), ([True, False], "test"), ([True, False, False], "test")):
        store.put_measurement(seen(DENSE.id, correct, split))
    (found,) = listed(store)
    assert (found.accuracy.split, found.accuracy.n) == ("test", 3)
    assert found.to_dict()["accuracy"]["value"] == pytest.approx(1 / 3)


def test_a_name_is_one_line_and_finds_its_run_where_it_is_the_only_one(store):
    store.relabel(PRUNED.id, name="  small \n one ")
    assert store.label(PRUNED.id).name == "small one" and store.label(PRUNED.id).said
    assert store.find("small  one") == PRUNED == store.find(PRUNED.id[:8])
    store.relabel(PRUNED.id, note="a word")
    assert store.label(PRUNED.id).name == "small one"
    store.relabel(DENSE.id, name="small one")
    with pytest.raises(StoreError, match="several runs are called"):
        store.find("small one")
    with pytest.raises(StoreError, match=f"at most {LONGEST_NAME} characters"):
        store.relabel(DENSE.id, name="x" * (LONGEST_NAME + 1))


@pytest.mark.parametrize(
    ("spec", "title"),
    [
        (PruneSpec(sparsity=0.758225, layers=("a", "b"), overrides=(("a", 0.7), ("b", 0.8))), "l1, own shares of 2 layers, 75.8 % in all"),
        (PruneSpec(sparsity=0.5, overrides=(("a", 0.7),)), "l1, own shares of 1 layer, 50.0 % in all"),
        (PruneSpec(sparsity=0.5, scope="uniform"), "l1, uniform, 50 %"),
    ],
)
def test_a_run_with_shares_of_single_layers_tells_no_scope_nor_does_one_of_an_earlier_version(tmp_path, spec, title):
    made = pruned_run(ModelId("m"), "w", spec, Recovery(), "")
    assert made.title == f"m, unstructured, {title}"
    was = replace(made, title=f"m, unstructured, l1, {spec.scope}, {100 * spec.sparsity:.4g} %")
    old = RunStore(tmp_path / "runs.sqlite", MIGRATIONS[:3])
    with old.database.write() as connection:
        enter(connection, "runs", replace(was, parent=None))
    old.close()
    told = RunStore(tmp_path / "runs.sqlite").find(made.id).title
    assert (spec.scope in told) == (not spec.overrides) and title.partition(", ")[2].split(", ")[0] in told
