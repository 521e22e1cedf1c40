"""``table:PATH`` and ``housing``: a person's own table of numbers as CSV, whose last column is predicted from the others."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from prunekit.config.folders import VARIABLE, data_folder
from prunekit.config.ids import DataId
from prunekit.data.tables import TableData, standardised_parts
from prunekit.errors import DataError

PREFIX = "table:"
HOUSING = Path("housing", "california.csv.gz")
TEST, VALIDATION = 0.2, 0.2
FEWEST = 10


def load_table(data_id: DataId) -> TableData:
    """Return a table of one's own.

    Parameters
    ----------
    data_id : DataId
        Its name is ``table:PATH`` of a CSV file, which may be compressed: a line of names, then rows of numbers.

    Returns
    -------
    TableData
        A fifth of the rows each for validation and for the test, in a fixed random order.

    Raises
    ------
    DataError
        If the file is missing, or does not hold numbers alone.
    """
    path = Path(data_id.name.removeprefix(PREFIX)).expanduser()
    if not path.is_file():
        raise DataError(f"there is no table {str(path)!r} (looked in {Path.cwd()}): name a CSV file, as in {PREFIX}path/to/rows.csv")
    return _named(data_id, path, "")


def load_housing(data_id: DataId) -> TableData:
    """Return California's housing of 1990: eight numbers for each of 20,640 districts, and the median value of a house.

    Raises
    ------
    DataError
        If the file is not here; it is not downloaded.

    References
    ----------
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
