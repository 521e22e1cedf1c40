"""What only a browser can show: deep links, hands on sliders and tables, files that come and go, reloading."""

import io
import re
import zipfile
from functools import partial

import pytest

import prunekit
from prunekit.ui.routes import ABOUT, FIRST
from tests.browser.servers import Server
from tests.browser.tabs import WIDE, Tab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = {"" if name == FIRST else name: page.question for name, page in ABOUT.items()}


def lands(tab, path):
    """Follow a deep link, and see that the page is whole and takes its settings."""
    tab.go(path + "?model=digits_mlp&sparsity=80")
    assert tab.title() == PAGES[path]
    assert tab.page.get_by_role("dialog").count() == 0
    tab.says("Digits, perceptron", "stSidebar")
    tab.address("sparsity=80")
    assert tab.page.evaluate(WIDE) <= 0, "the page scrolls sideways at 1280 pixels"


def test_a_deep_link_opens_its_page_on_a_freshly_started_server(stranger, tmp_path):
    server = Server(tmp_path)
    try:
        lands(Tab(stranger, server.base), "sensitivity")  # the very first that this server is asked for
    finally:
        server.stop()


@pytest.mark.parametrize("path", ["", "latency", "learn"])  # the tour opens the others by their links
def test_a_deep_link_opens_a_page(path, tab):
    lands(tab, path)


def test_slider_moves_change_the_numbers_and_the_address(tab):
    tab.go("prune")
    before = tab.metric("Non-zero parameters")
    handle = tab.page.get_by_role("slider").first
    handle.focus()
    for share in ("50.5", "51", "51.5"):
        handle.press("ArrowRight")
        tab.address(f"sparsity={share}")
    tab.shows("Weights removed", "51.5")
    assert tab.metric("Non-zero parameters") != before


def test_settings_survive_reloading_switching_pages_and_going_back(tab):
    tab.go("prune?mode=structured&sparsity=40&criterion=l2&overrides=1~25")
    numbers = tab.metric("Parameters"), tab.metric("Channels removed")
    tab.page.reload()
    tab.idle()
    tab.until(lambda: (tab.metric("Parameters"), tab.metric("Channels removed")) == numbers, "the same numbers")
    tab.page.get_by_role("link", name="Layers").first.click()
    tab.page.wait_for_url("**/layers?*")
    tab.idle()
    assert tab.title() == PAGES["layers"]
    tab.address("mode=structured", "sparsity=40", "criterion=l2", "overrides=1")
    tab.page.go_back()
    tab.until(lambda: tab.title() == PAGES["prune"], "the page before")
    tab.until(lambda: (tab.metric("Parameters"), tab.metric("Channels removed")) == numbers, "the same numbers")


def test_going_back_undoes_a_change(tab):
    tab.go("prune?sparsity=30")
    tab.page.get_by_text("Structured", exact=True).click()
    tab.address("mode=structured")
    tab.page.go_back()
    tab.address(without=["mode=structured"])
    tab.shows("Weights removed", "30.0")


def test_selecting_rows_draws_their_weights(tab):
    tab.go("layers")
    box = tab.still(tab.page.locator('[data-testid="stDataFrame"]').first)
    tab.page.mouse.click(box["x"] + 18, box["y"] + 18 + 2 * 33)
    tab.until(lambda: re.search(r"pick=\d", tab.url), "a picked layer")
    tab.page.reload()
    tab.until(lambda: re.search(r"pick=\d", tab.url), "a picked layer")


def cell(tab, column, row):
    """Return where a cell of the layers table is: the first columns are 70, 75, 110, 110 and 80 pixels wide."""
    ticks = tab.page.locator('button[aria-label*="with a tick"]')  # what is done with a table names it
    box = tab.still(tab.page.locator('[data-testid="stDataFrame"]').filter(has=ticks).last)
    return box["x"] + {"tick": 35, "override": 200, "cap": 405}[column], box["y"] + 17 + 33.6 * (row + 1)


def test_every_edit_of_the_layers_table_counts(tab):
    tab.go("prune?sparsity=50")
    for row, share in ((0, "20"), (2, "10"), (1, "30"), (2, "60")):
        tab.type_into(partial(cell, tab, "override", row), share)
        tab.address(f"{row}~{share}")
    tab.address("overrides=0~20_1~30_2~60")
    tab.page.mouse.click(*cell(tab, "tick", 3))
    tab.address("layers=0-2")
    tab.page.get_by_role("button", name="Back to the default layers").click()
    tab.address(without=["layers=", "overrides="])


def test_groups_and_blocks_are_ticked(tab):
    tab.go("prune?model=cifar10_resnet20&data=none&mode=structured&sparsity=30&depth=30")
    tab.page.mouse.click(*cell(tab, "tick", 0))
    tab.address("layers=0-20")  # the stem and the three layers that it is added to
    tab.page.get_by_text("Whole blocks", exact=True).click()
    tab.idle()
    tab.page.mouse.click(*cell(tab, "tick", 1))
    tab.address("blocks=layer1.0~layer1.2~", without=["layer1.1"])
    tab.page.get_by_role("button", name="All blocks may go").click()
    tab.address(without=["blocks="])


def test_caps_are_edited_beside_overrides(tab):
    tab.go("prune?mode=structured&sparsity=60")
    tab.page.get_by_text("By layer", exact=True).click()
    tab.idle()
    for column, row, share in (("cap", 1, "40"), ("override", 2, "30"), ("cap", 2, "90"), ("cap", 1, "25")):
        tab.type_into(partial(cell, tab, column, row), share)
        tab.address(f"{row}~{share}")
    tab.address("caps=1~25_2~90", "overrides=2~30")
    tab.says("conv2 is at the cap")


def test_a_pattern_is_picked_or_typed(tab):
    tab.go("prune?sparsity=30")
    tab.page.get_by_text("N:M", exact=True).click()
    tab.until(lambda: not tab.page.get_by_text("Remove this share").count(), "the slider to go")
    tab.page.get_by_text("1:4", exact=True).click()
    tab.address("pattern=1:4")
    box = tab.page.get_by_role("spinbutton", name="of every M")
    box.fill("8")
    box.press("Enter")
    tab.address("pattern=1:8")
    tab.page.go_back()
    tab.address("pattern=1:4")
    tab.until(lambda: box.input_value() == "4", "the number before")


def test_the_folded_choices_stay_open_while_they_are_made(tab):
    tab.go("prune?mode=structured")
    tab.page.get_by_test_id("stExpander").get_by_text("More choices").click()
    tab.page.get_by_text("MACs", exact=True).click()
    tab.address("target=macs")
    box = tab.page.get_by_role("spinbutton", name="Cap of every layer, %")
    assert box.is_visible()
    box.fill("60")
    box.press("Enter")
    tab.address("cap_all=60")
    tab.says("cap of every layer 60\u202f%; counted in MACs")
    assert tab.metric("MACs removed")


def test_clicking_a_bar_shows_its_layer(tab):
    tab.go("prune?sparsity=50")
    box = tab.still(tab.page.locator(".barlayer .point path").nth(2))
    tab.page.mouse.click(box["x"] + 20, box["y"] + 8)
    tab.page.wait_for_url("**focus=2**")
    tab.idle()
    tab.says("weights of fc1")


def test_an_uploaded_checkpoint_is_used_and_asked_for_again_elsewhere(tab, house, tmp_path):
    from safetensors.torch import save_file

    model = prunekit.load_model("digits_mlp")
    state = {name: tensor * 0.5 for name, tensor in model.state_dict().items()}
    file = tmp_path / "half.safetensors"
    save_file(state, str(file))
    tab.go("?shelf=own")
    tab.page.get_by_role("combobox", name="Architecture").click()
    tab.page.keyboard.type("digits_mlp")
    tab.page.keyboard.press("Enter")
    tab.idle()
    tab.page.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(str(file))
    tab.page.get_by_role("button", name="Use half.safetensors").click()
    tab.page.wait_for_url(re.compile("upload="))
    tab.idle()
    key = re.search(r"upload=([0-9a-f]{20})", tab.page.url)[1]
    tab.says("uploaded weights", "stSidebar")
    other = Tab(tab.context, house[0].base).go(f"prune?model=digits_mlp&upload={key}")
    other.says("upload it again")
    other.page.close()


def test_a_file_that_is_no_checkpoint_gets_a_plain_error(tab, tmp_path):
    file = tmp_path / "bad.safetensors"
    file.write_bytes(b"this is no checkpoint")
    tab.go("?shelf=own")
    tab.page.get_by_role("combobox", name="Architecture").click()
    tab.page.keyboard.type("digits_cnn")
    tab.page.keyboard.press("Enter")
    tab.idle()
    tab.page.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(str(file))
    tab.page.locator('[data-testid="stAlert"]').first.wait_for()
    assert "upload=" not in tab.page.url


def test_a_download_opens_again(tab, tmp_path):
    tab.go("prune?mode=structured&sparsity=50")
    with tab.page.expect_download() as waiting:
        tab.page.get_by_role("button", name="Download", exact=True).click()
    path = tmp_path / "it.zip"
    waiting.value.save_as(path)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    folder = tmp_path / names[0].split("/")[0]
    assert {name.split("/")[1] for name in names} == {"model.safetensors", "recipe.yaml", "result.json"}
    again = prunekit.load_model(str(folder))
    spec = prunekit.PruneSpec(mode="structured", sparsity=0.5)
    expected = prunekit.prune(prunekit.load_model("digits_cnn"), spec)
    assert [tuple(p.shape) for p in again.parameters()] == [tuple(p.shape) for p in expected.model.parameters()]


def test_a_job_goes_on_while_widgets_are_touched_and_ends_with_numbers(tab):
    tab.go("prune?sparsity=91")
    tab.page.get_by_role("button", name="Measure accuracy").click()
    tab.page.get_by_text("Logarithmic counts").click()
    metric = tab.page.locator('[data-testid="stMetric"]').filter(has_text="Accuracy")
    metric.filter(has_text="n = 360; dense").wait_for()
    tab.idle()
    assert tab.metric("Accuracy").endswith("%")


def test_two_people_do_not_see_each_others_settings(tab, stranger):
    another_tab = Tab(stranger, tab.base)
    tab.go("prune?sparsity=20")
    another_tab.go("prune?mode=structured&sparsity=70")
    tab.page.reload()
    tab.idle()
    tab.shows("Weights removed", "20.0")
    another_tab.page.get_by_text("Channels removed").first.wait_for()
    another_tab.address("sparsity=70")
    tab.address("sparsity=20")
