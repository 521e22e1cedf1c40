"""What can be asked for: small frozen values that a job's row holds and that any process can carry out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from prunekit.config import validation as check
from prunekit.config.choices import SPLITS
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import DataError, SpecError, one_of
from prunekit.evaluation.adaptive_points import EVALUATIONS
from prunekit.evaluation.sweep import points_of
from prunekit.experiments.identity import digest


def _plain(request: Any) -> dict[str, Any]:
    """Return the fields of a request as plain values."""
    values = {f.name: getattr(request, f.name) for f in fields(request)}
    return {name: value.to_dict() if hasattr(value, "to_dict") else value for name, value in values.items()}


def _told(cls: Any, what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values as the fields of a request."""
    check.known_keys(what, values, [f.name for f in fields(cls)])
    missing = [name for name in ("model", "data", "spec") if name not in values]
    if missing:
        raise SpecError(f"{what} has no {' and no '.join(missing)}: add it")
    parts: dict[str, Any] = {"model": ModelId, "data": DataId, "spec": PruneSpec, "recovery": Recovery}
    return {name: parts[name].from_dict(value) if name in parts and value is not None else value for name, value in values.items()}


def _check(request: Any) -> None:
    """Check what all requests have."""
    kinds: dict[str, type] = {"model": ModelId, "data": DataId, "recovery": Recovery}
    for name, kind in kinds.items():
        value = getattr(request, name)
        if not isinstance(value, kind) and not (name == "data" and value is None and isinstance(request, AccuracyRequest)):
            raise SpecError(f"{name} must be a {kind.__name__}; got {value!r}")
    one_of("split", request.split, SPLITS, DataError)
    check.whole("images", request.images, 0)
    if not request.recovery.active:
        object.__setattr__(request, "recovery", Recovery())  # what does nothing is the same in all its forms


@dataclass(frozen=True)
class SweepRequest:
    """Accuracy of one setting against sparsity.

    Parameters
    ----------
    model : ModelId
        The dense model.
    data : DataId
        The data.
    spec : PruneSpec
        The setting; its own sparsity or threshold does not count.
    recovery : Recovery
        What is done after pruning.
    split : {"validation", "test", "train"}
        What accuracy is measured on.
    images : int
        A fixed stratified subset of it; 0 for all images.
    sparsities : tuple of float, optional
        Where to measure; None puts the points where the curve bends.
    evaluations : int
        How many points then, the dense model included; at least 2.

    Raises
    ------
    PrunekitError
        If a field is not valid; the message says what to do.
    """

    model: ModelId
    data: DataId
    spec: PruneSpec
    recovery: Recovery = field(default_factory=Recovery)
    split: str = "validation"
    images: int = 0
    sparsities: tuple[float, ...] | None = None
    evaluations: int = EVALUATIONS

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        _check(self)
        if not isinstance(self.spec, PruneSpec):
            raise SpecError(f"spec must be a PruneSpec; got {self.spec!r}")
        points = tuple(dict.fromkeys(points_of(self.spec, (0.0,) if self.sparsities is None else self.sparsities)))
        check.whole("evaluations", self.evaluations, 2)
        if self.sparsities is not None:
            # where sparsities are named, the number of evaluations says nothing
            object.__setattr__(self, "evaluations", EVALUATIONS)
            object.__setattr__(self, "sparsities", points)
        object.__setattr__(self, "spec", self.spec.at(0.0))

    @property
    def id(self) -> str:
        """What it is called: the same for equal requests."""
        return digest(self.to_dict())

    def seeded(self, seed: int, sparsities: tuple[float, ...] | None) -> SweepRequest:
        """Return the same request with another seed, measured where it is said; the seed of the recovery moves as far."""
        spec, recovery = replace(self.spec, seed=seed), replace(self.recovery, seed=self.recovery.seed + seed - self.spec.seed)
        return replace(self, spec=spec, recovery=recovery, sparsities=sparsities)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, every field present."""
        return {**_plain(self), "sparsities": None if self.sparsities is None else list(self.sparsities)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SweepRequest:
        """Build from plain values; unknown keys are refused."""
        told = _told(cls, "sweep", values)
        return cls(**{**told, "sparsities": None if told.get("sparsities") is None else tuple(told["sparsities"])})


@dataclass(frozen=True)
class AccuracyRequest:
    """Accuracy of one model: pruned as a setting says, or dense.

    Parameters
    ----------
    model, recovery, split, images
        As for `SweepRequest`.
    data : DataId or None
        The data; None where there are none: such a request can be saved, and nothing of it measured.
    spec : PruneSpec or None
        The setting, with its own sparsity, threshold or pattern; None for the dense model.
    """

    model: ModelId
    data: DataId | None
    spec: PruneSpec | None
    recovery: Recovery = field(default_factory=Recovery)
    split: str = "validation"
    images: int = 0

    def __post_init__(self) -> None:
        """Validate every field."""
        _check(self)
        if self.spec is None and self.recovery.active:
            raise SpecError("recovery follows pruning: give a spec, as in PruneSpec(sparsity=0.5), or leave the recovery out")
        if self.spec is not None and not isinstance(self.spec, PruneSpec):
            raise SpecError(f"spec must be a PruneSpec or None; got {self.spec!r}")

    @property
    def id(self) -> str:
        """What it is called: the same for equal requests."""
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, every field present."""
        return _plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AccuracyRequest:
        """Build from plain values; unknown keys are refused."""
        return cls(**_told(cls, "accuracy", values))
