"""Groups, heads and whole blocks on the screen: what is drawn, what is picked, and what stays by its original index."""

import csv
import io
import json
import shlex

import numpy as np
import pytest

import prunekit
from prunekit.cli.arguments import spec_of
from prunekit.cli.parser import build_parser
from prunekit.config import registered
from prunekit.config.spec import PruneSpec
from prunekit.pruning.result import PruneResult
from prunekit.ui.components import block_table, group_table, layer_table
from prunekit.ui.components.group_changes import shrinking
from prunekit.ui.layers.tracks import attention, layer_rows
from prunekit.ui.prune import kept_units
from prunekit.ui.prune.kept_weights import kept_indices
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.state import layer_choice
from prunekit.ui.state.settings import Settings

RESNET, NAME = Source("cifar10_resnet20"), "cifar10_resnet20"
OWN = """
from torchvision.models import VisionTransformer


def vit():
    return VisionTransformer(32, 8, num_layers=2, num_heads=4, hidden_dim=24, mlp_dim=40, num_classes=7)


vit.input_shape = (3, 32, 32)
"""
VIT = Source("own.py:vit")
FIRST, SECOND = (f"encoder.layers.encoder_layer_{i}.self_attention" for i in (0, 1))


@pytest.fixture
def vit(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    prunekit.register_model(prunekit.ModelId(f"{tmp_path / 'own.py'}:vit"))
    yield VIT
    registered._MODELS.clear()
    for cached in (
        model_cache.dense,
        model_cache.layer_frame,
        model_cache.counts_of,
        cuts.graph,
        shrinking,
        layer_choice.defaults,
    ):
        cached.clear()


def structured(tab, model, page="prune", **more):
    return tab(page, model=model, mode="structured", data="none", **more)


def plan_of(source, **fields):
    return cuts.view(source, PruneSpec(mode="structured", **fields)).cut


# the Layers page


def test_attention_that_holds_its_weight_has_a_row_and_its_heads_are_drawn(tab, vit):
    one = tab("layers", model=vit.name)
    frame = one.table("type")
    assert list(frame.loc[frame["type"] == "Attention", "layer"]) == [FIRST, SECOND]
    assert list(frame.loc[frame["layer"] == FIRST, "shape"]) == ["72 × 24"]
    assert "heads of attention, and the dimensions in each (2)" in one.text
    listed = one.table("units")
    assert list(listed["units"]) == ["24 channels", "4 heads × 6", "4 heads × 6"]


def test_a_row_of_the_table_is_a_place_wherever_attention_stands(tab, vit):
    every = model_cache.load(vit).every
    one = tab("layers", model=vit.name, pick=str(every.index(FIRST)))
    assert f"**{FIRST}**" in one.text, "its weights are drawn"
    frame = model_cache.layer_frame(vit)
    assert [every[place] for place in frame.index] == list(frame["name"])


def test_picking_heads_says_what_one_of_them_takes_along(tab, vit):
    one = tab("layers", model=vit.name)
    box = f"couplings_{vit.name}_"
    one.set(box, f"{FIRST} (heads)")
    assert "takes its queries, keys and values along, 18 of 72 outputs; the other heads stay" in one.text
    one.set(box, f"{FIRST} (head dimensions)")
    assert "from **every head at once**, 12 of 72 outputs, so that all heads stay equally wide" in one.text


def test_the_picture_marks_both_groups_of_each_attention(vit):
    found = shrinking(vit)
    rows = layer_rows(cuts.graph(vit), found, model_cache.layer_frame(vit)).set_index("name")
    for name in (FIRST, SECOND):
        kinds = [found[rows.at[name, column]].group for column in ("heads", "dimensions")]
        assert [(group.kind, group.layers) for group in kinds] == [("heads", (name,)), ("head dimensions", (name,))]
        assert rows.at[name, "inside"] == "4 heads × 6" and rows.at[name, "group"] == -1
    assert set(attention(found)) == {(FIRST,), (SECOND,)}


def test_the_blocks_that_can_go_are_listed_and_their_like_that_stay_are_named(tab):
    one = tab("layers", model=NAME)
    assert list(one.table("becomes")["block"]) == [block.name for block in cuts.graph(RESNET).blocks]
    assert "**7 blocks** can go" in one.text
    assert "**layer2.0 and layer3.0** are of the same kind and stay: they do not hand their input on unchanged" in one.text
    model = model_cache.load(RESNET).model
    params = {row.block: row.params for row in block_table.block_frame(RESNET).itertuples()}
    assert params == {name: sum(p.numel() for p in model.get_submodule(name).parameters()) for name in params}


def test_a_model_without_blocks_shows_neither_a_section_nor_a_slider(tab):
    assert "as a whole?" not in str([header.value for header in tab("layers").app.subheader])
    one = structured(tab, "digits_cnn")
    assert not [slider for slider in one.app.slider if slider.key == "pick_depth"]
    assert not [pills for pills in one.app.button_group if pills.key == "pick_units"]


# picks, the address and the command


def command(tab):
    return next(code.value for code in tab.app.code if code.value.startswith("prunekit prune"))


def spec_behind(words, model):
    return spec_of(build_parser().parse_args(shlex.split(words)[1:]), model)


def test_blocks_and_units_go_into_the_address_and_the_command_and_out_of_them_again(tab, vit):
    one = structured(tab, vit.name, sparsity="40")
    one.set("pick_depth", 1).set("pick_units", ["heads", "channels"])
    assert (one.address["depth"], one.address["units"]) == ("50", "channels_heads")
    other = structured(tab, vit.name, sparsity="40", depth="50", units="channels_heads")
    assert command(other) == command(one)
    spec = spec_behind(command(one), model_cache.load(vit).model)
    assert (spec.units, spec.depth, spec.blocks, spec.sparsity) == (("channels", "heads"), 0.5, None, 0.4)
    assert other.metric("Parameters").value == one.metric("Parameters").value


def test_no_unit_picked_is_every_unit(tab, vit):
    one = structured(tab, vit.name)
    one.set("pick_units", ["heads"])
    assert one.metric("Heads removed") and "all channels of" in one.text
    assert one.app.slider(key="pick_sparsity").label == "Remove this share of the heads"
    one.set("pick_units", [])
    assert "units" not in one.address
    assert one.app.get_by_key("pick_units").value == ["channels", "heads", "head dimensions"]
    assert one.metric("Channels and heads removed")


def test_the_command_with_named_blocks_removes_what_the_page_removes(tab):
    one = structured(tab, NAME, sparsity="30", depth="50", blocks="layer1.1~layer3.1")
    model = model_cache.load(RESNET).model
    result = prunekit.prune(model, spec_behind(command(one), model))
    assert isinstance(result, PruneResult) and len(result.plan.blocks) == 1 and set(result.plan.blocks) < {"layer1.1", "layer3.1"}
    view = cuts.view(RESNET, one.app.session_state["settings"].spec(model_cache.load(RESNET).every))
    assert view.cut.blocks == result.plan.blocks and view.cut.kept == result.kept
    assert view.params == (result.before.params, result.after.params) and view.macs == (result.before.macs, result.after.macs)


def test_blocks_that_go_are_said_everywhere_and_the_smaller_model_is_proved(tab):
    one = structured(tab, NAME, sparsity="0", depth="30")
    gone = plan_of(RESNET, sparsity=0.0, depth=0.3).blocks
    assert len(gone) == 2
    assert f"**2 whole blocks** go: {' and '.join(gone)}." in one.text
    assert "leave with the channels and 2 whole blocks" in one.text and "4 layers go with whole blocks." in one.text
    assert "Removing = zeroing" in one.text
    one.set("ticks_part", "blocks")
    frame = one.table("goes")
    assert set(frame.loc[frame["goes"] == "goes", "block"]) == set(gone) and frame["tick"].all()
    assert set(frame.nsmallest(2, "score")["block"]) == set(gone)
    one.set("pick_focus", list(model_cache.load(RESNET).every).index(f"{gone[0]}.conv1"))
    assert f"{gone[0]}.conv1 goes with its whole block" in one.text


def test_blocks_alone_are_proved_where_no_unit_may_go(tab):
    one = structured(tab, NAME, sparsity="30", depth="30", units="heads")
    assert "**2 whole blocks** go" in one.text and "Removing = zeroing" in one.text


def test_another_mode_knows_no_blocks_and_structured_finds_them_again(tab):
    one = structured(tab, NAME, depth="30")
    one.set("pick_mode", "unstructured")
    assert "depth" not in one.address and not one.app.warning
    one.set("pick_mode", "structured")
    assert one.address["depth"] == "30"


def test_a_block_that_the_model_does_not_have_is_an_error_in_plain_words(tab):
    one = structured(tab, NAME, depth="50", blocks="layer9")
    assert "“Blocks that may go” must be one of layer1.0" in one.app.error[0].value


# ticks by group and by block


@pytest.fixture
def session(monkeypatch):
    """Hold settings and tables without a page."""
    held = {}
    for module in (group_table.st, layer_choice.session.st, block_table.st):
        monkeypatch.setattr(module, "session_state", held)
    monkeypatch.setattr(layer_choice.session, "write", lambda: None)

    def edit(take, rows, **settings):
        held["settings"] = held.get("settings", Settings(mode="structured")).change(**settings)
        held["table"] = {"edited_rows": rows}
        take("table")
        return held["settings"]

    return edit


def place(source, name):
    return list(model_cache.load(source).every).index(name)


def row(source, name):
    return next(i for i, r in enumerate(group_table.rows_of(source)) if name in r.layers)


def test_one_tick_takes_all_layers_of_a_group_and_another_gives_them_back(session):
    stem = row(RESNET, "conv1")
    after = session(group_table._take_edits, {stem: {"tick": True}}, model=NAME)
    members = {"conv1", "layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2"}
    assert members <= {model_cache.load(RESNET).every[i] for i in after.layers}
    assert {group.id for group in plan_of(RESNET, layers=after.spec(model_cache.load(RESNET).every).layers).groups} >= {"conv1"}
    assert session(group_table._take_edits, {stem: {"tick": False}}).layers is None, "which comes to the default choice"
    without = session(group_table._take_edits, {row(RESNET, "layer3.0.conv2"): {"tick": False}})
    chosen = plan_of(RESNET, layers=without.spec(model_cache.load(RESNET).every).layers).groups
    assert {group.id for group in chosen} == {group.id for group in plan_of(RESNET).groups} - {"layer3.0.conv2"}


def test_an_override_of_a_group_is_one_of_all_its_layers(session):
    after = session(group_table._take_edits, {row(RESNET, "layer2.0.conv2"): {"override": 25.0}}, model=NAME)
    spec = after.spec(model_cache.load(RESNET).every)
    assert dict(spec.overrides) == dict.fromkeys(("layer2.0.conv2", "layer2.0.shortcut.conv", "layer2.1.conv2", "layer2.2.conv2"), 0.25)
    assert len(cuts.view(RESNET, spec).cut.kept["layer2.1.conv2"]) == 24


@pytest.mark.parametrize(("take", "at"), [(layer_table._take_edits, place), (group_table._take_edits, row)])
def test_layers_with_one_number_lose_that_share_together(session, take, at):
    every = model_cache.load(RESNET).every
    rows = {at(RESNET, "layer3.0.conv1"): {"together": 75.0}, at(RESNET, "layer3.1.conv1"): {"together": 75.0}}
    after = session(take, rows, model=NAME)
    spec = after.spec(every)
    assert spec.shares == (("layer3.0.conv1,layer3.1.conv1", 0.75),)
    kept = cuts.view(RESNET, spec).cut.kept
    assert sum(len(kept[name]) for name in ("layer3.0.conv1", "layer3.1.conv1")) == 32
    alone = session(take, {at(RESNET, "layer3.0.conv1"): {"override": 25.0}})
    assert alone.spec(every).shares == (("layer3.1.conv1", 0.75),) and dict(alone.spec(every).overrides) == {"layer3.0.conv1": 0.25}
    assert session(take, {at(RESNET, "layer3.1.conv1"): {"tick": False}}).shares == ()


def test_joint_shares_of_all_layers_make_up_the_total(session):
    source = Source("digits_cnn")
    rows = group_table.rows_of(source)
    asked = {i: {"together": 60.0} for i, r in enumerate(rows) if r.layers != ("conv1",)}
    after = session(group_table._take_edits, asked, model="digits_cnn")
    assert cuts.view(source, after.spec(model_cache.load(source).every)).cut.kept and after.sparsity == 77 / 128


def test_the_last_group_cannot_be_unticked(session):
    rows = group_table.rows_of(RESNET)
    every = {i: {"tick": False} for i in range(len(rows))}
    after = session(group_table._take_edits, every, model=NAME)
    assert after.layers is None or cuts.view(RESNET, after.spec(model_cache.load(RESNET).every)).cut.groups


def test_heads_of_one_attention_are_left_whole_by_its_tick(session, vit):
    after = session(group_table._take_edits, {row(vit, FIRST): {"tick": False}}, model=vit.name)
    kinds = {group.id for group in plan_of(vit, layers=after.spec(model_cache.load(vit).every).layers).groups}
    assert f"{SECOND} (heads)" in kinds and f"{FIRST} (heads)" not in kinds
    both = session(group_table._take_edits, {row(vit, SECOND): {"tick": False}})
    assert layer_choice.NO_HEADS in layer_choice.session.problems() and both.layers is not None
    assert {place(vit, FIRST), place(vit, SECOND)} <= set(layer_choice.ticked_places(both, vit)), "the page shows what the core does"


def test_ticks_of_layers_reach_attention_too(session, vit):
    frame = model_cache.layer_frame(vit)
    index = list(frame["name"]).index(SECOND)
    after = session(layer_table._take_edits, {index: {"cap": 50.0}}, model=vit.name)
    assert after.spec(model_cache.load(vit).every).caps == ((SECOND, 0.5),)


def test_blocks_that_may_go_keep_their_number_and_none_means_all(session):
    names = block_table.names_of(RESNET)
    after = session(
        block_table._take_edits, {0: {"tick": False}, 1: {"tick": False}}, model=NAME, depth=block_table.depth_of(3, len(names))
    )
    assert after.blocks == names[2:] and block_table.going(after.depth, 5) == 3
    assert len(cuts.view(RESNET, after.spec(model_cache.load(RESNET).every)).cut.blocks) == 3
    again = session(block_table._take_edits, {0: {"tick": True}, 1: {"tick": True}})
    assert again.blocks is None and block_table.going(again.depth, len(names)) == 3
    nothing = session(block_table._take_edits, {i: {"tick": False} for i in range(len(names))})
    assert (nothing.blocks, nothing.depth) == (None, 0.0)


@pytest.mark.parametrize("number", range(8))
def test_the_slider_of_blocks_removes_as_many_as_it_says(number):
    assert len(plan_of(RESNET, sparsity=0.1, depth=block_table.depth_of(number, 7) or None).blocks) == number
    assert block_table.going(block_table.depth_of(number, 7), 7) == number


# what stays


@pytest.mark.parametrize(("sparsity", "depth"), [(0.5, None), (0.6, 0.3), (0.0, 1.0)])
def test_the_listed_indices_are_those_that_the_plan_keeps(sparsity, depth):
    plan = plan_of(RESNET, sparsity=sparsity, depth=depth)
    told = {name: stay for stay in kept_units.stays(plan) for name in stay.layers}
    open_to = {name for group in plan.groups for name in group.layers} | {name for name, kept in plan.kept.items() if not kept}
    assert set(told) == open_to
    assert all(told[name].kept == plan.kept[name] and told[name].of == len(plan.graph.outputs[name]) for name in told)


def test_heads_and_dimensions_are_listed_by_their_own_index(vit):
    plan = plan_of(vit, sparsity=0.5, units=("heads", "head dimensions"))
    told = {(stay.layers[0], stay.unit): stay for stay in kept_units.stays(plan)}
    for name in (FIRST, SECOND):
        rows = np.zeros(72, bool)
        rows[list(plan.kept[name])] = True
        parts = rows.reshape(3, 4, 6)
        heads, dimensions = told[name, "heads"], told[name, "head dimensions"]
        assert heads.kept == tuple(np.flatnonzero(parts.any((0, 2)))) and heads.of == 4
        assert dimensions.kept == tuple(np.flatnonzero(parts.any((0, 1)))) and dimensions.of == 6
        assert heads.kept and dimensions.kept


def test_the_files_hold_what_stays_of_every_layer():
    plan = plan_of(RESNET, sparsity=0.5, depth=0.3)
    lines = list(csv.DictReader(io.StringIO(kept_units.as_csv(kept_units.stays(plan)))))
    kept = json.loads(kept_indices(plan))
    found = {line["layer"]: [int(i) for i in line["indices"].split()] for line in lines}
    assert found and found == {name: kept[name] for name in found}
    assert all(int(line["stay"]) == len(line["indices"].split()) for line in lines)
    assert {line["layer"] for line in lines if line["stay"] == "0"} == {name for name, stay in kept.items() if not stay}


def test_the_page_lists_what_stays_and_copies_it_as_ranges_or_json(tab):
    one = structured(tab, NAME, sparsity="50")
    stay = kept_units.stays(plan_of(RESNET, sparsity=0.5))
    assert len(one.table("kept")) == len(stay)
    assert stay[0].text in [code.value for code in one.app.code]
    one.set("staying_as", "JSON")
    assert json.dumps(list(stay[0].kept)) in [code.value for code in one.app.code]


def test_layers_that_stay_whole_for_one_reason_are_said_in_one_sentence(tab, vit):
    one = structured(tab, vit.name)
    assert "and 1 more layer stay whole\\: each shrinks together with conv\\_proj, which is not chosen" in one.text
