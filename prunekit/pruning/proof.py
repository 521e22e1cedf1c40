"""The proof that surgery was faithful: removing channels gives what zeroing them gives.

On a copy whose every parameter and statistic is random at a non-trivial scale, so that no zero-initialised weight hides a mistake,
compare the physically smaller model with the dense one in which exactly the removed elements are zero: rows, biases, norms and the
consumers' columns, so that it does not matter where a channel arises. Where zeroes alone do not say what remains (a norm over
channels), :mod:`prunekit.pruning.masked_reference` does.

What the proof does not let go is found by bisection over the groups that shrank, and held, so that all else may go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from torch import nn

from prunekit.errors import ModelError, ProofError
from prunekit.formatting import asked, ordinary, percent
from prunekit.formatting import error as small
from prunekit.pruning.influence import check_influence
from prunekit.pruning.proof_inputs import SEED
from prunekit.pruning.proof_trial import FAR, LARGE, LEAST_CHANGE, QUICK, TOLERANCE, WAYS, ItsOwn, Proof, Surgery, Trial
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group
from prunekit.pruning.structured.dry_run import alike_groups, first_failing, may_hold_sizes, sparing
from prunekit.pruning.structured.grouping import hold
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import consuming
from prunekit.tasks.batch import Batch

__all__ = ["TOLERANCE", "Proof", "hold_stubborn", "prove", "proved", "require", "tried"]


def prove(
    model: nn.Module, plan: Removal, *, surgery: Surgery = consuming, seed: int = SEED, batch: int = 1, samples: Batch | None = None
) -> Proof:
    """Compare removing with zeroing.

    Parameters
    ----------
    model : nn.Module
        The dense model; only its structure and the range of its values matter, and it is not modified.
    plan : Removal
        What goes. A plan that removes nothing proves nothing: its proof does not pass.
    surgery : callable
        ``(model, plan) -> smaller model``; the one under test. It may use up the model that it is given.
    seed : int
        Of weights and input.
    batch : int
        Samples in the input.
    samples : Batch, optional
        Real ones, for a model that takes no noise.

    Returns
    -------
    Proof
        In float32, evaluation mode, on random input: of the model's own size, or a half or quarter of it on which the model runs the
        same operations; and once more in each further form in which the model was traced.
        What draws random numbers, keeps state, needs float64 or computes in several types is run accordingly.

    Raises
    ------
    ProofError
        If the smaller model does not run at all.
    ModelError
        If the dense one does not run by itself, or gives something else each time.
    """
    own: ItsOwn | None = None
    failed: Proof | ProofError | None = None
    convolves = any(isinstance(module, nn.Conv2d) for module in model.modules())
    for way in WAYS if convolves else WAYS[1:]:
        trial = Trial(model, plan, surgery, (seed, batch, samples), way)
        try:
            proof = trial.carry_out()
        except ItsOwn as error:
            own = error
            continue
        except ProofError as error:
            failed = error
            if way is not QUICK and not trial.uneven():
                raise
            continue
        if proof.passed and trial.drawn and not way.repeatable:
            continue  # that both decide the same may be chance
        if proof.passed or plan.empty or (way.repeatable and trial.uneven()):
            return trial.told(proof)
        failed = proof
        if way is not QUICK and proof.max_relative_error > FAR and trial.largest < LARGE and not trial.uneven():
            break
    if isinstance(failed, Proof):
        return failed
    raise failed or ModelError(str(own)) from own


def require(proof: Proof) -> Proof:
    """Return a proof that passed."""
    if not proof.passed:
        raise ProofError(
            f"removing these channels does not give what zeroing them gives{f' (form of input: {proof.worst})' if proof.worst else ''}: "
            f"largest relative error {small(proof.max_relative_error)} (allowed {TOLERANCE:g}), "
            f"output moved by {ordinary(percent(proof.output_change, 2))} (needed {ordinary(asked(LEAST_CHANGE))}). "
            "No result is given; please report the model. Mode unstructured works meanwhile"
        )
    return proof


MOST_HELD = 16  # kinds of groups that are held one after another before a model is given up
Made = TypeVar("Made", bound=Removal)


def proved(model: nn.Module, make: Callable[[], Made], samples: Batch | None = None) -> tuple[Made, Proof | None]:
    """Return a plan with its proof, made again without what stands in the way of one; None where nothing goes."""
    for left in reversed(range(MOST_HELD + 1)):
        plan = make()
        if plan.empty:
            break
        try:
            return plan, require(prove(model, plan, samples=samples))
        except ProofError:
            check_influence(model, plan.shrunk, plan.graph.input_shape, samples)
            if not left or hold_stubborn(model, plan, samples) is None:
                raise
    return plan, None


def tried(model: nn.Module, graph: ChannelGraph, samples: Batch | None = None) -> ChannelGraph:
    """Return a model's couplings with what does not go kept whole: half of all there is goes on trial.

    A model of torch's and torchvision's classes is not tried: what those do is known.

    Parameters
    ----------
    model : nn.Module
        The dense model.
    graph : ChannelGraph
        As :func:`prunekit.pruning.trace` returns it.
    samples : Batch, optional
        As for the proof.
    """
    if not may_hold_sizes(model, graph):
        return graph
    for _ in range(MOST_HELD):
        half = [group.atoms[: group.allowed(group.size // 2)] for group in graph.groups]
        removal = sparing(graph, np.concatenate([np.zeros(0, np.int64), *half]))
        try:
            if removal.empty or prove(model, removal, samples=samples).max_relative_error < TOLERANCE:
                break
        except ModelError:  # what stands in the way is the model's own, and said to whoever prunes it
            break
        except ProofError:
            pass
        held = hold_stubborn(model, removal, samples)
        if held is None:
            break
        graph = held
    return graph


def hold_stubborn(model: nn.Module, plan: Removal, samples: Batch | None = None) -> ChannelGraph | None:
    """Hold the group for which a plan is not proved, and all like it; return the couplings then, or None where there is none."""
    graph = plan.graph

    def failure(groups: Sequence[Group]) -> str | None:
        atoms = np.concatenate([np.zeros(0, np.int64), *(group.atoms[np.isin(group.atoms, plan.atoms)] for group in groups)])
        if not atoms.size:
            return None
        try:
            proof = prove(model, Removal(graph, atoms), samples=samples)
        except ProofError as error:
            return str(error)
        off = proof.max_relative_error
        form = f"; form of input: {proof.worst}" if proof.worst else ""
        return None if off < TOLERANCE else f"removing it does not give what zeroing it gives (relative error {small(off)}{form})"

    shrinking = [group for group in graph.groups if np.isin(group.atoms, plan.atoms).any()]
    if not shrinking or failure(shrinking) is None:
        return None  # the blocks that go, then
    culprit, how = first_failing(shrinking, failure)
    reason = failure((culprit,)) or how or "it cannot go together with others"
    where = culprit.layers[0].rpartition(".")[0]
    alike = [group for group in alike_groups(model, graph, culprit, where) if failure((group,)) is not None]
    return hold(model, graph, np.concatenate([group.atoms for group in (culprit, *alike)]), reason)
