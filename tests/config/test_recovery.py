"""`Recovery`: what it accepts, what it refuses, and its plain form."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.config.field_table import OPTIMIZER, RATE
from prunekit.config.recipe import Recipe
from prunekit.config.recovery import SCHEDULES, Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError

floats = st.floats(0, 1e6, allow_nan=False)


@st.composite
def recoveries(draw):
    gradual = draw(st.sampled_from(SCHEDULES))
    steps = 1 if gradual == "one-shot" else draw(st.integers(2, 20))
    epochs = draw(st.integers(0 if gradual == "one-shot" else steps, 50))
    return Recovery(
        draw(st.booleans()),
        draw(st.integers(1, 10**6)),
        epochs,
        draw(st.sampled_from(tuple(OPTIMIZER.titles))),
        draw(floats),
        draw(st.sampled_from(tuple(RATE.titles))),
        draw(st.floats(0, 0.999)),
        draw(floats),
        draw(st.integers(2, 4096)),
        draw(st.booleans()),
        draw(st.floats(0, 1)) if epochs else 0.0,
        draw(st.floats(0.01, 100)),
        gradual,
        steps,
        draw(st.integers(0, 10**6)),
        draw(st.integers(0, 2**31)),
    )


@given(recoveries())
def test_plain_values_give_the_same_recovery_again_through_json(recovery):
    again = Recovery.from_dict(json.loads(json.dumps(recovery.to_dict())))
    assert again == recovery
    assert hash(again) == hash(recovery)


@given(recoveries())
def test_the_epochs_of_the_cuts_add_up_and_the_last_cut_has_the_most(recovery):
    shares = recovery.shares()
    assert len(shares) == recovery.steps
    assert sum(shares) == recovery.epochs
    assert max(shares) == shares[-1]
    assert recovery.epochs == 0 or min(shares) >= 1


@given(recoveries())
def test_a_recovery_has_a_title_exactly_when_it_does_something(recovery):
    assert bool(recovery.title()) == recovery.active


@given(recoveries())
def test_a_recipe_keeps_the_recovery_through_yaml(recovery):
    recipe = Recipe(None, None, PruneSpec(), recovery.to_dict())
    again = Recipe.from_yaml(recipe.to_yaml())
    assert again == recipe
    assert again.recovery == (recovery if recovery.active else Recovery())


def test_whole_numbers_and_floats_read_the_same():
    assert json.dumps(Recovery(epochs=1, lr=1, distill=1).to_dict()) == json.dumps(Recovery(epochs=1, lr=1.0, distill=1.0).to_dict())


@pytest.mark.parametrize(
    ("recovery", "title"),
    [
        (Recovery(), ""),
        (Recovery(recalibrate=True), "recalibrated"),
        (Recovery(epochs=1), "fine-tuned 1 epoch"),
        (Recovery(epochs=5), "fine-tuned 5 epochs"),
        (Recovery(epochs=10, schedule="agp", steps=5), "AGP, 10 epochs"),
        (Recovery(recalibrate=True, epochs=4, schedule="linear", steps=4, distill=0.5), "recalibrated, linear, 4 epochs, distilled"),
    ],
)
def test_the_title_says_what_is_done_in_a_few_words(recovery, title):
    assert recovery.title() == title


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epochs": -1}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"recalibrate": 1}, "recalibrate"),
        ({"augment": "no"}, "augment"),
        ({"images": 0}, "images"),
        ({"batch_size": 1}, "batch_size"),
        ({"lr": -0.1}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": "0.1"}, "lr"),
        ({"momentum": 1}, "momentum"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"distill": 1.1, "epochs": 1}, "distill"),
        ({"temperature": 0}, "temperature"),
        ({"optimizer": "lion"}, "sgd, adam"),
        ({"rate": "step"}, "cosine, rewind, constant"),
        ({"schedule": "cubic"}, "one-shot, iterative, agp, linear"),
        ({"train_images": -1}, "train_images"),
        ({"seed": -1}, "seed"),
        ({"steps": 3}, "choose a schedule"),
        ({"schedule": "agp"}, "steps to at least 2"),
        ({"schedule": "agp", "steps": 4, "epochs": 3}, "epochs to at least 4"),
        ({"distill": 0.5}, "epochs to at least 1"),
        ({"tempo": 1}, "unknown keys: tempo"),
    ],
)
def test_what_is_wrong_is_refused_with_the_field_and_what_to_do(values, words):
    with pytest.raises(SpecError, match=words):
        Recovery.from_dict(values)


def test_something_that_is_no_mapping_is_refused():
    with pytest.raises(SpecError, match="must be a mapping"):
        Recovery.from_dict([1])


def test_a_changed_copy_is_checked_again():
    with pytest.raises(SpecError, match="epochs"):
        replace(Recovery(epochs=4, schedule="agp", steps=4), epochs=2)


def test_a_recipe_refuses_a_recovery_that_is_not_valid():
    with pytest.raises(SpecError, match="unknown keys: epoch"):
        Recipe.from_dict({"version": 1, "prune": {}, "recover": {"epoch": 3}})


def test_a_recipe_says_nothing_of_a_recovery_that_does_nothing():
    assert Recipe(None, None, PruneSpec(), Recovery().to_dict()).recover is None


def test_a_recipe_fills_in_what_a_recovery_leaves_out():
    assert Recipe(None, None, PruneSpec(), {"epochs": 2}).recover == Recovery(epochs=2).to_dict()
