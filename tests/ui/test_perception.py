"""Models that find objects and classes of pixels: pictures hold what they find, and every figure of what was observed is at hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from prunekit.comparison.behaviour import changed_samples
from prunekit.evaluation.paired import figures_by_class
from prunekit.evaluation.quality import Evaluation
from prunekit.tasks import Observations, task
from prunekit.ui.compare import behaviour
from tests.ui.test_other_tasks import quiet

SMALL = {"model": "canvas_detector", "limit": "12", "evaluations": "3", "epochs": "1"}


def pictures(one):
    """Return how many pictures with something drawn over them a page shows."""
    return sum("svg" in str(each.proto) for each in one.app.get("image"))


@pytest.mark.slow
def test_prune_draws_what_is_labelled_and_what_dense_and_pruned_find(tab):
    one = tab("prune", mode="structured", sparsity="30", asks="1", **SMALL)
    assert pictures(one) == 3 and "As it is labelled" in one.text and "Green boxes are right" in one.text
    assert not one.app.error


@pytest.mark.slow
@pytest.mark.parametrize(
    "page, button", [("sensitivity", "measure_sensitivity"), ("accuracy", "measure_curves"), ("recover", "recover_start")]
)
def test_a_page_that_measures_does_so_on_boxes(tab, page, button):
    one = tab(page, mode="structured", **SMALL).ask(button)
    one.wait(quiet)
    one.app.run()
    one.check()
    assert "mAP@50" in one.text and not one.app.error and "ccuracy" not in one.text
    if page != "recover":
        again = tab(page, mode="structured", judged="ap_50.3", **SMALL)
        assert "AP@50 of 3" in again.text or "AP@50 of 3" in str(again.app.selectbox), "another figure of the same observations"


def measured(found, wrong):
    """Return what is seen of pictures with two objects each, of which so many are found, and so many boxes are wrong."""
    n, most = len(found), 4
    score, hit = np.full((n, most), -1.0), np.zeros((n, most))
    for row, (right, false) in enumerate(zip(found, wrong, strict=True)):
        score[row, : right + false] = 0.9
        hit[row, :right] = 1023
    wanted = np.tile([[1, 1]], (n, 1))
    columns = {f"hit_{size}": hit for size in ("all", "small", "medium", "large")}
    columns |= {f"target_{size}": wanted for size in ("all", "small", "medium", "large")}
    seen = Observations.of(score=score, **{"class": np.tile([[0, 1, 0, 1]], (n, 1))}, **columns)
    of = task("object-detection")
    return Evaluation.of(seen, of.headline, task=of)


def test_the_pictures_that_change_most_are_those_whose_objects_are_lost():
    dense, run = measured([2, 2, 2, 1], [0, 0, 1, 0]), measured([2, 0, 2, 1], [0, 2, 1, 0])
    frame = changed_samples(dense, run)
    assert frame["sample"].tolist() == [1] and (frame["objects"] == 2).all()
    assert frame[["found, dense", "found, run", "wrong, dense", "wrong, run"]].to_numpy().tolist() == [[2, 0, 0, 2]]


def test_classes_are_compared_in_pairs_by_the_tasks_own_figure():
    dense, run = measured([2] * 12, [0] * 12), measured([1] * 12, [0] * 12)  # the second object, of class 1, is lost everywhere
    frame = figures_by_class({"Dense": dense, "A": run}, ("zero", "one"))
    rows = frame.set_index(["letter", "name"])
    assert rows.loc[("A", "zero"), "change"] == 0 and not rows.loc[("A", "zero"), "significant"]
    assert rows.loc[("A", "one"), "change"] == -1 and rows.loc[("A", "one"), "significant"]
    assert rows.loc[("Dense", "one"), "accuracy"] == 1


def test_classes_on_a_page_are_those_of_the_runs_in_view():
    def of(name, found):
        run = SimpleNamespace(id=name)
        columns = [SimpleNamespace(letter=letter, run=run, gone=False, accuracy=found) for letter in ("Dense", "A")]
        return SimpleNamespace(all=columns, split="test", data_id=None)

    one, two = of("one", measured([2] * 4, [0] * 4)), of("two", measured([1] * 4, [0] * 4))
    seen = [behaviour._classes_of(behaviour._measured(each), each, ("zero", "one")) for each in (one, two)]  # type: ignore[arg-type]
    assert [frame["accuracy"].tolist() for frame in seen] == [[1, 1, 1, 1], [1, 0, 1, 0]]
