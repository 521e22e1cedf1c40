"""Tables: rows of numbers with a number to predict for each, the samples' own and a person's CSV (``table:PATH``, ``housing``)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.config.ids import VARIABLE, DataId, data_folder
from prunekit.data.dataset import Data, Picture, Split, cut_from_one
from prunekit.data.stratified import Indices
from prunekit.errors import DataError

DIABETES = ("age", "sex", "body mass index", "blood pressure", "s1", "s2", "s3", "s4", "s5", "s6")
DIABETES_TEST, DIABETES_VALIDATION = 100, 72


class TableSplit(Split):
    """Rows [n, features] in a fixed order, with a number each [n]; both are standardised."""

    task = "table-regression"

    def __init__(self, rows: Tensor, targets: Tensor, target_scale: dict[str, float | str] | None = None) -> None:
        if rows.ndim != 2 or targets.shape != rows.shape[:1]:
            raise DataError(f"a table needs rows [n, features] and a target each; got {list(rows.shape)} and {list(targets.shape)}")
        self.rows, self.targets, self.target_scale = rows, targets, target_scale

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return a row, float32 [features], and its target."""
        i = range(len(self))[index]  # negative indices count from the end; beyond it is an IndexError
        return self.rows[i], self.targets[i]

    def targets_at(self, indices: Indices) -> Tensor:
        """Return targets, float32."""
        return self.targets[torch.from_numpy(np.asarray(indices, dtype=np.int64))]

    def images(self, indices: Indices) -> Tensor:
        """Return rows, float32 [n, features]."""
        return self.rows[torch.from_numpy(np.asarray(indices, dtype=np.int64))]

    def picture(self, i: int) -> Picture:
        """Return a row for the screen: a strip of grey levels, uint8 (1, features, 1)."""
        row = self.rows[i]
        levels = (row - row.min()) * (255 / (float(row.max() - row.min()) or 1.0))
        return levels.round().to(torch.uint8).reshape(1, -1, 1).numpy()

    def take(self, indices: Indices) -> TableSplit:
        """Return the rows at ``indices``, in that order, as a split of its own."""
        places = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        return TableSplit(self.rows[places], self.targets[places], self.target_scale)

    def subset(self, n: int) -> TableSplit:
        """Return the first ``n`` rows, which lie in a random order, or the split itself if it has no more than that."""
        if n < 1:
            raise DataError(f"a limit must be at least 1 row; got {n!r}")
        if n >= len(self):
            return self
        part = self.take(self.choice(n))
        part.code, part.guesses = self.code, self.guesses
        return part

    def choice(self, n: int) -> Indices:
        """Return which rows `subset` chooses."""
        return np.arange(min(n, len(self)))

    def fingerprint(self) -> str:
        """Return a sha256 over rows and targets in their order."""
        digest = hashlib.sha256(repr((tuple(self.rows.shape), str(self.rows.dtype))).encode())
        digest.update(self.rows.contiguous().numpy().tobytes())
        digest.update(self.targets.contiguous().numpy().tobytes())
        digest.update(self.code.encode())
        return digest.hexdigest()

    def _identity(self) -> Iterator[bytes]:
        yield self.fingerprint().encode()


@dataclass(frozen=True, eq=False)
class TableData(Data):
    """A table by name: rows to learn from, to choose by, and for the last word only."""

    test: TableSplit
    train: TableSplit
    validation: TableSplit
    features: tuple[str, ...] = ()
    target: str = ""
    mean: tuple[float, ...] = ()  # mean, std: of each column of the training rows: what was subtracted and divided by
    std: tuple[float, ...] = ()
    # ``mean``, ``std`` and ``unit`` of the target, by which `prunekit.tasks.Regression.scaled` speaks in its own unit
    target_scale: dict[str, float | str] = field(default_factory=dict)


def _standardised(x: NDArray[np.float64], y: NDArray[np.float64], train: Indices) -> tuple[TableSplit, list[tuple[float, ...]]]:
    """Return all rows, and mean and standard deviation of the columns and of the target: those of the training rows alone."""
    scale = [np.atleast_1d(each) for each in (x[train].mean(0), x[train].std(0), y[train].mean(), y[train].std())]
    for spread in (scale[1], scale[3]):
        spread[spread == 0] = 1.0  # a column that is always the same
    rows, targets = (x - scale[0]) / scale[1], (y - scale[2]) / scale[3]
    return TableSplit(torch.from_numpy(rows).float(), torch.from_numpy(targets).float()), [tuple(each.tolist()) for each in scale]


def standardised_parts(
    data_id: DataId, x: NDArray[np.float64], y: NDArray[np.float64], parts: tuple[Indices, Indices, Indices], *, features: tuple[str, ...],
    target: str, unit: str, pixels: str,
) -> TableData:  # fmt: skip
    """Return a table in its parts, to train on, for validation and for the test: standardised by the first."""
    whole, (mean, std, middle, spread) = _standardised(x, y, parts[0])
    scale: dict[str, float | str] = {"mean": middle[0], "std": spread[0], "unit": unit}
    whole.target_scale = scale
    rows, held, last = (whole.take(indices) for indices in parts)
    return TableData(
        data_id, last, rows, held, pixels=pixels, task=whole.task, features=features, target=target, mean=mean, std=std, target_scale=scale
    )


@cache
def load_diabetes() -> TableData:
    """Return scikit-learn's diabetes data: ten numbers for each of 442 patients, and how far the disease had come a year later.

    270 rows to train on, 72 for validation and 100 for the test, in a fixed random order. Efron, Hastie, Johnstone and Tibshirani 2004,
    Least angle regression.
    """
    # its files, without itself: the import takes ten times as long
    places = spec.submodule_search_locations if (spec := find_spec("sklearn")) is not None else None
    if not places:
        raise DataError("the diabetes data come with scikit-learn, which is not here: pip install scikit-learn")
    folder = Path(places[0], "datasets", "data")
    x, y = np.loadtxt(folder / "diabetes_data_raw.csv.gz"), np.loadtxt(folder / "diabetes_target.csv.gz")
    order = np.random.default_rng(1).permutation(len(x))
    test, validation, train = np.split(order, [DIABETES_TEST, DIABETES_TEST + DIABETES_VALIDATION])
    values = "scikit-learn's 442 patients, ten numbers each, less the mean and divided by the standard deviation of the training rows."
    return standardised_parts(
        DataId("diabetes"), x, y, (train, validation, test), features=DIABETES, target="disease progression after one year", unit="",
        pixels=values,
    )  # fmt: skip


PREFIX = "table:"
HOUSING = Path("housing", "california.csv.gz")
TEST, VALIDATION = 0.2, 0.2
FEWEST = 10


def load_table(data_id: DataId) -> TableData:
    """Return a CSV file's table: a fifth of the rows each for validation and for the test, in a fixed random order."""
    path = Path(data_id.name.removeprefix(PREFIX)).expanduser()
    if not path.is_file():
        raise DataError(f"there is no table {str(path)!r} (looked in {Path.cwd()}): name a CSV file, as in {PREFIX}path/to/rows.csv")
    return cut_from_one(_named(data_id, path, ""))


def load_housing(data_id: DataId) -> TableData:
    """Return California's housing of 1990: eight numbers for each of 20,640 districts, and the median value of a house.

    Pace and Barry 1997, Sparse spatial autoregressions.
    """
    path = data_folder() / HOUSING
    if not path.is_file():
        raise DataError(
            f"the housing data are not here: put {HOUSING.name} (the table of scikit-learn's fetch_california_housing, its target as last "
            f"column) into the folder {HOUSING.parent} of {data_folder()}, set {VARIABLE} to a folder that has it, or name a table of your "
            f"own as {PREFIX}PATH"
        )
    return _named(data_id, path, "× 100,000 $")


def _named(data_id: DataId, path: Path, unit: str) -> TableData:
    """Return a file's table under the name that was asked for, wherever one lies."""
    if data_id.size or data_id.mean or data_id.std or data_id.classes:
        raise DataError(f"{data_id.name} is a table of numbers, which is standardised by itself: leave size, mean, std and classes out")
    known = path.stat()
    name = data_id.name if not data_id.name.startswith(PREFIX) else f"{PREFIX}{path.resolve()}"
    return replace(_read(path.resolve(), unit, known.st_mtime_ns, known.st_size), id=replace(data_id, name=name))


@lru_cache(maxsize=4)
def _read(path: Path, unit: str, changed: int, length: int) -> TableData:
    """Return the table of a file, read again when that changed."""
    try:
        frame = pd.read_csv(path)
        values = frame.to_numpy(dtype=np.float64)
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:  # pandas' own are ValueErrors
        raise DataError(f"{path} is no table of numbers: {' '.join(str(error).split())}") from error
    if values.shape[1] < 2 or len(values) < FEWEST:
        raise DataError(f"{path} has {values.shape[1]} columns and {len(values)} rows: a table needs 2 columns and {FEWEST} rows at least")
    wrong = [str(name) for name, fine in zip(frame.columns, np.isfinite(values).all(axis=0), strict=True) if not fine]
    if wrong:
        raise DataError(f"{path} has empty or infinite cells in {', '.join(wrong)}: fill them in, or leave those rows out")
    held, last = round(VALIDATION * len(values)), round(TEST * len(values))
    order = np.random.default_rng(1).permutation(len(values))
    test, validation, train = np.split(order, [last, last + held])
    told = f"{path.name}: {len(values):,} rows of {values.shape[1] - 1} numbers, less the mean and divided by the "
    return standardised_parts(
        DataId(f"{PREFIX}{path}"), values[:, :-1], values[:, -1], (train, validation, test), features=tuple(map(str, frame.columns[:-1])),
        target=str(frame.columns[-1]), unit=unit, pixels=f"{told}standard deviation of the training rows.",
    )  # fmt: skip
