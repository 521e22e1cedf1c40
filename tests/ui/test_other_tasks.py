"""A model whose quality is no accuracy: every page tells it by its own metric, and calls nothing an accuracy or an image."""

import pytest


def test_the_quality_of_a_regression_is_called_and_written_as_what_it_is(tab):
    one = tab(model="diabetes_mlp")
    assert one.metric("R²").value == "—"
    one.go("prune").set("pick_sparsity", 50.0).ask("measure").wait(lambda: one.metric("R²").value != "—")
    assert one.metric("R²").value.startswith("0.4") and "%" not in one.metric("R²").delta


@pytest.mark.parametrize("page", ["sensitivity", "accuracy", "recover"])
def test_a_page_that_draws_accuracies_calls_nothing_else_one(tab, page):
    one = tab(page, model="diabetes_mlp")
    assert "told as R²" in one.text and "`prunekit" in one.text
    assert not [button for button in one.app.button if button.key in ("measure_sensitivity", "measure_curves", "recover_start")]
