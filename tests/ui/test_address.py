"""Settings in the address: round trip, bad addresses, and people who do not see each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import SpecError
from prunekit.spec import CRITERIA, MODES, SCOPES
from prunekit.ui.address import decode, encode
from prunekit.ui.settings import Curve, Settings

places = st.lists(st.integers(0, 400), min_size=1, unique=True).map(lambda v: tuple(sorted(v)))
shares = st.integers(0, 9999).map(lambda v: v / 10000)
curves = st.builds(Curve, st.sampled_from(MODES), st.sampled_from(CRITERIA), st.sampled_from(SCOPES), st.booleans())
everything = st.builds(
    Settings,
    model=st.sampled_from(["digits_cnn", "torchvision/resnet18", "net.py:make"]),
    pretrained=st.booleans(),
    upload=st.sampled_from(["", "0123456789abcdef0123"]),
    data=st.sampled_from(["", "none", "mnist"]),
    limit=st.integers(0, 10_000),
    mode=st.sampled_from(MODES),
    sparsity=shares,
    criterion=st.sampled_from(CRITERIA),
    scope=st.sampled_from(SCOPES),
    layers=st.none() | places,
    overrides=st.dictionaries(st.integers(0, 400), shares).map(lambda d: tuple(sorted(d.items()))),
    seed=st.integers(0, 2**63 - 1),
    pick=st.just(()) | places,
    focus=st.integers(-1, 400),
    curves=st.lists(curves, max_size=8, unique=True).map(tuple),
    drop=shares,
    batch=st.integers(1, 256),
    threads=st.integers(1, 64),
    budget=st.integers(2, 120),
)


@given(everything)
def test_what_is_written_is_read_again(settings):
    again, problems = decode(encode(settings))
    assert again == settings
    assert problems == []


def test_only_what_differs_from_the_defaults_is_written():
    assert encode(Settings()) == {}
    assert encode(Settings(sparsity=0.7, layers=(1, 2, 3, 7))) == {"sparsity": "70", "layers": "1-3_7"}


@given(st.dictionaries(st.sampled_from([*Settings.__dataclass_fields__, "other"]), st.text(max_size=30)))
def test_no_address_whatever_raises(parameters):
    settings, problems = decode(parameters)
    assert isinstance(settings, Settings)
    assert all("`" in sentence for sentence in problems)
    assert encode(settings) is not None


BAD = {
    "sparsity": ["100", "150", "-5", "nan", "x", "1e1"],
    "mode": ["magic"],
    "criterion": ["taylor9"],
    "layers": ["", "a", "5-", "99999", "3-1"],
    "overrides": ["1", "1~100", "1~2_1~3", "~"],
    "seed": ["-1", "1.5", "9" * 30],
    "upload": ["../../etc/passwd", "xyz"],
    "model": ["a b", "<script>", "x" * 300],
    "curves": ["unstructured", "magic-l1-global", "unstructured-l1-global-x"],
    "batch": ["0", "257"],
    "nonsense": ["1"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_a_bad_value_is_named_and_the_default_taken(name, text):
    settings, problems = decode({name: text, "limit": "7"})
    assert settings == Settings(limit=7)
    assert len(problems) == 1
    assert name in problems[0]
    assert "<" not in problems[0]


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
