"""How many bytes a tensor with zeros takes in each format, counted without building it.

The payload alone is counted: names, types and shapes stand in the file's header in any case.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMATS = ("dense", "bitmap", "csr", "delta8")
REACH = 256  # positions that one 8-bit step can cover


def _index_bytes(largest: int) -> int:
    """Return the bytes of the smallest unsigned integer type that holds a number."""
    return next(width for width in (1, 2, 4, 8) if largest < 256**width)


def _bitmap(n: int, count: int, item: int) -> int:
    """One bit for each position, then the values."""
    return -(-n // 8) + count * item


def _csr(rows: int, columns: int, count: int, item: int) -> int:
    """Compressed sparse rows: values, column of each, start of each row; smallest index types."""
    return count * (item + _index_bytes(max(columns - 1, 0))) + (rows + 1) * _index_bytes(count)


def _delta8(alive: NDArray[Any], count: int, item: int) -> int:
    """Each value with the number of zeros before it in 8 bits; a longer gap takes stored zeros in between (Han et al. 2016)."""
    positions = np.flatnonzero(alive)
    gaps = np.diff(positions, prepend=-1) - 1
    fillers = int((gaps // REACH).sum()) if count else 0
    return (count + fillers) * (item + 1)


def format_bytes(alive: NDArray[Any], item: int) -> dict[str, int]:
    """Return the payload of one weight tensor in each format that can be the smallest.

    Parameters
    ----------
    alive : ndarray, shape [out, ...]
        The values, or True where one is not zero.
    item : int
        Bytes of one value.

    Returns
    -------
    dict of str to int
        Format to bytes: ``dense``; ``bitmap`` (a bit for each position, then the values); ``csr`` (rows are outputs); ``delta8`` (values
        with 8-bit gaps; left out where more than an eighth is alive, for there the bitmap is smaller).

    References
    ----------
    Han, Mao, Dally 2016, Deep Compression (arXiv:1510.00149), for relative indexing with filler zeros.
    """
    n, count = alive.size, int(np.count_nonzero(alive))
    rows = alive.shape[0] if alive.ndim else 1
    sizes = {"dense": n * item, "bitmap": _bitmap(n, count, item), "csr": _csr(rows, n // max(rows, 1), count, item)}
    if count * 8 <= n:  # positions are only looked up where they can matter: this keeps a slider quick
        sizes["delta8"] = _delta8(alive.reshape(-1), count, item)
    return sizes


def smallest(sizes: dict[str, int]) -> tuple[str, int]:
    """Return the format that takes least, the simpler one where two are equal.

    Examples
    --------
    >>> smallest(format_bytes(np.ones((2, 8), bool), 4))
    ('dense', 64)
    """
    best = min(sizes, key=lambda name: (sizes[name], FORMATS.index(name)))
    return best, sizes[best]
