"""`Refusal`: an answer that is printed like any other, of a command that ends with another exit code than 0."""

from typing import NamedTuple

REFUSED = 3
"""Exit code where what was looked at is not as it should be: a limit is broken, or an installation."""


class Refusal(NamedTuple):
    """What goes to stdout, the exit code, and the sentences that go to stderr."""

    text: str
    code: int
    said: tuple[str, ...]
