"""Training from scratch: near the card in seconds, and the recipe's own."""

import pytest
import torch

import prunekit
from prunekit.config.recovery import Training
from prunekit.errors import DataError, RecoveryError, SpecError
from prunekit.models.entries import training_of
from prunekit.models.info import info
from prunekit.training.from_scratch import train
from prunekit.training.recipes import one_cycle
from sample_models import SAMPLES, card
from tests.training.drawn import bits, data_of, net, same, without

DIGITS = prunekit.load_data("digits")


def test_a_digits_sample_comes_near_its_card():
    seen = []
    tuned = train("digits_mlp", DIGITS, Training(epochs=20), report=seen.append)
    accuracy = prunekit.evaluate(tuned.model, DIGITS.test)
    assert accuracy.value > card("digits_mlp")["test_accuracy"]["value"] - 0.03
    assert tuple(seen) == tuned.history
    assert len(seen) == 20
    assert seen[-1].loss < seen[0].loss


def test_the_learning_rate_is_one_cycle_of_the_recipe():
    tuned = train("digits_mlp", DIGITS, Training(epochs=3))
    recipe = SAMPLES["digits_mlp"].recipe
    steps = len(DIGITS.train) // recipe.batch_size
    assert [epoch.lr for epoch in tuned.history] == pytest.approx(one_cycle(recipe.max_lr, 3 * steps, recipe.warmup)[::steps])


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    a, b, c = (train("digits_mlp", DIGITS, Training(epochs=1, seed=seed)) for seed in (0, 0, 1))
    assert same(bits(a.model), bits(b.model))
    assert not same(bits(a.model), bits(c.model))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_first_weights_owe_nothing_to_those_that_ship():
    tuned = train("digits_mlp", DIGITS, Training(epochs=1, lr=0.0, weight_decay=0.0))
    torch.manual_seed(0)
    assert same(bits(SAMPLES["digits_mlp"].build()), bits(tuned.model))


def test_what_was_trained_anew_knows_its_pixels_and_its_recipe_and_claims_no_card():
    model = train("digits_mlp", DIGITS, Training(epochs=1)).model
    known = info(model)
    assert (known.id, known.mean, known.input_shape) == (None, (0.3053,), (1, 8, 8))
    assert "test_accuracy" not in known.card
    assert training_of(model) == SAMPLES["digits_mlp"].recipe


def test_the_recipe_of_a_pruned_folder_is_that_of_its_dense_model(tmp_path):
    model = prunekit.load_model("digits_mlp")
    result = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.5))
    folder = prunekit.write_folder(tmp_path / "small", result.model, prunekit.Recipe({"name": "digits_mlp"}, None, result.spec))
    assert training_of(prunekit.load_model(str(folder))) == SAMPLES["digits_mlp"].recipe
    assert training_of(model) == SAMPLES["digits_mlp"].recipe
    assert training_of(net()) is None


def test_another_model_is_trained_by_its_function():
    data = data_of()
    tuned = train(net, data, Training(epochs=4, lr=0.05, batch_size=16))
    assert prunekit.evaluate(tuned.model, data.test).value > 0.8


def test_images_are_shrunk_over_the_first_epochs_where_the_recipe_says_so():
    sample = SAMPLES["cifar10_resnet20"]
    assert sample.recipe.small_size
    sides = []

    def build():
        model = sample.build()
        model.register_forward_pre_hook(lambda module, args: sides.append(args[0].shape[-1]) if module.training else None)
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SAMPLES, "cifar10_resnet20", type(sample)(**{**sample.__dict__, "build": build}))
        small = wide_data()
        train("cifar10_resnet20", small, Training(epochs=2, batch_size=4))
    assert sides[0] == sample.recipe.small_size
    assert sides[-1] == 32


def wide_data():
    """A few images of CIFAR-10's shape."""
    random = torch.Generator().manual_seed(0)
    from prunekit.config.ids import DataId
    from prunekit.data.dataset import Data, Normal, TensorSplit

    pixels = torch.randint(0, 256, (10, 3, 32, 32), generator=random, dtype=torch.uint8)
    split = TensorSplit(pixels, list(range(10)), Normal((0.5,) * 3, (0.25,) * 3))
    return Data(DataId("noise"), split, split, split, tuple("0123456789"))


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(RecoveryError, match="digits_mlp"):
        train("digits_mpl", DIGITS)
    with pytest.raises(RecoveryError, match="must return a torch module"):
        train(lambda: 3, DIGITS)
    with pytest.raises(DataError, match="no training images"):
        train("digits_mlp", without(DIGITS, train=None))


@pytest.mark.parametrize(
    ("values", "words"),
    [({"epochs": 0}, "epochs"), ({"lr": -1}, "lr"), ({"batch_size": 1}, "batch_size"), ({"augment": 1}, "augment"), ({"rate": 1}, "rate")],
)
def test_settings_that_are_not_valid_are_refused(values, words):
    with pytest.raises(SpecError, match=words):
        Training.from_dict(values)


def test_settings_come_back_from_plain_values():
    settings = Training(epochs=3, lr=1, seed=2)
    assert Training.from_dict(settings.to_dict()) == settings
    assert settings.title() == "trained 3 epochs"
