"""`PruneSpec`, the frozen description of one pruning setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from prunekit.config import fields as check
from prunekit.config.choices import NEEDS_DATA, WITH_READERS, default_scope, refusal
from prunekit.config.field_table import PruneFields
from prunekit.config.fields import check_fields, documented, table
from prunekit.errors import SpecError, named

BLOCKS, DEPTH, SPARSITY, THRESHOLD = map(named, ("blocks", "depth", "sparsity", "threshold"))


@documented
@dataclass(frozen=True)
class PruneSpec(PruneFields[str]):
    """One pruning setting. Small, frozen and hashable: it serves as a cache key and as a recipe.

    Mappings and lists are taken for ``overrides``, ``caps``, ``layers``, ``units`` and ``blocks``. A sparsity is a share of the weights in
    the chosen layers (unstructured), or of what ``target`` counts (structured); it is 0.5 where nothing says how much goes.

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

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        self._put(scope=self.scope or default_scope(self.mode))
        check_fields(self)
        reason = refusal(self.mode, self.criterion, self.scope)
        if reason:
            raise SpecError(reason)
        if self.depth is None:
            self._put(depth=0.0 if self.blocks is None or self.remove_layers or self.mode != "structured" else 1.0)
        self._check_mode()
        if self.mode == "nm":
            self._check_pattern()
        else:
            self._check_amount()
        if self.soft and self.cuts_rows:
            raise SpecError(f"{named('soft')} keeps the shape of everything, and {named('rows')} do not: leave one of them out")
        if self.remove_layers and self.depth:
            raise SpecError(
                f"{named('remove_layers')} and {DEPTH} both say how many blocks go, one by influence and one by the criterion: give either"
            )
        if self.blocks is not None and not self.depth and not self.remove_layers:
            raise SpecError(f"{BLOCKS} says which blocks may go, and a {DEPTH} of 0 lets none go: raise the {DEPTH}, or leave {BLOCKS} out")
        for name, share in self.overrides:
            if share > self.cap(name):
                above = f"{named('overrides')} ask for {share:g} of {name}, and its cap is {self.cap(name):g}"
                raise SpecError(f"{above}: raise the cap or lower the override")

    def _put(self, **values: object) -> None:
        """Set fields: the dataclass is frozen for everyone else."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_mode(self) -> None:
        """Refuse what has no effect in the mode, and give what has one its default."""
        for name, row in table(PruneSpec).items():
            modes = list(dict.fromkeys(mode for condition in row.when for mode in condition.get("mode") or ()))
            usual = 0.0 if name == "depth" else row.default
            if name == "scope" or not modes or self.mode in modes or getattr(self, name) == usual:
                continue
            field = named(name)
            if len(modes) > 1:
                raise SpecError(f"{field} does not go with mode 'nm': the pattern sets the share of every layer. Leave {field} out")
            raise SpecError(f"{field} belongs to mode {modes[0]!r}, not to mode {self.mode!r}: set the mode, or leave {field} out")
        if self.mode == "structured" and self.target is None:
            self._put(target="channels")
        self._check_joined()

    def _check_joined(self) -> None:
        """Check how scores of coupled layers are joined."""
        if self.consumers and self.criterion not in WITH_READERS:
            raise SpecError(
                f"{named('consumers')} does not go with criterion {self.criterion!r}, which tells nothing of columns: choose one of "
                f"{', '.join(WITH_READERS)}, or leave it out"
            )
        if self.reduction == "prod" and self.normaliser == "gaussian":
            raise SpecError(
                f"{named('reduction')} 'prod' does not go with {named('normaliser')} 'gaussian', whose scores are negative below the mean: "
                f"choose another of either"
            )

    def _check_pattern(self) -> None:
        """Check a pattern: it says how much goes from every layer."""
        n, m = check.pattern(self.pattern or "2:4")
        share = 1 - n / m
        if self.sparsity is not None and abs(self.sparsity - share) > 1e-6:
            against = f"{SPARSITY} {self.sparsity:g} contradicts the {named('pattern')} {n}:{m}, which removes {share:g}"
            raise SpecError(f"{against}: leave the {SPARSITY} out")
        self._put(pattern=f"{n}:{m}", sparsity=share)

    def _check_amount(self) -> None:
        """Check sparsity and threshold."""
        if self.indices:
            self._check_named()
        if self.threshold is None:
            if self.sparsity is None:
                self._put(sparsity=0.0 if self.depth or self.remove_layers or self.cuts_rows else 0.5)
            return
        if self.sparsity is not None:
            raise SpecError(f"give either {SPARSITY} or {THRESHOLD}, not both")
        if self.scope in ("erk", "row"):
            raise SpecError(
                f"{named('scope')} {self.scope!r} shares out a {SPARSITY}: give a {SPARSITY} instead of a {THRESHOLD}, or another scope"
            )
        if self.target not in {None, "channels"}:
            counts = f"{named('target')} {self.target!r} counts a {SPARSITY}"
            raise SpecError(f"{counts}: give a {SPARSITY} instead of a {THRESHOLD}, or leave the target out")

    def _check_named(self) -> None:
        """Refuse what says how much goes beside the channels that are named."""
        others = ("overrides", "shares", "caps", "cap_all", "layers", "blocks", "remove_layers", "units", "threshold", "rows", "row_shares")
        told = [name for name in others if getattr(self, name) not in {None, (), 0}]
        told += ["sparsity"] if self.sparsity else []
        if told:
            raise SpecError(f"{named('indices')} say what goes, and nothing else does: leave {', '.join(map(named, told))} out")
        self._put(sparsity=0.0)

    def cap(self, layer: str) -> float:
        """Return the largest share that may go from a layer, 0 to 1."""
        return min(dict(self.caps).get(layer, 1.0), 1.0 if self.cap_all is None else self.cap_all)

    @property
    def looks_at_data(self) -> bool:
        """Whether it needs training data: its criterion does, that of rows, or layers go by their influence."""
        return self.criterion in NEEDS_DATA or bool(self.remove_layers) or (self.cuts_rows and self.row_criterion != "norm")

    @property
    def cuts_rows(self) -> bool:
        """Whether rows of embedding tables go."""
        return bool(self.rows) or any(share for _, share in self.row_shares)

    @property
    def capped(self) -> bool:
        """Whether any layer has a cap."""
        return bool(self.caps) or self.cap_all is not None

    def at(self, sparsity: float) -> PruneSpec:
        """Return the same setting at another sparsity (a threshold is dropped)."""
        return replace(self, sparsity=sparsity, threshold=None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML and JSON, every field present."""
        return {name: row.kind.plain(getattr(self, name)) for name, row in table(PruneSpec).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PruneSpec:
        """Build a setting from plain values; unknown keys are refused.

        Raises
        ------
        SpecError
            If ``values`` is not a mapping, has unknown keys, or a value is not valid.
        """
        check.known_keys("prune", values, [*table(cls)])
        return cls(**values)
