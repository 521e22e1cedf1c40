"""The answer first: one sentence on which run to take, computed from the figures, with the rule that chose it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from prunekit.comparison.columns import Column, Speed
from prunekit.comparison.metrics import QualityWords, quality_of
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation
from prunekit.experiments.run_list import EARLIER
from prunekit.experiments.stored_metric import Shown
from prunekit.formatting import by_times, listed, times


class Answer(NamedTuple):
    """A sentence, and the letter of the run that it names ("" for none)."""

    best: str
    sentence: str


def answer(baseline: Column, columns: Sequence[Column]) -> Answer:
    """Say which run to take.

    The rule: among the runs that can still be opened, whose figures can be vouched for, and that are not significantly worse than the
    dense model in their metric (paired, 5 %), the one with the fewest bytes to ship; where all are, the best in it. The sentence then says
    who else wins on what.
    """
    open_ = [column for column in columns if not column.gone and not (column.earlier or baseline.earlier)]
    measured = [column for column in open_ if column.accuracy is not None]
    if not measured:
        return Answer("", _unmeasured(baseline, columns, open_))
    harmless = [column for column in measured if column.difference is not None and not loses(column)]
    words = QualityWords.of(quality_of(column.accuracy for column in measured))
    best = _smallest(harmless, baseline, words) if harmless else max(measured, key=lambda column: words.goodness(column.accuracy))
    reason = _reason(best, harmless, measured, baseline, words)
    others = [column for column in open_ if column is not best]
    claims = [_better(best, others, words), _faster(best, others), _smaller(best, others, baseline, words), _silent(columns)]
    return Answer(best.letter, "; ".join([f"{_outcome(best, baseline, words)}: {reason}", *filter(None, claims)]))


def loses(column: Column) -> bool:
    """Whether a run is significantly worse than the dense model, in the direction of its metric."""
    found = column.difference
    return found is not None and found.significant and found.metric.lost(found).value > 0


def _smallest(columns: Sequence[Column], baseline: Column, words: QualityWords) -> Column:
    """Return the one with the fewest bytes; without sizes the best in quality. Among equals the better, then the first."""
    sized = [column for column in columns if column.shipped is not None]
    if baseline.shipped is None or not sized:
        return max(columns, key=lambda column: words.goodness(column.accuracy))
    return min(sized, key=lambda column: (column.shipped.bytes if column.shipped else 0, -words.goodness(column.accuracy)))


def _reason(best: Column, harmless: Sequence[Column], measured: Sequence[Column], baseline: Column, words: QualityWords) -> str:
    """Say by which rule the run was chosen."""
    if not harmless:
        if best.difference is None:
            known = "nothing compares it with the dense model here" if baseline.accuracy else ""
            return f"the {words.best}, and {known or 'the dense model was not measured on the same images'}"
        return words.all_lose(len(measured))
    sized = baseline.shipped is not None and best.shipped is not None
    word = "smallest" if sized else f"{words.best} (no sizes were measured)"
    if len(harmless) == 1:
        return f"the only one that {words.harmless}"
    return f"the {word} of the {len(harmless)} that {words.unharmed}"


def _outcome(best: Column, baseline: Column, words: QualityWords) -> str:
    """Say what a run reaches: quality, size and, where it was timed, speed."""
    accuracy = best.accuracy
    assert accuracy is not None
    keeps = "reaches" if best.difference is None or loses(best) else "keeps"
    paired = "not compared with dense" if best.difference is None else best.difference.sentence()
    told = f"{best.letter} {keeps} {words.named(accuracy.value)} ({paired}, n = {accuracy.n:,})"
    rest = [part for part in (_size(best, baseline), _speed(best.speed)) if part]
    return told + (f" at {' and '.join(rest)}" if rest else "")


def _size(column: Column, baseline: Column) -> str:
    """Say how much smaller a run is to ship."""
    if column.shipped is None or baseline.shipped is None:
        return ""
    return f"{by_times(baseline.shipped.bytes, column.shipped.bytes, 'smaller', 'larger', 'the same size')} ({column.shipped.how})"


def _speed(speed: Speed | None) -> str:
    """Say how much faster a run was timed; nothing where it was not timed."""
    return "" if speed is None else f"{speed.sentence()} ({speed.where()})"


def _better(best: Column, others: Sequence[Column], words: QualityWords) -> str:
    """Say who is significantly better, or that nobody is."""
    mine = best.accuracy
    rivals = [(column, column.accuracy) for column in others if column.accuracy is not None]
    if mine is None or not rivals or isinstance(mine.metric, Shown):
        return ""
    ahead = [(column, found) for column, found in rivals if _beats(found, mine)]
    if not ahead:
        return f"no other is significantly {words.better}" if len(rivals) > 1 else _of_two(best, mine, *rivals[0], words)
    top, found = max(ahead, key=lambda pair: words.goodness(pair[1]))
    return f"{top.letter} is {words.better}, {words.value(found.value)} ({compare(mine, found).sentence()}, against {best.letter})"


def _of_two(best: Column, mine: Evaluation, rival: Column, found: Evaluation, words: QualityWords) -> str:
    """Say how the qualities of two runs compare, where the other is not ahead."""
    if _beats(mine, found):
        paired = compare(mine, found).sentence()
        return f"{rival.letter} is {words.worse}, {words.value(found.value)} ({paired}, against {best.letter})"
    return words.alike(best.letter, rival.letter)


def _beats(one: Evaluation, other: Evaluation) -> bool:
    """Whether one quality is significantly better than another on the same samples."""
    if isinstance(one.metric, Shown):
        return False
    difference = compare(other, one)
    return difference.significant and one.metric.lost(difference).value < 0


def _faster(best: Column, others: Sequence[Column]) -> str:
    """Say who is faster, where the intervals leave no doubt."""
    timed = [(column, column.speed) for column in others if column.speed is not None and column.speed.different and column.speed.ratio < 1]
    if not timed:
        return ""
    top, speed = min(timed, key=lambda pair: pair[1].ratio)
    if best.speed is None:
        return f"{top.letter} was timed at {_speed(speed)}, {best.letter} was not timed"
    return f"{top.letter} is faster ({times(1 / speed.ratio)})" if speed.high < best.speed.low else ""


def _smaller(best: Column, others: Sequence[Column], baseline: Column, words: QualityWords) -> str:
    """Say who is smaller, and what that costs."""
    if best.shipped is None or baseline.shipped is None:
        return ""
    less = [(c, c.shipped.bytes) for c in others if c.shipped is not None and c.shipped.bytes < best.shipped.bytes]
    if not less:
        return ""
    top, size = min(less, key=lambda pair: pair[1])
    cost = "not compared with dense" if top.difference is None else top.difference.sentence()
    beside = by_times(baseline.shipped.bytes, size, "smaller than", "larger than", "as large as")
    told = f"{top.letter} is smaller ({beside} dense, {cost})"
    several = sum(column.accuracy is not None for column in others) > 1  # of two it was said before
    equal = several and best.accuracy is not None and top.accuracy is not None and not _beats(best.accuracy, top.accuracy)
    return told + (f", and {best.letter} is not significantly {words.better}" if equal else "")


def _silent(columns: Sequence[Column]) -> str:
    """Say who could not be judged."""
    gone = [column.letter for column in columns if column.gone]
    unknown = [column.letter for column in columns if column.accuracy is None and not column.gone and not column.earlier]
    words = [f"{listed(unknown)} not measured on these images"] if unknown else []
    old = [column.letter for column in columns if column.earlier and not column.gone]
    words += [f"{listed(old)} {'was' if len(old) == 1 else 'were'} {EARLIER} and cannot be compared directly"] if old else []
    return "; ".join([*words, f"{listed(gone)} cannot be opened any more"] if gone else words)


def _unmeasured(baseline: Column, columns: Sequence[Column], open_: Sequence[Column]) -> str:
    """Say what can be said without accuracies."""
    if not open_ and any(not column.gone for column in columns):
        return f"These figures were {EARLIER} and cannot be compared directly, so none is recommended: measure them again"
    if not open_:
        return "None of these runs can be opened any more"
    sized = [column for column in open_ if column.shipped is not None]
    words = "Accuracy of these runs was not measured yet, so none can be recommended"
    if baseline.shipped is None or not sized:
        return words
    least = min(sized, key=lambda column: column.shipped.bytes if column.shipped else 0)
    who = f"{least.letter} is the smallest" if len(sized) == len(columns) > 1 else f"{least.letter} is there"
    return f"{words}; {who}, {_size(least, baseline)}"
