"""The proof that surgery was faithful: removing channels gives what zeroing them gives.

On a copy whose every parameter and statistic is random at a non-trivial scale, so that no zero-initialised weight hides a mistake,
compare the physically smaller model with the dense one in which exactly the removed elements are zero: rows, biases, norms and the
consumers' columns, so that it does not matter where a channel arises. Where zeroes alone do not say what remains (a norm over
channels), :mod:`prunekit.pruning.masked_reference` does.
"""

from __future__ import annotations

from torch import nn

from prunekit.errors import ModelError, ProofError
from prunekit.pruning.proof_inputs import SEED
from prunekit.pruning.proof_trial import FAR, LARGE, LEAST_CHANGE, QUICK, TOLERANCE, WAYS, ItsOwn, Proof, Surgery, Trial
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import consuming
from prunekit.tasks.batch import Batch

__all__ = ["TOLERANCE", "Proof", "prove", "require"]


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
            f"largest relative error {proof.max_relative_error:.2g} (allowed {TOLERANCE:g}), "
            f"output moved by {proof.output_change:.2%} (needed {LEAST_CHANGE:.0%}). "
            "No result is given; please report the model. Mode unstructured works meanwhile"
        )
    return proof
