"""Which settings a search tries next, beside those that Optuna draws: where it begins, and looks near and further on from the best."""

from __future__ import annotations

from typing import Any

import numpy as np

from prunekit.experiments.search.request import Trial
from prunekit.experiments.search.space import Parameters, Space, further
from prunekit.experiments.search.study import best_of, parameters, tried, waiting

STEP, LEAST_STEP = 1.0, 0.06  # how much further from the best one the next look is, and when that is given up


def propose(study: Any, space: Space) -> None:
    """Where nothing waits, have the next beginning tried; after all of them every other look near the best one.

    What follows from a trial waits, so that a short search goes on with what holds before it begins elsewhere.
    """
    number, best = len(study.trials), best_of(tried(study))
    if waiting(study):
        return
    begun, start = int(study.user_attrs.get("begun", 0)), space.start
    if begun < len(start):
        plain = {**start[begun], "int8": False}
        twin = [each for each in start[begun + 1 : begun + 2] if {**each, "int8": False} == plain and each != start[begun]]
        for each in (start[begun], *twin):  # the same in int8 right behind it: the model is at hand
            study.enqueue_trial(each)
        study.set_user_attr("begun", begun + 1 + len(twin))
    elif number % 2 and best is not None:
        near = space.near(parameters(study, best), np.random.default_rng([space.seed, number]))
        if near is not None:
            study.enqueue_trial(near)


def follow_up(study: Any, trial: Any, found: Trial, best: Trial | None, most_epochs: int) -> None:
    """Have a look further on from a new best; where a smaller one fell, tune it longer; where such a look fell, go half the way."""
    told: Parameters = {name: value for name, value in trial.user_attrs.items() if name in ("base", "step")}
    smaller = found.cost is not None and (best is None or best.cost is None or found.cost < best.cost)
    if found.state == "holds" and smaller:
        base, step = dict(trial.params), float(told.get("step", STEP))
    elif found.state == "falls" and smaller and 0 < trial.params.get("epochs", 0) < most_epochs:
        study.enqueue_trial({**trial.params, "epochs": most_epochs}, user_attrs=told, skip_if_exists=True)
        return
    elif "base" in told and found.state != "holds" and told["step"] / 2 >= LEAST_STEP:
        base, step = dict(told["base"]), told["step"] / 2
    else:
        return
    study.enqueue_trial(further(base, step), user_attrs={"base": base, "step": step}, skip_if_exists=True)
