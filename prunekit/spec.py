"""`PruneSpec`, the frozen description of one pruning setting, and `Recipe`, its file form."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, cast

import yaml

from prunekit.errors import SpecError, one_of

RECIPE_VERSION = 1
MODES = ("unstructured", "structured")
SCOPES = ("global", "uniform")
CRITERIA = ("l1", "l2", "random")

Overrides = tuple[tuple[str, float], ...]


def _number(field: str, value: object) -> float:
    """Return ``value`` as a finite float or say which field is wrong."""
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SpecError(f"{field} must be a finite number; got {value!r}")
    return number


def _fraction(field: str, value: object) -> float:
    """Return ``value`` as a fraction in [0, 1)."""
    number = _number(field, value)
    if not 0 <= number < 1:
        raise SpecError(f"{field} must be at least 0 and below 1 (the share that is removed); got {value!r}")
    return number


def _overrides(value: object) -> Overrides:
    """Return overrides as sorted pairs; a mapping or pairs are accepted."""
    try:
        pairs = list(value.items()) if isinstance(value, Mapping) else [(n, s) for n, s in cast(Any, value)]
    except (TypeError, ValueError):
        raise SpecError(f"overrides must map layer names to sparsities, as in {{'conv1': 0.3}}; got {value!r}") from None
    for name, _ in pairs:
        if not isinstance(name, str) or not name:
            raise SpecError(f"overrides must be keyed by layer name; got {name!r}")
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"overrides name {', '.join(twice)} more than once; give each layer one sparsity")
    return tuple(sorted((name, _fraction(f"overrides[{name}]", s)) for name, s in pairs))


def _layers(value: object) -> tuple[str, ...] | None:
    """Return layer names as a tuple without repeats, or None for the default choice."""
    if value is None:
        return None
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise SpecError(f"layers must be a list of layer names, or left out for the default choice; got {value!r}")
    given = list(cast(Any, value))
    for name in given:
        if not isinstance(name, str) or not name:
            raise SpecError(f"layers must hold layer names; got {name!r}")
    names = tuple(dict.fromkeys(given))
    if not names:
        raise SpecError("layers is empty: name at least one layer, or leave it out for the default choice")
    return names


@dataclass(frozen=True)
class PruneSpec:
    """One pruning setting. Small, frozen and hashable: it serves as a cache key and as a recipe.

    Parameters
    ----------
    mode : {"unstructured", "structured"}
        Zero single weights, or physically remove channels and neurons.
    sparsity : float, optional
        Share to remove, 0 <= s < 1: of the weights in the chosen layers (unstructured), or of their removable channels
        (structured). Defaults to 0.5 where no threshold is given.
    threshold : float, optional
        Absolute score, at least 0, instead of a sparsity: whatever scores below it is removed. Its unit is the criterion's: for
        weights ``|w|`` (l1) or ``w ** 2`` (l2); for channels the norm relative to the mean norm of the group (1 is an average channel).
    criterion : {"l1", "l2", "random"}
        How importance is scored.
    scope : {"global", "uniform"}
        Rank all chosen layers together, or take the same share of each.
    layers : sequence of str, optional
        Layers to prune. None takes the default choice of the mode.
    overrides : mapping of str to float
        Fixed sparsity for single layers; the other layers make up the total.
    seed : int
        Seed of whatever is random.

    Raises
    ------
    SpecError
        If a field is not valid; the message names the field and what is allowed.

    Examples
    --------
    >>> PruneSpec(sparsity=0.9).at(0.8).sparsity
    0.8
    """

    mode: str = "unstructured"
    sparsity: float | None = None
    threshold: float | None = None
    criterion: str = "l1"
    scope: str = "global"
    layers: tuple[str, ...] | None = None
    overrides: Overrides = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        one_of("mode", self.mode, MODES)
        one_of("criterion", self.criterion, CRITERIA)
        one_of("scope", self.scope, SCOPES)
        put = object.__setattr__  # the dataclass is frozen for everyone else
        if self.threshold is not None:
            if self.sparsity is not None:
                raise SpecError("give either sparsity or threshold, not both")
            threshold = _number("threshold", self.threshold)
            if threshold < 0:
                raise SpecError(f"threshold must be at least 0; got {self.threshold!r}")
            put(self, "threshold", threshold)
        else:
            put(self, "sparsity", _fraction("sparsity", 0.5 if self.sparsity is None else self.sparsity))
        put(self, "layers", _layers(self.layers))
        put(self, "overrides", _overrides(self.overrides))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise SpecError(f"seed must be an integer of at least 0; got {self.seed!r}")

    def at(self, sparsity: float) -> PruneSpec:
        """Return the same setting at another sparsity (a threshold is dropped)."""
        return replace(self, sparsity=sparsity, threshold=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML and JSON, every field present."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["layers"] = None if self.layers is None else list(self.layers)
        values["overrides"] = dict(self.overrides)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PruneSpec:
        """Build a setting from plain values; unknown keys are refused.

        Raises
        ------
        SpecError
            If ``values`` is not a mapping, has unknown keys, or a value is not valid.
        """
        known = [f.name for f in fields(cls)]
        _refuse_unknown("prune", values, known)
        return cls(**values)


def _refuse_unknown(what: str, values: object, known: list[str]) -> None:
    """Raise unless ``values`` is a mapping with known keys only."""
    if not isinstance(values, Mapping):
        raise SpecError(f"{what} must be a mapping with the keys {', '.join(known)}; got {type(values).__name__}")
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise SpecError(f"{what} has unknown keys: {', '.join(unknown)}; known are {', '.join(known)}")


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
        Reserved for recovery steps; None today.
    """

    model: Mapping[str, Any] | None
    data: Mapping[str, Any] | None
    prune: PruneSpec
    recover: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, the version first."""
        plain = {k: None if v is None else dict(v) for k, v in (("model", self.model), ("data", self.data))}
        return {"version": RECIPE_VERSION, **plain, "prune": self.prune.to_dict(), "recover": self.recover}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Build a recipe from plain values; unknown keys and other versions are refused."""
        _refuse_unknown("recipe", values, ["version", "model", "data", "prune", "recover"])
        if values.get("version") != RECIPE_VERSION:
            raise SpecError(f"recipe version must be {RECIPE_VERSION}; got {values.get('version')!r}. Write it with this prunekit")
        if "prune" not in values:
            raise SpecError("recipe has no 'prune' part: add the setting to it")
        for part in ("model", "data", "recover"):
            if values.get(part) is not None and not isinstance(values[part], Mapping):
                raise SpecError(f"recipe part '{part}' must be a mapping or null; got {type(values[part]).__name__}")
        prune = PruneSpec.from_dict(values["prune"])
        return cls(values.get("model"), values.get("data"), prune, values.get("recover"))

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
