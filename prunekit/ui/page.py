"""`Page`, what the navigation, the heading and the server's start have to know of a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """One page of the dashboard.

    The package under ``prunekit/ui`` that bears the name of a script in ``pages/`` declares it as ``PAGE``; the name is the address, too.
    """

    title: str  # its name in the navigation
    icon: str  # a Material symbol
    about: str  # what stands there when one points at it
    section: str  # what it is grouped under
    question: str  # its heading: what it answers
    sentence: str  # one sentence on that
    visits: tuple[str, ...] = ("",)  # addresses under which it is drawn while the server warms up: nothing on them is measured unasked
    order: int = 1000  # its place in the navigation; the first page is the one without a name in the address
