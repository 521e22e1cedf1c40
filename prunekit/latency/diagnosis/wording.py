"""What a person reads about a cause: every number is computed from the evidence, and every cause says what to do."""

from __future__ import annotations

from collections.abc import Sequence

from prunekit.formatting import asked, by_times, listed, milliseconds, ordinary, ratio_span, size, times
from prunekit.latency.diagnosis.evidence import Evidence, LayerEvidence, Rounded
from prunekit.latency.interleaved_timing import Ratio

MOST_NAMED = 3
MACS = "fewer MACs", "more MACs", "as many MACs as before"

Words = tuple[str, str]  # sentence, advice


def names(layers: Sequence[LayerEvidence]) -> str:
    """Return ``conv1``, ``conv1 and fc`` or ``conv1, conv2, conv3 and 4 more layers``."""
    return listed([layer.name for layer in layers], MOST_NAMED, "layer")


def ms(value: float) -> str:
    """Return milliseconds with their unit: ``2.35 ms``, ``0.0142 ms``."""
    return f"{milliseconds(value)} ms"


def percent(share: float) -> str:
    """Return a share as percent, with ordinary spaces."""
    return ordinary(asked(share))


def interval(ratio: Ratio) -> str:
    """Return a ratio of times with its interval: ``0.98 (0.97 to 1.00)``."""
    return f"{times(ratio.value).removesuffix('×')} ({ratio_span(ratio.low, ratio.high)})"


def verdict(evidence: Evidence) -> str:
    """Return in one sentence how fast the model is beside what its MACs promise.

    Parameters
    ----------
    evidence : Evidence
        What was measured.
    """
    r = evidence.ratio
    if not r.different:
        what = f"makes no measurable difference in {evidence.runtime}: its time is {interval(r)} of the baseline's"
    elif r.value < 1:
        what = f"is {times(1 / r.value)} faster in {evidence.runtime} ({ratio_span(1 / r.high, 1 / r.low)})"
    else:
        what = f"is {times(r.value)} slower in {evidence.runtime} ({ratio_span(r.low, r.high)})"
    return f"{evidence.name[:1].upper()}{evidence.name[1:]} {what}{_promise(evidence)}."


def _promise(evidence: Evidence) -> str:
    """Return what the MACs promise, those of non-zero weights where zeros make a difference; where all weights are zero nothing is left."""
    if not evidence.effective_ratio:
        return "; all of its weights are zero"
    zeros = times(evidence.effective_ratio) != times(evidence.macs_ratio)
    return f"; its MACs{' of non-zero weights' if zeros else ''} promise {times(1 / evidence.effective_ratio)}"


def masked(evidence: Evidence, layers: Sequence[LayerEvidence]) -> Words:
    """Say that zeros are multiplied like any other number."""
    where = f" ({names(layers)})" if layers else ""
    shrunk = f", as its shapes alone explain ({evidence.macs_ratio:.2f})" if evidence.macs_ratio < 0.99 else ""
    sentence = (
        f"{percent(evidence.zeros)} of the weights were set to zero{where}, but {evidence.runtime} multiplies zeros like any other number: "
        f"the pass takes {interval(evidence.ratio)} of the time before{shrunk}."
    )
    return sentence, "Remove whole channels instead (structured pruning), or keep the zeros for a smaller file only."


def sparse_kernel(layers: Sequence[LayerEvidence]) -> Words:
    """Say how much slower the sparse kernel is, and from which density on it would pay."""
    worst = max(layers, key=lambda layer: layer.ratio.value)
    slower = f"{times(worst.ratio.value)} as long as" if worst.ratio.different else "no less time than"
    sentence = (
        f"{names(layers)} {_run(layers)} as a sparse matrix, which takes {slower} the dense one in {worst.name}, where "
        f"{percent(1 - worst.zeros_after)} of the weights are left."
    )
    known = [layer for layer in layers if layer.break_even is not None]
    if not known:
        return (
            sentence,
            "Run these layers dense, or remove far more of their weights: the break-even of this machine says how many.",
        )
    lowest = min(known, key=lambda layer: layer.break_even or 0.0)
    if not lowest.break_even:
        return (
            sentence,
            f"Run these layers dense: at the size of {lowest.name} and this batch sparse was faster at no density that was measured.",
        )
    limit = f"less than {percent(lowest.break_even)} of the weights"
    return sentence, f"Run these layers dense, or leave {limit}: there sparse breaks even on this machine at this batch."


def _run(layers: Sequence[LayerEvidence]) -> str:
    """Return the verb."""
    return "run" if len(layers) > 1 else "runs"


def bound(name: str, layers: Sequence[LayerEvidence], evidence: Evidence) -> Words:
    """Say how far time and MACs fell, and what holds the time."""
    before, after = (sum(getattr(layer, when).ms for layer in layers) for when in ("before", "after"))
    macs = sum(layer.macs_before for layer in layers), sum(layer.macs_after for layer in layers)
    reason, advice = {"memory": _memory, "overhead": _overhead, "kernels": _kernels}[name](layers, evidence)
    return (
        f"{names(layers)}: {by_times(*macs, *MACS)}, but {ms(after)} instead of {ms(before)}. {reason}",
        advice,
    )


def _memory(layers: Sequence[LayerEvidence], evidence: Evidence) -> Words:
    """Say that bytes decide."""
    assert evidence.machine is not None
    before, after = sum(layer.bytes_before for layer in layers), sum(layer.bytes_after for layer in layers)
    copy, compute = (sum(f) for f in zip(*_floors(layers, evidence), strict=True))
    reason = (
        f"Memory decides: {by_times(before, after, 'fewer bytes', 'more bytes', 'as many bytes as before')} are read and written, which "
        f"alone takes {ms(copy)} on this machine, the arithmetic alone {ms(compute)}."
    )
    return reason, "Remove channels where pictures are large, use a lower precision (bfloat16, int8), or a runtime that fuses layers."


def _floors(layers: Sequence[LayerEvidence], evidence: Evidence) -> list[tuple[float, float]]:
    """Return for each layer the time of its bytes and of its arithmetic."""
    assert evidence.machine is not None
    return [
        (evidence.machine.memory_ms(layer.bytes_after, layer.fresh_after), evidence.machine.compute_ms(layer.macs_after))
        for layer in layers
    ]


def _overhead(layers: Sequence[LayerEvidence], evidence: Evidence) -> Words:
    """Say that calls decide."""
    assert evidence.machine is not None
    calls = sum(evidence.machine.call_ms(layer.type) for layer in layers)
    one = "an empty call" if len(layers) == 1 else f"{len(layers)} empty calls"
    reason = f"The call itself decides: {one} alone take{'s' if len(layers) == 1 else ''} {ms(calls)} on this machine."
    return reason, "Use a larger batch, a runtime with cheaper calls (ONNX Runtime, OpenVINO, torch.compile), or remove whole layers."


def _kernels(layers: Sequence[LayerEvidence], evidence: Evidence) -> Words:
    """Say that neither memory nor calls account for it."""
    reason = "Neither memory traffic nor call overhead accounts for it: the kernels for these smaller shapes reach less of the processor."
    if evidence.machine is None:
        reason = "What bounds them cannot be told without this machine's figures."
    return reason, "Try another runtime (ONNX Runtime, OpenVINO), which picks other kernels, or channels at multiples of 8 or 16."


def lookups(layers: Sequence[LayerEvidence], evidence: Evidence) -> Words:
    """Say that as many rows are read as before, and whether memory or the call holds the time."""
    read, before, after = (sum(getattr(layer, part) for layer in layers) for part in ("bytes_after", "rows_before", "rows_after"))
    now, was = (sum(getattr(layer, when).ms for layer in layers) for when in ("after", "before"))
    went = f" ({after:,} of {before:,} are left)" if after < before else ""
    verbs = ("look", "multiply") if len(layers) > 1 else ("looks", "multiplies")
    sentence = (
        f"{names(layers)} {verbs[0]} rows up{went} and {verbs[1]} nothing: however many rows there are, each pass reads and writes "
        f"{ordinary(size(read))} of them, {ms(now)} instead of {ms(was)}."
    )
    if evidence.machine is not None:
        memory = sum(evidence.machine.memory_ms(layer.bytes_after, layer.fresh_after) for layer in layers)
        calls = sum(evidence.machine.call_ms(layer.type) for layer in layers)
        decides = "Memory decides" if memory > calls else "The calls decide"
        sentence += f" {decides}: those bytes alone take {ms(memory)} on this machine, as many empty calls {ms(calls)}."
    return sentence, "Fewer rows make the file smaller, not the lookup faster: narrow the rows, or prune the layers that multiply."


def odd_channels(rounded: Rounded, layers: Sequence[LayerEvidence], faster: bool) -> Words:
    """Say what the same model at rounder channel counts takes."""
    change = f"{percent(abs(rounded.macs_ratio - 1))} {'more' if rounded.macs_ratio >= 1 else 'fewer'} MACs"
    gain = f"is {times(1 / rounded.ratio.value)} faster" if faster else "takes the same time"
    where = f" ({names(layers)} {'are' if len(layers) > 1 else 'is'} off it)" if layers else ""
    sentence = (
        f"With channels in multiples of {rounded.multiple} the same model, which then has {change}, {gain}: "
        f"its time is {interval(rounded.ratio)} of this one's{where}."
    )
    return sentence, f"Prune with channels in multiples of {rounded.multiple} (round_to={rounded.multiple}): it costs no time."


def between(before: float, after: float, evidence: Evidence) -> Words:
    """Say how much of the pass belongs to no layer."""
    share = percent(after / evidence.total_ms)
    sentence = (
        f"{share} of the pass lies between the layers (activations, norms, additions, and fetching what is not in the cache): "
        f"{ms(after)} instead of {ms(before)}, while the model has "
        f"{by_times(1 / evidence.macs_ratio, 1, *MACS)}."
    )
    return sentence, "Use a runtime that fuses these into the layers (ONNX Runtime, OpenVINO, torch.compile)."
