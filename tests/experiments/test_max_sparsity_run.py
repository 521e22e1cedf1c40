"""What the validation images have chosen is confirmed on the test images, all of them."""

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.experiments.max_sparsity_run import FurthestRequest, find_furthest
from prunekit.experiments.requests import SweepRequest
from prunekit.models.load import load_model


def test_the_answer_is_confirmed_on_images_that_had_no_say_in_it():
    model = load_model("digits_mlp")
    data = load_data("digits", model=model)
    sweep = SweepRequest(ModelId("digits_mlp"), DataId("digits"), PruneSpec(), images=50, sparsities=(0.5,))
    answer = find_furthest(FurthestRequest(sweep, 0.3), None, model=model, data=data)
    assert answer.found.drop.n == 50
    assert answer.confirmation.drop.n == len(data.test) != len(data.validation)
