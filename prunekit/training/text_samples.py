"""Training of the samples of text: by the recipe on their card, on data by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.data.load import load_data
from prunekit.data.text_splits import IdSplit, TextSplit, WindowSplit
from prunekit.errors import ModelError
from prunekit.local_code.factories import load_factory
from prunekit.models.info import described, remember
from prunekit.tasks.language_modelling import IGNORED
from prunekit.training.recipes import CardRecipe, Say, card_of, descend, warm_cosine, weights_decay
from sample_models import FOLDERS, card, in_folder

DATA = ("reviews", "shakespeare")
NAMES = tuple(name for name in FOLDERS if card(name).get("data") in DATA)


@dataclass(frozen=True)
class TextRecipe(CardRecipe):
    """AdamW under a learning rate that rises linearly and falls as a cosine, cross-entropy."""

    said: ClassVar[dict[str, str]] = {"optimizer": "AdamW", "schedule": "linear warm-up, cosine", "loss": "cross-entropy"}

    batch_size: int  # texts or windows a step
    max_lr: float  # peak of the learning rate
    warmup: int  # steps in which it rises
    last_lr: float  # share of the peak at which it ends
    weight_decay: float  # weight_decay, beta2: of AdamW (Loshchilov and Hutter, 2019)
    beta2: float
    epochs: int = 0  # passes over the training texts; 0 where ``steps`` count
    steps: int = 0  # steps on windows that begin anywhere in the training text
    decay_all: bool = False  # biases and norms decay, too
    label_smoothing: float = 0.0  # share of the target spread over all classes
    hidden_tokens: float = 0.0  # share of tokens that are replaced by the unknown one, drawn anew each time
    clip: float = 1.0  # largest norm of the gradient
    seed: int = 0  # seed of the weights, the order and the dropout


def trained(name: str, epochs: int | None = None, say: Say = print) -> tuple[nn.Module, dict[str, Any], float]:
    """Train a sample anew, and return it with its card, but for what it costs, and the minutes that took."""
    known, build = card(name), load_factory(in_folder(name, "model"), ModelError)
    recipe = TextRecipe.of(known)
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs) if recipe.epochs else replace(recipe, steps=epochs * recipe.steps)
    data = load_data(known["data"], model=remember(empty := build(), described(None, empty, build)))
    model, minutes = fit_text(build, data.train, recipe, say)
    form: dict[str, Any] = {"values": data.pixels, "input_shape": [data.test.coding.length] if isinstance(data.test, IdSplit) else []}
    if data.classes:
        form["classes"] = list(data.classes)
    remember(model, described(None, model, build))
    chosen = "settings by the validation texts, which were not trained on; the last step; the test only confirms"
    return model, card_of(known, recipe, data, model, form=form, chosen=chosen), minutes


def fit_text(build: Callable[[], nn.Module], split: Any, recipe: TextRecipe, say: Say = print) -> tuple[nn.Module, float]:
    """Train a new module on the training texts and return it, in eval mode, with the minutes that took."""
    begin = time.monotonic()
    torch.manual_seed(recipe.seed)
    model = build().train()
    groups = weights_decay(model, recipe.weight_decay, recipe.decay_all)
    optimizer = torch.optim.AdamW(groups, recipe.max_lr, betas=(0.9, recipe.beta2))
    source = torch.Generator().manual_seed(recipe.seed)
    of = _windows if isinstance(split, WindowSplit) else _texts
    steps = recipe.steps or recipe.epochs * (len(split) // recipe.batch_size)
    for step, (ids, targets) in enumerate(of(split, recipe, steps, source)):
        scores = model(ids)
        loss = F.cross_entropy(scores.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, label_smoothing=recipe.label_smoothing)
        now = descend(model, optimizer, loss, warm_cosine(step, steps, recipe.max_lr, recipe.warmup, recipe.last_lr), recipe.clip)
        if step % 50 == 0:
            say(f"step {step} of {steps}: training loss {now:.3f}, {(time.monotonic() - begin) / 60:.1f} min")
    return model.eval(), (time.monotonic() - begin) / 60


def _texts(split: TextSplit, recipe: TextRecipe, steps: int, source: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of texts, cut to the longest of them, some of their words hidden."""
    labels, padding = torch.from_numpy(split.labels), split.coding.padding
    unknown = getattr(split.coding.tokeniser, "unknown", padding)
    for _ in range(recipe.epochs):
        order = torch.randperm(len(split), generator=source)
        for take in torch.split(order[: steps // recipe.epochs * recipe.batch_size], recipe.batch_size):
            ids, there = split.ids[take], split.there[take]
            ids = ids[:, : int(there.sum(1).max())]
            hidden = torch.rand(ids.shape, generator=source) < recipe.hidden_tokens
            yield torch.where(hidden & (ids != padding), unknown, ids), labels[take]


def _windows(split: WindowSplit, recipe: TextRecipe, steps: int, source: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield windows that begin anywhere in the running text."""
    length, there = split.coding.length, split.there.flatten()
    text = torch.cat([split.ids[:1, 0], split.following.flatten()[there]])
    for _ in range(steps):
        at = torch.randint(len(text) - length - 1, (recipe.batch_size,), generator=source).tolist()
        yield torch.stack([text[i : i + length] for i in at]), torch.stack([text[i + 1 : i + length + 1] for i in at])
