"""How a model is trained, whatever it is trained for; and what the recipes of all samples share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from prunekit.config.recovery import Recovery
from prunekit.errors import RecoveryError
from prunekit.evaluation.accuracy import evaluate
from prunekit.tasks.protocol import Task
from prunekit.training.images import Augmentation
from sample_models.recipes import Teaching, TrainRecipe

Rates = tuple[float, ...]


def one_cycle(peak: float, steps: int, warmup: float) -> Rates:
    """Return one cycle of learning rates: up over the first ``warmup`` share of the steps, then down, both along a cosine.

    Smith and Topin 2018, Super-Convergence, arXiv:1708.07120; the numbers are those of ``torch.optim.lr_scheduler.OneCycleLR``.
    """
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    rising = warmup if warmup * steps > 1 else 0.0  # torch divides by the length of the rise
    cycle = OneCycleLR(optimizer, peak, total_steps=steps, pct_start=rising, cycle_momentum=False)
    found = [float(optimizer.param_groups[0]["lr"])]
    for _ in range(steps - 1):
        optimizer.step()
        cycle.step()
        found.append(float(optimizer.param_groups[0]["lr"]))
    return tuple(found)


def trained_by(recipe: TrainRecipe, steps: int) -> Rates:
    """Return the learning rates of a whole training, its restarts included, at so many steps an epoch."""
    return tuple(rate for epochs, peak in recipe.cycles() for rate in one_cycle(peak, epochs * steps, recipe.warmup))


def rates_of(recovery: Recovery, epochs: int, steps: int, recipe: TrainRecipe | None) -> Rates:
    """Return the learning rate of every step of some epochs of fine-tuning."""
    total = epochs * steps
    if recovery.rate == "constant":
        return (recovery.lr,) * total
    if recovery.rate == "cosine":
        return tuple(recovery.lr * (1 + math.cos(math.pi * step / total)) / 2 for step in range(total))
    if recipe is None:
        raise RecoveryError("the learning rate cannot be rewound: how this model was trained is not known. Choose cosine or constant")
    trained = sum(length for length, _ in recipe.cycles())
    if epochs > trained:
        raise RecoveryError(f"the learning rate can be rewound by {trained} epochs at most, as long as the model was trained; got {epochs}")
    return trained_by(recipe, steps)[-total:] if total else ()


@dataclass(frozen=True, eq=False)
class Course:
    """How a model is trained."""

    epochs: int  # epochs, batch_size: passes over the images, and images a step; each pass leaves out what does not fill a batch
    batch_size: int
    rates: tuple[float, ...]  # learning rate of every step
    optimizer: str = "sgd"  # {"sgd", "adam"}: SGD with Nesterov momentum, or Adam
    # momentum, weight_decay: momentum (Adam's first decay rate), and the L2 penalty on weights; biases and norms have none
    momentum: float = 0.9
    weight_decay: float = 5e-4
    # how images are moved
    augmentation: Augmentation = Augmentation()  # noqa: RUF009 (frozen)
    smoothing: float = 0.0  # share of the target spread over all classes
    small: tuple[int, int] = (0, 0)  # side to which images are shrunk, and over how many first epochs
    teacher: nn.Module | None = None  # whose softened predictions are learned from, with what ``teaching`` says
    teaching: Teaching | None = None  # temperature and share of the teacher
    seed: int = 0  # of the order of the images and their moves
    first: int = 0  # epochs that went before, for the numbering and the seed
    sparsity: float = 0.0  # share removed, for the history
    task: Task | None = None  # whose loss is made small; left out, that of the model and its samples
    # from the model in training to what adds to its gradients before each step, told which share of the steps is done
    penalty: Callable[[nn.Module], Callable[[float], None]] | None = None


def steps_of(images: int, batch_size: int) -> int:
    """Return the steps of an epoch: as many as are full, or one of all images where not even one is."""
    return max(images // batch_size, 1)


Say = Callable[[str], None]
WORDS = ("name", "title", "task", "about", "description", "data", "terms", "licence", "source")


class CardRecipe:
    """A dataclass whose values stand on a card, beside words that say what they are of."""

    said: ClassVar[dict[str, str]]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return the recipe on a card."""
        known = {**told["recipe"], "seed": told["seed"]}
        return cls(**{field.name: known[field.name] for field in fields(cls) if field.name in known})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the card."""
        return {**self.said, **asdict(self)}


def warm_cosine(step: int, steps: int, peak: float, warmup: int, last: float = 0.0) -> float:
    """Return the learning rate of a step: it rises linearly to its peak, and falls as a cosine to a share of it."""
    return peak * min(1, (step + 1) / warmup) * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def descend(model: nn.Module, optimizer: Optimizer, loss: Tensor, rate: float, clip: float | None = None) -> float:
    """Take one step down a loss, the norm of its gradient clipped, and return the loss."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return loss.item()


def weights_decay(model: nn.Module, decay: float, everything: bool = False) -> list[dict[str, Any]]:
    """Return the groups of an optimiser: weights decay; biases and norms only with everything."""
    decayed = [p for p in model.parameters() if everything or p.dim() > 1]
    others = [p for p in model.parameters() if not everything and p.dim() <= 1]
    return [{"params": decayed, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def card_of(
    known: Mapping[str, Any], recipe: CardRecipe, data: Any, model: nn.Module, *, form: Mapping[str, Any], chosen: str
) -> dict[str, Any]:
    """Return the card but for what the model costs: the words of the one before, what was trained on what, how, and what came out."""
    settings = recipe.to_dict()
    seed = settings.pop("seed")
    return {
        **{key: known[key] for key in WORDS if key in known},
        "splits": {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
        **form,
        "recipe": settings,
        "seed": seed,
        "selection": chosen,
        "test_metrics": _measured(model, data.test),
        "validation_metrics": _measured(model, data.validation),
    }


def _measured(model: nn.Module, split: Any) -> dict[str, dict[str, float | int]]:
    """Return each metric with its 95 % interval, as it stands in a card."""
    told = evaluate(model, split).document()["metrics"]
    return {name: {**{end: round(each[end], 6) for end in ("value", "low", "high")}, "n": each["n"]} for name, each in told.items()}
