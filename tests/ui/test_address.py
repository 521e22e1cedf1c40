"""Settings in the address: round trip, bad addresses, what goes together, and people who do not see each other."""

import re
from contextlib import nullcontext
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.config.choices import (
    CRITERIA,
    DEVICES,
    MODES,
    NORMALISERS,
    REDUCTIONS,
    RUNTIMES,
    SCOPES,
    TARGETS,
    UNITS,
    drawn_criteria_of,
    refusal,
    scopes_of,
)
from prunekit.config.field_table import OPTIMIZER, RATE
from prunekit.config.fields import table
from prunekit.config.recovery import SCHEDULES
from prunekit.config.several_kinds import Numbers
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.experiments.records import KINDS
from prunekit.experiments.search.request import GOALS
from prunekit.lessons.lesson import LESSONS
from prunekit.plots.quality_curves import AXES
from prunekit.ui.state.address import codec_of, decode, encode
from prunekit.ui.state.compatible import fit
from prunekit.ui.state.page_settings import FLOORS, KEEPS, PARTS, SORTS, TABS, Curve
from prunekit.ui.state.settings import Settings

NAMES = tuple(f"layer{i}" for i in range(401))
places = st.lists(st.integers(0, 400), min_size=1, unique=True).map(lambda v: tuple(sorted(v)))
shares = st.integers(0, 9999).map(lambda v: v / 10000)
of_layers = st.dictionaries(st.integers(0, 400), shares, max_size=6).map(lambda d: tuple(sorted(d.items())))
unit_kinds = partial(table(PruneSpec)["units"].kind, "units")
patterns = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda p: f"{p[0]}:{p[0] + p[1]}")
after = st.sampled_from(["", "r", "p", "f1", "f25", "f200"])
curves = st.builds(Curve, st.sampled_from(MODES), st.sampled_from(CRITERIA), st.sampled_from(SCOPES), st.booleans(), after)
whatever = st.builds(
    Settings,
    model=st.sampled_from(["digits_cnn", "torchvision/resnet18", "net.py:make"]),
    pretrained=st.booleans(),
    upload=st.sampled_from(["", "0123456789abcdef0123"]),
    data=st.sampled_from(["", "none", "mnist"]),
    limit=st.integers(0, 10_000),
    size=st.sampled_from([(), (64,), (3, 48, 48), (1, 6, 7, 8), (20,)]),
    mean=st.sampled_from([(), (0.5,), (0.485, 0.456, 0.406), (-1.5, 0.0, 120.0), (0.4913725491, 0.0001234567891)]),
    std=st.sampled_from([(), (0.25,), (0.229, 0.229, 0.229), (1e-05, 1.0, 58.4)]),
    classes=st.sampled_from([(), ("cat", "dog"), ("0", "1", "2"), ("zèbre (1)", "a b")]),
    mode=st.sampled_from(MODES),
    sparsity=shares,
    criterion=st.sampled_from(CRITERIA),
    scope=st.sampled_from(SCOPES),
    layers=st.none() | places,
    overrides=of_layers,
    caps=of_layers,
    shares=of_layers.map(lambda found: tuple(((place,), share) for place, share in found)) | st.just((((0, 3), 0.5), ((1, 2, 7), 0.25))),
    cap_all=st.just(1.0) | shares,
    pattern=st.just("2:4") | patterns,
    target=st.sampled_from(TARGETS),
    round_to=st.integers(1, 64),
    consumers=st.booleans(),
    reduction=st.sampled_from(REDUCTIONS),
    normaliser=st.sampled_from(NORMALISERS),
    samples=st.integers(1, 100_000),
    units=st.none() | st.lists(st.sampled_from(UNITS), min_size=1, max_size=2, unique=True).map(unit_kinds),
    depth=st.just(1.0) | shares,
    blocks=st.none() | st.lists(st.sampled_from(["layer1.1", "trunk_output.block1-0", "0"]), min_size=1, unique=True).map(tuple),
    seed=st.integers(0, 2**53 - 1),
    pick=st.just(()) | places,
    focus=st.integers(-1, 400),
    curves=st.lists(curves, max_size=8, unique=True).map(tuple),
    drop=shares,
    batch=st.lists(st.integers(1, 4096), min_size=1, max_size=6, unique=True).map(tuple),
    threads=st.lists(st.integers(1, 64), min_size=1, max_size=6, unique=True).map(tuple),
    runtimes=st.lists(st.sampled_from(list(RUNTIMES)), min_size=1, max_size=len(RUNTIMES), unique=True).map(tuple),
    device=st.sampled_from(DEVICES),
    also=st.lists(st.text("0123456789abcdef", min_size=12, max_size=12), max_size=4, unique=True).map(tuple),
    budget=st.integers(2, 120),
    recalibrate=st.booleans(),
    epochs=st.integers(0, 200),
    optimizer=st.sampled_from(tuple(OPTIMIZER.titles)),
    lr=st.integers(0, 10**7).map(lambda n: n / 10**6),
    rate=st.sampled_from(tuple(RATE.titles)),
    augment=st.booleans(),
    distill=st.just(1.0) | shares,
    temperature=st.integers(1, 1000).map(lambda n: n / 10),
    schedule=st.sampled_from(SCHEDULES),
    steps=st.integers(2, 100),
    train_images=st.integers(0, 50_000),
    measured_images=st.integers(0, 50_000),
    task=st.sampled_from(["", "regression", "mine.py:task"]),
    across=st.sampled_from(list(AXES)),
    down=st.sampled_from(["accuracy", "drop"]),
    evaluations=st.integers(3, 100),
    repeats=st.integers(1, 20),
    goal=st.sampled_from(["drop", "params", "macs"]),
    goal_share=shares,
    runs=st.lists(st.text("0123456789abcdef", min_size=12, max_size=12), max_size=6, unique=True).map(tuple),
    tab=st.sampled_from(TABS),
    relative=st.booleans(),
    by=st.sampled_from(["sparsity", "width"]),
    layer=st.integers(-1, 400),
    pair=st.sampled_from(["", "AB", "FA"]),
    behind=st.integers(0, 5),
    flips=st.sampled_from(["all", "lost", "won"]),
    sheet=st.integers(1, 10_000),
    x=st.sampled_from(["params", "size", "latency"]),
    y=st.sampled_from(["accuracy", "effective_macs"]),
    bound=shares | st.integers(0, 10**12).map(float),
    bound_on=st.sampled_from(["x", "y"]),
    kind=st.sampled_from(["", *KINDS]),
    tagged=st.sampled_from(["", "best", "v1.2"]),
    find=st.sampled_from(["", "70 % structured", "é"]),
    sort=st.sampled_from(SORTS),
    every=st.booleans(),
    opened=st.sampled_from(["", "0123456789ab"]),
    minimise=st.sampled_from(GOALS),
    floor=st.sampled_from(FLOORS),
    hold=st.none() | st.sampled_from([0.97, 0.0, -1.5, 12.25, 3456.789]),
    minutes=st.integers(1, 14_400).map(lambda n: n / 10),
    tuned=st.integers(0, 200),
    part=st.sampled_from(PARTS),
    lesson=st.integers(1, len(LESSONS)),
    knobs=st.sampled_from([(), ("10", "all"), ("3.4.5",), ("none",), ("70",), ("70", "64"), ("params", "20"), ("40", "4b494e47")]),
    guess=st.integers(-1, 100),
    asked=st.sampled_from([(), ("50", "fc1"), ("0.24",), ("95",), ("random", "20")]),
    shown=st.booleans(),
    done=st.sets(st.integers(1, len(LESSONS))).map(lambda found: tuple(sorted(found))),
    large=st.booleans(),
    keep=st.sampled_from(KEEPS),
    prompt=st.sampled_from(["", "KING:\nNow & then? 50 %+#=", "é" * 2000]),
    sample=st.integers(0, 999_999),
    asks=st.booleans(),
    going=st.sampled_from(["likeliest", "drawn"]),
)
"""Every field valid by itself, whether or not they go together."""
everything = whatever.map(lambda settings: fit(settings)[0])


@given(everything)
def test_what_is_written_is_read_again(settings):
    again, problems = decode(encode(settings))
    assert again == settings
    assert problems == []


@given(whatever)
def test_whatever_is_picked_is_brought_to_a_setting_of_the_core(settings):
    fitted, said = fit(settings)
    spec = fitted.spec(NAMES)
    assert (spec.mode, spec.criterion, spec.scope) == (settings.mode, fitted.criterion, fitted.scope)
    assert fit(fitted) == (fitted, [])
    for curve in fitted.curves:
        assert fitted.spec(NAMES, curve).scope == curve.scope
    changed = {name for name in Settings.__dataclass_fields__ if getattr(fitted, name) != getattr(settings, name)}
    assert changed == {re.match("`(\\w+)`", sentence)[1] for sentence in said}, "each change is said, and nothing else"


@given(whatever)
def test_what_goes_together_is_left_alone(settings):
    fitted, _ = fit(settings)
    if settings.criterion in drawn_criteria_of(settings.mode):
        assert fitted.criterion == settings.criterion
    if settings.scope in scopes_of(settings.mode):
        assert fitted.scope == settings.scope
    assert (fitted.sparsity, fitted.layers, fitted.seed, fitted.samples) == (
        settings.sparsity, settings.layers, settings.seed, settings.samples,
    )  # fmt: skip
    assert set(fitted.curves) == {c for c in settings.curves if c.mode != "nm" and refusal(c.mode, c.criterion, c.scope) is None}


def test_the_address_reaches_every_part_of_the_core():
    text = {"mode": "structured", "sparsity": "40", "criterion": "bn_scale", "scope": "uniform", "layers": "0-1", "overrides": "0~20"}
    text |= {"caps": "1~60", "cap_all": "80", "target": "macs", "round_to": "8", "samples": "64", "seed": "3"}
    text |= {"units": "head.dimensions_channels", "depth": "25", "blocks": "layer1.1~layer2.1"}
    settings, problems = decode(text)
    assert not problems
    assert settings.spec(("a", "b")) == PruneSpec(
        mode="structured", sparsity=0.4, criterion="bn_scale", scope="uniform", layers=("a", "b"), overrides={"a": 0.2}, caps={"b": 0.6},
        cap_all=0.8, target="macs", round_to=8, samples=64, seed=3, units=("channels", "head dimensions"), depth=0.25,
        blocks=("layer1.1", "layer2.1"),
    )  # fmt: skip
    settings, problems = decode({"mode": "nm", "pattern": "1:4", "criterion": "wanda"})
    assert not problems
    assert settings.spec(("a", "b")) == PruneSpec(mode="nm", pattern="1:4", criterion="wanda")


def test_a_curve_takes_the_choices_of_the_prune_page_only_where_it_says_so():
    settings = Settings(mode="structured", target="macs", round_to=8, caps=((0, 0.5),), layers=(0,))
    own = settings.spec(("a", "b"), settings.curve())
    assert (own.target, own.round_to, own.caps, own.layers) == ("macs", 8, (("a", 0.5),), ("a",))
    for curve in (Curve("structured", "l1", "global"), Curve("unstructured", "l1", "global", True)):
        assert settings.spec(("a", "b"), curve) == PruneSpec(mode=curve.mode)


@given(whatever, after)
def test_whatever_is_picked_is_a_recovery_of_the_core(settings, code):
    recovery = settings.recovery(code)
    assert recovery.seed == settings.seed
    assert recovery.active == (code in ("r", "f1", "f25", "f200") or (code == "p" and (settings.recalibrate or settings.epochs > 0)))
    if code == "p":
        assert (recovery.epochs, recovery.recalibrate, recovery.optimizer) == (settings.epochs, settings.recalibrate, settings.optimizer)
        assert recovery.schedule in ("one-shot", settings.schedule)
    if code.startswith("f"):
        assert (recovery.epochs, recovery.schedule) == (int(code[1:]), "one-shot")


@given(st.lists(st.integers(-(10**6), 10**6).map(lambda n: n / 1000), min_size=1, max_size=4).map(tuple))
def test_numbers_for_each_channel_stand_in_an_address(values):
    codec = codec_of(Numbers())
    assert codec.read(codec.write(values)) == values
    with nullcontext() if min(values) > 0 else pytest.raises(ValueError, match="above 0 in each channel"):
        codec_of(Numbers(above=0)).read(codec.write(values))


def test_only_what_differs_from_the_defaults_is_written():
    assert encode(Settings()) == {}
    assert encode(Settings(sparsity=0.7, layers=(1, 2, 3, 7))) == {"sparsity": "70", "layers": "1-3_7"}
    assert encode(Settings(mode="nm", scope="uniform")) == {"mode": "nm"}, "a scope that follows from the mode is not written"


words = st.sampled_from([*MODES, *CRITERIA, *SCOPES, *TARGETS, "2:4", "1:9999", "0:0", "8", "100", "0", "-1", "1~50", "0~99.99_1~0", "0-3"])
hostile = st.text(max_size=30) | words | st.lists(words, max_size=4).map("-".join) | st.lists(words, max_size=4).map("_".join)


@given(st.dictionaries(st.sampled_from([*Settings.__dataclass_fields__, "other"]), hostile))
def test_no_address_whatever_raises(parameters):
    settings, problems = decode(parameters)
    assert isinstance(settings, Settings)
    assert all("`" in sentence for sentence in problems)
    assert not any("<" in sentence.replace("0 < N < M", "") for sentence in problems), "nothing foreign gets into the page as it is"
    assert decode(encode(settings)) == (settings, [])
    assert isinstance(settings.spec([str(i) for i in range(5000)]), PruneSpec)


TOGETHER = [
    ({"mode": "structured", "criterion": "snip"}, {"mode": "structured"}, "criterion"),
    ({"mode": "nm", "scope": "erk"}, {"mode": "nm"}, "scope"),
    ({"mode": "structured", "scope": "erk"}, {"mode": "structured"}, "scope"),
    ({"criterion": "fpgm"}, {}, "criterion"),
    ({"pattern": "1:4"}, {}, "pattern"),
    ({"mode": "nm", "target": "macs"}, {"mode": "nm"}, "target"),
    ({"round_to": "8"}, {}, "round_to"),
    ({"units": "heads"}, {}, "units"),
    ({"mode": "nm", "depth": "50"}, {"mode": "nm"}, "depth"),
    ({"blocks": "layer1.1"}, {}, "blocks"),
    ({"mode": "nm", "caps": "0~50"}, {"mode": "nm"}, "caps"),
    ({"mode": "nm", "cap_all": "50"}, {"mode": "nm"}, "cap_all"),
    ({"overrides": "0~80", "cap_all": "50"}, {"overrides": "0~50", "cap_all": "50"}, "overrides"),
    ({"curves": "nm-l1-uniform_structured-bn.scale-global"}, {"curves": "structured-bn.scale-global"}, "curves"),
    ({"curves": "structured-snip-global"}, {}, "curves"),
    ({"lesson": "3", "knobs": "10_all"}, {"lesson": "3"}, "knobs"),
    ({"lesson": "3", "asked": "7"}, {"lesson": "3"}, "asked"),
    ({"lesson": "3", "guess": "3"}, {"lesson": "3"}, "guess"),
]


@pytest.mark.parametrize(("parameters", "nearest", "field"), TOGETHER, ids=[field + str(i) for i, (_, _, field) in enumerate(TOGETHER)])
def test_what_does_not_go_together_is_brought_to_the_nearest_with_a_sentence(parameters, nearest, field):
    settings, problems = decode(parameters)
    assert encode(settings) == nearest
    assert len(problems) == 1
    assert f"`{field}`" in problems[0]


BAD = {
    "sparsity": ["100", "150", "-5", "nan", "x", "1e1"],
    "mode": ["magic"],
    "criterion": ["taylor9"],
    "layers": ["", "a", "5-", "99999", "3-1"],
    "overrides": ["1", "1~100", "1~2_1~3", "~"],
    "seed": ["-1", "1.5", "9" * 30],
    "size": ["0", "", "1_x", "1_2_3_4_5_6"],
    "mean": ["", "x", "nan", "0.5_", "0.5,0.5"],
    "std": ["0", "0.5_0", "-1", "x"],
    "classes": ["", "a~a", "<b>~c", "a~", "x" * 61],
    "upload": ["../../etc/passwd", "xyz"],
    "model": ["a b", "<script>", "x" * 300],
    "curves": ["unstructured", "magic-l1-global", "unstructured-l1-global-x"],
    "batch": ["0", "4097", "1_", "1_x", "1_2_3_4_5_6_7"],
    "runtimes": ["", "eager_magic", "channels_last"],
    "also": ["xyz", "0" * 13],
    "device": ["tpu"],
    "pattern": ["", "4:2", "0:4", "a:b", "2:4:8", "<b>", "1:99999"],
    "shares": ["1", "1.2~100", "1.2~20_2~30", "~", "1.x~2"],
    "caps": ["1", "1~100", "1~2_1~3", "~"],
    "cap_all": ["101", "-1", "x"],
    "target": ["weights"],
    "round_to": ["2.5", "0", "x"],
    "reduction": ["median"],
    "normaliser": ["<b>"],
    "consumers": ["2"],
    "samples": ["0", "-5", "1e9", "9" * 12],
    "units": ["", "heads_x", "weights", "channels_heads_heads_heads"],
    "depth": ["101", "-1", "x"],
    "blocks": ["", "a~", "<b>", "~".join(f"b{i}" for i in range(300))],
    "runs": ["xyz", "0" * 13, "_".join(f"{i:012x}" for i in range(7))],
    "tab": ["magic"],
    "pair": ["AA", "AG", "A", "ab"],
    "behind": ["6", "-1"],
    "bound": ["-1", "nan", "1e9", "9" * 16],
    "find": ["<script>", "x" * 61],
    "tagged": ["<b>", "a`b"],
    "x": ["Params", "../x"],
    "lesson": ["0", "13", "x"],
    "knobs": ["x", "0_0_0", "<b>", "1_nothing"],
    "asked": ["10", "51_all"],
    "guess": ["101", "-1", "x"],
    "done": ["0", "1-13", "x"],
    "keep": ["15", "0"],
    "part": ["magic"],
    "nonsense": ["1"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_bad_value_is_named_and_the_default_taken(name, text):
    settings, problems = decode({name: text, "limit": "7"})
    assert settings == Settings(limit=7)
    assert len(problems) == 1
    assert name in problems[0]
    assert "<" not in problems[0].replace("0 < N < M", "")


def test_layers_beyond_the_model_are_an_error_in_plain_words():
    with pytest.raises(SpecError, match=r"layer number 9.*4 prunable layers"):
        Settings(layers=(1, 9)).spec(["a", "b", "c", "d"])


def test_a_page_opens_from_a_bad_address_with_a_plain_warning(tab):
    one = tab("prune", sparsity="150", mode="magic", hello="1")
    warnings = [warning.value for warning in one.app.warning]
    assert len(warnings) == 3
    assert one.metric("Weights removed").value.startswith("50.0")
    assert one.address == {}


@pytest.mark.parametrize("model", ["/etc/passwd", "../secret.py:make", "nothing", "torchvision/nothing", "sample_models"])
def test_an_address_cannot_name_a_path_of_the_server(tab, model):
    one = tab(model=model)
    assert "there is no model named" in one.app.error[0].value
    assert "use_digits_cnn" in [button.key for button in one.app.button], "the shelf is there to choose from"


def test_an_unknown_upload_asks_for_the_file_again(tab):
    one = tab("prune", upload="0123456789abcdef0123")
    assert "upload it again" in one.app.error[0].value


def test_settings_survive_switching_pages(tab):
    one = tab("prune")
    one.set("pick_mode", "structured").set("pick_sparsity", 40.0).set("pick_criterion", "l2")
    before = one.metric("Parameters").value
    wanted = {"mode": "structured", "sparsity": "40", "criterion": "l2"}
    for page in ("layers", "latency", "start", "prune"):
        one.go(page)
        assert one.address == wanted
    assert one.metric("Parameters").value == before


def test_the_same_address_gives_the_same_picture_to_somebody_else(tab):
    one = tab("prune")
    one.set("pick_sparsity", 83.5).set("pick_scope", "uniform")
    other = tab("prune", **one.address)
    assert [m.value for m in other.app.metric] == [m.value for m in one.app.metric]
    assert other.app.dataframe[0].value.equals(one.app.dataframe[0].value)


def test_two_people_do_not_see_each_others_settings(tab):
    one, other = tab("prune"), tab("prune", model="digits_mlp")
    one.set("pick_sparsity", 90.0)
    other.set("pick_mode", "structured")
    one.app.run()
    other.app.run()
    assert one.address == {"sparsity": "90"}
    assert other.address == {"model": "digits_mlp", "mode": "structured"}


def test_a_mode_remembers_its_layers(tab):
    one = tab("prune", layers="0-1")
    one.set("pick_mode", "structured")
    assert "layers" not in one.address
    one.set("pick_mode", "unstructured")
    assert one.address == {"layers": "0-1"}


def test_switching_the_mode_keeps_what_fits_and_falls_back_where_it_does_not(tab):
    one = tab("prune", criterion="wanda", scope="erk", cap_all="90", seed="4", sparsity="60")
    one.set("pick_mode", "nm")
    assert one.address == {"mode": "nm", "criterion": "wanda", "seed": "4", "sparsity": "60"}
    one.set("pick_pattern", "1:4")
    one.set("pick_mode", "structured")
    assert one.address == {"mode": "structured", "seed": "4", "sparsity": "60"}
    assert "Wanda does not go with Structured" in one.app.warning[0].value
    one.set("pick_criterion", "taylor")
    one.set("pick_target", "macs")
    assert not any("does not go" in warning.value for warning in one.app.warning)
    one.set("pick_mode", "unstructured")
    assert one.address == {"criterion": "taylor", "cap_all": "90", "seed": "4", "sparsity": "60"}
    one.set("pick_mode", "structured")
    assert one.address["target"] == "macs", "each mode remembers its own"
    one.set("pick_mode", "nm")
    assert one.address["pattern"] == "1:4"
    one.set("pick_mode", "unstructured")
    assert "scope" not in one.address, "the scope that a pattern forces is not carried over"
