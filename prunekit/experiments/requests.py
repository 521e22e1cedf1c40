"""Requests of jobs: small frozen values that a row of the store holds and that any process can carry out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, ClassVar, Self, get_args, get_type_hints

from prunekit.config import fields as check
from prunekit.config.choices import OVER, SPARSITY, SPLITS, TABLE_ROWS
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import DataError, SpecError, one_of
from prunekit.evaluation.adaptive_points import EVALUATIONS
from prunekit.evaluation.sweep import points_of
from prunekit.experiments.identity import OF_RECOVERY, OF_SPEC, as_before, digest


class Request:
    """A frozen dataclass with a form in plain values, by which it is called and which a job's row holds."""

    what: ClassVar[str]
    """As messages call it."""

    @property
    def id(self) -> str:
        """What it is called: the same for equal requests."""
        values, later = self.to_dict(), {"spec": OF_SPEC, "recovery": OF_RECOVERY}
        return digest({name: as_before(value, later[name]) if name in later and value else value for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, every field present."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {name: _plain(value) for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values; unknown keys are refused."""
        known: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]
        check.known_keys(cls.what, values, [f.name for f in known])
        missing = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING and f.name not in values]
        if missing:
            raise SpecError(f"{cls.what} has no {' and no '.join(missing)}: add it")
        hints = get_type_hints(cls)
        return cls(**{name: _built(hints[name], value) for name, value in values.items()})


def _plain(value: Any) -> Any:
    """Return a field as plain values."""
    return value.to_dict() if hasattr(value, "to_dict") else list(value) if isinstance(value, tuple) else value


def _built(hint: Any, value: Any) -> Any:
    """Return plain values as a field of some type, or that type or None, takes them."""
    for kind in get_args(hint) or (hint,):
        if hasattr(kind, "from_dict") and value is not None:
            return kind.from_dict(value)
    return tuple(value) if isinstance(value, list) else value


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
class SweepRequest(Request):
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
    over : {"sparsity", "rows"}
        Which share of the setting is another one at each point: "rows" is that of embedding tables.

    Raises
    ------
    PrunekitError
        If a field is not valid; the message says what to do.
    """

    what = "sweep"
    model: ModelId
    data: DataId
    spec: PruneSpec
    recovery: Recovery = field(default_factory=Recovery)
    split: str = "validation"
    images: int = 0
    sparsities: tuple[float, ...] | None = None
    evaluations: int = EVALUATIONS
    over: str = SPARSITY

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        _check(self)
        if not isinstance(self.spec, PruneSpec):
            raise SpecError(f"spec must be a PruneSpec; got {self.spec!r}")
        one_of("over", self.over, OVER, SpecError)
        points = tuple(dict.fromkeys(points_of(self.spec, (0.0,) if self.sparsities is None else self.sparsities)))
        if self.over == TABLE_ROWS:
            for share in (0.5, *points):
                self.at(share)  # refuses a mode without rows, and what is no share
        check.whole("evaluations", self.evaluations, 2)
        if self.sparsities is not None:
            # where sparsities are named, the number of evaluations says nothing
            object.__setattr__(self, "evaluations", EVALUATIONS)
            object.__setattr__(self, "sparsities", points)
        object.__setattr__(self, "spec", self.spec.at(0.0) if self.over == SPARSITY else replace(self.spec.at(0.0), rows=0.0))

    def at(self, share: float) -> PruneSpec:
        """Return the setting at a share of what the sweep goes over."""
        return self.spec.at(share) if self.over == SPARSITY else replace(self.spec, rows=share)

    def share(self, spec: PruneSpec | None) -> float | None:
        """Return the share that a setting asks for: 0 for the dense model, None under a threshold."""
        return 0.0 if spec is None else spec.sparsity if self.over == SPARSITY else spec.rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; what a sweep goes over where it is not the sparsity: earlier ones are called as they were."""
        return {name: value for name, value in super().to_dict().items() if (name, value) != ("over", SPARSITY)}

    def seeded(self, seed: int, sparsities: tuple[float, ...] | None) -> SweepRequest:
        """Return the same request with another seed, measured where it is said; the seed of the recovery moves as far."""
        spec, recovery = replace(self.spec, seed=seed), replace(self.recovery, seed=self.recovery.seed + seed - self.spec.seed)
        return replace(self, spec=spec, recovery=recovery, sparsities=sparsities)


@dataclass(frozen=True)
class RepeatsRequest(Request):
    """A sweep with so many seeds, from its own on."""

    what = "repeats"
    sweep: SweepRequest
    repeats: int

    def __post_init__(self) -> None:
        """Validate their number."""
        check.whole("repeats", self.repeats, 1)


@dataclass(frozen=True)
class AccuracyRequest(Request):
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

    what = "accuracy"
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


@dataclass(frozen=True)
class SaveRequest(AccuracyRequest):
    """What an `AccuracyRequest` leads to, to be saved as a run ``called`` as somebody wished."""

    called: str = ""


@dataclass(frozen=True)
class FillRequest(Request):
    """What runs lack on a part of some data; ``sizes`` too unless it says no."""

    what = "fill"
    runs: tuple[str, ...]
    data: DataId
    split: str
    sizes: bool = True
