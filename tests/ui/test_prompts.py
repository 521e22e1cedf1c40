"""A text of one's own on the Prune page: in the address, asked of both models, and plain words for what cannot be read."""

import numpy as np
import pytest
import torch

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.data.text import reader_of
from prunekit.data.tokenisers import Coding
from prunekit.errors import DataError
from prunekit.models.info import info
from prunekit.plots.sample_answers import answer_bars, answers_caption
from prunekit.tasks.classification import TEXT
from prunekit.tasks.language_modelling import LANGUAGE, visible
from prunekit.tasks.shown import Bars, Reader
from prunekit.ui.components.head_strips import head_frame
from prunekit.ui.shared import asking, cuts
from prunekit.ui.shared.model_cache import NO_IMAGES, Source


def test_a_prompt_is_asked_of_both_models_and_stands_in_the_address(tab):
    one = tab("prune", model="shakespeare_gpt", prompt="KING\nHenry", sparsity=90, limit=16)
    assert not one.app.exception and not one.app.error
    assert "Dense says" in one.text and "goes on" in one.text
    assert one.address["prompt"] == "KING\nHenry"
    field = next(each for each in one.app.text_area if each.key == "pick_prompt")
    field.set_value("ROMEO").run()
    assert one.address["prompt"] == "ROMEO"
    field = next(each for each in one.app.text_area if each.key == "pick_prompt")
    field.set_value("[KING]").run()
    assert [error.value for error in one.app.error if "alphabet" in error.value]


def test_what_is_asked_is_what_the_models_say():
    source, spec = Source("shakespeare_gpt"), PruneSpec(mode="structured", sparsity=0.4)
    question, view = asking.Question("KING HENRY", goes_on=True), cuts.view(source, spec)
    dense, pruned = asking.dense(source, NO_IMAGES, question), asking.pruned(source, spec, NO_IMAGES, question, view)
    model = prunekit.load_model("shakespeare_gpt")
    ids = torch.tensor([info(model).tokeniser.encode("KING HENRY")])
    small = prunekit.prune(model, spec).model
    for said, net in ((dense, model), (pruned, small)):
        with torch.inference_mode():
            np.testing.assert_allclose(said.answer.shares, net(ids)[0, -1].double().softmax(0), atol=1e-5)
        assert said.continuation.text[0] == info(model).tokeniser.decode([said.answer.best])
        assert len(said.continuation.text) == asking.TOKENS
    reader = reader_of(info(model), None)
    drawn = [LANGUAGE.go_on(model, "KING", reader, tokens=8, seed=seed).text for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    frame = head_frame(view.cut.graph, model, view.cut.gone)
    for layer, part in frame.groupby("layer"):  # a head is there exactly where its outputs are
        kept = {place // 16 for place in view.cut.kept[f"{layer}.value"]}
        assert set(part.loc[part["kept"], "head"]) == kept and len(part) == 8


class Numbers:
    """Every character by its code."""

    def encode(self, text):
        return [ord(each) for each in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


@pytest.mark.parametrize(("text", "words"), [("", "your text is empty"), ("é", "id 233 in your text"), ("   ", "your text is empty")])
def test_what_cannot_be_read_is_said_plainly(text, words):
    with pytest.raises(DataError, match=words):
        TEXT.read(text, Reader(Coding(Numbers(), 8, 128)))


def test_a_long_text_is_read_from_the_side_that_matters():
    reader = Reader(Coding(Numbers(), 4, 128))
    for task, part, words in ((TEXT, "abcd", "the first 4"), (LANGUAGE, "cdef", "the last 4")):
        batch, note = task.read("abcdef", reader)
        assert batch.args[0][0].tolist() == [ord(each) for each in part] and words in note and "6" in note
    assert LANGUAGE.read(" ", reader)[1] == ""
    with pytest.raises(DataError, match="how this model reads text"):
        TEXT.read("a", Reader())


def test_bars_hold_the_largest_of_both():
    dense, pruned = (Bars("Class", np.array(shares), "abcd".__getitem__) for shares in ([0.6, 0.3, 0.1, 0], [0.05, 0.05, 0.1, 0.8]))
    assert dense.first(pruned, most=3) == [0, 1, 3]
    fig = answer_bars({"Dense": dense, "Pruned": pruned}, most=3)
    assert [list(trace.x) for trace in fig.data] == [[0.6, 0.3, 0.0], [0.05, 0.05, 0.8]]
    assert "Dense says “a” (60.0\u202f%), Pruned “d”" in answers_caption({"Dense": dense, "Pruned": pruned})
    assert [visible(each) for each in ("\n", " ", " the", "a b")] == ["⏎", "␣", "␣the", "a b"]


def test_a_sample_s_own_tokeniser_reads_where_there_are_no_data():
    model = prunekit.load_model("reviews_encoder")
    assert reader_of(info(model), None).classes[0] == "Tops"
    assert asking.dense(Source("reviews_encoder"), NO_IMAGES, asking.Question("these pants are too long")).answer.said == "Bottoms"
