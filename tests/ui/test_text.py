"""Models that read text: every page that measures does so in their own units, and no picture is asked of a text."""

import pytest

from prunekit.config.spec import PruneSpec
from prunekit.ui.shared import cuts
from prunekit.ui.shared.model_cache import Source
from tests.ui.test_other_tasks import WRONG, quiet, said

SMALL = {"limit": "16", "evaluations": "4", "epochs": "1"}


@pytest.mark.parametrize("mode", ["unstructured", "structured"])
def test_a_language_model_is_judged_by_its_perplexity(tab, mode):
    one = tab("prune", model="shakespeare_gpt", mode=mode, **SMALL)
    one.ask("measure").wait(lambda: one.metric("Perplexity").value != "—")
    assert float(one.metric("Perplexity").value.replace(",", "")) > 1 and not one.app.error
    assert not [word for word in said(one) if WRONG.search(word)]
    # an embedding, whose outputs lie along the second axis of its weight, and a projection of heads
    for focus in ("0", "2"):
        assert not tab("prune", model="shakespeare_gpt", mode=mode, focus=focus, **SMALL).app.error


@pytest.mark.parametrize(
    "model, page, button",
    [
        ("reviews_encoder", "sensitivity", "measure_sensitivity"),
        ("shakespeare_gpt", "accuracy", "measure_curves"),
        ("shakespeare_gpt", "recover", "recover_start"),
    ],
)
def test_a_page_that_measures_does_so_on_texts(tab, model, page, button):
    one = tab(page, model=model, **SMALL).ask(button)
    one.wait(quiet)
    one.app.run()
    one.check()
    assert ("erplexity" if model == "shakespeare_gpt" else "ccuracy") in one.text and not one.app.error
    assert not [word for word in said(one) if "image" in word]


def test_start_tells_what_a_sample_of_text_reaches(tab):
    one = tab(model="reviews_encoder")
    assert one.metric("Accuracy").value.startswith("88.0")
    assert any("88.0" in word and "n = 2,000" in word for word in said(one)) and not one.app.error
    assert "The first 8 test texts" in one.text


def test_the_channels_of_an_embedding_are_its_columns():
    view = cuts.view(Source("shakespeare_gpt"), PruneSpec(mode="structured", sparsity=0.6))
    rows = view.frame.set_index("name")
    for name in ("tokens", "positions", "blocks.0.attention.out"):
        assert rows.loc[name, "all"] == 128 and rows.loc[name, "gone"] == 128 - len(view.cut.kept[name]) > 0
        assert cuts.kept_channels(view)[name].sum() == len(view.cut.kept[name])
    assert rows.loc["tokens", "inputs"] == 0 and rows.loc["head", "inputs"] == rows.loc["tokens", "removed"]
