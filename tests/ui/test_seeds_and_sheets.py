"""The interval of a mean over seeds moves with the mean, and a sheet shows its own images."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest

from prunekit.evaluation.quality import accuracy_of
from prunekit.evaluation.sweep import SweepPoint
from prunekit.models.cost import Counts
from prunekit.ui.accuracy import quality_chart
from prunekit.ui.compare import behaviour
from prunekit.ui.state.settings import Settings

COUNTS = Counts(100, 50, 1000, 500, 0.5, 80)


def test_the_interval_of_several_seeds_moves_with_their_mean():
    points = [SweepPoint(0.5, 0.5, accuracy_of(np.arange(200) < right), COUNTS, seed=seed) for seed, right in enumerate((150, 170))]
    row = dict(zip(quality_chart.COLUMNS, quality_chart._row(SimpleNamespace(name="a line"), points, COUNTS), strict=True))
    first = points[0].accuracy
    assert row["value"] == pytest.approx(0.8) and (row["least"], row["most"], row["seeds"]) == (0.75, 0.85, 2)
    assert (row["low"], row["high"]) == (pytest.approx(first.low + 0.05), pytest.approx(first.high + 0.05))


@pytest.mark.parametrize(("sheet", "shown"), [(1, range(18)), (2, range(18, 36)), (3, range(36, 40)), (9, range(36, 40))])
def test_a_sheet_shows_the_images_that_come_after_those_of_the_one_before(monkeypatch, sheet, shown):
    seen = []
    for part in ("st", "show", "session", "resolve"):
        monkeypatch.setattr(behaviour, part, MagicMock())
    monkeypatch.setattr(behaviour.picked_runs, "split_with_names", lambda _: (None, ()))
    monkeypatch.setattr(behaviour, "flips_caption", lambda *_: "")
    monkeypatch.setattr(behaviour, "_sheet", lambda found, told, rows: seen.extend(rows["image"]))
    flips = pd.DataFrame({"image": range(40), "letter": "A", "kind": "lost"})
    behaviour._flips(Settings(sheet=sheet), MagicMock(units="images"), SimpleNamespace(flips=flips, classes=()), "A")
    assert seen == list(shown)
