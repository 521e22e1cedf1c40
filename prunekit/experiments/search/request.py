"""What a search is asked, what a trial of it says, and its answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from prunekit.config import fields as check
from prunekit.config.choices import SPLITS
from prunekit.config.ids import DataId, ModelId
from prunekit.errors import DataError, SpecError, one_of
from prunekit.evaluation.max_sparsity import Confirmation
from prunekit.evaluation.quality import Evaluation
from prunekit.experiments.requests import Request

GOALS = ("latency", "params", "macs", "bytes")


@dataclass(frozen=True)
class SearchRequest(Request):
    """The smallest or fastest model whose quality holds."""

    what = "search"
    model: ModelId  # model, data: what is pruned, and what it is measured on
    data: DataId
    # {"latency", "params", "macs", "bytes"}: what is to be small. For latency counted MACs tell trials apart; the three best are timed in
    # turns, and the fastest is chosen
    minimise: str = "params"
    # hold, lose: one of the two: the value that the headline metric must hold, or the loss that is allowed, each in the metric's own unit
    hold: float | None = None
    lose: float | None = None
    split: str = "validation"  # {"validation", "test", "train"}: what chooses
    epochs: int = 8  # most epochs of fine-tuning
    seed: int = 0  # of settings and proposals
    budget_s: float = 1200.0  # seconds; 0 for no limit. Asked again, so many more
    trials: int = 0  # most trials, those of earlier searches included; 0 for no limit

    def __post_init__(self) -> None:
        """Validate every field."""
        one_of("minimise", self.minimise, GOALS, SpecError)
        one_of("split", self.split, SPLITS, DataError)
        if (self.hold is None) == (self.lose is None):
            raise SpecError("say what must hold: either a value to hold (0.97 is 97 %) or a loss that is allowed (0.01 is one point)")
        for name in ("epochs", "seed", "trials"):
            check.whole(name, getattr(self, name), 0)
        if not self.budget_s >= 0 or not (self.budget_s or self.trials):
            raise SpecError("a search ends by a budget in seconds or by a number of trials: give one of them above 0")

    @property
    def study(self) -> SearchRequest:
        """The same question, whatever time it is given: what one study goes on with."""
        return replace(self, budget_s=0.0, trials=1)


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    Attributes
    ----------
    number : int
        Of the trial.
    state : {"holds", "falls", "failed"}
        Whether the floor holds on the samples that choose; or it could not be made.
    cost : float or None
        What is minimised.
    value, loss : float or None
        The headline metric, and what is lost of it against the dense model.
    samples : int
        So many decided: a first look of fewer where it fell clearly.
    run : str
        In the store.
    params, macs, bytes : int
        Of the model.
    title : str
        The setting in a few words.
    seconds : float
        What it took.
    error : str
        Why it failed.
    """

    number: int
    state: str
    cost: float | None = None
    value: float | None = None
    loss: float | None = None
    samples: int = 0
    run: str = ""
    params: int = 0
    macs: int = 0
    bytes: int = 0
    title: str = ""
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Timing:
    """How long a finalist takes here, measured in turns with the dense model, one thread, batch 1, in torch.

    Attributes
    ----------
    number : int
        Of the trial.
    median_ms : float
        Of one pass.
    ratio, low, high : float
        Its time by that of the dense model, with the 95 % interval: below 1 is faster.
    """

    number: int
    median_ms: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Found:
    """The answer of a search."""

    minimise: str
    allowed: float
    dense: Evaluation  # on the samples that chose
    before: float  # what is minimised, of the dense model
    best: Trial | None  # the smallest whose floor holds on the samples that chose; None where none does
    confirmation: Confirmation | None  # of the best, on all test samples; None where they chose already, or there is no best
    trials: tuple[Trial, ...] = field(repr=False)
    # of the finalists, where time is minimised: measured, while MACs are counted; the fastest of them is the best
    times: tuple[Timing, ...] = ()

    @property
    def time(self) -> Timing | None:
        """How long the best takes, where that was measured."""
        return next((each for each in self.times if self.best is not None and each.number == self.best.number), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        told = self.confirmation
        test = None if told is None else {"holds": told.holds, "confident": told.confident, "drop": told.drop.to_dict()}
        return {
            "minimise": self.minimise, "allowed": self.allowed, "dense": self.dense.to_dict(), "before": self.before,
            "best": None if self.best is None else asdict(self.best),
            "test": None if told is None or test is None else {**test, "sentence": told.sentence},
            "trials": [asdict(trial) for trial in self.trials], "times": [asdict(each) for each in self.times],
        }  # fmt: skip
