"""What a search may choose from: from a trial's parameters to a setting and a recovery, and where it begins."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.evaluation.sensitivity.layer_targets import counter, together
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.evaluation.sensitivity.suggested_targets import suggest
from prunekit.experiments.search.race import MEASURED, Look, Race
from prunekit.experiments.search.request import Trial
from prunekit.models.cost import count
from prunekit.pruning.api import prune
from prunekit.pruning.structured.grouping import trace
from prunekit.runtimes.backends import RUNTIMES
from prunekit.tasks.metrics import PERCENT
from prunekit.training.batchnorm import norms_left

CRITERIA = {"structured": ("l2", "taylor", "fpgm"), "unstructured": ("l1", "taylor", "lamp")}
SCOPES = {"structured": ("global", "uniform", "isomorphic"), "unstructured": ("global", "uniform", "erk")}
TARGETS = {"params": ("channels", "params"), "macs": ("channels", "macs"), "latency": ("channels", "macs"), "bytes": ("channels", "params")}
SPACE = 5  # its version: a study of another one is another study
DEPTHS = (0, 25, 50)  # percent of the residual blocks that go as a whole
OPTIMIZERS = {"sgd": ("sgd", 0.01), "adam": ("adam", 0.001), "sgd, faster": ("sgd", 0.05)}
MOST, PRICES, OWN = 0.998, (0.1, 100.0), 24  # largest share; prices in allowed drops; so many groups may have shares of their own
Parameters = dict[str, Any]


def optuna() -> Any:
    """Return Optuna, which only those who search load."""
    return importlib.import_module("optuna")


class Space:
    """What may be chosen for one model and one goal.

    ``minimise``: {"latency", "params", "macs", "bytes"}: single zeroed weights make a compressed file smaller, and nothing else: they are
    tried for bytes alone; ``epochs``: most epochs of fine-tuning; 0 for none.
    """

    def __init__(  # noqa: PLR0917 (a model, a goal, and what is known)
        self, model: nn.Module, shape: tuple[int, ...], data: Any, minimise: str, epochs: int,
        curves: Mapping[str, Sensitivity], allowed: float, seed: int = 0,
    ) -> None:  # fmt: skip
        self.model, self.shape, self.data, self.minimise, self.curves, self.seed = model, shape, data, minimise, curves, seed
        self.modes = modes_for(minimise)
        self.epochs = tuple(dict.fromkeys((0, (epochs + 3) // 4, (epochs + 1) // 2, epochs)))
        self.allowed = allowed
        self._counters: dict[str, Any] = {}
        self._joint: dict[PruneSpec, dict[str, float] | None] = {}

    @cached_property
    def blocks(self) -> int:
        """How many residual blocks could go as a whole."""
        try:
            return len(trace(self.model, self.shape).blocks)
        except PrunekitError:
            return 0

    @cached_property
    def quantises(self) -> bool:
        """Whether models may be int8, which makes their file smaller."""
        return self.minimise == "bytes" and not RUNTIMES["int8"].missing()

    @cached_property
    def _totals(self) -> tuple[int, int]:
        """Parameters and MACs of the dense model."""
        dense = count(self.model, self.shape)
        return dense.params, dense.macs

    def suggest(self, trial: Any) -> Parameters:
        """Draw parameters; what a choice leaves without effect is not asked for."""
        p: Parameters = {"mode": trial.suggest_categorical("mode", self.modes)}
        mode = p["mode"]
        p["criterion"] = trial.suggest_categorical(f"{mode} criterion", CRITERIA[mode])
        ways = ["joint"]
        if mode in self.curves:
            ways += ["measured"] + ["own"] * (len(self.curves[mode].layers) <= OWN)
        p["shares"] = trial.suggest_categorical(f"{mode} shares", ways)
        if p["shares"] == "joint":
            p["scope"] = trial.suggest_categorical(f"{mode} scope", SCOPES[mode])
            p["target"] = trial.suggest_categorical("target", TARGETS[self.minimise]) if mode == "structured" else None
            p["sparsity"] = trial.suggest_float(f"{mode} sparsity", 0.02, MOST)
            p["depth"] = trial.suggest_categorical("depth", DEPTHS) if mode == "structured" and self.blocks else 0
        elif p["shares"] == "measured":
            p["price"] = trial.suggest_float(f"{mode} price", *PRICES, log=True)
        else:
            p["own"] = {layer.name: trial.suggest_float(f"{mode} {layer.name}", 0.0, MOST) for layer in self.curves[mode].layers}
        p["int8"] = trial.suggest_categorical("int8", (False, True)) if mode == "structured" and self.quantises else False
        p["epochs"] = trial.suggest_categorical("epochs", self.epochs)
        p["optimizer"] = trial.suggest_categorical("optimizer", list(OPTIMIZERS)) if p["epochs"] else None
        return p

    def size_of(self, trial: Trial) -> float:
        """Return the share of the dense model that is left in a trial's: of its MACs where these are saved, else of its parameters."""
        params, macs = self._totals
        return trial.macs / max(macs, 1) if self._save == "macs" else trial.params / max(params, 1)

    def suggested(self, drawn: Mapping[str, Any]) -> Parameters:
        """Return what was drawn in a trial."""
        return self.suggest(optuna().trial.FixedTrial(dict(drawn)))

    def race(self, mode: str) -> Race:
        """Return the first looks in a mode."""
        ways = [*SCOPES[mode][:2], *([MEASURED] if mode in self.curves else []), *SCOPES[mode][2:]]
        tuned = bool(self.epochs[-1])
        return Race(ways, CRITERIA[mode][:2], tuple(OPTIMIZERS)[: 3 if tuned else 1], self.epochs[tuned:], self.allowed)

    def looked(self, mode: str, look: Look) -> Parameters:
        """Return the parameters of a look."""
        p: Parameters = {"mode": mode, f"{mode} criterion": look.criterion, "epochs": look.epochs}
        p |= {"optimizer": look.optimizer} if look.epochs else {}
        p |= {"int8": False} if mode == "structured" and self.quantises else {}
        if look.way != MEASURED:
            plain: Parameters = {"target": TARGETS[self.minimise][-1]} if mode == "structured" else {}
            plain |= {"depth": 0} if mode == "structured" and self.blocks else {}
            scope = {f"{mode} shares": "joint", f"{mode} scope": look.way, f"{mode} sparsity": min(1 - look.size, MOST)}
            return p | scope | plain
        found = self.curves[mode]
        goal: dict[str, Any] = {self._save: min(1 - look.size, MOST)}
        try:
            told = suggest(found, totals=self._totals, counter=self._counter(mode), **goal)
            shares, price = told.overrides, told.drop / (self.allowed or 0.001)
        except PrunekitError:  # further than was measured: as far as that
            shares, price = {layer.name: layer.points[-1].sparsity for layer in found.layers if layer.points}, PRICES[1]
        if len(found.layers) <= OWN:
            own = {f"{mode} {layer.name}": min(shares.get(layer.name, 0.0), MOST) for layer in found.layers}
            return p | {f"{mode} shares": "own", **own}
        return p | {f"{mode} shares": "measured", f"{mode} price": float(np.clip(price, *PRICES))}

    @cached_property
    def start(self) -> list[Parameters]:
        """Return where to begin: what needs no tuning, the targets from sensitivity first, then what the race did not look at."""
        begun: list[Parameters] = []
        short = {"epochs": self.epochs[-1] and self.epochs[1], **({"optimizer": "sgd"} if self.epochs[-1] else {})}
        for mode in self.modes:
            base: Parameters = {"mode": mode, f"{mode} criterion": CRITERIA[mode][0]}
            base |= {"int8": False} if mode == "structured" and self.quantises else {}
            plain: Parameters = {"target": "channels"} if mode == "structured" else {}
            plain |= {"depth": 0} if mode == "structured" and self.blocks else {}
            joint = {**base, f"{mode} shares": "joint", f"{mode} scope": "global", **plain}
            measured = {**base, f"{mode} shares": "measured"}
            known = mode in self.curves
            begun += [{**measured, f"{mode} price": 1.0, "epochs": 0} if known else {**joint, f"{mode} sparsity": 0.3, "epochs": 0}]
            begun += [{**measured, f"{mode} price": p, **short} for p in (2.0, 8.0)] if known else []
            begun += [{**joint, f"{mode} sparsity": s, **short} for s in (0.7, 0.85)]
            begun += [{**joint, f"{mode} sparsity": 0.7, **short, "depth": DEPTHS[1]}] if "depth" in plain else []
            begun += [{**joint, f"{mode} sparsity": 0.6, "epochs": 0}]
        return list({tuple(each.items()): each for each in begun}.values())

    def less(self, drawn: Mapping[str, Any], factor: float) -> Parameters:
        """Return a trial's parameters with ``factor`` of each share removed; of all together where groups have none of their own."""
        mode = drawn["mode"]
        if (shares := self._own(drawn)) is None:
            p = {"scope": "global", "target": TARGETS[self.minimise][0], "sparsity": 0.3, **self.suggested(drawn)}
            plain = {"target": p["target"], **({"depth": 0} if self.blocks else {})} if mode == "structured" else {}
            joint = {f"{mode} shares": "joint", f"{mode} scope": p["scope"], f"{mode} sparsity": max(factor * p["sparsity"], 0.02)}
            return _kept(drawn) | joint | plain
        return _kept(drawn) | {f"{mode} shares": "own"} | {f"{mode} {name}": factor * share for name, share in shares.items()}

    def near(self, drawn: Mapping[str, Any], noise: np.random.Generator) -> Parameters | None:
        """Return a trial near one: each group's share as its setting has it, some moved, more often up; None where groups overlap."""
        mode = drawn["mode"]
        if (shares := self._own(drawn)) is None:
            return None
        moved = noise.random(len(shares)) < max(0.3, 1 / len(shares))
        by = np.where(moved, noise.normal(0.08, 0.25, len(shares)), 0.0)  # of what is left
        own = {f"{mode} {name}": float(np.clip(s + d * (1 - s), 0.0, MOST)) for (name, s), d in zip(shares.items(), by, strict=True)}
        return {**_kept(drawn), f"{mode} shares": "own", **own}

    def _own(self, drawn: Mapping[str, Any]) -> dict[str, float] | None:
        """Return the share of each group as a setting has it; None where they are many or overlap, or blocks go as a whole."""
        mode = drawn["mode"]
        found = self.curves.get(mode)
        if found is None or len(found.layers) > OWN:
            return None
        if drawn[f"{mode} shares"] == "own":
            return {group.name: drawn[f"{mode} {group.name}"] for group in found.layers}
        if drawn[f"{mode} shares"] == "measured":
            bought = self._bought(found, mode, drawn[f"{mode} price"])
            return {group.name: bought.get(group.name, 0.0) for group in found.layers}
        return self._shares(found, self.setting(self.suggested(drawn))[0])

    def _shares(self, found: Sensitivity, spec: PruneSpec) -> dict[str, float] | None:
        """Return what a joint setting takes of each group; None where a layer is in several groups, or blocks go as a whole."""
        if spec not in self._joint:
            first = [group.layers[0] for group in found.layers]
            taken = (
                {}
                if spec.depth or len(set(first)) < len(first)
                else {r.name: r.sparsity for r in prune(self.model, spec, self.data).layers}
            )
            self._joint[spec] = {group.name: taken[group.layers[0]] for group in found.layers} if taken else None
        return self._joint[spec]

    def setting(self, p: Parameters) -> tuple[PruneSpec, Recovery]:
        """Return what parameters mean."""
        mode = p["mode"]
        base = PruneSpec(mode=mode, criterion=p["criterion"], seed=self.seed, sparsity=0.0)
        if p["shares"] == "joint":
            target = {"target": p["target"]} if p["target"] else {}
            target |= {"depth": p["depth"] / 100} if p["depth"] else {}
            spec = PruneSpec(
                mode=mode, criterion=p["criterion"], seed=self.seed, scope=p["scope"], sparsity=round(p["sparsity"], 4), **target
            )  # fmt: skip
        else:
            found = self.curves[mode]
            targets = p["own"] if p["shares"] == "own" else self._bought(found, mode, p["price"])
            spec = together(found, {n: round(s, 4) for n, s in targets.items()}, base, self.model, self.shape, self.data)
        recalibrate = bool(norms_left(self.model))
        if not p["epochs"]:
            return spec, Recovery(recalibrate=recalibrate, seed=self.seed)
        optimizer, lr = OPTIMIZERS[p["optimizer"]]
        return spec, Recovery(recalibrate=recalibrate, epochs=p["epochs"], optimizer=optimizer, lr=lr, seed=self.seed)

    @property
    def _save(self) -> str:
        """What the knapsack saves."""
        return "macs" if self.minimise in ("macs", "latency") else "params"

    def _counter(self, mode: str) -> Any:
        """Return what counts the parameters and MACs of given shares; None where single weights go."""
        if mode == "structured" and mode not in self._counters:
            plain = PruneSpec(mode=mode, criterion=self.curves[mode].criterion, seed=self.seed, sparsity=0.0)
            self._counters[mode] = counter(self.model, plain, self.shape, self.data)
        return self._counters.get(mode)

    def _bought(self, found: Sensitivity, mode: str, price: float) -> dict[str, float]:
        """Return what the knapsack takes for a price: so many times the allowed drop."""
        drop = price * (self.allowed or 0.001)
        drop = min(drop, 0.99) if found.dense.metric.unit == PERCENT else drop
        return suggest(found, drop=drop, save=self._save, totals=self._totals, counter=self._counter(mode)).overrides


def _kept(drawn: Mapping[str, Any]) -> Parameters:
    """Return what stays of a trial's parameters where its shares change."""
    return {n: value for n, value in drawn.items() if n in (f"{drawn['mode']} criterion", "mode", "epochs", "optimizer", "int8")}


def modes_for(minimise: str) -> tuple[str, ...]:
    """Return what may be removed for a goal."""
    return ("structured", "unstructured") if minimise == "bytes" else ("structured",)


def further(drawn: Mapping[str, Any], step: float) -> Parameters:
    """Return a trial's parameters with more to remove, by a share ``step`` of what is left."""
    moved = dict(drawn)
    for name, value in drawn.items():
        if name.endswith(" price"):
            moved[name] = min(value * (1 + 3 * step), PRICES[1])
        elif isinstance(value, float):
            moved[name] = min(value + (1 - value) * step * 0.5, MOST)
    return moved
