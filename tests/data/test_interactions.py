"""What users chose: drawn clicks, MovieLens, tables of one's own, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from prunekit.config.ids import VARIABLE, DataId
from prunekit.data import clicks, movielens
from prunekit.data.load import load_data
from prunekit.errors import DataError, ModelError
from prunekit.models.info import ModelInfo, remember
from prunekit.tasks import Batch, task
from prunekit.tasks.batches import batches_of, samples_at


@pytest.fixture(scope="module")
def drawn() -> Any:
    return load_data("clicks")


def test_clicks_are_the_same_on_every_machine(drawn: Any) -> None:
    assert drawn.test.fingerprint()[:16] == "2aed96a6d330f782"
    assert [len(part) for part in (drawn.train, drawn.validation, drawn.test)] == [400_000, 30_000, 30_000]
    z = np.linspace(-4, 4, 9)
    np.testing.assert_allclose(clicks._sigmoid(z), 1 / (1 + np.exp(-z)), atol=3e-3)


def test_the_best_auc_is_that_of_the_true_probabilities_and_popularity_is_zipfs(drawn: Any) -> None:
    assert "AUC of 0.8337" in drawn.pixels
    seen = np.sort(np.bincount(drawn.train.inputs["item"].numpy()))[::-1]
    rank = np.arange(1, 1001)
    np.testing.assert_allclose(np.polyfit(np.log(rank + 10), np.log(seen[:1000]), 1)[0], -1, atol=0.05)
    popular = seen[:100].sum() / seen.sum()
    assert 0.3 < popular < 0.5


def test_a_choice_of_candidates_holds_whole_users(drawn: Any) -> None:
    part = drawn.test.subset(900)
    whole = {user: int((drawn.test.users == user).sum()) for user in np.unique(part.users)}
    assert 700 < len(part) <= 900 and all((part.users == user).sum() == n for user, n in whole.items())
    assert set(part.users) <= set(drawn.test.subset(2000).users) and len(drawn.test.subset(5)) == 5
    batch = samples_at(part, np.array([3, 1]))
    assert (
        batch.kwargs["item"].dtype == torch.int64
        and batch.kwargs["dense"].shape == (2, 6)
        and batch.targets["user"].tolist() == part.users[[3, 1]].tolist()
    )
    inputs, target = part[3]
    assert inputs["item"] == batch.kwargs["item"][0] and target["label"] == batch.targets["label"][0]
    assert next(batches_of(part, 16)).samples == 16 and set(part.fields(0)) >= {"who", "what", "numbers", "chosen"}
    places = task("recommendation").places(part, 2)
    assert places.tolist() == np.flatnonzero(part.users == np.unique(part.users)[2]).tolist()
    told = task("recommendation").shown(part, 2).fields
    user = int(part.users[places[0]])
    assert told["who"].startswith(f"user {user + 1} of") and told["before"].startswith(f"{(drawn.train.users == user).sum():,} candidates")
    assert f"{int(part.chosen[places].sum())} of them chosen" in told["candidates here"]


def tables(folder: Path) -> Path:
    """Write tables as MovieLens has them: 6 people, 40 movies; person 3 rated in the order of falling numbers."""
    source = np.random.default_rng(0)
    rows = [
        (user * 10, 5 * movie, 3.0, 1000 * user + (-movie if user == 3 else movie))
        for user in range(1, 7)
        for movie in np.sort(source.choice(40, 8, replace=False)) + 1
    ]
    (folder / movielens.FOLDER).mkdir(parents=True)
    pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"]).sample(frac=1, random_state=1).to_csv(
        folder / movielens.FOLDER / "ratings.csv", index=False
    )
    names = [(5 * k, f"Movie {k} ({1950 + k})", ("Comedy|War", "(no genres listed)")[k % 2]) for k in range(1, 41)]
    pd.DataFrame(names, columns=["movieId", "title", "genres"]).to_csv(folder / movielens.FOLDER / "movies.csv.gz", index=False)
    return folder


def test_movielens_leaves_the_last_movie_out_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tables(tmp_path)))
    data: Any = load_data("movielens")
    ratings = pd.read_csv(tmp_path / movielens.FOLDER / "ratings.csv").sort_values("timestamp")
    assert "leave-last-out" in data.pixels and (len(data.test), len(data.train)) == (600, 6 * 6 * 5)
    for person, (number, mine) in enumerate(ratings.groupby("userId")):
        test, order = data.test.take(np.flatnonzero(data.test.users == person)), (mine.movieId // 5).tolist()
        items = test.inputs["item"].numpy()
        assert items[test.chosen == 1].tolist() == order[-1:] and not set(items[test.chosen == 0]) & set(order), number
        assert test.inputs["history"][0, :8].tolist() == [*order[-2::-1], 0]
        held = data.validation.take(np.flatnonzero(data.validation.users == person))
        assert held.inputs["item"][held.chosen == 1].tolist() == order[-2:-1] and held.inputs["history"][0, 0] == order[-3]
        train = data.train.take(np.flatnonzero(data.train.users == person))
        assert sorted(train.inputs["item"][train.chosen == 1].tolist()) == sorted(order[:-2])
    told = data.test.fields(0)
    assert told["movie"].startswith("Movie") and told["genres"] in ("Comedy, War", "none named") and told["chosen"] == "yes"
    assert data.test.inputs["year"][0, 0] == pytest.approx((1950 + int(data.test.inputs["item"][0]) - 1990) / 10)


def test_movielens_that_is_not_here_or_not_whole_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(movielens, "ADDRESS", (tmp_path / "nothing.zip").as_uri())
    with pytest.raises(DataError, match=r"cannot be downloaded.*clicks needs no download"):
        load_data("movielens")
    folder = tables(tmp_path) / movielens.FOLDER
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,7,3.0,5\n")
    with pytest.raises(DataError, match="a rated movie is not among the movies"):
        load_data("movielens")


def own(folder: Path, n: int = 60, **columns: Any) -> str:
    """Write a table of candidates and return its name as data."""
    k = np.arange(n)
    held = {"user": k % 6, "item": k % 11, "dense.0": k / 7, "dense.1": 1.0 - k, "label": (k * 7 % 5 == 0).astype(int), **columns}
    pd.DataFrame({name: each for name, each in held.items() if each is not None}).to_csv(folder / "rows.csv", index=False)
    return f"csv:{folder / 'rows.csv'}"


class Scorer(nn.Module):
    """A table for items and numbers beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.items, self.out = nn.Embedding(11, 4), nn.Linear(6, 1)

    def forward(self, item: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        return self.out(torch.cat([self.items(item), dense], 1))  # type: ignore[no-any-return]


def scorer() -> nn.Module:
    """Return a model that says what it takes."""
    return remember(Scorer(), ModelInfo(task="recommendation", example={"item": torch.tensor([1, 2]), "dense": torch.zeros(2, 2)}))


def test_a_table_of_ones_own_gives_a_model_the_columns_that_it_takes(tmp_path: Path) -> None:
    data: Any = load_data(own(tmp_path), model=scorer())
    assert [len(part) for part in (data.train, data.validation, data.test)] == [36, 12, 12]
    batch = next(batches_of(data.test, 12))
    assert batch.kwargs["dense"].shape == (12, 2) and set(batch.kwargs) == {"item", "dense"} and batch.targets["user"].max() < 6
    found = task("recommendation").observe(scorer()(**batch.kwargs), batch)
    assert found.groups is not None and 0 <= roc_auc_score(found["label"], found["score"]) <= 1
    when = load_data(own(tmp_path, when=range(100, 40, -1), who=list("abc") * 20), user_column="who", time_column="when", model=scorer())
    assert when.test.inputs["item"].tolist() == [k % 11 for k in range(11, -1, -1)] and set(when.test.users) == {0, 1, 2}
    anything = remember(nn.Identity(), ModelInfo(task="recommendation"))
    assert set(load_data(own(tmp_path), model=anything).test.inputs) == {"user", "item", "dense.0", "dense.1"}


@pytest.mark.parametrize(
    ("columns", "named", "words"),
    [
        ({"label": None}, {}, "no column 'label'.*--label-column"),
        ({"user": None}, {}, "no column 'user'.*--user-column"),
        ({"item": None}, {}, "no column 'item', which the model takes"),
        ({"dense.1": None}, {}, "no column 'dense.1', which the model takes"),
        ({}, {"time_column": "when"}, "no column 'when'.*--time-column"),
        ({"label": [0] * 60}, {}, "one class only, not chosen"),
        ({"label": range(60)}, {}, "'label' of .* holds 2, and labels are 1"),
        ({"item": ["a"] * 60}, {}, "'item' of .* holds the text 'a': number"),
        ({"item": [0.5] * 60}, {}, "holds ids, which are whole numbers; it has 0.5"),
        ({"dense.0": [None] * 60}, {}, "'dense.0' of .* holds an empty cell"),
        ({}, {"size": 8}, "leave size, mean, std and classes out"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, columns: Any, named: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_data(own(tmp_path, **columns), model=scorer(), **named)


def test_users_who_chose_nothing_are_counted(tmp_path: Path) -> None:
    label = [int(k % 6 != 5 and k % 4 == 0) for k in range(60)]
    assert (
        "have chosen nothing in the test part: NDCG and recall leave them out"
        in load_data(own(tmp_path, label=label), model=scorer()).pixels
    )


def test_an_id_beyond_the_table_says_which_and_where() -> None:
    batch = Batch.of({"item": torch.tensor([3, 11]), "dense": torch.zeros(2, 2)})
    with pytest.raises(ModelError, match=r"item is 11 in a sample, and items, where the model looks it up, has rows 0\.\.10"):
        task("recommendation").forward(Scorer(), batch)
    with pytest.raises(ModelError, match=r"whole numbers .items looks them up.*choose data of whole numbers there"):
        task("recommendation").forward(Scorer(), Batch.of({"item": torch.tensor([3.0, 1.0]), "dense": torch.zeros(2, 2)}))


def test_columns_that_nobody_named_leave_names_as_they_were() -> None:
    assert "user_column" not in DataId("clicks").to_dict() and DataId("clicks", user_column="who").to_dict()["user_column"] == "who"
