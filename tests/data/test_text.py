"""Text as data: what ships, files and tables of one's own, and what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data
from prunekit.data.load import load_data
from prunekit.data.text_splits import BLOCK, WindowSplit
from prunekit.data.tokenisers import Coding
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo, remember
from prunekit.tasks.language_modelling import IGNORED
from tests.tables import case


class Letters:
    """A tokeniser: a is 1, b is 2, ... and all else 0."""

    size = 27

    def encode(self, text: str) -> list[int]:
        return [max(0, ord(letter) - 96) if letter.isalpha() else 0 for letter in text.lower()]

    def decode(self, ids: Any) -> str:
        return "".join(chr(96 + i) if i else " " for i in ids)


def reading(**known: Any) -> nn.Module:
    """Return a model of which something is known."""
    told: dict[str, Any] = {"tokeniser": Letters(), "vocabulary": 27, "input_shape": (8,), "task": "text-classification", **known}
    return remember(nn.Identity(), ModelInfo(**told))


def table(folder: Path, rows: int = 20, name: str = "rows.csv", **columns: Any) -> str:
    """Write a table of texts and return its name as data."""
    held = {"text": [f"row {chr(97 + i)} says" for i in range(rows)], "label": [("cat", "ant")[i % 2] for i in range(rows)], **columns}
    pd.DataFrame(held).to_csv(folder / name, index=False, sep="\t" if name.endswith("tsv") else ",")
    return f"csv:{folder / name}"


@pytest.fixture(scope="module")
def reviews() -> Data:
    return load_data("reviews")


def test_reviews_are_parted_once_and_for_all(reviews: Data) -> None:
    assert (len(reviews.train or ()), len(reviews.validation or ()), len(reviews.test)) == (18_003, 2500, 2000)
    texts: list[set[str]] = [set(part.texts) for part in (reviews.train, reviews.validation, reviews.test)]  # type: ignore[union-attr, attr-defined]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 22_503
    assert reviews.classes == ("Tops", "Dresses", "Bottoms", "Intimate", "Jackets") and reviews.task == "text-classification"
    ids, label = reviews.test.subset(8)[0]
    assert ids.dtype == torch.int64 and ids.shape == (128,) and int(ids[-1]) == 0 and 0 <= int(label) < 5
    assert set(reviews.limited(20).test.texts) < set(reviews.limited(40).test.texts)  # type: ignore[attr-defined]
    rated = load_data("reviews:rating", limit=50)
    assert rated.classes == ("negative", "positive") and set(rated.test.labels.tolist()) == {0, 1}
    assert rated.test.fingerprint() == load_data("reviews:rating", limit=50).test.fingerprint() != reviews.limited(50).test.fingerprint()


def test_windows_of_shakespeare_hold_each_character_once_and_no_part_of_another() -> None:
    data = load_data("shakespeare")
    parts: list[Any] = [data.train, data.validation, data.test]
    told = [part.coding.tokeniser.decode(torch.cat([part.ids[0, :1], part.following[part.there]]).tolist()) for part in parts]
    assert [round(len(text) / 1_115_394, 3) for text in told] == [0.9, 0.05, 0.05] and sum(map(len, told)) == 1_115_394
    assert told[0].startswith("First Citizen:\nBefore we proceed") and parts[2].characters.sum() == len(told[2]) - 1
    batch = next(parts[2].batches(BLOCK + 1))
    assert torch.equal(batch.args[0][:, 1:], batch.targets["next"][:, :-1])
    assert batch.targets["document"].tolist() == [0] * BLOCK + [1]
    some = data.limited(30).test
    assert len(some) == 30 and {tuple(row) for row in data.limited(10).test.ids.tolist()} <= {tuple(row) for row in some.ids.tolist()}  # type: ignore[attr-defined]


def test_documents_are_windows_of_their_own_and_the_last_is_filled_up() -> None:
    split = WindowSplit.of(["abcdefghij", "xyz"], Coding(Letters(), 4), "two")
    assert split.ids.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 0, 0, 0], [24, 25, 0, 0]]
    assert split.following[2].tolist() == [10, IGNORED, IGNORED, IGNORED] and split.documents.tolist() == [0, 0, 0, 1]
    assert split.characters.tolist() == [4, 4, 1, 2] and split.text(3) == "xy"


def test_a_table_of_texts_is_parted_and_its_classes_are_the_models(tmp_path: Path) -> None:
    data = load_data(table(tmp_path), model=reading())
    assert (len(data.train or ()), len(data.validation or ()), len(data.test), data.classes) == (12, 4, 4, ("ant", "cat"))
    assert data.id.name == f"csv:{(tmp_path / 'rows.csv').resolve()}" and DataId.from_dict(data.id.to_dict()) == data.id
    assert "cut from one table" in data.note, "a model that comes trained may know them"
    ids, label = data.test[0]
    assert (
        ids.tolist() == Letters().encode(data.test.text(0))[:8]
        and data.classes[int(label)] == ("cat", "ant")[(ord(data.test.text(0)[4]) - 97) % 2]
    )  # type: ignore[attr-defined]
    turned = load_data(table(tmp_path, name="rows.tsv"), model=reading(classes=("cat", "ant", "dog")), size=5)
    assert turned.classes == ("cat", "ant", "dog") and turned.test[0][0].shape == (5,)
    assert (turned.test.labels == 1 - data.test.labels).all()
    numbers = load_data(table(tmp_path, label=[0, 1] * 10), model=reading(classes=("cat", "ant")))
    assert numbers.classes == ("cat", "ant") and (numbers.test.labels == turned.test.labels).all()
    named = load_data(table(tmp_path, words=["b"] * 20, kind=["1", "2"] * 10), model=reading(), text_column="words", label_column="kind")
    assert named.classes == ("1", "2") and named.test.text(0) == "b"  # type: ignore[attr-defined]
    followed = load_data(table(tmp_path), model=reading(task="language-modelling"))
    assert followed.task == "language-modelling" and followed.test[0][1]["next"].shape == (8,)
    masked = reading(tokeniser=SimpleNamespace(encode=Letters().encode, decode=Letters().decode, keywords=("input_ids", "attention_mask")))
    batch = next(load_data(table(tmp_path), model=masked).test.batches(2))
    assert list(batch.kwargs) == ["input_ids", "attention_mask"] and torch.equal(batch.kwargs["attention_mask"][0], torch.ones(8).long())


def test_what_a_library_saved_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Part:
        """Stands for what the library gives."""

        def __init__(self, n: int) -> None:
            self.n, self.features = n, {"label": SimpleNamespace(names=["no", "yes"])}

        def to_pandas(self) -> pd.DataFrame:
            return pd.DataFrame({"text": ["ab"] * self.n, "label": np.arange(self.n) % 2})

    with pytest.raises(DataError, match=r"needs the package datasets.*pip install"):
        monkeypatch.setitem(sys.modules, "datasets", None)
        load_data("datasets:imdb", model=reading())
    opened = {"train": Part(20), "test": Part(6)}
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_from_disk=lambda path: opened, load_dataset=lambda name: Part(50)))
    data = load_data(f"datasets:{tmp_path}", model=reading())
    assert (len(data.train or ()), len(data.validation or ()), len(data.test), data.classes) == (16, 4, 6, ("no", "yes"))
    assert len(load_data("datasets:imdb", model=reading()).test) == 10


def test_a_file_of_text_is_parted_by_position(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("abcdefghij" * 40, encoding="utf-8")
    data = load_data(f"textfile:{tmp_path / 'book.txt'}", model=reading(task="language-modelling"))
    assert [len(part or ()) for part in (data.train, data.validation, data.test)] == [45, 3, 3] and data.test.text(0) == "abcdefgh"  # type: ignore[attr-defined]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    for name, text in (("short", "abc"), ("blank", " \n"), ("long", "abcdefghij" * 40)):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    sizeless = SimpleNamespace(encode=Letters().encode, decode=Letters().decode)
    plays = load_data("shakespeare", limit=1).test.coding.tokeniser  # type: ignore[attr-defined]
    files: list[tuple[str, str, dict[str, Any]]] = [
        ("a window of 8 needs 9", "short", {}),
        ("blank.txt is empty", "blank", {}),
        ("no text in UTF-8", "bytes", {}),
        ("there is no file", "nowhere", {}),
        ("knows 27 tokens and the model's embedding holds 20", "long", {"vocabulary": 20}),
        (r"gives id 9 in .*, and the model's embedding has rows 0\.\.8", "long", {"vocabulary": 9, "tokeniser": sizeless}),
        ("nobody says how the model reads it", "long", {"tokeniser": None}),
        ("a tokeniser has encode", "long", {"tokeniser": 3}),
    ]
    for words, name, known in files:
        with case(words), pytest.raises(DataError, match=words):
            load_data(f"textfile:{tmp_path / name}.txt", model=reading(**known))
    tables: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        (
            "the alphabet of 65 characters does not hold 'é'",
            {"text": ["é"] * 20},
            {},
            {"tokeniser": plays, "vocabulary": 65},
        ),
        ("no column 'words'; it has text, label: say which with --text-column", {}, {"text_column": "words"}, {}),
        ("no column 'kind'.*--label-column", {}, {"label_column": "kind"}, {}),
        ("no text in row", {"text": ["a", " "] * 10}, {}, {}),
        ("one class only, 'cat'", {"label": ["cat"] * 20}, {}, {}),
        ("rows without a class", {"label": ["cat", ""] * 10}, {}, {}),
        ("the class 'ant', which the model does not know: its classes are cat, dog", {}, {}, {"classes": ("cat", "dog")}),
        ("the classes ant, cat, and the 3 of the model have no names", {}, {}, {"classes": ("LABEL_0", "LABEL_1", "LABEL_2")}),
        ("10 at least", {"rows": 4}, {}, {}),
        ("no pixels to normalise", {}, {"mean": (0.5,)}, {}),
    ]
    for words, columns, asked, known in tables:
        with case(words), pytest.raises(DataError, match=words):
            next(load_data(table(tmp_path, **columns), model=reading(**known), **asked).test.batches(4))


@pytest.mark.slow
def test_folders_that_the_library_itself_saved_are_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    labels = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "fair", "good"])})
    rows = {"text": [f"text {'abc'[i % 3]}" for i in range(60)], "label": [i % 3 for i in range(60)]}
    datasets.Dataset.from_dict(rows, features=labels).train_test_split(0.3, seed=0).save_to_disk(str(tmp_path / "labelled"))
    for classes in ((), ("LABEL_0", "LABEL_1", "LABEL_2"), ("bad", "fair", "good")):
        data = load_data(f"datasets:{tmp_path / 'labelled'}", model=reading(classes=classes))
        assert data.classes == ("bad", "fair", "good") and len(data.test) == 18
    datasets.Dataset.from_dict({"text": ["a quick brown fox " * 5] * 30}).save_to_disk(str(tmp_path / "plain"))
    assert len(load_data(f"datasets:{tmp_path / 'plain'}", model=reading(task="language-modelling")).test)
    with pytest.raises(DataError, match="the package datasets cannot open"):
        load_data(f"datasets:{tmp_path}", model=reading())
