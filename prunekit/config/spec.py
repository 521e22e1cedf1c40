"""`PruneSpec`, the frozen description of one pruning setting, and `Recipe`, its file form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import yaml

from prunekit.config import validation as check
from prunekit.config.choices import CRITERIA, MODES, NEEDS_DATA, ROUNDS, SCOPES, TARGETS, UNITS, check_choices, default_scope
from prunekit.config.recovery import Recovery
from prunekit.errors import SpecError, one_of

__all__ = ["CRITERIA", "MODES", "NEEDS_DATA", "RECIPE_VERSION", "ROUNDS", "SCOPES", "TARGETS", "UNITS", "PruneSpec", "Recipe"]

RECIPE_VERSION = 1


@dataclass(frozen=True)
class PruneSpec:
    """One pruning setting. Small, frozen and hashable: it serves as a cache key and as a recipe.

    Parameters
    ----------
    mode : {"unstructured", "nm", "structured"}
        Zero single weights, keep N of every M of them, or physically remove channels and neurons.
    sparsity : float, optional
        Share to remove, 0 <= s < 1: of the weights in the chosen layers (unstructured), or of what ``target`` counts (structured).
        Defaults to 0.5 where neither threshold nor depth is given, to 0 beside a depth; in mode "nm" the pattern sets it. What whole
        blocks take along counts.
    threshold : float, optional
        Absolute score, at least 0, instead of a sparsity: whatever scores below it is removed. Its unit is the criterion's: for
        weights as its formula says (``|w|`` for l1, ``w ** 2`` for l2); for channels relative to the mean of the layer (1 is an average
        channel).
    criterion : str
        How importance is scored: weights by l1, l2, random, lamp, taylor, snip or wanda; channels by l1, l2, random, taylor, bn_scale
        or fpgm.
    scope : {"global", "uniform", "erk"}, optional
        Rank all chosen layers together (the default), take the same share of each, or share out by the layers' shapes
        (Erdos-Renyi kernel). Mode "nm" is uniform.
    layers : sequence of str, optional
        Layers to prune. None takes the default choice of the mode.
    overrides : mapping of str to float
        Fixed sparsity for single layers; the other layers make up the total.
    seed : int
        Seed of whatever is random.
    pattern : str, optional
        ``"N:M"`` for mode "nm": N of every M consecutive weights along the input dimension stay. Defaults to 2:4.
    target : {"channels", "params", "macs"}, optional
        What the sparsity of mode "structured" counts: removable channels of the chosen layers (the default), or parameters or
        MACs of the whole model.
    caps : mapping of str to float
        Largest share that may go from single layers. A residual block that holds one with a cap below 1 does not go as a whole.
    cap_all : float, optional
        Largest share that may go from any layer. It means layers that stay: whole blocks go whatever it says.
    round_to : {1, 4, 8, 16}
        Mode "structured": what stays of every layer that shrinks is a multiple of this many channels.
    samples : int
        How many training images the criteria that need data look at.
    units : sequence of {"channels", "heads", "head dimensions"}, optional
        Mode "structured": which kinds of units may go. None: all of them.
    depth : float, optional
        Mode "structured": share, 0 to 1, of the removable residual blocks that go as a whole, those of the lowest score first. Blocks
        that hold a layer with a cap of its own do not count. Defaults to 0, and to 1 where ``blocks`` names some.
    blocks : sequence of str, optional
        Mode "structured": the residual blocks that may go, by module name. None: all whose shapes allow it.

    Raises
    ------
    SpecError
        If a field is not valid, or two of them do not go together; the message names the field and what is allowed.

    Examples
    --------
    >>> PruneSpec(sparsity=0.9).at(0.8).sparsity
    0.8
    >>> PruneSpec(mode="nm", pattern="1:4").sparsity
    0.75
    """

    mode: str = "unstructured"
    sparsity: float | None = None
    threshold: float | None = None
    criterion: str = "l1"
    scope: str = ""
    layers: tuple[str, ...] | None = None
    overrides: check.Shares = ()
    seed: int = 0
    pattern: str | None = None
    target: str | None = None
    caps: check.Shares = ()
    cap_all: float | None = None
    round_to: int = 1
    samples: int = 512
    units: tuple[str, ...] | None = None
    depth: float | None = None
    blocks: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        one_of("mode", self.mode, MODES)
        self._put(scope=self.scope or default_scope(self.mode))
        check_choices(self.mode, self.criterion, self.scope)
        self._put(layers=check.layers(self.layers), overrides=check.shares("overrides", self.overrides, check.fraction))
        self._put(caps=check.shares("caps", self.caps, check.cap))
        if self.cap_all is not None:
            self._put(cap_all=check.cap("cap_all", self.cap_all))
        check.whole("seed", self.seed, 0)
        check.whole("samples", self.samples, 1)
        self._check_structured()
        if self.mode == "nm":
            self._check_pattern()
        elif self.pattern is not None:
            raise SpecError(f"pattern belongs to mode 'nm', not to mode {self.mode!r}: set the mode, or leave the pattern out")
        else:
            self._check_amount()
        for name, share in self.overrides:
            if share > self.cap(name):
                raise SpecError(
                    f"overrides ask for {share:g} of {name}, and its cap is {self.cap(name):g}: raise the cap or lower the override"
                )

    def _put(self, **values: object) -> None:
        """Set fields: the dataclass is frozen for everyone else."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_structured(self) -> None:
        """Check what belongs to structured pruning."""
        if isinstance(self.round_to, bool) or self.round_to not in ROUNDS:
            raise SpecError(f"round_to must be one of {', '.join(map(str, ROUNDS))}; got {self.round_to!r}")
        self._put(units=check.units(self.units), blocks=check.names("blocks", "block", self.blocks))
        depth = check.cap("depth", (0.0 if self.blocks is None else 1.0) if self.depth is None else self.depth)
        if self.mode == "structured":
            if self.blocks is not None and not depth:
                raise SpecError("blocks says which blocks may go, and a depth of 0 lets none go: raise the depth, or leave blocks out")
            self._put(target="channels" if self.target is None else self.target, depth=depth)
            one_of("target", self.target, TARGETS)
            return
        given = {"target": self.target is not None, "round_to": self.round_to != 1, "units": self.units is not None}
        given |= {"blocks": self.blocks is not None, "depth": depth > 0}
        self._put(depth=depth)
        for name in (name for name, present in given.items() if present):
            raise SpecError(f"{name} belongs to mode 'structured', not to mode {self.mode!r}: set the mode, or leave {name} out")

    def _check_pattern(self) -> None:
        """Check what goes with a pattern: it says how much goes from every layer."""
        n, m = check.pattern("2:4" if self.pattern is None else self.pattern)
        share = 1 - n / m
        if self.sparsity is not None and abs(check.fraction("sparsity", self.sparsity) - share) > 1e-6:
            raise SpecError(f"sparsity {self.sparsity:g} contradicts the pattern {n}:{m}, which removes {share:g}: leave the sparsity out")
        given = {
            "threshold": self.threshold is not None,
            "overrides": self.overrides,
            "caps": self.caps,
            "cap_all": self.cap_all is not None,
        }
        for name in (name for name, present in given.items() if present):
            raise SpecError(f"{name} does not go with mode 'nm': the pattern sets the share of every layer. Leave {name} out")
        self._put(pattern=f"{n}:{m}", sparsity=share)

    def _check_amount(self) -> None:
        """Check sparsity and threshold."""
        if self.threshold is None:
            usual = 0.0 if self.depth else 0.5
            self._put(sparsity=check.fraction("sparsity", usual if self.sparsity is None else self.sparsity))
            return
        if self.sparsity is not None:
            raise SpecError("give either sparsity or threshold, not both")
        if self.scope == "erk":
            raise SpecError("scope 'erk' shares out a sparsity: give a sparsity instead of a threshold, or another scope")
        if self.target in ("params", "macs"):
            raise SpecError(f"target {self.target!r} counts a sparsity: give a sparsity instead of a threshold, or leave the target out")
        threshold = check.number("threshold", self.threshold)
        if threshold < 0:
            raise SpecError(f"threshold must be at least 0; got {self.threshold!r}")
        self._put(threshold=threshold)

    def cap(self, layer: str) -> float:
        """Return the largest share that may go from a layer, 0 to 1."""
        return min(dict(self.caps).get(layer, 1.0), 1.0 if self.cap_all is None else self.cap_all)

    @property
    def capped(self) -> bool:
        """Whether any layer has a cap."""
        return bool(self.caps) or self.cap_all is not None

    def at(self, sparsity: float) -> PruneSpec:
        """Return the same setting at another sparsity (a threshold is dropped)."""
        return replace(self, sparsity=sparsity, threshold=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML and JSON, every field present."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("layers", "units", "blocks"):
            values[name] = None if values[name] is None else list(values[name])
        values["overrides"], values["caps"] = dict(self.overrides), dict(self.caps)
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
        check.known_keys("prune", values, known)
        return cls(**values)


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
