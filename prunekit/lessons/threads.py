"""How many threads the lessons compute with: one, because their networks are too small to share out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread meanwhile, and with as many as before afterwards.

    A step of a network as small as the digits' takes less time than two threads need to wait for each other; on a machine that has other
    work as well, such as a class of learners, they wait so long that seconds become a minute. A thread that computes alone already is left
    as it is, so that nothing is set back to what another one has set for a while.
    """
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
