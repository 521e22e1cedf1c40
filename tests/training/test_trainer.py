"""The training loop against torch itself: steps, masks, losses and learning rates."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

import prunekit
from prunekit.config.recovery import Recovery
from prunekit.data.text_splits import WindowSplit
from prunekit.data.tokenisers import Coding
from prunekit.errors import RecoveryError
from prunekit.evaluation.accuracy import evaluate
from prunekit.tasks.language_modelling import LANGUAGE
from prunekit.training.images import Augmentation, TrainingSamples
from prunekit.training.recipes import Course, one_cycle, rates_of, steps_of, trained_by
from prunekit.training.trainer import Loop
from sample_models import SAMPLES
from sample_models.recipes import Teaching
from tests.data.test_text import Letters
from tests.training.drawn import bits, data_of, net, same

DATA = data_of()
IMAGES = TrainingSamples.of(DATA.train)


def course(**values):
    steps = steps_of(len(IMAGES), values.get("batch_size", 16))
    epochs = values.pop("epochs", 2)
    rate = values.pop("rate", 0.1)
    return Course(**{"epochs": epochs, "batch_size": 16, "rates": (rate,) * (epochs * steps), **values})


def weights_in(model):
    return {name: module.weight for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))}


def masks_for(mode):
    spec = prunekit.PruneSpec(mode="nm") if mode == "nm" else prunekit.PruneSpec(sparsity=0.7)
    result = prunekit.prune(net(), spec, input_shape=(2, 6, 6))
    return result.model, result.masks


@pytest.mark.parametrize("mode", ["unstructured", "nm"])
@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.9), ("sgd", 0.0), ("adam", 0.9)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_removed_weights_are_exactly_zero_after_every_step_and_all_else_moves(mode, optimizer, momentum, weight_decay):
    model, masks = masks_for(mode)
    start = bits(model)
    loop = Loop(copy.deepcopy(model), IMAGES, course(optimizer=optimizer, momentum=momentum, weight_decay=weight_decay), masks)
    loop.model.train()
    generator = torch.Generator().manual_seed(0)
    for step in range(8):
        loop.step(torch.arange(16 * (step % 6), 16 * (step % 6) + 16), 0, 0.05, generator)
        for name, weight in weights_in(loop.model).items():
            assert torch.equal(weight[~masks[name]], torch.zeros_like(weight[~masks[name]]))
    moved = {name: (weight != start[f"{name}.weight"]) | ~masks[name] for name, weight in weights_in(loop.model).items()}
    assert all(float(part.float().mean()) > 0.9 for part in moved.values())  # a dead unit behind a ReLU may stand still
    assert not torch.equal(loop.model[10].bias, start["10.bias"])


@given(st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.0, 0.01]), st.integers(0, 100))
def test_steps_are_those_of_torch_on_weights_that_are_masked_by_hand(momentum, weight_decay, seed):
    model, masks = masks_for("unstructured")
    loop = Loop(copy.deepcopy(model), IMAGES, course(momentum=momentum, weight_decay=weight_decay, seed=seed), masks)
    hand = copy.deepcopy(model).requires_grad_(True).to(memory_format=torch.channels_last).train()
    loop.model.train()
    groups = [
        {"params": [p for p in hand.parameters() if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in hand.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=momentum, nesterov=momentum > 0)
    for step in range(3):
        take = torch.randperm(len(IMAGES), generator=torch.Generator().manual_seed(seed + step))[:16]
        loss, seen = loop.step(take, 0, 0.1, torch.Generator())
        optimizer.zero_grad()
        scores = hand(IMAGES.take(take).args[0].contiguous(memory_format=torch.channels_last))
        labels = IMAGES.take(take).targets
        expected = F.cross_entropy(scores, labels)
        expected.backward()
        optimizer.step()
        with torch.no_grad():
            for name, weight in weights_in(hand).items():
                weight.mul_(masks[name])
        assert loss == pytest.approx(float(expected.detach()))
        assert seen["correct"].sum() == int((scores.argmax(1) == labels).sum())
    for a, b in zip(loop.model.parameters(), hand.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@given(st.floats(0.1, 1.0), st.floats(0.5, 8.0), st.integers(0, 50))
def test_the_loss_of_distillation_is_its_formula(share, temperature, seed):
    teacher, student = net(seed), net(seed + 1)
    loop = Loop(copy.deepcopy(student), IMAGES, course(teacher=teacher, teaching=Teaching((), temperature=temperature, share=share)))
    loop.model.eval()
    take = torch.arange(16)
    x, y = IMAGES.take(take).args[0], IMAGES.take(take).targets
    p = torch.softmax(teacher(x).double() / temperature, 1)
    q = torch.log_softmax(student(x).double() / temperature, 1)
    divergence = (p * (p.log() - q)).sum(1).mean()
    expected = (1 - share) * F.cross_entropy(student(x).double(), y) + share * temperature**2 * divergence
    loss, _ = loop.step(take, 0, 0.0, torch.Generator())
    assert loss == pytest.approx(float(expected), rel=1e-4, abs=1e-5)


def test_a_learning_rate_of_zero_moves_nothing_but_the_statistics_of_norms():
    model = net()
    tuned = prunekit.fine_tune(model, DATA, Recovery(epochs=2, lr=0.0, batch_size=16)).model
    changed = {name for name, tensor in tuned.state_dict().items() if not torch.equal(tensor, bits(model)[name])}
    assert changed == {f"{n}.{part}" for n in "14" for part in ("running_mean", "running_var", "num_batches_tracked")}


def torchs_cycle(peak, steps, warmup):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    schedule = OneCycleLR(optimizer, peak, total_steps=steps, pct_start=warmup, cycle_momentum=False)
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        if len(found) < steps:
            schedule.step()
    return found


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "mnist_lenet5"])
@pytest.mark.parametrize(("epochs", "steps"), [(1, 7), (5, 20), (12, 3)])
def test_a_rewound_rate_is_the_tail_of_the_samples_own_training(name, epochs, steps):
    recipe = SAMPLES[name].recipe
    found = rates_of(Recovery(epochs=epochs, rate="rewind"), epochs, steps, recipe)
    assert len(found) == epochs * steps
    assert found == pytest.approx(torchs_cycle(recipe.max_lr, recipe.epochs * steps, recipe.warmup)[-epochs * steps :])


def test_a_rewound_rate_reaches_back_over_restarts():
    recipe = SAMPLES["cifar10_resnet20"].recipe
    (first, peak), *restarts = recipe.cycles()
    assert restarts
    whole = trained_by(recipe, 2)
    assert len(whole) == 2 * sum(epochs for epochs, _ in recipe.cycles())
    assert whole[: 2 * first] == pytest.approx(torchs_cycle(peak, 2 * first, recipe.warmup))
    assert whole[-2 * restarts[-1][0] :] == pytest.approx(torchs_cycle(restarts[-1][1], 2 * restarts[-1][0], recipe.warmup))


def test_a_rate_cannot_be_rewound_beyond_the_training_or_without_one():
    with pytest.raises(RecoveryError, match="60 epochs at most"):
        rates_of(Recovery(epochs=61, rate="rewind"), 61, 3, SAMPLES["digits_mlp"].recipe)
    with pytest.raises(RecoveryError, match="Choose cosine or constant"):
        rates_of(Recovery(epochs=1, rate="rewind"), 1, 3, None)


@given(st.integers(1, 6), st.integers(1, 30), st.floats(1e-4, 1))
def test_a_cosine_rate_starts_at_its_peak_and_falls_and_a_constant_one_stays(epochs, steps, lr):
    falling = rates_of(Recovery(epochs=epochs, lr=lr), epochs, steps, None)
    assert falling[0] == lr
    assert list(falling) == sorted(falling, reverse=True)
    middle = falling[len(falling) // 2]
    assert len(falling) % 2 or middle == pytest.approx(lr / 2)
    assert rates_of(Recovery(epochs=epochs, lr=lr, rate="constant"), epochs, steps, None) == (lr,) * (epochs * steps)


def test_one_cycle_is_torchs():
    assert one_cycle(0.3, 50, 0.25) == pytest.approx(torchs_cycle(0.3, 50, 0.25))


@given(st.integers(1, 12), st.sampled_from([0.1, 0.25, 0.5]))
def test_the_shortest_cycles_have_a_rate_for_every_step_too(steps, warmup):
    found = one_cycle(0.3, steps, warmup)
    assert len(found) == steps
    assert all(0 <= rate <= 0.3 for rate in found)


def test_shifted_images_are_windows_of_the_image_with_black_around_it():
    x, fill = torch.rand(40, 2, 6, 6), torch.tensor([-1.0, -2.0])
    moved = Augmentation(2, True).apply(x, fill, torch.Generator().manual_seed(1))
    padded = fill.view(1, 2, 1, 1).repeat(40, 1, 10, 10)
    padded[:, :, 2:8, 2:8] = x
    plain = mirrored = 0
    for i in range(40):
        windows = [padded[i, :, r : r + 6, c : c + 6] for r in range(5) for c in range(5)]
        plain += any(torch.equal(moved[i], window) for window in windows)
        mirrored += any(torch.equal(moved[i], window.flip(2)) for window in windows)
    assert plain + mirrored >= 40
    assert min(plain, mirrored) > 5
    assert Augmentation().apply(x, fill, torch.Generator()) is x


def test_black_at_the_border_is_black_after_normalisation():
    assert torch.allclose(IMAGES.fill, torch.tensor([-0.3 / 0.25] * 2))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    a, b, c = (prunekit.fine_tune(net(), DATA, Recovery(epochs=2, batch_size=16, seed=seed)) for seed in (3, 3, 4))
    assert same(bits(a.model), bits(b.model))
    assert a.history == b.history
    assert not same(bits(a.model), bits(c.model))


def test_dropout_draws_the_same_whatever_was_drawn_before():
    model = nn.Sequential(nn.Dropout(0.5), *net()).eval()
    torch.manual_seed(1)
    a = prunekit.fine_tune(model, DATA, Recovery(epochs=2, batch_size=16))
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    b = prunekit.fine_tune(model, DATA, Recovery(epochs=2, batch_size=16))
    assert same(bits(a.model), bits(b.model))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_windows_with_many_scores_are_run_in_parts_and_give_the_same(monkeypatch):
    words = WindowSplit.of(["to be or not to be " * 12], Coding(Letters(), length=8), "a text")
    found = []
    for most in (10**9, 3 * 8 * 27 * 4):
        monkeypatch.setattr("prunekit.data.text_splits.MOST_BYTES", most)
        torch.manual_seed(0)
        loop = Loop(nn.Sequential(nn.Embedding(27, 6), nn.Linear(6, 27)), TrainingSamples.of(words), course(task=LANGUAGE, rate=1.0))
        loss, seen = loop.step(torch.arange(len(words) - 16, len(words)), 0, 1.0, torch.Generator())  # the last is filled up
        found.append((loop.model, loss, evaluate(loop.model, words)))
        assert len(seen["nll"]) == 16 and words.at_once == min(most // (8 * 27 * 4), words.at_once)
    for one, other in zip(*(model.state_dict().values() for model, _, _ in found), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert [loss for _, loss, _ in found] == [pytest.approx(found[0][1])] * 2
    assert [seen.value for _, _, seen in found] == [pytest.approx(found[0][2].value)] * 2
