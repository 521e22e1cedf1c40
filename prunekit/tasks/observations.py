"""`Observations`: all that any metric needs to know of each sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunekit.errors import DataError

OF_DATA = ("label", "target")
"""Columns of these names (and ``target.0``, ...) belong to the data: two models that saw the same samples agree in them."""
NARROW = (np.bool_, np.uint8, np.int16, np.int32, np.float32)


@dataclass(frozen=True, eq=False)
class Observations:
    """What was seen of each sample: a row of numbers.

    Parameters
    ----------
    values : ndarray, shape [samples, columns]
        Held in any type that holds them exactly; read as float64.
    columns : tuple of str
        Their names; those of a vector are ``name.0``, ``name.1``, ...
    groups : ndarray of int64, shape [samples], optional
        Which user, document or image each sample belongs to, where samples of one are alike: intervals then resample whole groups.

    Raises
    ------
    DataError
        If the shapes do not fit each other, or a name stands twice.

    Examples
    --------
    >>> seen = Observations.of(correct=[True, False, True])
    >>> seen.n, seen["correct"].mean().round(2)
    (3, np.float64(0.67))
    """

    values: NDArray[Any]
    columns: tuple[str, ...]
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check the shapes; nobody writes to what was seen."""
        if self.values.ndim != 2 or self.values.shape[1] != len(self.columns) or len(set(self.columns)) != len(self.columns):
            raise DataError(f"observations of shape {list(self.values.shape)} need as many names, all different; got {list(self.columns)}")
        if self.groups is not None and self.groups.shape != (len(self.values),):
            raise DataError(f"need one group for each of {len(self.values)} samples; got {self.groups.size}")
        self.values.setflags(write=False)

    @classmethod
    def of(cls, *, groups: Any = None, **columns: Any) -> Observations:
        """Build from columns by name: arrays or tensors [samples] or [samples, k].

        Raises
        ------
        DataError
            If they differ in length, or there are none.
        """
        arrays = {name: _array(values) for name, values in columns.items()}
        if not arrays or len({len(each) for each in arrays.values()}) != 1:
            lengths = ", ".join(f"{name} {len(each)}" for name, each in arrays.items())
            raise DataError(f"columns of observations need one row for each sample, as many in each; got {lengths or 'none'}")
        names = [
            name if each.ndim == 1 else f"{name}.{k}"
            for name, each in arrays.items()
            for k in range(1 if each.ndim == 1 else each.shape[1])
        ]
        of = None if groups is None else _array(groups).reshape(-1).astype(np.int64)
        return cls(np.column_stack(list(arrays.values())), tuple(names), of)

    @classmethod
    def concat(cls, parts: Iterable[Observations]) -> Observations:
        """Return the observations of several batches, in order.

        Raises
        ------
        DataError
            If there are none, or their columns differ.
        """
        found = list(parts)
        if not found:
            raise DataError("there are no samples to observe: choose data that are not empty")
        if len({(part.columns, part.groups is None) for part in found}) != 1:
            raise DataError("batches were observed in different columns: a task must observe the same of every batch")
        groups = None if found[0].groups is None else np.concatenate([part.groups for part in found if part.groups is not None])
        return cls(np.concatenate([part.values for part in found]), found[0].columns, groups)

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.values)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the values."""
        return np.array(self.values, dtype=dtype or np.float64, copy=copy if dtype == self.values.dtype else None)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """Return a column, [samples], or the columns ``name.0``, ``name.1``, ... of a vector, [samples, k]."""
        if name in self.columns:
            return self.values[:, self.columns.index(name)].astype(np.float64)
        places = [k for k, column in enumerate(self.columns) if column.rpartition(".")[0] == name]
        if not places:
            raise DataError(f"{name!r} was not observed; there are {', '.join(self.columns)}")
        return self.values[:, places].astype(np.float64)

    def take(self, indices: int | ArrayLike) -> Observations:
        """Return the samples at ``indices``, or the first so many."""
        chosen = slice(indices) if isinstance(indices, int) else np.asarray(indices)
        return replace(self, values=self.values[chosen], groups=None if self.groups is None else self.groups[chosen])

    def repeat(self, counts: ArrayLike) -> Observations:
        """Return each sample so many times; a group that is drawn again is a group of its own."""
        counts = np.asarray(counts, dtype=np.int64)
        places = np.repeat(np.arange(self.n), counts)
        if self.groups is None:
            return replace(self, values=self.values[places])
        names, number = np.unique(self.groups, return_inverse=True)
        copies = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        return replace(self, values=self.values[places], groups=number[places] + copies * len(names))

    def same_samples(self, other: Observations) -> bool:
        """Tell whether both can be of the same samples in the same order: by their number, groups, and what belongs to the data."""
        if self.n != other.n or (self.groups is None) != (other.groups is None):
            return False
        of_data = [column for column in self.columns if column.partition(".")[0] in OF_DATA and column in other.columns]
        groups = self.groups is None or other.groups is None or np.array_equal(self.groups, other.groups)
        return groups and all(np.array_equal(self[column], other[column], equal_nan=True) for column in of_data)

    def to_bytes(self) -> bytes:
        """Return everything, to the last bit, in few bytes: each column in the narrowest type that holds it exactly, compressed."""
        held = {f"column{k}": _narrow(column) for k, column in enumerate(self.values.astype(np.float64).T)}
        if self.groups is not None:
            held["groups"] = self.groups
        file = BytesIO()
        np.savez_compressed(file, names=np.array(self.columns), rows=np.array(self.n), **held)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Observations:
        """Read what `to_bytes` wrote.

        Raises
        ------
        DataError
            If the bytes are damaged.
        """
        try:
            with np.load(BytesIO(payload), allow_pickle=False) as held:
                names = tuple(str(name) for name in held["names"])
                values = np.empty((int(held["rows"]), len(names)))
                for k in range(len(names)):
                    values[:, k] = held[f"column{k}"]
                return cls(values, names, held.get("groups"))
        except (BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
            raise DataError(f"these observations are damaged ({' '.join(str(error).split())[:120]}): measure again") from None


def _array(values: Any) -> NDArray[np.float64]:
    """Return a tensor or an array as float64, [samples] or [samples, k]."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    found = np.asarray(values, dtype=np.float64)
    return found.reshape(1) if found.ndim == 0 else found if found.ndim <= 2 else found.reshape(len(found), -1)


def _narrow(column: NDArray[np.float64]) -> NDArray[Any]:
    """Return a column in the narrowest type that gives the same bits back."""
    bits = np.ascontiguousarray(column).view(np.int64)
    with np.errstate(all="ignore"):
        for kind in NARROW:
            small = column.astype(kind)
            if np.array_equal(small.astype(np.float64).view(np.int64), bits):
                return small
    return np.ascontiguousarray(column)
