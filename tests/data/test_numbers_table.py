"""A table of one's own: a regression on its columns, in fixed parts, in the target's own unit."""

import numpy as np
import pandas as pd
import pytest
import torch

from prunekit import evaluate, load_data
from prunekit.errors import DataError


def written(folder, n=50, **more):
    values = np.random.default_rng(0).normal(5, 3, (n, 2))
    frame = pd.DataFrame({"a": values[:, 0], "b": values[:, 1], "same": 1.0, "y": 10 * values[:, 0] + 100, **more})
    frame.to_csv(folder / "rows.csv.gz", index=False)
    return frame


def test_the_last_column_is_predicted_from_the_others_in_its_own_unit(tmp_path):
    frame = written(tmp_path)
    data = load_data(f"table:{tmp_path / 'rows.csv.gz'}")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [30, 10, 10]
    assert (data.features, data.target) == (("a", "b", "same"), "y")
    rows = torch.cat([part.rows for part in (data.train, data.validation, data.test)]).double().numpy() * data.std + data.mean
    assert np.allclose(np.sort(rows[:, 0]), np.sort(frame["a"]), atol=1e-5) and np.isfinite(rows).all()
    assert np.allclose(data.train.rows[:, :2].mean(0), 0, atol=1e-6)
    first = torch.nn.Linear(3, 1)
    with torch.no_grad():
        first.weight[:] = torch.tensor([[1.0, 0, 0]])
        first.bias[:] = 0
    found = evaluate(first.eval(), data.test)
    assert found.metric.name == "r2" and found.value == pytest.approx(1)
    assert found.document()["metrics"]["mae"]["value"] == pytest.approx(0, abs=1e-3)
    assert found.observations["target"].mean() == pytest.approx(
        frame["y"].iloc[np.random.default_rng(1).permutation(50)[:10]].mean(), rel=1e-5
    )


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda folder: None, "there is no table"),
        (lambda folder: written(folder, words="few"), "is no table of numbers"),
        (lambda folder: written(folder, n=5), "10 rows at least"),
        (lambda folder: written(folder, gap=np.r_[np.nan, np.ones(49)]), "empty or infinite cells in gap"),
    ],
)
def test_what_is_no_table_is_said(tmp_path, make, words):
    make(tmp_path)
    with pytest.raises(DataError, match=words):
        load_data(f"table:{tmp_path / 'rows.csv.gz'}")


def test_housing_is_read_where_it_is_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"california\.csv\.gz .* into the folder housing of"):
        load_data("housing")
    (tmp_path / "housing").mkdir()
    written(tmp_path / "housing").to_csv(tmp_path / "housing" / "california.csv.gz", index=False)
    assert (load_data("housing").target, len(load_data("housing", limit=4).test)) == ("y", 4)
