"""The study of a search in Optuna's own journal: opened again with all that was tried; what of it holds, and which is best."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from prunekit.experiments.search.race import Look
from prunekit.experiments.search.request import Timing, Trial
from prunekit.experiments.search.space import Parameters, Space, further, optuna

FINALISTS = 3
FOLLOWED = ("base", "step", "look", "sure")  # what a trial tells of itself to what follows it


def open_study(name: str, folder: Path | None, seed: int, several: bool = False) -> Any:
    """Open a study of a folder, or one in memory; what an ended process left unfinished is tried again."""
    op, storage = optuna(), None
    op.logging.set_verbosity(op.logging.ERROR)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        storage = _journal(name, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is called experimental is pinned by the major version
        study = op.create_study(study_name=name, storage=storage, load_if_exists=True)
        # another seed each time it goes on: the same one would draw the same again
        study.sampler = op.samplers.TPESampler(
            seed=seed + len(study.trials), multivariate=True, group=True, constraints_func=_violation, constant_liar=several
        )
    for left in study.get_trials(deepcopy=False, states=(op.trial.TrialState.RUNNING,)):
        try_again(study, left)
    return study


def try_again(study: Any, trial: Any) -> None:
    """Give up a trial that was not finished, and have it tried again."""
    params = dict(trial.params)
    study.tell(trial.number, state=optuna().trial.TrialState.FAIL)
    if params:
        study.enqueue_trial(params, user_attrs={k: v for k, v in trial.user_attrs.items() if k in FOLLOWED})


def finish(study: Any, trial: Any, found: Trial) -> None:
    """Enter what a trial found."""
    trial.set_user_attr("found", asdict(found))
    if found.cost is None:
        study.tell(trial, state=optuna().trial.TrialState.FAIL)
    else:
        study.tell(trial, found.cost)


def waiting(study: Any) -> bool:
    """Whether a setting waits to be tried."""
    return bool(study.get_trials(deepcopy=False, states=(optuna().trial.TrialState.WAITING,)))


def parameters(study: Any, found: Trial) -> dict[str, Any]:
    """Return the setting of a trial."""
    return dict(next(trial.params for trial in study.get_trials(deepcopy=False) if trial.number == found.number))


def known(name: str, folder: Path) -> tuple[tuple[Trial, ...], tuple[Timing, ...]]:
    """Return what was tried of a study that lies in a folder, and how long its finalists take; nothing where there is none."""
    try:
        seen = (folder / f"{name}.journal").stat()
    except FileNotFoundError:
        return (), ()
    return _known(name, folder, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=16)
def _known(name: str, folder: Path, *_: int) -> tuple[tuple[Trial, ...], tuple[Timing, ...]]:
    """Read a study once for each state of its file."""
    study = optuna().load_study(study_name=name, storage=_journal(name, folder))
    return tuple(tried(study)), times_of(study)


def times_of(study: Any) -> tuple[Timing, ...]:
    """Return how long the finalists take."""
    return tuple(Timing(**each) for each in study.user_attrs.get("times", ()))


def _journal(name: str, folder: Path) -> Any:
    """Return the storage of a study."""
    journal = importlib.import_module("optuna.storages.journal")
    return optuna().storages.JournalStorage(journal.JournalFileBackend(str(folder / f"{name}.journal")))


def finished(study: Any) -> list[Trial]:
    """Return the trials that came to an end, in order."""
    return [Trial(**trial.user_attrs["found"]) for trial in study.get_trials(deepcopy=False) if "found" in trial.user_attrs]


def tried(study: Any) -> list[Trial]:
    """Return what was tried, in order; trials that led to the same run once."""
    return list({trial.run or trial.number: trial for trial in reversed(finished(study))}.values())[::-1]


def smallest(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Return the smallest whose floor holds; of equal ones first what loses least."""
    holding = [trial for trial in trials if trial.state == "holds"]
    return sorted(holding, key=lambda trial: (float(trial.cost or 0), float(trial.loss or 0)))[:most]


def best_of(trials: Sequence[Trial], times: Sequence[Timing] = ()) -> Trial | None:
    """Return the smallest whose floor holds; the fastest of the finalists, where they are those that were timed."""
    final = smallest(trials, FINALISTS)
    ratios = {each.number: each.ratio for each in times}
    if final and {trial.number for trial in final} == set(ratios):
        return min(final, key=lambda trial: ratios[trial.number])
    return final[0] if final else None


def _violation(trial: Any) -> tuple[float]:
    """Tell the sampler whether the floor holds: at most 0 where it does."""
    found = trial.user_attrs.get("found")
    return (1.0,) if found is None or found["state"] == "failed" else (0.0 if found["state"] == "holds" else max(found["loss"], 1e-9),)


MOST_SURE, LESS = 5, (0.1, 0.7)  # so many sure ones; what one leaves of the shares of the last
STEP, LEAST_STEP = 1.0, 0.06  # how much further from the best one the next look is, and when that is given up


def propose(study: Any, space: Space, left: float = inf) -> None:
    """Where nothing waits, have something sure tried, then the race, the other beginnings, and three looks of four near the best one.

    What follows from a trial waits, so that a short search goes on with what holds before it begins elsewhere. ``left``: seconds.
    """
    number, best = len(study.trials), best_of(tried(study))
    if waiting(study):
        return
    begun, start = int(study.user_attrs.get("begun", 0)), space.start
    if best is None and (sure := _sure(study, space)) is not None:
        study.enqueue_trial(sure, user_attrs={"sure": True})
    elif (raced := _raced(study, space, left)) is not None:
        mode, look = raced
        study.enqueue_trial(space.looked(mode, look), user_attrs={"look": [mode, asdict(look)]})
    elif begun < len(start):
        study.enqueue_trial(start[begun], skip_if_exists=True)
        study.set_user_attr("begun", begun + 1)
    elif number % 4 and best is not None:
        near = space.near(parameters(study, best), np.random.default_rng([space.seed, number]))
        if near is not None:
            study.enqueue_trial(near)


def _sure(study: Any, space: Space) -> Parameters | None:
    """Return what takes no time to tune: the first beginning, then with less removed by as much as it lost too much, until it holds."""
    every = (trial for trial in study.get_trials(deepcopy=False) if "sure" in trial.user_attrs)
    seen = [trial for trial in every if "found" in trial.user_attrs or trial.state.name != "FAIL"]  # one that was given up is tried again
    if not seen:
        return space.start[0]
    found = seen[-1].user_attrs.get("found")
    if len(seen) > MOST_SURE or found is None:
        return None
    loss = found["loss"] or 0.0
    return space.less(seen[-1].params, float(np.clip(0.9 * space.allowed / max(loss, 1e-9), *LESS)))


def _raced(study: Any, space: Space, left: float) -> tuple[str, Look] | None:
    """Return the next look of the race, in the mode that had fewest."""
    seen: dict[str, dict[Look, Trial | None]] = {mode: {} for mode in space.modes}
    for trial in study.get_trials(deepcopy=False):
        if "look" in trial.user_attrs and (trial.state.name == "RUNNING" or "found" in trial.user_attrs):
            mode, look = trial.user_attrs["look"]
            found = trial.user_attrs.get("found")
            seen[mode][Look(**look)] = None if found is None else Trial(**found)
    for mode in sorted(seen, key=lambda mode: len(seen[mode])):
        held = min((space.size_of(each) for each in tried(study) if each.state == "holds" and each.title.startswith(mode)), default=1.0)
        if (look := space.race(mode).following(seen[mode], left, held)) is not None:
            return mode, look
    return None


def follow_up(study: Any, trial: Any, found: Trial, best: Trial | None, most_epochs: int) -> None:
    """Have a look further on from a new best; where a smaller one fell, tune it longer; where such a look fell, go half the way."""
    told: Parameters = {name: value for name, value in trial.user_attrs.items() if name in FOLLOWED}
    smaller = found.cost is not None and (best is None or best.cost is None or found.cost < best.cost)
    if found.state == "holds" and trial.params.get("int8") is False:
        study.enqueue_trial({**trial.params, "int8": True}, skip_if_exists=True)  # the model is at hand
    if "look" in told or "sure" in told:  # these go on by themselves
        return
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
