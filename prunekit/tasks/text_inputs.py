"""Token ids: inputs of tasks of text, which are integers below the rows of an embedding and never noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prunekit.errors import DataError, ModelError, TaskError
from prunekit.formatting import plural
from prunekit.tasks.base import SAMPLES, BaseTask
from prunekit.tasks.faults import OF_TEXT, outside
from prunekit.tasks.noted import told
from prunekit.tasks.shown import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunekit.tasks.batch import Batch

LENGTH = 16
"""Tokens of an example, where nobody says how many the model takes."""


def token_embedding(model: nn.Module) -> nn.Embedding | None:
    """Return the embedding of the tokens: that which the model names (``get_input_embeddings``), else its first; None where it has none."""
    from torch import nn  # noqa: PLC0415 (a task's name and metrics need no torch)

    named = getattr(model, "get_input_embeddings", None)
    try:
        found: Any = named() if callable(named) else None
    except NotImplementedError:
        found = None
    if isinstance(found, nn.Embedding):
        return found
    return next((module for module in model.modules() if isinstance(module, nn.Embedding)), None)


def example_ids(model: nn.Module, shape: tuple[int, ...] | None = None) -> Batch | None:
    """Return ids that the model's embedding holds, in the shape of one text where somebody gave it; None without an embedding."""
    import torch  # noqa: PLC0415

    from prunekit.tasks.batch import Batch  # noqa: PLC0415

    embedding = token_embedding(model)
    if embedding is None:
        return None
    rows, padding = embedding.num_embeddings, embedding.padding_idx
    ids = torch.randint(0, rows, (SAMPLES, *(shape or (LENGTH,))), generator=torch.Generator().manual_seed(0))
    return Batch.of(ids if padding is None or rows < 2 else torch.where(ids == padding, (padding + 1) % rows, ids))


def most_tokens(model: nn.Module) -> int | None:
    """Return how many tokens a model takes at most, as its configuration says; None where it says nothing."""
    config = getattr(getattr(model, "encoder", model), "config", None)
    known = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions"))
    return next((each for each in known if isinstance(each, int) and each > 0), None)


def check_ids(model: nn.Module, batch: Batch) -> None:
    """Raise `ModelError` where a batch holds ids that the model's embedding does not: an accelerator would only say that it crashed."""
    embedding, ids = token_embedding(model), ids_in(batch)
    if embedding is None or ids is None or not ids.numel():
        return
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= embedding.num_embeddings:
        raise ModelError(outside(low if low < 0 else high, embedding.num_embeddings))


def ids_in(batch: Batch) -> Tensor | None:
    """Return the token ids among a batch's inputs; None where there are none."""
    return next((tensor for name, tensor in batch.named_tensors() if _are_ids(name, tensor)), None)


def _are_ids(name: str, tensor: Tensor) -> bool:
    """Whether a tensor of a batch holds token ids."""
    from torch import int32, int64  # noqa: PLC0415

    return name in OF_TEXT and tensor.dtype in (int32, int64)


class TextInputs(BaseTask):
    """A task whose inputs are token ids."""

    reads_end = False
    """Of a text that is too long, whether its end is read; else its beginning."""

    def read(self, text: str, reader: Reader) -> tuple[Batch, str]:
        """Return a text as one sample, as long as the data's own at most, and which part of a longer one is read."""
        import torch  # noqa: PLC0415 (a task's name and metrics need no torch)

        from prunekit.tasks.batch import Batch  # noqa: PLC0415

        coding = reader.coding
        if coding is None:
            raise DataError("nobody says how this model reads text: give its factory an attribute tokeniser with encode and decode")
        if not text.strip() and not (text and self.reads_end):
            raise DataError("your text is empty: type something that the model can read")
        found, most = torch.from_numpy(coding.ids(text, "your text")), coding.length
        part = found[-most:] if self.reads_end else found[:most]
        side = "last" if self.reads_end else "first"
        note = f"The model reads {plural(most, 'token')} at most: of your {len(found):,} the {side} {most}." if len(found) > most else ""
        return Batch.of(coding.inputs(part[None], torch.ones(1, len(part), dtype=torch.bool))), note

    def example(self, model: nn.Module) -> Batch:
        """Return what the factory's ``example`` gives; else two samples of ids that the model's embedding holds."""
        made = None if told(model, "example") is not None else example_ids(model, told(model, "input_shape"))
        return super().example(model) if made is None else made

    def length(self, batch: Batch) -> int:
        """Return how many tokens each text has."""
        ids = ids_in(batch)
        return 0 if ids is None or ids.ndim < 2 else ids.shape[1]

    def at_length(self, batch: Batch, length: int) -> Batch:
        """Return texts cut, or repeated, to so many tokens each, and with them masks and all else that has an entry for each token."""
        known = self.length(batch)
        if not known:
            return super().at_length(batch, length)
        if length < 1:
            raise TaskError(f"a text has at least 1 token; got a length of {length}")

        def cut(tensor: Tensor) -> Tensor:
            if tensor.ndim < 2 or tuple(tensor.shape[:2]) != (batch.samples, known):
                return tensor
            return tensor.repeat(1, -(-length // known), *[1] * (tensor.ndim - 2))[:, :length]

        return replace(batch.map(cut), targets=None)

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Return what the model makes of a batch."""
        check_ids(model, batch)
        return super().forward(model, batch)
