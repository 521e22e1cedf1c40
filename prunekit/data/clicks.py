"""``clicks``: drawn users, items and what is clicked, with the true probability of each click, so that the best AUC is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data
from prunekit.data.interactions import InteractionSplit, Wording, interactions
from prunekit.data.stratified import mix
from prunekit.statistics.ranking import auc_by_unit

CLICKS = "clicks"
USERS, ITEMS, CATEGORIES, COUNTRIES, DEVICES, DENSE = 2000, 5000, 24, 12, 3, 6
NUMBERS = ("price", "reviews", "activity", "place", "age", "noise")
FACTORS = 4
PAGE = 20
"""Candidates that a user sees at once."""
PAGES = {"train": 20_000, "validation": 1500, "test": 1500}
Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


class _Draws:
    """Numbers that are the same to the last bit on every machine: hashed counts, and no function that libraries round in their own way."""

    def __init__(self, seed: int) -> None:
        self.start = seed << 40

    def uniform(self, *shape: int) -> Floats:
        """Return numbers in 0..1."""
        n = int(np.prod(shape))
        keys = mix(np.arange(n, dtype=np.uint64) + np.uint64(self.start + 1))
        self.start += n
        return ((keys >> np.uint64(11)).astype(np.float64) / 2.0**53).reshape(shape)

    def normal(self, *shape: int) -> Floats:
        """Return numbers of mean 0 and variance 1, very nearly normal: sums of twelve uniform ones."""
        total = np.zeros(shape)
        for _ in range(12):
            total = total + self.uniform(*shape)
        return total - 6

    def zipf(self, n: int, things: int, flat: int) -> Whole:
        """Return which of several things each draw is: the k-th most popular in proportion to 1 / (k + flat), in an order of its own."""
        share = np.cumsum(1 / (np.arange(things) + 1.0 + flat))
        rank = np.searchsorted(share, self.uniform(n) * share[-1], "right").clip(0, things - 1)
        found: Whole = np.argsort(self.uniform(things), kind="stable")[rank]
        return found


def _sigmoid(z: Floats) -> Floats:
    """Return probabilities by products alone, which are exact everywhere: (1 - z / 1024) ** 1024 stands for exp(-z)."""
    power = 1 - z / 1024
    for _ in range(10):
        power = power * power
    return 1 / (1 + power)


def _dot(a: Floats, b: Floats) -> Floats:
    """Return the product of rows, added up in one order."""
    total = np.zeros(len(a))
    for k in range(a.shape[1]):
        total = total + a[:, k] * b[:, k]
    return total


def _id(inputs: Mapping[str, Tensor], name: str) -> str:
    """Return an id in words, from 1."""
    return f"{name} {int(inputs[name]) + 1}"


def _candidate(inputs: Mapping[str, Tensor]) -> dict[str, str]:
    """Return a candidate in words, its numbers by their names."""
    numbers = dict(zip(NUMBERS, inputs["dense"].tolist(), strict=True))
    return {
        "what": f"{_id(inputs, 'item')} of {_id(inputs, 'category')}, place {round(numbers['place'] * (PAGE - 1)) + 1} of {PAGE}",
        "numbers": ", ".join(f"{name} {value:.2f}" for name, value in numbers.items() if name != "place"),
    }


def _wording(user: Whole, category: Whole, chosen: NDArray[np.bool_]) -> Wording:
    """Return how people read candidates, with each user's history among candidates to learn from."""
    seen = np.bincount(user, minlength=USERS)
    clicked = np.bincount(user[chosen] * CATEGORIES + category[chosen], minlength=USERS * CATEGORIES).reshape(USERS, CATEGORIES)

    def who(inputs: Mapping[str, Tensor]) -> dict[str, str]:
        """Return a user in words."""
        number = int(inputs["user"])
        mine = clicked[number]
        most = ", ".join(f"category {k + 1} ({mine[k]:,})" for k in np.argsort(-mine, kind="stable")[:5] if mine[k])
        history = {"clicked most before": most} if most else {}
        return {
            "who": f"{_id(inputs, 'user')} of {_id(inputs, 'country')}, on {_id(inputs, 'device')}",
            "before": f"{seen[number]:,} candidates seen, {mine.sum():,} clicked",
            **history,
        }

    return Wording(who, _candidate, lambda inputs: f"{_id(inputs, 'item')} of {_id(inputs, 'category')}")


@cache
def drawn() -> tuple[dict[str, InteractionSplit], float]:
    """Return the parts, and the AUC of the true probabilities on the test part."""
    draws, pages = _Draws(1), sum(PAGES.values())
    category = (draws.uniform(ITEMS) * CATEGORIES).astype(np.int64)
    centre = draws.normal(CATEGORIES, FACTORS)
    item_factors = 0.8 * centre[category] + 0.6 * draws.normal(ITEMS, FACTORS)
    country = draws.zipf(USERS, COUNTRIES, 1)
    user_factors = 0.5 * draws.normal(COUNTRIES, FACTORS)[country] + 0.8 * draws.normal(USERS, FACTORS)
    price, quality, activity = draws.normal(ITEMS), draws.normal(ITEMS), draws.normal(USERS)
    fits = draws.normal(DEVICES, CATEGORIES)

    user, device = np.repeat(draws.zipf(pages, USERS, 30), PAGE), np.repeat((draws.uniform(pages) * DEVICES).astype(np.int64), PAGE)
    place = np.tile(np.arange(PAGE) / (PAGE - 1.0), pages)
    item = draws.zipf(pages * PAGE, ITEMS, 10)
    age, nothing = draws.uniform(pages * PAGE), draws.normal(pages * PAGE)
    logit = -1.9 + 0.7 * _dot(user_factors[user], item_factors[item])
    logit = logit + 0.5 * quality[item] + 0.3 * activity[user] - 0.35 * price[item] + 0.5 * fits[device, category[item]]
    logit = logit - 0.8 * place - 0.6 * age
    chance = _sigmoid(logit)
    chosen = draws.uniform(pages * PAGE) < chance
    seen = quality[item] + draws.normal(pages * PAGE)  # what reviews say of it, which is not all
    dense = np.stack([price[item], seen, activity[user], place, age, nothing], 1)
    columns = {"user": user, "item": item, "category": category[item], "country": country[user], "device": device}
    inputs = {"dense": torch.from_numpy(dense.astype(np.float32))}
    inputs |= {name: torch.from_numpy(each.astype(np.int16)) for name, each in columns.items()}
    ends = np.cumsum([0, *PAGES.values()]) * PAGE
    learnt = slice(ends[1])
    whole = InteractionSplit(inputs, chosen, user, _wording(user[learnt], category[item][learnt], chosen[learnt]))
    places = {name: np.arange(ends[k], ends[k + 1]) for k, name in enumerate(PAGES)}
    test = places["test"]
    best = auc_by_unit(chance[test], chosen[test].astype(np.float64), np.zeros(len(test), dtype=np.int64))(np.ones((1, 1), dtype=np.int64))
    return {name: whole.take(rows) for name, rows in places.items()}, float(best[0])


def load_clicks(data_id: DataId) -> Data:
    """Return pages of 20 candidates each for one of 2,000 users, and which of them are clicked.

    Users and items have factors that nobody sees, and are popular by Zipf's law; a model sees their ids, an item's category, a user's
    country and device, and six numbers. The true probabilities being known, so is the best AUC that a model can be expected to reach.

    400,000 candidates to learn from, 30,000 each for validation and for the test, all drawn alike.
    """
    parts, best = drawn()
    said = (
        f"Drawn clicks: pages of {PAGE} of {ITEMS:,} items, each for one of {USERS:,} users. The true probabilities reach an AUC of "
        f"{best:.4f} on the test part; no model can be expected to do better."
    )
    return replace(interactions(data_id, parts, said), id=data_id)
