"""Accuracy against a plain loop, Wilson against scipy, and errors that a person can act on."""

from __future__ import annotations

import threading
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from prunekit.errors import DataError, ModelError, PrunekitError
from prunekit.evaluation.accuracy import evaluate, predict, wilson
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.quality import accuracy_of


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, 10))


def samples(n: int = 70) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(n, 1, 8, 8, generator=generator), torch.randint(0, 10, (n,), generator=generator))


class Fixed(nn.Module):
    """Returns whatever it was given, for data whose 'x' is the logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("batch_size", [1, 7, 70, 256])
def test_evaluate_is_a_plain_loop(batch_size: int) -> None:
    model, data = small_model(), samples()
    model.eval()
    with torch.no_grad():
        expected = np.array([int(model(x[None]).argmax()) == int(y) for x, y in data])
    got = evaluate(model, data, batch_size=batch_size)
    assert (got.correct == expected).all()
    assert got.value == expected.mean()
    assert got.n == 70
    assert (got.low, got.high) == wilson(int(expected.sum()), 70)
    assert list(got.to_dict()) == ["value", "low", "high", "n"]


def test_every_form_of_data_gives_the_same() -> None:
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(data)

    class Split:
        def __len__(self) -> int:
            return len(data)

        def batches(self, batch_size: int = 256):
            return iter(DataLoader(data, batch_size))

    model, data = small_model(), samples()
    results = [evaluate(model, form) for form in (data, DataLoader(data, 9), list(DataLoader(data, 9)), Stream(), Split())]
    assert all((result.correct == results[0].correct).all() and result == results[0] for result in results)


def test_training_flags_come_back_exactly_and_nothing_moves() -> None:
    model = small_model().train()
    model[1].eval()
    flags = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, samples())
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with pytest.raises(ModelError):
        evaluate(model, TensorDataset(torch.randn(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)))
    assert [module.training for module in model.modules()] == flags


def test_a_shared_model_in_eval_mode_is_not_written_to() -> None:
    class Watched(nn.Linear):
        def __setattr__(self, name: str, value: object) -> None:
            assert name != "training" or "weight" not in self._parameters or not getattr(self, "armed", False)
            super().__setattr__(name, value)

    model = Watched(4, 3).eval()
    model.armed = True
    evaluate(model, TensorDataset(torch.randn(5, 4), torch.zeros(5, dtype=torch.long)))


def test_a_named_tuple_counts_by_its_logits() -> None:
    outputs = namedtuple("outputs", ["logits", "aux"])

    class Tupled(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return outputs(x, x[:, :1])

    x = torch.eye(5)
    assert evaluate(Tupled(), [(x, torch.arange(5))]).value == 1.0


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    evaluate(small_model(), samples(), batch_size=20, progress=lambda fraction, text: seen.append(fraction))  # a plain function does
    assert seen == sorted(seen)
    assert len(seen) == 4
    assert seen[-1] == 1.0


def test_cancel_stops_before_the_next_batch() -> None:
    cancel, ran = threading.Event(), []

    def stop(fraction: float, text: str) -> None:
        ran.append(fraction)
        cancel.set()

    with pytest.raises(Cancelled):
        evaluate(small_model(), samples(), batch_size=10, progress=Progress(stop, cancel))
    assert len(ran) == 1


@pytest.mark.parametrize(
    ("x", "y", "error", "says"),
    [
        (torch.full((3, 4), torch.nan), [0, 1, 2], ModelError, "NaN"),
        (torch.tensor([[1.0, torch.inf]]), [0], ModelError, "infinity"),
        (torch.zeros(3, 4, 2), [0, 1, 2], ModelError, r"\[N, classes\].*\[3, 4, 2\]"),
        (torch.zeros(3, 4), [0, 1, 4], DataError, "label 4 is outside 0..3"),
        (torch.zeros(3, 4), [0, -1, 2], DataError, "label -1"),
        (torch.zeros(3, 4), [0, 1], DataError, "one integer label"),
        (torch.zeros(3, 4), [0.5, 1.0, 2.0], ModelError, r"the targets are \[3\], and the model returns no tensor of that shape"),
    ],
)
def test_bad_outputs_and_labels(x: torch.Tensor, y: list[float], error: type[PrunekitError], says: str) -> None:
    with pytest.raises(error, match=says):
        evaluate(Fixed(), [(x, torch.tensor(y))])


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 9), (64,)])
def test_a_wrong_shape_names_it(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=str(list(shape)).replace("[", r"\[").replace("]", r"\]")):
        evaluate(small_model(), TensorDataset(torch.randn(4, *shape), torch.zeros(4, dtype=torch.long)))


@pytest.mark.parametrize("data", [[], TensorDataset(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))])
def test_no_samples_is_an_error(data: object) -> None:
    with pytest.raises(DataError, match="no samples"):
        evaluate(Fixed(), data)


@pytest.mark.parametrize("data", [None, 3])
def test_what_holds_no_samples_is_an_error(data: object) -> None:
    with pytest.raises(DataError, match="cannot read samples"):
        evaluate(Fixed(), data)


def test_batch_size_is_checked() -> None:
    with pytest.raises(DataError, match="batch_size"):
        evaluate(small_model(), samples(), batch_size=0)


def test_accuracy_is_frozen_and_quiet() -> None:
    result = accuracy_of(np.array([True, False, True]))
    assert "correct" not in repr(result)
    assert result == accuracy_of(np.array([False, True, True]))
    with pytest.raises(ValueError, match="read-only"):
        result.correct[0] = False


def test_predict_gives_the_softmax_of_the_best_class() -> None:
    model, data = small_model().eval(), samples(11)
    x = torch.stack([x for x, _ in data])
    got = predict(model, x, batch_size=4)
    with torch.no_grad():
        reference = model(x).softmax(1)
    assert (got.classes == reference.argmax(1).numpy()).all()
    assert got.confidences == pytest.approx(reference.max(1).values.numpy(), abs=1e-6)
    assert len(predict(model, x[:0]).classes) == 0


def test_progress_counts_in_the_unit_of_the_data():
    told = []
    evaluate(small_model(), samples(), progress=lambda _, text: told.append(text))
    assert told == ["70 of 70 images"]
