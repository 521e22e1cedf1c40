"""The Compare page: picks in the address, the answer first, every tab, and runs that people tag or let go."""

from html import escape

import pandas as pd
import pytest

from prunekit import load_model, prune
from prunekit.comparison.compare_runs import compare_runs
from prunekit.comparison.metrics import METRICS
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.data.text import reader_of
from prunekit.experiments.home import store
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.sweep_run import measure_one
from prunekit.models.info import info
from prunekit.reports.table import short_title
from prunekit.tasks.language_modelling import LANGUAGE
from prunekit.ui.compare import all_runs
from prunekit.ui.compare.all_runs import chosen, frame_of
from prunekit.ui.compare.behaviour import flips_caption
from prunekit.ui.components import run_labels
from prunekit.ui.shared import asking
from prunekit.ui.state.page_settings import SORTS, TABS
from prunekit.ui.state.settings import Settings

MODEL, DATA = ModelId("digits_mlp"), DataId("digits", limit=150)
SPECS = (
    PruneSpec(sparsity=0.6, seed=77),
    PruneSpec(sparsity=0.96, seed=77),
    PruneSpec(mode="structured", sparsity=0.5, seed=77),
)


@pytest.fixture(scope="module")
def ids():
    """Three runs that somebody saved, measured without their sizes."""
    for spec in (None, *SPECS):
        measure_one(AccuracyRequest(MODEL, DATA, spec, split="test"), store())
    found = [next(run.id for run in store().runs() if run.spec == spec.to_dict()) for spec in SPECS]
    for name in found:
        store().relabel(name, saved=True)
    return found


def picked(ids):
    return "_".join(name[:12] for name in ids)


def table(one):
    return one.app.dataframe[0].value


def htmls(one):
    return "\n".join(part.proto.body for part in one.app.get("html"))


def words(one):
    return "\n".join([one.text, htmls(one)])


def test_without_picks_the_page_says_what_to_do(tab, ids):
    one = tab("compare", model="digits_mlp")
    assert "Pick 2 to 6 runs in the table" in one.text
    assert {name[:12] for name in ids} <= set(table(one)["id"])
    assert "Pick one more run" in tab("compare", runs=ids[0][:12]).text


def test_runs_of_other_models_show_when_asked_for_or_named_by_the_address(tab, ids):
    mine = {name[:12] for name in ids}
    one = tab("compare", model="digits_cnn")
    assert not one.app.dataframe or not mine & set(table(one)["id"])
    one.set("pick_others", True)
    assert one.address == {"others": "1"} and mine <= set(table(one)["id"])
    named = tab("compare", runs=picked(ids[:1]))
    assert set(table(named)["id"]) & mine == {ids[0][:12]}
    assert "digits_mlp" in htmls(named), "a card says of which model it is"


def test_a_run_that_was_named_is_called_by_its_name_and_its_settings_stand_below(tab, ids):
    store().relabel(ids[2], name="the wide one")
    assert "the wide one" in list(table(tab("compare", model="digits_mlp"))["name"])
    one = tab("compare", model="digits_mlp", runs=picked(ids))
    title = short_title(store().find(ids[2]))
    assert htmls(one).count("the wide one") >= 2 and f"<small>{title}</small>" in htmls(one)
    store().relabel(ids[2], name="")


def test_the_answer_stands_first_and_the_address_holds_the_picks(tab, ids):
    one = tab("compare", runs=picked(ids))
    found = compare_runs(ids, store())
    assert one.address == {"runs": picked(ids)}
    assert found.answer in htmls(one)
    assert htmls(one).index(found.answer) < htmls(one).index("<table>")
    assert one.metric("Accuracy kept").value.startswith(f"{100 * found.column(found.best).accuracy.value:.1f}")
    order = [htmls(one).index(f"</span> {letter}</b>") for letter in "ABC"]
    assert order == sorted(order)


@pytest.mark.parametrize("name", TABS)
def test_every_tab_opens_from_the_address(tab, ids, name):
    one = tab("compare", runs=picked(ids), tab=name)
    assert not one.app.error and not one.app.warning
    assert ("tab" in one.address) == (name != "numbers")


@pytest.mark.parametrize(
    ("view", "seen"),
    [
        ({"tab": "layers", "by": "width"}, "How wide is each layer?"),
        ({"tab": "weights", "pair": "BC"}, "Which weights do B and C both keep?"),
        ({"tab": "tradeoff", "x": "nonzero", "y": "sparsity"}, "Sparsity against parameters that are not zero"),
    ],
)
def test_what_is_in_view_is_in_the_address(tab, ids, view, seen):
    one = tab("compare", runs=picked(ids), **view)
    assert seen in [part.value for part in one.app.subheader]
    assert one.address == {"runs": picked(ids), **view}


def test_two_tabs_on_the_same_address_show_the_same(tab, ids):
    one = tab("compare", runs=picked(ids))
    one.set("pick_relative", True)
    other = tab("compare", **one.address)
    assert words(other) == words(one)
    assert "100\u202f%" in htmls(other)


def test_letting_a_run_go_moves_the_letters_up(tab, ids):
    one = tab("compare", runs=picked(ids)).click(f"let_go_{ids[0]}")
    assert one.address == {"runs": picked(ids[1:])}
    assert "●</span> A<" in htmls(one) and "●</span> C<" not in htmls(one)


def test_what_is_missing_is_measured_and_kept(tab, ids):
    one = tab("compare", runs=picked(ids))
    if "fill" in [button.key for button in one.app.button]:
        one.click("fill").wait(lambda: not compare_runs(ids, store()).missing, 120)
    one.app.run()
    assert not compare_runs(ids, store()).missing
    assert "fill" not in [button.key for button in one.app.button]


def test_runs_predict_once_and_flips_show_both_predictions(tab, ids):
    one = tab("compare", runs=picked(ids), tab="behaviour", behind="1")
    if "predict" in [button.key for button in one.app.button]:
        one.click("predict").wait(lambda: "Which classes lose?" in [s.value for s in one.app.subheader], 120)
    assert "Which mistakes does B make instead?" in [part.value for part in one.app.subheader]
    assert "gets" in one.text and "wrong that the dense model got right" in one.text
    tiles = [caption.value for caption in one.app.caption if caption.value.startswith("is **")]
    assert tiles and all("Dense" in tile and "  \nB " in tile and tile.count("%") == 2 for tile in tiles)
    again = tab("compare", runs=picked(ids), tab="behaviour")
    assert "predict" not in [button.key for button in again.app.button], "predictions are kept"


def test_a_budget_names_the_best_within_it(tab, ids):
    one = tab("compare", runs=picked(ids), tab="tradeoff")
    one.set("pick_bound", 50.0)
    assert one.address["bound"] == "0.5"
    assert "at least 50.0" in one.text
    one.set("pick_x", "nonzero")
    assert one.address["bound"] == "0.5", "the budget lies on the other axis"
    one.set("pick_y", "params")
    assert "bound" not in one.address, "its number was in another unit"
    one.set("pick_bound_on", "x").set("pick_bound", 2.0)
    assert one.address["bound"] == "2000" and f"at most {METRICS['nonzero'].text(2000)}" in one.text


def test_a_click_on_the_tree_opens_a_run(tab, ids):
    one = tab("compare", runs=picked(ids[:2]), tab="lineage", opened=ids[0][:12])
    assert f"run {ids[0][:12]}" in one.text
    one.click("toggle_opened")
    assert one.address["runs"] == picked(ids[1:2])


def test_unknown_runs_and_other_models_are_said_in_plain_words(tab, ids):
    one = tab("compare", runs=f"{picked(ids[:2])}_{'0' * 12}")
    assert "left out: there is no run" in one.app.warning[0].value
    assert "<table>" in htmls(one)
    spec = PruneSpec(sparsity=0.3, seed=78)
    measure_one(AccuracyRequest(ModelId("digits_cnn"), DATA, spec, split="test"), store())
    other = next(run.id for run in store().runs() if run.spec == spec.to_dict())
    two = tab("compare", runs=picked([ids[0], other]))
    assert "different dense models" in two.app.error[0].value


def test_the_table_is_narrowed_down_and_put_in_order(ids):
    store().relabel(ids[1], tags=("tiny", "for the board"), note="try again")
    frame = frame_of(store())

    def shown(**picks):
        return list(chosen(frame, Settings(**picks))["id"])

    assert shown(find="TRY again") == [ids[1]] and shown(tagged="for the board") == [ids[1]]
    assert shown(find="digits_mlp nothing like it") == []
    assert set(shown(find="nothing like it", runs=(ids[0][:12],))) == {ids[0]}, "what is picked stays in the table"
    assert set(frame.loc[frame["id"].isin(shown(kind="dense")), "kind"]) == {"dense"}
    assert set(ids) <= set(shown()) <= set(shown(every=True))
    assert len(shown(every=True)) == len(store().runs())
    for order in SORTS:
        by, up = all_runs._BY[order]
        values = chosen(frame.assign(name=""), Settings(sort=order, every=True))[by].dropna()
        assert values.is_monotonic_increasing if up else values.is_monotonic_decreasing


def test_columns_that_hold_nothing_leave_their_room_to_others(ids):
    assert all_runs._columns(False, frame_of(store())["run"], 300)["size"]["type_config"]["format"] == "localized", "12,345.6, not 12345.6"
    frame = frame_of(store()).assign(size=[None, *[1.0] * (len(store().runs()) - 1)], note="", name="mine")
    frame["tags"], frame["accuracy"] = [[]] * len(frame), 50.0
    assert set(all_runs._free(frame)) == {"tags", "note", "quality"}
    assert set(all_runs._free(frame.assign(size=float("nan"), note="mine"))) == {"tags", "size", "quality"}
    frame.at[0, "tags"] = ["mine"]
    assert set(all_runs._free(frame)) == {"note", "quality"}
    other = frame.assign(accuracy=float("nan"), quality="R² 0.5")
    assert set(all_runs._free(other)) == {"note", "accuracy"}, "figures of another metric stand in words"


def test_what_was_said_of_a_run_is_saved_from_the_page(tab, ids):
    one = tab("compare", runs=picked(ids[:2]))
    assert not one.app.dataframe, "folded away once runs are picked"
    one.app.session_state["runs_open"] = True
    one.app.run()
    box = {part.key.partition("_")[0]: part for part in (*one.app.text_input, *one.app.text_area) if ids[0] in str(part.key)}
    box["tags"].set_value("good, small ,good")
    box["note"].set_value("on the shelf")
    next(button for button in one.app.button if button.label == "Save").click().run()
    one.check()
    label = store().label(ids[0])
    assert (label.tags, label.note, label.saved) == (("good", "small"), "on the shelf", True)


def test_deleting_takes_children_first_and_names_what_stands_in_the_way(ids):
    spec = PruneSpec(sparsity=0.2, seed=79)
    measure_one(AccuracyRequest(MODEL, DATA, spec, split="test"), store())
    run = next(run for run in store().runs() if run.spec == spec.to_dict())
    assert run_labels.goes(run, store()) == "with 1 measurement"
    said = run_labels._delete(store().find(run.parent), store())
    assert "run" in said and store().get_run(run.parent) is not None, "others were made from it"


def test_the_caption_of_flips_counts_both_ways():
    rows = pd.DataFrame(
        [(3, "A", 0, 0, 0.9, 1, 0.8, "lost"), (5, "A", 0, 0, 0.7, 1, 0.95, "lost"), (9, "A", 1, 0, 0.6, 1, 0.9, "won")],
        columns=["image", "letter", "label", "before", "before_confidence", "after", "after_confidence", "kind"],
    )
    said = flips_caption(rows, "A", ("cat", "dog"))
    assert said.startswith("A gets 2 images wrong that the dense model got right, and 1 right")
    assert "Most of the lost ones are **cat** (2)" in said and "95\u202f% sure of “dog”" in said


@pytest.mark.slow
def test_stored_runs_answer_a_text_side_by_side(tab):
    model, data = ModelId("shakespeare_gpt"), DataId("shakespeare", limit=3)
    specs = [PruneSpec(sparsity=share, seed=78) for share in (0.3, 0.9)]
    for spec in (None, *specs):
        measure_one(AccuracyRequest(model, data, spec, split="test"), store())
    found = [next(run.id for run in store().runs() if run.spec == spec.to_dict()) for spec in specs]
    one = tab("compare", runs=picked(found), tab="behaviour", prompt="KING HENRY")
    assert "goes on" not in one.text, "nothing is opened before somebody asks"
    one.click("ask_runs")
    dense = load_model(model)
    for name, net in {"Dense": dense, "A": prune(dense, specs[0]).model, "B": prune(dense, specs[1]).model}.items():
        written = LANGUAGE.go_on(net, "KING HENRY", reader_of(info(dense), None), tokens=asking.TOKENS, seed=None)
        assert f"**{name}** goes on" in one.text and escape(written.text) in htmls(one)
