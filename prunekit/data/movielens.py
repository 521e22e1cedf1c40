"""``movielens``: which movie each of 610 people rated next (MovieLens ml-latest-small), downloaded at first use."""

from __future__ import annotations

import io
import re
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.config.ids import VARIABLE, DataId, data_folder
from prunekit.data.dataset import Data
from prunekit.data.interactions import InteractionSplit, Wording, interactions
from prunekit.data.stratified import mix
from prunekit.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MOVIELENS, FOLDER = "movielens", "ml-latest-small"
ADDRESS = f"https://files.grouplens.org/datasets/movielens/{FOLDER}.zip"
WAIT = 60  # seconds
HISTORY, GENRES = 20, 6
"""How many movies before, and how many genres of a movie, a model sees."""
TRAINED, MEASURED = 4, 99
"""Movies not rated that are drawn for each that was, to learn from and to measure on (He et al., 2017)."""
KINDS = (
    "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "IMAX",
    "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
Whole = NDArray[np.int64]


def _folder() -> Path:
    """Return the folder of the two tables, downloaded if they are not there."""
    folder = data_folder() / FOLDER
    if all(_table(folder, name) is not None for name in ("ratings", "movies")):
        return folder
    try:
        with urllib.request.urlopen(ADDRESS, timeout=WAIT) as answer:
            archive = zipfile.ZipFile(io.BytesIO(answer.read()))
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("README.txt", "movies.csv", "ratings.csv"):  # the last one is what says that all are there
            part = folder / f"{name}.part"
            part.write_bytes(archive.read(f"{FOLDER}/{name}"))
            part.replace(folder / name)
    except (OSError, HTTPException, zipfile.BadZipFile, KeyError) as error:
        why = " ".join(str(error).split())[:160]
        raise DataError(
            f"MovieLens is not in {folder} and cannot be downloaded ({why}): connect to the internet once, or set {VARIABLE} to a folder "
            f"that holds {FOLDER} with ratings.csv and movies.csv; clicks needs no download"
        ) from None
    return folder


def _table(folder: Path, name: str) -> Path | None:
    """Return a table's file, which may be compressed; None where there is none."""
    return next((path for path in (folder / f"{name}.csv", folder / f"{name}.csv.gz") if path.is_file()), None)


def load_movielens(data_id: DataId) -> Data:
    """Return ratings of movies as what each person chose, among movies that the same person never rated.

    Harper and Konstan 2015, The MovieLens datasets: history and context; He et al. 2017, Neural collaborative filtering.
    """
    folder = _folder()
    changed = tuple(path.stat().st_mtime_ns for name in ("ratings", "movies") if (path := _table(folder, name)) is not None)
    parts, people, movies = _read(folder, changed)
    said = (
        f"MovieLens ({FOLDER}): {people:,} people and {movies:,} movies. Each person's last rated movie by time is for the test, the one "
        f"before for validation, the others to learn from (leave-last-out), whatever the stars. To each come movies that the person never "
        f"rated, drawn with a fixed seed: {TRAINED} to learn from and {MEASURED} to measure, for which predictions are corrected. A model "
        f"sees the person, up to {HISTORY} movies rated before, and the movie with its genres and year."
    )
    return replace(interactions(data_id, parts, said), id=data_id)


@cache
def _read(folder: Path, changed: tuple[int, ...]) -> tuple[dict[str, InteractionSplit], int, int]:
    """Return the parts, and how many people and movies there are; ``changed`` keys the cache."""
    import pandas as pd  # noqa: PLC0415 (slow to import)

    try:
        ratings, movies = (pd.read_csv(_table(folder, name)) for name in ("ratings", "movies"))
        ratings = ratings[["userId", "movieId", "timestamp"]].astype(np.int64)
        movies = movies[["movieId", "title", "genres"]].sort_values("movieId")
        numbers = np.searchsorted(movies.movieId, ratings.movieId)
        if not np.array_equal(movies.movieId.to_numpy()[numbers.clip(0, len(movies) - 1)], ratings.movieId):
            raise ValueError("a rated movie is not among the movies")
    except (OSError, ValueError, KeyError) as error:  # pandas' own are ValueErrors
        raise DataError(
            f"{folder} does not hold MovieLens' tables: {' '.join(str(error).split())}; remove it to download it again"
        ) from error
    users = np.unique(ratings.userId, return_inverse=True)[1].astype(np.int64)
    order = np.lexsort((numbers, ratings.timestamp, users))
    users, items = users[order], numbers[order].astype(np.int64) + 1  # 0 stands for no movie
    return _parts(users, items, movies), int(users.max()) + 1, len(movies)


def _parts(users: Whole, items: Whole, movies: pd.DataFrame) -> dict[str, InteractionSplit]:
    """Return the parts of events that are sorted by person and time."""
    count = len(movies)
    starts = np.searchsorted(users, np.arange(users.max() + 1))
    ends = np.append(starts[1:], len(users))
    if (ends - starts).min() < 3:
        raise DataError("a person has fewer than three ratings: one each to learn from, for validation and for the test are needed")
    before = np.arange(len(users))[:, None] - 1 - np.arange(HISTORY)
    history = np.where(before >= starts[users][:, None], items[before], 0).astype(np.int16)
    genres, year, names = _described(movies)

    def person(inputs: Mapping[str, Tensor]) -> dict[str, str]:
        """Return a person's history in words."""
        seen = [names[i] for i in inputs["history"].tolist() if i]
        more = f" and {len(seen) - 5} more" if len(seen) > 5 else ""
        return {"person": str(int(inputs["user"]) + 1), "rated before, the last first": "; ".join(seen[:5]) + more}

    def candidate(inputs: Mapping[str, Tensor]) -> dict[str, str]:
        """Return a movie in words."""
        kinds = ", ".join(KINDS[i - 1] for i in inputs["genres"].tolist() if i) or "none named"
        return {"movie": names[int(inputs["item"])], "genres": kinds}

    held = {"validation": ends - 2, "test": ends - 1}
    held["train"] = np.setdiff1d(np.arange(len(users)), np.concatenate(list(held.values())))
    known, parts = np.sort(users * (count + 1) + items), {}
    for seed, name in enumerate(("train", "validation", "test"), 1):
        events, each = held[name], TRAINED if name == "train" else MEASURED
        of = np.repeat(events, each + 1)
        movie = items[of]
        drawn = np.arange(len(of)) % (each + 1) > 0
        movie[drawn] = _unrated(users[of[drawn]], known, count, seed)
        inputs = {"user": users[of].astype(np.int16), "history": history[of], "item": movie.astype(np.int16), "genres": genres[movie]}
        tensors = {key: torch.from_numpy(value) for key, value in {**inputs, "year": year[movie]}.items()}
        parts[name] = InteractionSplit(tensors, ~drawn, users[of], Wording(person, candidate, lambda inputs: names[int(inputs["item"])]))
        parts[name].negatives = each / TRAINED
    return parts


def _unrated(users: Whole, known: Whole, count: int, seed: int) -> Whole:
    """Return a movie for each person that this person never rated, all as likely, and drawn again where it was."""
    found, open_places, step = np.zeros(len(users), dtype=np.int64), np.arange(len(users)), 0
    while open_places.size:
        keys = mix(open_places.astype(np.uint64) + (np.uint64(seed) << np.uint64(48)) + (np.uint64(step) << np.uint64(40)))
        found[open_places] = (keys >> np.uint64(32)).astype(np.int64) * count // 2**32 + 1
        asked = users[open_places] * (count + 1) + found[open_places]
        at = np.searchsorted(known, asked).clip(0, len(known) - 1)
        open_places, step = open_places[known[at] == asked], step + 1
    return found


def _described(movies: pd.DataFrame) -> tuple[NDArray[np.uint8], NDArray[np.float32], list[str]]:
    """Return the genres [movies + 1, 6] (0 for none), the year [movies + 1, 1] in decades from 1990, and the titles."""
    genres, year = np.zeros((len(movies) + 1, GENRES), dtype=np.uint8), np.zeros((len(movies) + 1, 1), dtype=np.float32)
    for row, (title, kinds) in enumerate(zip(movies.title, movies.genres, strict=True), 1):
        known = [KINDS.index(kind) + 1 for kind in str(kinds).split("|") if kind in KINDS][:GENRES]
        genres[row, : len(known)] = known
        named = re.search(r"\((\d{4})\)\s*$", str(title))
        year[row] = (int(named.group(1)) - 1990) / 10 if named else 0.0
    return genres, year, ["", *map(str, movies.title)]
