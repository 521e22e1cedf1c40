"""`Recipe`: a pruning setting with its model, data and recovery, as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from prunekit.config import fields as check
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError

RECIPE_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """What made a model: the versioned file form of model, data, pruning and recovery.

    Parameters
    ----------
    model, data : mapping or None
        Plain fields of the model's and the data's identity.
    prune : PruneSpec
        The setting.
    recover : mapping or None
        Plain fields of a :class:`prunekit.config.recovery.Recovery`; None where nothing was done after pruning.
    input_shape : tuple of int, optional
        Of one sample: what the model was pruned and counted for. A recipe of an earlier version does not say.

    Raises
    ------
    SpecError
        If ``recover`` is not a valid recovery, or ``input_shape`` no shape.
    """

    model: Mapping[str, Any] | None
    data: Mapping[str, Any] | None
    prune: PruneSpec
    recover: Mapping[str, Any] | None = None
    input_shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the shape and the recovery, and give them their one canonical form: every field, or None where nothing is done."""
        if self.input_shape is not None:
            object.__setattr__(self, "input_shape", check.shape("input_shape", self.input_shape))
        recovery = Recovery() if self.recover is None else Recovery.from_dict(self.recover)
        object.__setattr__(self, "recover", recovery.to_dict() if recovery.active else None)

    @property
    def recovery(self) -> Recovery:
        """What was done after pruning."""
        return Recovery() if self.recover is None else Recovery.from_dict(self.recover)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, the version first."""
        plain = {k: None if v is None else dict(v) for k, v in (("model", self.model), ("data", self.data))}
        recover = None if self.recover is None else dict(self.recover)
        found = {"version": RECIPE_VERSION, **plain, "prune": self.prune.to_dict(), "recover": recover}
        return found if self.input_shape is None else {**found, "input_shape": list(self.input_shape)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Build a recipe from plain values; unknown keys and other versions are refused."""
        check.known_keys("recipe", values, ["version", "model", "data", "prune", "recover", "input_shape"])
        if values.get("version") != RECIPE_VERSION:
            raise SpecError(f"recipe version must be {RECIPE_VERSION}; got {values.get('version')!r}. Write it with this prunekit")
        if "prune" not in values:
            raise SpecError("recipe has no 'prune' part: add the setting to it")
        for part in ("model", "data", "recover"):
            if values.get(part) is not None and not isinstance(values[part], Mapping):
                raise SpecError(f"recipe part '{part}' must be a mapping or null; got {type(values[part]).__name__}")
        prune = PruneSpec.from_dict(values["prune"])
        return cls(values.get("model"), values.get("data"), prune, values.get("recover"), values.get("input_shape"))

    def to_yaml(self) -> str:
        """Return the recipe as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    def to_json(self) -> str:
        """Return the recipe as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_yaml(cls, text: str) -> Recipe:
        """Read a recipe from YAML (JSON is YAML too)."""
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SpecError(f"the recipe is not valid YAML: {' '.join(str(error).split())}") from None
        return cls.from_dict(values)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe from JSON."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise SpecError(f"the recipe is not valid JSON: {error}") from None
        return cls.from_dict(values)
