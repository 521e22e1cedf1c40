"""The picture of coupled groups: every mark stands where its group has a layer, and no two groups share a place."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit import plots
from prunekit.plots import theme
from prunekit.plots.channel_groups import tail

NAMES = ["stem", "block0.a", "block0.b", "block1.a", "block1.b", "head"]
LAYERS = pd.DataFrame(
    {
        "name": NAMES,
        "channels": [16, 8, 16, 8, 16, 10],
        "group": [-1, 2, -1, 3, -1, -1],
        "why": [*[""] * 5, "these are the model's outputs"],
    }
)
GROUPS = pd.DataFrame(
    {
        "group": [0, 1],
        "layers": [("stem", "block0.b", "block1.b"), ("block0.b", "block1.b")],
        "channels": [16, 4],
        "text": ["16 channels, 3 layers", "4 channels, 2 layers"],
    }
)
TIES = pd.DataFrame(
    {
        "group": [0, 0, 1],
        "sign": ["+", "+", "×"],
        "layers": [("stem", "block0.b"), ("block0.b", "block1.b"), ("block0.b", "block1.b")],
        "text": ["addition in block0", "addition in block1", "product in block1"],
    }
)


def draw(layers=LAYERS, groups=GROUPS, ties=TIES, **options):
    return plots.coupled(layers, groups, ties, **options)


def lines(fig):
    return [trace for trace in fig.data if trace.mode == "lines" and trace.line.dash is None]


def marks(fig):
    """All that answers a click, as (what, x, y, customdata)."""
    found = []
    for trace in fig.data:
        if trace.customdata is not None:
            text = trace.text if trace.text is not None else [""] * len(trace.x)
            found += [(t, x, y, data) for t, x, y, data in zip(text, trace.x, trace.y, trace.customdata, strict=True)]
    return found


def words(fig):
    return {(y, text): data[0] for text, _, y, data in marks(fig) if "channels," in text and "<b>" not in text}


@st.composite
def pictures(draw):
    n = draw(st.integers(2, 30))
    names = [f"layer{i}" for i in range(n)]
    members = st.lists(st.sampled_from(names), min_size=2, max_size=6, unique=True).map(tuple)
    found = draw(st.lists(members, max_size=8))
    layers = pd.DataFrame({"name": names, "channels": 8, "group": -1, "why": ""})
    rows = [(i, tuple(sorted(m, key=names.index)), draw(st.integers(1, 4096)), f"{i} channels, here") for i, m in enumerate(found)]
    ties = [(i, "+", m[:2], "addition") for i, m, _, _ in rows]
    groups = pd.DataFrame(rows, columns=["group", "layers", "channels", "text"])
    return layers, groups, pd.DataFrame(ties, columns=["group", "sign", "layers", "text"])


@given(pictures())
def test_groups_that_pass_each_other_stand_on_different_lines(frames):
    fig = draw(*frames)
    placed = [(max(x for x in line.x if x is not None), {y for x, y in zip(line.x, line.y, strict=True) if x}) for line in lines(fig)]
    for i, (x, rows) in enumerate(placed):
        for other, others in placed[:i]:
            assert x != other or max(rows) < min(others) or max(others) < min(rows)


@given(pictures())
def test_every_group_stops_exactly_at_its_layers(frames):
    layers, groups, _ = frames
    row = {name: i for i, name in enumerate(layers["name"])}
    drawn = sorted(sorted(y for x, y in zip(line.x, line.y, strict=True) if x == 2) for line in lines(draw(*frames)))
    assert drawn == sorted(sorted(row[name] for name in group) for group in groups["layers"])


@given(pictures())
def test_labels_stand_beside_layers_of_their_group_and_never_on_each_other(frames):
    layers, groups, _ = frames
    said = words(draw(*frames))
    assert len({row for row, _ in said}) == len(said)
    for (row, _), group in said.items():
        assert layers["name"][row] in groups["layers"][group]


@given(pictures())
def test_thicker_lines_carry_more_channels(frames):
    groups = frames[1]
    by_text = {}
    for text, x, y, data in marks(draw(*frames)):
        if "<b>" in text and "channels, here" in text:
            by_text[data[0]] = (x, y)
    width = {}
    for line in lines(draw(*frames)):
        x = max(v for v in line.x if v is not None)
        width |= {group: line.line.width for group, (at, y) in by_text.items() if at == x and y in line.y}
    ordered = sorted(width, key=lambda group: groups["channels"][group])
    assert [width[g] for g in ordered] == sorted(width.values())


def test_a_sign_stands_above_the_layer_that_its_operation_joins():
    found = {(text, y, data[1]) for text, _, y, data in marks(draw()) if len(data) > 1}
    assert found == {("+", 1.5, "addition in block0"), ("+", 3.5, "addition in block1"), ("×", 3.5, "product in block1")}


def test_two_operations_at_one_place_share_a_sign():
    ties = pd.concat([TIES, pd.DataFrame([(0, "×", ("stem", "block1.b"), "product in head")], columns=TIES.columns)])
    found = {(text, y, data[0], data[1]) for text, _, y, data in marks(draw(ties=ties)) if len(data) > 1}
    assert ("+×", 3.5, 0, "addition in block1<br>product in head") in found


def test_a_layer_alone_is_a_ring_and_one_that_cannot_shrink_a_square_with_the_reason():
    fig = draw()
    (trace,) = [t for t in fig.data if t.mode == "markers" and "circle-open" in (t.marker.symbol or ())]
    assert list(trace.y) == [1, 3, 5] and list(trace.marker.symbol) == ["circle-open", "circle-open", "square"]
    assert "shrinks alone" in trace.text[0] and "cannot shrink: these are the model's outputs" in trace.text[2]
    assert [data[0] for data in trace.customdata] == [2, 3, -1]
    assert "<i>head</i>" in fig.layout.yaxis.ticktext[5] and "<i>" not in "".join(fig.layout.yaxis.ticktext[:5])


def test_every_layer_shows_its_channels():
    (numbers,) = [t for t in draw().data if t.mode == "text" and t.textposition == "middle left"]
    assert list(numbers.text) == [str(n) for n in LAYERS["channels"]] and list(numbers.y) == list(range(len(LAYERS)))


@pytest.mark.parametrize("dark", [False, True])
def test_a_picked_group_keeps_its_colour_while_the_others_fade_and_lose_labels_and_signs(dark):
    def colours(fig):
        return {line.line.width: line.line.color for line in lines(fig)}

    plain, picked = draw(dark=dark), draw(dark=dark, selected=0, notes={"stem": "1 of 16 outputs", "block0.a": "1 of 16 inputs"})
    most, least = max(colours(plain)), min(colours(plain))
    assert colours(picked)[most] == colours(plain)[most]
    assert colours(picked)[least] == theme.fade(theme.run_colour(1, dark), 0.2) != colours(plain)[least]
    assert not words(picked) and words(plain)
    assert {data[0] for _, _, _, data in marks(picked) if len(data) > 1} == {0}
    notes = {text: y for text, _, y, _ in marks(picked) if text.startswith("1 of")}
    assert notes == {"1 of 16 outputs": 0, "1 of 16 inputs": 1}


def test_a_picked_layer_that_shrinks_alone_is_filled():
    (trace,) = [t for t in draw(selected=3).data if t.mode == "markers" and "square" in (t.marker.symbol or ())]
    assert list(trace.marker.symbol) == ["circle-open", "circle", "square"]


def test_a_window_shows_its_rows_only_and_labels_what_passes_in_them():
    fig = draw(window=(2, 4))
    low, high = fig.layout.yaxis.range
    assert [row for row in range(len(NAMES)) if high < row < low] == [2, 3, 4]
    assert len(fig.layout.yaxis.ticktext) == 3 and fig.layout.height < draw().layout.height
    assert {row for row, _ in words(fig)} == {2, 4}


@pytest.mark.parametrize("n", [1, 2, 160])
def test_rows_keep_their_distance_however_many_there_are(n):
    layers = pd.DataFrame({"name": [f"l{i}" for i in range(n)], "channels": 4, "group": range(n), "why": ""})
    fig = draw(layers, GROUPS[:0], TIES[:0])
    low, high = fig.layout.yaxis.range
    assert (fig.layout.height - 16) / (low - high) == pytest.approx(24, rel=0.35)
    assert fig.to_json() and not lines(fig)


def test_a_long_name_keeps_its_end_from_a_dot_on():
    layers = LAYERS.assign(name=["stem", "trunk_output.block1.block1-0.f.se.fc2", *NAMES[2:]])
    assert ">…block1.block1-0.f.se.fc2<" in draw(layers).layout.yaxis.ticktext[1]


@given(st.lists(st.text("abc_0", min_size=1, max_size=12), min_size=1, max_size=6).map(".".join), st.integers(8, 30))
def test_a_tail_fits_and_is_the_end_of_its_name(name, most):
    end = tail(name, most)
    assert len(end) <= most and name.endswith(end.removeprefix("…"))
    assert end == name or end.startswith("…")
