"""PruneSpec and Recipe: what is refused, and that files say what was set."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import SpecError
from prunekit.spec import CRITERIA, MODES, SCOPES, PruneSpec, Recipe

names = st.text("abcdefgh.0123", min_size=1, max_size=12)
fractions = st.floats(0, 1, exclude_max=True, allow_nan=False)


@st.composite
def specs(draw):
    cut = draw(st.sampled_from(["sparsity", "threshold", "neither"]))
    chosen = {"sparsity": {"sparsity": draw(fractions)}, "threshold": {"threshold": draw(st.floats(0, 1e6))}, "neither": {}}[cut]
    layers = draw(st.none() | st.lists(names, min_size=1, max_size=5))
    return PruneSpec(
        mode=draw(st.sampled_from(MODES)),
        criterion=draw(st.sampled_from(CRITERIA)),
        scope=draw(st.sampled_from(SCOPES)),
        layers=layers,
        overrides=draw(st.dictionaries(names, fractions, max_size=4)),
        seed=draw(st.integers(0, 2**63 - 1)),
        **chosen,
    )


@given(specs())
def test_a_spec_survives_every_file_form(spec):
    assert PruneSpec.from_dict(spec.to_dict()) == spec
    recipe = Recipe({"name": "digits_cnn", "weights": None}, {"name": "digits"}, spec)
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert hash(PruneSpec.from_dict(spec.to_dict())) == hash(spec)


@given(specs(), fractions)
def test_at_changes_only_the_cut(spec, sparsity):
    moved = spec.at(sparsity)
    assert moved.sparsity == sparsity and moved.threshold is None
    assert {**moved.to_dict(), "sparsity": 0, "threshold": 0} == {**spec.to_dict(), "sparsity": 0, "threshold": 0}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "blocks"),
        ("criterion", "l3"),
        ("scope", "local"),
        ("sparsity", 1),
        ("sparsity", 1.5),
        ("sparsity", -0.1),
        ("sparsity", math.nan),
        ("sparsity", "half"),
        ("sparsity", True),
        ("sparsity", 10**400),
        ("layers", [["conv1"]]),
        ("threshold", -1),
        ("threshold", math.inf),
        ("layers", ()),
        ("layers", "conv1"),
        ("layers", (3,)),
        ("overrides", {"conv1": 1.0}),
        ("overrides", {"": 0.5}),
        ("overrides", 3),
        ("overrides", [("conv1", 0.1), ("conv1", 0.2)]),
        ("seed", -1),
        ("seed", 0.5),
    ],
)
def test_an_error_names_the_field(field, value):
    with pytest.raises(SpecError, match=field):
        PruneSpec(**{field: value})


def test_both_cuts_at_once_are_refused():
    with pytest.raises(SpecError, match="not both"):
        PruneSpec(sparsity=0.5, threshold=0.1)


def test_neither_cut_means_half():
    assert PruneSpec().sparsity == 0.5
    assert PruneSpec(threshold=0.1).sparsity is None


def test_the_order_of_overrides_does_not_matter():
    assert PruneSpec(overrides={"a": 0.1, "b": 0.2}) == PruneSpec(overrides=[("b", 0.2), ("a", 0.1)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\nprune: {mode: unstructured, magic: 3}", "unknown keys: magic"),
        ("version: 1\nprune: {}\nextra: 1", "unknown keys: extra"),
        ("version: 2\nprune: {}", "version"),
        ("prune: {}", "version"),
        ("version: 1", "prune"),
        ("version: 1\nprune: 3", "mapping"),
        ("version: 1\nprune: {}\nmodel: digits", "model"),
        ("- 1", "mapping"),
        ("a: [1", "YAML"),
        ("!!python/object/apply:os.system ['true']", "YAML"),
    ],
)
def test_a_bad_recipe_is_refused_with_its_reason(text, said):
    with pytest.raises(SpecError, match=said):
        Recipe.from_yaml(text)


def test_numbers_of_numpy_are_numbers():
    assert PruneSpec(sparsity=np.float32(0.5)) == PruneSpec(sparsity=0.5)
