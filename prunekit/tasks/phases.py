"""`Phase`: one thing that a model's time is measured for, and what its throughput counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

PASS = "pass"


@dataclass(frozen=True)
class Phase:
    """One thing that a model's time is measured for."""

    name: str  # name, title: in JSON, and as people read it; the title of a plain forward pass is empty
    title: str
    unit: str  # unit, units: what throughput counts: "image", "images"
    units: str
    each_token: bool = False  # whether every token of a text counts, or the text as one
    cached: bool = False  # whether one token is read after those whose keys and values are given

    def count(self, batch: int, length: int) -> int:
        """Return how many units one forward pass deals with."""
        return batch * length if self.each_token else batch


PROMPT = Phase("prompt", "prompt", "token", "tokens", each_token=True)
ONE_TOKEN = Phase("one-token", "one token at a time", "token", "tokens", cached=True)


class Group(NamedTuple):
    """What is the same for all rows that are compared with each other; ``length`` is 0 where inputs have none."""

    batch: int
    threads: int
    length: int = 0
    phase: str = PASS

    @property
    def where(self) -> str:
        """Which phase, at which length and batch."""
        return ", ".join(filter(None, (self.title, f"batch {self.batch}")))

    @property
    def title(self) -> str:
        """Which phase, at which length."""
        words = {each.name: each.title for each in (PROMPT, ONE_TOKEN)}.get(self.phase, "")
        tokens = f"{self.length} token{'' if self.length == 1 else 's'}" if self.length else ""
        if self.phase == ONE_TOKEN.name:  # the one that is read is the last of so many
            return f"{words}, {self.length - 1} before it"
        return f"{words} of {tokens}" if words and tokens else words or tokens
