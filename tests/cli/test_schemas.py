"""The published schemas are those that the code declares; recipes and archives are as theirs say. Answers of commands are held against
them wherever a test asks for any (`tests/conftest.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from prunekit.cli import build_parser
from prunekit.cli.schemas import DOCUMENTS, schema
from prunekit.cli.schemas.__main__ import text
from prunekit.config.recipe import Recipe
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.experiments.archive.manifest import Manifest
from tests import schemas

PUBLISHED = Path(__file__).parents[2] / "docs" / "schemas"


def test_what_is_published_is_what_the_code_declares():
    assert {path.stem for path in PUBLISHED.glob("*.json")} == set(DOCUMENTS)
    old = [name for name in DOCUMENTS if (PUBLISHED / f"{name}.json").read_text(encoding="utf-8") != text(name)]
    assert not old, f"run python -m prunekit.cli.schemas docs/schemas: {old} changed"
    for name in DOCUMENTS:
        Draft202012Validator.check_schema(schema(name))


def test_every_command_with_json_has_a_schema():
    (commands,) = (action for action in build_parser()._actions if action.choices and "prune" in action.choices)
    assert {name for name, parser in commands.choices.items() if "--json" in parser.format_help()} <= set(DOCUMENTS)


def test_recipes():
    spec = PruneSpec(mode="structured", sparsity=0.5, layers=("a",), overrides={"a": 0.25})
    whole = Recipe({"name": "digits_cnn"}, {"name": "digits", "classes": ["a"]}, spec, Recovery(epochs=2).to_dict(), (3, 8, 8))
    for recipe in (whole, Recipe(None, None, PruneSpec(mode="structured", indices={"c": [0, 5]}))):
        schemas.valid("recipe", yaml.safe_load(recipe.to_yaml()))
    for wrong in ({"sparsity": 1.0}, {"mode": "other"}, {"no_such": 1}, {"layers": "a"}, {"round_to": 0.5}):
        told = whole.to_dict()
        with pytest.raises(AssertionError):
            schemas.valid("recipe", {**told, "prune": {**told["prune"], **wrong}})


def test_manifests_and_a_key_that_nobody_described():
    digest = "ab" * 32
    made = Manifest(digest, "pruned", "x", digest, "", "digits_cnn", "", (1, 8, 8), {"model.safetensors": (digest, 3)})
    schemas.valid("archive-manifest", yaml.safe_load(made.to_json()))
    with pytest.raises(AssertionError, match="more"):
        schemas.valid("archive-manifest", {**yaml.safe_load(made.to_json()), "more": 1})
    later = Draft202012Validator(schema("archive-manifest"))
    assert later.is_valid({**yaml.safe_load(made.to_json()), "more": 1})  # what reads a later version's file goes on
