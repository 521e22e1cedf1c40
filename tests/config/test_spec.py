"""PruneSpec and Recipe: what is refused, and that files say what was set."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.config.choices import (
    CHANNEL_CRITERIA,
    CRITERIA,
    MODES,
    NORMALISERS,
    REDUCTIONS,
    SCOPES,
    TARGETS,
    UNITS,
    WEIGHT_CRITERIA,
    WITH_READERS,
    criteria_of,
    refusal,
    scopes_of,
)
from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from tests.tables import case

names = st.text("abcdefgh.0123", min_size=1, max_size=12)
fractions = st.floats(0, 1, exclude_max=True, allow_nan=False)


@st.composite
def specs(draw):
    mode = draw(st.sampled_from(MODES))
    fields = {"mode": mode, "criterion": draw(st.sampled_from(criteria_of(mode))), "scope": draw(st.sampled_from(scopes_of(mode)))}
    if mode == "nm":
        m = draw(st.integers(2, 16))
        fields["pattern"] = f"{draw(st.integers(1, m - 1))}:{m}"
    else:
        cut = draw(st.sampled_from(["sparsity", "neither"] + ["threshold"] * (fields["scope"] not in ("erk", "row"))))
        fields |= {"sparsity": {"sparsity": draw(fractions)}, "threshold": {"threshold": draw(st.floats(0, 1e6))}, "neither": {}}[cut]
        fields["caps"] = draw(st.dictionaries(names, st.floats(0.5, 1), max_size=3))
        fields["cap_all"] = draw(st.none() | st.floats(0.5, 1))
        fields["overrides"] = draw(st.dictionaries(names, st.floats(0, 0.5), max_size=4))
        if mode == "structured":
            fields["target"] = draw(st.sampled_from(TARGETS if cut != "threshold" else ["channels"]))
            fields["round_to"] = draw(st.integers(1, 64))
            fields["consumers"] = fields["criterion"] in WITH_READERS and draw(st.booleans())
            fields["reduction"] = draw(st.sampled_from(REDUCTIONS))
            fields["normaliser"] = draw(st.sampled_from(NORMALISERS if fields["reduction"] != "prod" else ["none", "mean"]))
            fields["units"] = draw(st.none() | st.lists(st.sampled_from(UNITS), min_size=1))
            fields["depth"] = draw(st.none() | st.floats(0, 1))
            fields["blocks"] = draw(st.none() | st.lists(names, min_size=1, max_size=3)) if fields["depth"] != 0 else None
    layers = draw(st.none() | st.lists(names, min_size=1, max_size=5))
    return PruneSpec(**fields, layers=layers, seed=draw(st.integers(0, 2**63 - 1)), samples=draw(st.integers(1, 10**6)))


@given(specs())
def test_a_spec_survives_every_file_form(spec):
    assert PruneSpec.from_dict(spec.to_dict()) == spec
    recipe = Recipe({"name": "digits_cnn", "weights": None}, {"name": "digits"}, spec)
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert hash(PruneSpec.from_dict(spec.to_dict())) == hash(spec)


@given(specs(), fractions)
def test_at_changes_only_the_cut(spec, sparsity):
    if spec.mode == "nm" and abs(sparsity - spec.sparsity) > 1e-6:
        with pytest.raises(SpecError, match="contradicts the pattern"):
            spec.at(sparsity)
        return
    moved = spec.at(sparsity)
    assert moved.sparsity == pytest.approx(sparsity, abs=1e-6) and moved.threshold is None
    assert {**moved.to_dict(), "sparsity": 0, "threshold": 0} == {**spec.to_dict(), "sparsity": 0, "threshold": 0}


def test_an_error_names_the_field():
    for field, value in [
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
    ]:
        with case(field, value), pytest.raises(SpecError, match=field):
            PruneSpec(**{field: value})


def test_both_cuts_at_once_are_refused():
    with pytest.raises(SpecError, match="not both"):
        PruneSpec(sparsity=0.5, threshold=0.1)


def test_neither_cut_means_half():
    assert PruneSpec().sparsity == 0.5
    assert PruneSpec(threshold=0.1).sparsity is None


def test_the_order_of_overrides_does_not_matter():
    assert PruneSpec(overrides={"a": 0.1, "b": 0.2}) == PruneSpec(overrides=[("b", 0.2), ("a", 0.1)])


def test_a_bad_recipe_is_refused_with_its_reason():
    for text, said in [
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
    ]:
        with case(text, said), pytest.raises(SpecError, match=said):
            Recipe.from_yaml(text)


def test_numbers_of_numpy_are_numbers():
    assert PruneSpec(sparsity=np.float32(0.5)) == PruneSpec(sparsity=0.5)


def test_every_combination_of_mode_criterion_and_scope_is_taken_or_refused_with_its_reason():
    taken = 0
    for mode in MODES:
        for criterion in CRITERIA:
            for scope in SCOPES:
                reason = refusal(mode, criterion, scope)
                offered = criterion in criteria_of(mode) and scope in scopes_of(mode)
                assert (reason is None) == offered  # what the screen offers is what the core takes
                if reason is None:
                    assert PruneSpec(mode=mode, criterion=criterion, scope=scope).scope == scope
                    taken += 1
                    continue
                with pytest.raises(SpecError) as told:
                    PruneSpec(mode=mode, criterion=criterion, scope=scope)
                assert str(told.value) == reason and ("Choose" in reason or "Leave" in reason)
    assert taken == len(WEIGHT_CRITERIA) * (4 + 1) + len(CHANNEL_CRITERIA) * 3


def test_what_does_not_go_together_is_refused_by_name():
    for fields, word in [
        ({"mode": "nm", "pattern": "4:2"}, "pattern"),
        ({"mode": "nm", "pattern": "2:2"}, "pattern"),
        ({"mode": "nm", "pattern": "0:4"}, "pattern"),
        ({"mode": "nm", "pattern": "two of four"}, "pattern"),
        ({"mode": "nm", "pattern": 2}, "pattern"),
        ({"mode": "nm", "sparsity": 0.7}, "contradicts"),
        ({"mode": "nm", "pattern": "1:4", "sparsity": 0.5}, "contradicts"),
        ({"mode": "nm", "threshold": 0.1}, "threshold"),
        ({"mode": "nm", "overrides": {"a": 0.1}}, "overrides"),
        ({"mode": "nm", "cap_all": 0.5}, "cap_all"),
        ({"mode": "nm", "scope": "global"}, "scope"),
        ({"pattern": "2:4"}, "mode 'nm'"),
        ({"target": "macs"}, "mode 'structured'"),
        ({"round_to": 8}, "mode 'structured'"),
        ({"mode": "structured", "round_to": 0}, "whole number of at least 1"),
        ({"mode": "structured", "round_to": True}, "whole number of at least 1"),
        ({"mode": "structured", "target": "weights"}, "channels, params, macs"),
        ({"mode": "structured", "target": "macs", "threshold": 0.5}, "target"),
        ({"scope": "erk", "threshold": 0.5}, "erk"),
        ({"cap_all": 1.5}, "cap_all"),
        ({"caps": {"a": -0.5}}, r"caps\[a\]"),
        ({"caps": {"a": 0.5}, "overrides": {"a": 0.6}}, "cap"),
        ({"cap_all": 0.5, "overrides": {"a": 0.6}}, "cap"),
        ({"samples": 0}, "samples"),
    ]:
        with case(fields, word), pytest.raises(SpecError, match=word):
            PruneSpec(**fields)


def test_a_pattern_says_how_much_goes():
    assert PruneSpec(mode="nm").pattern == "2:4" and PruneSpec(mode="nm").scope == "uniform"
    assert PruneSpec(mode="nm", pattern=" 1:4 ", sparsity=0.75) == PruneSpec(mode="nm", pattern="1:4")


def test_recipes_without_the_newer_keys_are_read_still():
    old = {
        "mode": "structured",
        "sparsity": 0.3,
        "threshold": None,
        "criterion": "l2",
        "scope": "uniform",
        "layers": None,
        "overrides": {},
        "seed": 1,
    }
    assert PruneSpec.from_dict(old) == PruneSpec(mode="structured", sparsity=0.3, criterion="l2", scope="uniform", seed=1)


def test_named_blocks_all_go_and_nothing_else_unless_a_share_is_asked_for_too():
    spec = PruneSpec(mode="structured", blocks=["layer1.1"])
    assert (spec.depth, spec.sparsity) == (1.0, 0.0)
    assert PruneSpec(mode="structured", blocks=["layer1.1"], sparsity=0.3).sparsity == 0.3
    assert PruneSpec(mode="structured").depth == 0 and PruneSpec(mode="structured").sparsity == 0.5


def test_all_kinds_of_units_in_any_order_are_the_default():
    assert PruneSpec(mode="structured", units=["heads", "experts", "head dimensions", "channels"]) == PruneSpec(mode="structured")
    assert PruneSpec(mode="structured", units=["head dimensions", "heads"]).units == ("heads", "head dimensions")


def test_what_is_wrong_about_blocks_and_units_is_said():
    for fields, said in [
        ({"mode": "structured", "depth": 1.5}, "depth must be from 0 to 1"),
        ({"mode": "structured", "depth": 0, "blocks": ["layer1.1"]}, "raise the depth"),
        ({"mode": "structured", "blocks": []}, "blocks is empty: name at least one block"),
        ({"mode": "structured", "units": ["rows"]}, "units must be one of"),
        ({"depth": 0.5}, "depth belongs to mode 'structured'"),
        ({"blocks": ["layer1.1"]}, "blocks belongs to mode 'structured'"),
        ({"units": ["heads"]}, "units belongs to mode 'structured'"),
    ]:
        with case(fields, said), pytest.raises(SpecError, match=said):
            PruneSpec(**fields)
