"""``textfile:PATH``, ``csv:PATH`` and ``datasets:NAME_OR_FOLDER``: a person's own texts, and tables of what people chose."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data, cut_from_one
from prunekit.data.image_folder import SAME
from prunekit.data.interactions import load_interactions
from prunekit.data.text import PARTS, Texts, by_position, coding_of, labelled, running, shared_out
from prunekit.data.tokenisers import Coding
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo
from prunekit.tasks.language_modelling import LANGUAGE
from prunekit.tasks.recommendation import RECOMMENDATION

if TYPE_CHECKING:
    import pandas as pd

TEXTFILE, CSV, DATASETS = "textfile:", "csv:", "datasets:"
TEXT_COLUMN, LABEL_COLUMN = "text", "label"
FEWEST = 10
TAB = ".tsv"


def load_textfile(data_id: DataId, known: ModelInfo) -> Data:
    """Return a file of plain text as windows: 90 % to learn from, 5 % for validation and the last 5 % for the test."""
    path = _file(data_id, TEXTFILE, "path/to/book.txt")
    coding = coding_of(data_id, known)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no text in UTF-8: {' '.join(str(error).split())}") from error
    if not text.strip():
        raise DataError(f"{path} is empty: it needs text")
    said = f"{path.name}, {len(text):,} characters: the first 90 % to learn from, 5 % for validation, the last 5 % for the test."
    return running(replace(data_id, name=f"{TEXTFILE}{path}"), by_position(text), coding, said, blocks=True)


def load_csv(data_id: DataId, known: ModelInfo) -> Data:
    """Return a table of texts: with a class each, or of a language model documents to go on with; of a model that recommends, candidates.

    ``data_id``: its name is ``csv:PATH`` of a CSV file with a line of names (``.tsv``: with tabs), which may be compressed; its columns are
    ``text`` and ``label`` unless it names others. A fifth of the rows each for validation and for the test, in a fixed random order.
    """
    import pandas as pd  # noqa: PLC0415 (slow to import)

    path = _file(data_id, CSV, "path/to/reviews.csv")
    chosen = _is_for(known, RECOMMENDATION.name)
    coding = None if chosen else coding_of(data_id, known)
    try:
        frame = pd.read_csv(path, sep="\t" if TAB in path.suffixes else ",", dtype=str, keep_default_na=False)
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:  # pandas' own are ValueErrors
        raise DataError(f"{path} is no table: {' '.join(str(error).split())}") from error
    if len(frame) < FEWEST:
        raise DataError(f"{path} has {len(frame)} rows, and {FEWEST} at least are needed to learn from and to measure on")
    if coding is None:
        return cut_from_one(load_interactions(replace(data_id, name=f"{CSV}{path}"), known, frame, path.name))
    parts = {name: frame.iloc[places] for name, places in shared_out(len(frame)).items()}
    return cut_from_one(_of_tables(replace(data_id, name=f"{CSV}{path}"), known, coding, parts, f"{path.name}, {len(frame):,} rows"))


def load_datasets(data_id: DataId, known: ModelInfo) -> Data:
    """Return what the library ``datasets`` knows by name, or has saved into a folder."""
    name = data_id.name.removeprefix(DATASETS)
    folder, coding = Path(name).expanduser(), coding_of(data_id, known)
    try:
        import datasets  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise DataError(f"{data_id.name} needs the package datasets, which is not here: pip install 'prunekit[datasets]'") from error
    try:
        found = datasets.load_from_disk(str(folder)) if folder.is_dir() else datasets.load_dataset(name)
    except Exception as error:  # whatever a hub or a file may do
        raise DataError(
            f"the package datasets cannot open {name!r}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        ) from error
    splits = dict(found) if isinstance(found, Mapping) else {"train": found}
    features = next(iter(splits.values())).features
    frames = {{"valid": "validation", "dev": "validation"}.get(key, key): part.to_pandas() for key, part in splits.items()}
    column = data_id.label_column or LABEL_COLUMN
    names = getattr(features.get(column), "names", None)
    if names:
        frames = {key: frame for key, frame in frames.items() if (frame[column] >= 0).all()}  # -1 stands for a class that is kept secret
        frames = {key: frame.assign(**{column: [names[int(label)] for label in frame[column]]}) for key, frame in frames.items()}
    kept = _parted(frames)
    data_id = replace(data_id, name=f"{DATASETS}{folder.resolve()}") if folder.is_dir() else data_id
    if names and (not known.classes or (_unnamed(known.classes) and len(names) == len(known.classes))):  # these are in order, too
        known = replace(known, classes=tuple(names))
    made = _of_tables(data_id, known, coding, kept, data_id.name)
    return made if frames.keys() - {"train"} else cut_from_one(made)


def _is_for(known: ModelInfo, task: str) -> bool:
    """Whether a model, or whoever asked for it, says that it is for a task."""
    return task in (known.task, getattr(known.task, "name", None), getattr(known.id, "task", None), (known.card or {}).get("task"))


def _parted(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return tables as parts: where there is no test, the validation part or a fifth of all is; a fifth of what is learned from chooses."""
    found = {name: frames[name] for name in PARTS if name in frames} or {"train": next(iter(frames.values()))}
    if "test" not in found and "validation" in found:
        found["test"] = found.pop("validation")
    if "train" in found and len(found) < len(PARTS):
        shares = shared_out(len(found["train"]))
        if "test" in found:
            shares["train"] = np.concatenate([shares["train"], shares.pop("test")])
        whole = found["train"]
        found |= {name: whole.iloc[places] for name, places in shares.items()}
    return found


def _of_tables(data_id: DataId, known: ModelInfo, coding: Coding, parts: Mapping[str, pd.DataFrame], said: str) -> Data:
    """Return tables of texts as data: documents for a language model, else texts with a class each."""
    wanted, given = data_id.text_column or TEXT_COLUMN, data_id.label_column or LABEL_COLUMN
    frame = parts["test"]
    modelled = _is_for(known, LANGUAGE.name)
    for column, flag in ((wanted, "--text-column"), *(() if modelled else ((given, "--label-column"),))):
        if column not in frame:
            raise DataError(f"{data_id.name} has no column {column!r}; it has {', '.join(map(str, frame.columns))}: say which with {flag}")
    for part in parts.values():
        empty = next((row for row, text in zip(part.index, part[wanted], strict=True) if not str(text or "").strip()), None)
        if empty is not None:
            raise DataError(f"{data_id.name} has no text in row {int(empty) + 1} (column {wanted!r}): fill it in, or leave that row out")
    if modelled:
        return running(data_id, {name: [*map(str, part[wanted])] for name, part in parts.items()}, coding, f"{said}.", blocks=False)
    labels = {name: [*map(str, part[given])] for name, part in parts.items()}
    classes = _classes(data_id, known.classes, labels)
    number = {name: i for i, name in enumerate(classes)} | {str(i): i for i, name in enumerate(classes) if str(i) not in classes}
    texts = {
        name: Texts([*map(str, part[wanted])], [number[label] for label in labels[name]], [int(row) + 1 for row in part.index])
        for name, part in parts.items()
    }
    data = labelled(data_id, texts, classes, coding, f"{said}, and the column {given!r}.")
    return data if data.train is not None else replace(data, note=SAME)


def _classes(data_id: DataId, told: Sequence[str], labels: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the names of the classes: those of the model in its order where they are these, else those that are there."""
    found = {label for part in labels.values() for label in part}
    if "" in found:
        raise DataError(f"{data_id.name} has rows without a class: fill them in, or leave those rows out")
    if len(found) < 2:
        raise DataError(f"{data_id.name} has one class only, {next(iter(found))!r}: there is nothing to tell apart")
    if found <= set(told) or found <= set(map(str, range(len(told)))):  # names, or places in the model's order
        return tuple(told)
    if _unnamed(told):
        raise DataError(
            f"{data_id.name} has the classes {', '.join(sorted(found)[:8])}, and the {len(told)} of the model have no names: give the "
            f"column as numbers 0 to {len(told) - 1} in the model's order, or name them in its config.json (id2label), "
            "which says how many there are"
        )
    if told:
        wrong = sorted(found - set(told))[0]
        raise DataError(f"{data_id.name} has the class {wrong!r}, which the model does not know: its classes are {', '.join(told[:8])}")
    numbers = all(label.isdecimal() for label in found)
    return tuple(sorted(found, key=lambda label: (int(label), "") if numbers else (0, label)))


def _unnamed(classes: Sequence[str]) -> bool:
    """Whether classes are called as transformers calls them where nobody did."""
    return bool(classes) and all(re.fullmatch(r"LABEL_\d+", name) for name in classes)


def _file(data_id: DataId, prefix: str, example: str) -> Path:
    """Return the file that a name holds."""
    path = Path(data_id.name.removeprefix(prefix)).expanduser()
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r} (looked in {Path.cwd()}): name one, as in {prefix}{example}")
    return path.resolve()


PREFIXES: Mapping[str, Callable[[DataId, ModelInfo], Data]] = {TEXTFILE: load_textfile, CSV: load_csv, DATASETS: load_datasets}
