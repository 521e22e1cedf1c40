"""A model whose quality is no accuracy: every page tells it by its own metric, and calls nothing an accuracy or an image."""

import re

import pytest

from prunekit.experiments.jobs import board

WRONG = re.compile(r"accura|\bimages?\b", re.IGNORECASE)
KINDS = ("markdown", "caption", "error", "warning", "info", "subheader", "button", "selectbox", "number_input", "metric", "expander")


def said(one):
    """Return all words of a page: labels, values and help."""
    words = [getattr(part, what, None) for kind in KINDS for part in one.app.get(kind) for what in ("label", "value", "help", "delta")]
    return [word for word in words if isinstance(word, str)]


def quiet():
    return not any(job.active for job in board().all())


def test_the_quality_of_a_regression_is_called_and_written_as_what_it_is(tab):
    one = tab("prune", model="diabetes_mlp")
    assert one.metric("R²").value == "—"
    one.set("pick_sparsity", 50.0).ask("measure").wait(lambda: one.metric("R²").value != "—")
    assert one.metric("R²").value.startswith("0.4") and "%" not in one.metric("R²").delta
    assert not [word for word in said(one) if WRONG.search(word)]


@pytest.mark.parametrize(
    "page, button", [("sensitivity", "measure_sensitivity"), ("accuracy", "measure_curves"), ("recover", "recover_start")]
)
def test_a_page_that_measures_does_so_by_the_headline_metric(tab, page, button):
    one = tab(page, model="diabetes_mlp", evaluations="4", epochs="1").ask(button)
    one.wait(quiet)
    one.app.run()
    one.check()
    assert "R²" in one.text and not one.app.error
    assert not [word for word in said(one) if WRONG.search(word)]


def test_start_tells_the_headline_metric_of_a_sample_on_its_card(tab):
    one = tab(model="diabetes_mlp")
    assert one.metric("R²").value.startswith("0.491")
    assert any("0.491" in word and "R²" in word and "n = 100" in word for word in said(one))
