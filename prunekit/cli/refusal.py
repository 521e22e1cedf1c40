"""`Refusal`: an answer that is printed like any other, of a command that ends with another exit code than 0."""

from typing import NamedTuple

GATE = 3
"""Exit code where a limit that was asked for is broken."""


class Refusal(NamedTuple):
    """What goes to stdout, the exit code, and the sentences that go to stderr."""

    text: str
    code: int
    said: tuple[str, ...]
