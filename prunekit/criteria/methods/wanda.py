"""Wanda: the size of each weight times the norm of the input that it sees."""

from __future__ import annotations

from prunekit.criteria.criterion import Criterion, OfLayer, Prepared, ScoringTask


@Prepared
def wanda(task: ScoringTask) -> OfLayer:
    """Return what gives the size of each weight times the norm of the input that it sees.

    Sun et al. 2023, A Simple and Effective Pruning Approach for Large Language Models; arXiv:2306.11695.
    ``score[i, j] = abs(W[i, j]) * norm(X[j])``, with ``X[j]`` the j-th input feature over all samples and positions. In a convolution each
    element of the kernel (input channel and offset) is a feature of its own: what it meets as the kernel moves over the padded input.

    The paper compares weights within an output row of a language model, and reports that on image classifiers it did not see that help;
    here they are compared within an output (scope row), a layer (uniform), M neighbours (N:M), or over all layers (global). Layers that
    the forward pass does not reach score 0.
    """
    from prunekit.criteria.layer_inputs import finite, input_norms

    norms = dict(input_norms(task))
    return lambda weight, name, _seed: finite(name, weight.abs() * norms[name])


WANDA = Criterion(
    name="wanda",
    title="Wanda",
    formula="|w| · Euclidean norm of the input that it is multiplied with",
    source="Sun et al. 2023, arXiv:2306.11695",
    advice="When inputs differ in strength: a small weight on a strong input counts. It compares within an output or a layer.",
    weight=wanda,
    needs_data=True,
    only="Wanda compares single weights by the input that each of them sees",
    order=70,
)
