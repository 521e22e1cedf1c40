"""`Recovery`, the frozen description of what is done after pruning to bring accuracy back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prunekit.config import fields as check
from prunekit.config.field_table import SCHEDULE, RecoveryFields, TrainingFields
from prunekit.config.fields import check_fields, documented, table
from prunekit.errors import SpecError, named

SCHEDULES = tuple(SCHEDULE.titles)
NAMES = {"iterative": "iterative", "agp": "AGP", "linear": "linear"}


@documented
@dataclass(frozen=True)
class Recovery(RecoveryFields):
    """What brings accuracy back. Small, frozen and hashable: part of a recipe and of a run's identity. ``Recovery()`` does nothing.

    Raises
    ------
    SpecError
        If a field is not valid, or two of them do not go together; the message names the field and says what to do.

    Examples
    --------
    >>> Recovery(epochs=10, schedule="agp", steps=5).title()
    'AGP, 10 epochs'
    >>> Recovery().active
    False
    """

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        check_fields(self)
        self._check_together()

    def _check_together(self) -> None:
        """Check which fields exclude each other."""
        if self.schedule == "one-shot":
            if self.steps != 1:
                raise SpecError(
                    f"one-shot cuts once, not in {self.steps} steps: choose a {named('schedule')} (iterative, agp, linear), "
                    f"or set {named('steps')} to 1"
                )
        elif self.steps < 2:
            raise SpecError(
                f"{named('schedule')} {self.schedule!r} rises over several cuts: set {named('steps')} to at least 2, or choose one-shot"
            )
        elif 0 < self.epochs < self.steps:
            raise SpecError(
                f"{named('schedule')} {self.schedule!r} fine-tunes after each of {self.steps} cuts and has {self.epochs} epochs for that: "
                f"set {named('epochs')} to at least {self.steps}, or take fewer {named('steps')}"
            )
        if self.distill and not self.epochs:
            raise SpecError(
                f"{named('distill')} is part of fine-tuning: set {named('epochs')} to at least 1, or leave {named('distill')} out"
            )

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return self.recalibrate or self.epochs > 0 or self.steps > 1 or self.prepare != "none"

    @property
    def learns(self) -> bool:
        """Whether it looks at training data: cuts in several steps alone do not."""
        return self.recalibrate or self.epochs > 0 or self.prepare != "none"

    def shares(self) -> tuple[int, ...]:
        """Return the epochs of fine-tuning after each cut; the last cut has what is left over.

        Examples
        --------
        >>> Recovery(epochs=10, schedule="linear", steps=4).shares()
        (2, 2, 2, 4)
        """
        each = self.epochs // self.steps
        return (*[each] * (self.steps - 1), self.epochs - each * (self.steps - 1))

    def title(self) -> str:
        """Return short words for a legend; empty where nothing is done."""
        words = [] if self.prepare == "none" else [f"prepared {self.prepare_epochs} epoch{'' if self.prepare_epochs == 1 else 's'}"]
        words += ["recalibrated"] if self.recalibrate else []
        epochs = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        if self.schedule != "one-shot":
            words += [NAMES[self.schedule], epochs if self.epochs else f"{self.steps} cuts"]
        elif self.epochs:
            words.append(f"fine-tuned {epochs}")
        return ", ".join([*words, "distilled"] if self.distill else words)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML and JSON, every field present."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recovery:
        """Build from plain values; unknown keys are refused.

        Raises
        ------
        SpecError
            If ``values`` is not a mapping, has unknown keys, or a value is not valid.
        """
        check.known_keys("recover", values, [*table(cls)])
        return cls(**values)


@documented
@dataclass(frozen=True)
class Training(TrainingFields):
    """How a model is trained from scratch. Small, frozen and hashable; what is left at None is taken from the sample's own recipe.

    Raises
    ------
    SpecError
        If a field is not valid; the message names it.

    Examples
    --------
    >>> Training(epochs=5).title()
    'trained 5 epochs'
    """

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        check_fields(self)

    def title(self) -> str:
        """Return short words for a legend."""
        return "trained" if self.epochs is None else f"trained {self.epochs} epoch{'' if self.epochs == 1 else 's'}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, every field present."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Training:
        """Build from plain values; unknown keys are refused.

        Raises
        ------
        SpecError
            If ``values`` is not a mapping, has unknown keys, or a value is not valid.
        """
        check.known_keys("train", values, [*table(cls)])
        return cls(**values)
