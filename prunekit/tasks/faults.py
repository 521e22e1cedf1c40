"""What is wrong with what a model was given, or with what it gave, in words that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunekit.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from prunekit.tasks.batch import Batch

OF_TEXT = ("input", "input.0", "input_ids", "ids")
"""What token ids among inputs are called: the only one, the first of several, or as models of text name them."""


def check_finite(values: Any, what: str = "output holds") -> None:
    """Raise where numbers of a model's answer (a tensor) are NaN or infinite."""
    if not bool(values.isfinite().all()):
        raise ModelError(f"the model's {what} NaN or infinity: its weights are damaged, or the inputs are out of range")


def outside(index: int, rows: int) -> str:
    """Say that a token id is none of a model's, and what to do."""
    return (
        f"token id {index} is outside 0..{rows - 1}, the rows of the model's embedding: choose the tokeniser that the model was trained "
        "with, or data whose ids are below that"
    )


def lookup_fault(error: BaseException, model: nn.Module, batch: Batch) -> str:
    """Return which index no embedding of a model has, where that stopped its forward pass, and what to do; else ""."""
    from torch import Tensor, nn  # noqa: PLC0415 (a task's name and metrics need no torch)

    trace, found = error.__traceback__, None
    while trace is not None:
        own, asked = (trace.tb_frame.f_locals.get(name) for name in ("self", "input"))
        if isinstance(own, (nn.Embedding, nn.EmbeddingBag)) and isinstance(asked, Tensor) and asked.numel():
            found = own, asked
        trace = trace.tb_next
    if found is None:
        return ""
    own, asked = found
    name, rows = next((name for name, each in model.named_modules() if each is own), type(own).__name__), own.num_embeddings
    if asked.is_floating_point():
        choose = "text" if any(key in OF_TEXT for key, _ in batch.named_tensors()) else "data of whole numbers there"
        return f"the model reads ids, which are whole numbers ({name} looks them up), and the samples are {asked.dtype}: choose {choose}"
    low, high = int(asked.min()), int(asked.max())
    if low >= 0 and high < rows:
        return ""
    wrong = low if low < 0 else high
    given = [key for key, each in batch.named_tensors() if not each.is_floating_point() and bool((each == wrong).any())]
    if given and not any(key in OF_TEXT for key in given):
        return (
            f"{given[0]} is {wrong} in a sample, and {name}, where the model looks it up, has rows 0..{rows - 1}: choose data with the "
            "ids that the model was trained with"
        )
    if given:
        return outside(wrong, rows)
    return (
        f"the model looks up row {wrong} of {name}, which has rows 0..{rows - 1}: where it holds positions, samples are longer than the "
        f"{rows:,} tokens that the model takes, and shorter ones are needed (the input size, of text in tokens)"
    )
