"""`Page`, what the navigation, the heading and the server's start have to know of a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """One page of the dashboard.

    The package under ``prunekit/ui`` that bears the name of a script in ``pages/`` declares it as ``PAGE``; the name is the address, too.

    Attributes
    ----------
    title, icon, about : str
        In the navigation: its name, a Material symbol, and what stands there when one points at it.
    section : str
        What it is grouped under.
    question, sentence : str
        Its heading: what it answers, and one sentence on that.
    visits : tuple of str
        Addresses under which it is drawn while the server warms up: nothing on them is measured before somebody asks for it.
    order : int
        Its place in the navigation; the first page is the one without a name in the address.
    """

    title: str
    icon: str
    about: str
    section: str
    question: str
    sentence: str
    visits: tuple[str, ...] = ("",)
    order: int = 1000
