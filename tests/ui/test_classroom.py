"""A class: no uploads, no deletion, each browser sees its own runs, the teacher starts afresh, and everybody gets a turn."""

import asyncio
import re
from dataclasses import fields

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError, StoreError
from prunekit.experiments import jobs
from prunekit.experiments.classroom import KEY, VARIABLE, clear, mark
from prunekit.experiments.jobs import board
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one
from prunekit.lessons.presets import PRESETS
from prunekit.ui.classroom import limits, rules
from prunekit.ui.classroom.seats import Room, Seat, View
from prunekit.ui.components import run_labels, sidebar
from prunekit.ui.state.page_settings import Curve
from prunekit.ui.state.settings import PLAIN, Settings
from prunekit.ui.state.uploads import uploads

ADDRESS, SECRET = "http://192.0.2.7:8501", "0123456789abcdef"


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A server for a class, with a folder, a board and seats of its own."""
    folder = tmp_path / "class"
    mark(folder)
    for name, value in ((VARIABLE, ADDRESS), (KEY, SECRET), ("PRUNEKIT_HOME", str(folder))):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jobs, "_BOARDS", [])
    monkeypatch.setattr(rules, "_ROOM", Room())
    uploads.clear()
    yield folder
    board().close()
    uploads.clear()


def save(one, sparsity):
    one.go("prune").set("pick_sparsity", float(sparsity))
    return one.click("save_run").wait(lambda: one.app.button(key="save_run").label == "Saved as a run")


def keys(one):
    return {str(part.key) for part in (*one.app.button, *one.app.toggle, *one.app.selectbox)}


def listed(one):
    """The ids in the table of the Compare page."""
    one.go("compare")
    return set(one.app.dataframe[0].value["id"]) if one.app.dataframe else set()


def stored():
    return {run.id[:12]: run for run in board().store.runs() if run.kind != "dense"}


def of(sparsity):
    return next(name for name, run in stored().items() if run.spec["sparsity"] == sparsity)


# --- uploads and deletion ---


def test_uploads_are_off(tab, home, monkeypatch):
    start, export = tab(shelf="own"), tab("export")
    assert not start.app.get("file_uploader") and not export.app.get("file_uploader")
    assert "Uploads are off" in start.text and "Uploads are off" in export.text
    monkeypatch.delenv(VARIABLE)
    assert tab(shelf="own").app.get("file_uploader") and tab("export").app.get("file_uploader"), "elsewhere they are on"


def test_deletion_is_off_on_the_page_and_behind_it(tab, home):
    one = save(tab(model="digits_mlp"), 60)
    name = of(0.6)
    two = tab("compare", **{**one.address, "runs": name})
    assert "untick_all" in keys(two) and "delete_runs" not in keys(two)
    assert run_labels.delete([stored()[name]], board().store) == ["Deletion is off in a class."] and name in stored()


# --- whose runs ---


def test_two_browsers_do_not_see_each_others_runs(tab, home):
    one, two = tab(model="digits_mlp"), tab(model="digits_mlp")
    save(one, 60)
    save(two, 70)
    mine, yours = of(0.6), of(0.7)
    assert mine in listed(one) and yours not in listed(one)
    assert yours in listed(two) and mine not in listed(two)
    assert not listed(tab())
    for page, key in (("export", "pick_opened"), ("compare", None)):
        one.go(page)
        if key:
            offered = " ".join(one.app.selectbox(key=key).options)
            assert mine in offered and yours not in offered


def test_what_another_browser_made_comes_at_once_when_asked_and_is_ones_own_then(tab, home):
    one, two = tab(model="digits_mlp"), tab(model="digits_mlp")
    save(one, 60)
    two.go("prune").set("pick_sparsity", 60.0)
    assert two.app.button(key="save_run").label == "Save as run", "nobody saved it here"
    save(two, 60)
    assert list(stored()) == [of(0.6)], "it is one run, measured once"
    assert of(0.6) in listed(one) and of(0.6) in listed(two)


def test_a_measurement_shows_only_where_it_was_asked_for(tab, home):
    one, two = (tab("prune", model="digits_mlp", sparsity=55) for _ in "ab")
    one.click("measure").wait(lambda: one.app.button(key="measure").label == "Accuracy measured")
    two.app.run()
    assert two.app.button(key="measure").label == "Measure accuracy"
    two.click("measure").app.run()
    assert two.app.button(key="measure").label == "Accuracy measured", "the result was there"


def test_tags_and_notes_stay_with_the_browser_that_wrote_them(home):
    spec = PruneSpec(sparsity=0.6)
    request = AccuracyRequest(ModelId("digits_mlp"), DataId("digits", limit=100), spec, split="test")
    measure_one(request, board().store)
    run, room = next(run.id for run in board().store.runs(kind="pruned")), Room()
    one, two = View(board().store, room, room.seat("a")), View(board().store, room, room.seat("b"))
    one.relabel(run, tags=("mine",), note="look here", saved=True)
    assert one.label(run).note == "look here" and run in one.labels()
    assert not two.label(run).said and not two.labels() and not board().store.labels()


def test_an_address_opens_the_run_that_it_names_and_no_message_names_others(home):
    spec = PruneSpec(sparsity=0.6)
    measure_one(AccuracyRequest(ModelId("digits_mlp"), DataId("digits", limit=100), spec, split="test"), board().store)
    run, room = board().store.runs(kind="pruned")[0], Room()
    assert View(board().store, room, Seat()).runs() == []
    shown = View(board().store, room, Seat(), (run.id[:12],))
    assert {one.id for one in shown.runs()} == {run.id, run.parent} and shown.find(run.id[:12]).id == run.id
    with pytest.raises(StoreError) as refused:
        shown.find("f" * 12)
    assert run.id[:12] not in str(refused.value) and "digits_mlp" not in str(refused.value)


def test_a_run_that_failed_to_finish_leaves_its_points_to_those_who_asked(home):
    room = Room()
    job = jobs.Job("some key", "Some work")
    store = room.store_for(job, board().store)
    spec = PruneSpec(sparsity=0.5)
    measure_one(AccuracyRequest(ModelId("digits_mlp"), DataId("digits", limit=100), spec, split="test"), store)
    one, two = room.seat("a"), room.seat("b")
    one.asked.add("some key")
    assert {run.kind for run in View(board().store, room, one).runs()} == {"dense", "pruned"}
    assert View(board().store, room, two).runs() == []


def test_the_cookie_is_given_once_and_with_pages_only():
    async def answered(headers, kind):
        sent = []

        async def inner(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})

        async def send(message):
            sent.append(message)

        await rules._Cookie(inner)({"type": "http", "headers": headers}, None, send)
        return [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]

    (given,) = asyncio.run(answered([], b"text/html; charset=utf-8"))
    token = re.match(r"prunekit_seat=([0-9a-f]{32});", given)
    assert token and "HttpOnly" in given and "SameSite=Lax" in given
    assert asyncio.run(answered([(b"cookie", f"prunekit_seat={token[1]}".encode())], b"text/html")) == []
    assert asyncio.run(answered([], b"application/json")) == []


def test_without_a_class_nothing_stands_before_the_server():
    assert rules.middleware() == [] and not rules.active() and rules.takes("k") and rules.submitted_here("k")
    assert rules.view(board().store) is board().store


# --- the teacher ---


def test_only_the_teachers_browser_can_start_afresh(tab, home):
    pupil, stranger, boss = tab(), tab(teacher="wrong"), tab(teacher=SECRET)
    assert "class_reset" not in keys(pupil) | keys(stranger) and "class_reset" in keys(boss)
    assert any("not the teacher's address" in warning.value for warning in stranger.app.warning)
    assert "teacher" not in {**boss.address, **stranger.address}, "others may look at the screen"
    assert f"{ADDRESS}/learn?lesson=9  " in "\n".join(code.value for code in boss.app.code)
    with pytest.raises(PrunekitError, match="only the teacher"):
        sidebar.restart()


def test_the_reset_removes_everything_and_open_tabs_are_told(tab, home):
    pupil, boss = tab(model="digits_mlp"), tab(teacher=SECRET)
    save(pupil, 60)
    assert "1 browser measured something" in boss.click("class_reset").app.markdown[-1].value
    boss.app.button(key="class_reset_confirmed").click().run()
    assert not board().store.runs() and not board().all()
    pupil.page = "prune"
    pupil.app.run()
    assert any("Another class has begun" in info.value for info in pupil.check().app.info)
    assert not pupil.address and not pupil.app.session_state["settings"].runs
    assert not listed(pupil)
    assert "class_reset" in keys(boss), "the teacher stays the teacher"
    save(pupil, 61)
    assert listed(pupil) == {of(0.61)} | {run.id[:12] for run in board().store.runs(kind="dense")}


def test_an_unfinished_job_of_the_old_class_stops(tab, home):
    boss = tab(teacher=SECRET)
    started, stopped = [], []

    def work(job):
        started.append(job)
        while not job.cancel.wait(0.01):
            pass
        stopped.append(job)

    board().submit_local("endless", "Endless", work, "somebody")
    boss.wait(lambda: bool(started))
    boss.click("class_reset").app.button(key="class_reset_confirmed").click().run()
    boss.wait(lambda: bool(stopped))
    assert board().get("endless") is None


def test_runs_that_do_not_belong_to_a_class_alone_are_never_removed(tmp_path):
    store = RunStore(tmp_path / "runs.sqlite")
    measure_one(AccuracyRequest(ModelId("digits_mlp"), DataId("digits", limit=50), None, split="test"), store)
    with pytest.raises(StoreError, match="stay"):
        clear(store)
    assert len(store.runs()) == 1
    with pytest.raises(StoreError, match="not empty"):
        mark(tmp_path)
    store.close()


def test_clearing_removes_files_too(home):
    for name in ("models", "checkpoints", "archives"):
        (home / name).mkdir()
        (home / name / "file").write_text("x")
    measure_one(AccuracyRequest(ModelId("digits_mlp"), DataId("digits", limit=50), PruneSpec(), split="test"), board().store)
    clear(board().store)
    assert not board().store.runs() and not board().store.all_measurements()
    assert not [path for path in home.iterdir() if path.is_dir()]


# --- everybody gets a turn ---


def test_what_a_page_offers_by_default_is_allowed(home):
    for model in ("digits_cnn", "digits_mlp"):
        assert limits.hold(Settings(model=model)) == (Settings(model=model), [])


def test_too_much_is_lowered_with_a_sentence_each(home):
    much = {name: 10 * most for name, most in limits.MOST.items()}
    held, said = limits.hold(Settings(**much, batch=(1, 8, 32), curves=(Curve("unstructured", "l1", "global", recovery="f40"),)))
    assert {name: getattr(held, name) for name in much} == limits.MOST
    assert held.batch == (1, 8) and held.curves[0].recovery == "f5"
    assert len(said) == len(much) + 2 and all(sentence.endswith(".") and "class" in sentence for sentence in said)
    assert limits.hold(held) == (held, [])
    untouched = {f.name for f in fields(Settings)} - set(much) - {"batch", "curves"}
    assert all(getattr(held, name) == getattr(PLAIN, name) for name in untouched)


def test_all_images_are_too_many_and_large_data_are_cut(home):
    assert limits.hold(Settings(measured_images=0))[0].measured_images == limits.MOST["measured_images"]
    assert limits.hold(Settings(data="mnist"))[0].limit == limits.LIMIT
    assert limits.hold(Settings(data="mnist", limit=500))[0].limit == 500


def test_elsewhere_nothing_is_lowered():
    much = Settings(epochs=200, measured_images=0, data="mnist")
    assert limits.hold(much) == (much, []) and limits.training_epochs(30, "mnist") == 200


def test_the_page_says_what_was_lowered(tab, home):
    one = tab("recover", epochs=50)
    assert one.address["epochs"] == "5" and any("at most 5 epochs" in warning.value for warning in one.app.warning)
    one.set("pick_epochs", 30)
    assert one.app.number_input(key="pick_epochs").value == 5


def test_one_browser_has_few_jobs_under_way(tab, home, monkeypatch):
    monkeypatch.setattr(rules, "MOST_JOBS", 0)
    one = tab("prune", model="digits_mlp", sparsity=55).click("measure")
    assert not board().all() and "at most 0 measurements" in one.app.toast[0].value
    board().submit_local("shared", "Measured for somebody", lambda job: 1, "somebody")
    assert rules.takes("shared"), "it costs nobody anything"


def test_the_sidebar_shows_ones_own_jobs_only(tab, home):
    one, two = tab(), tab()
    started = []

    def work(job):
        started.append(job)
        job.cancel.wait(30)

    board().submit_local("theirs", "Somebody's work", work, "somebody")
    one.wait(lambda: bool(started))
    rules.room().seat(one.app.session_state["class_seat"]).asked.add("theirs")
    assert "cancel_side_theirs" in keys(Again(one)) and "cancel_side_theirs" not in keys(Again(two))
    board().forget_all()


class Again:
    """A tab after another run."""

    def __init__(self, one):
        self.app = one.app.run()


def test_what_one_button_starts_is_allowed_at_once():
    assert max(limits.SEVERAL["curves"], len(PRESETS)) <= rules.MOST_JOBS
