"""What the recipes of all samples share: their values on a card, a step of AdamW, the rate it takes, and the card that comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.optim import Optimizer

from prunekit.evaluation.accuracy import evaluate

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
