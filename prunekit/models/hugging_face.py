"""Models of transformers: ``hf:FOLDER_OR_ID``, where the package is installed (the extra ``transformers``)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from prunekit.config.ids import ModelId
from prunekit.errors import CheckpointError, ModelError
from prunekit.models.checkpoints import State
from prunekit.models.hugging_face_files import COPIES, PREFIX, checked, folder_of
from prunekit.models.info import ModelInfo
from prunekit.models.running import classes_of
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.registry import TASKS

__all__ = ["HEAD", "PREFIX", "Pooled", "build_hugging_face", "transformers_package"]

CLASSIFIER, LANGUAGE = "text-classification", "language-modelling"
HEAD = "head.safetensors"
"""The file beside an encoder that holds its pooled head."""
EXAMPLES, LENGTH = 4, 16
TEXT = 128
"""Tokens of a text or window of data, where the model takes so many and nobody asks for others; examples of noise are shorter."""
TOKENISERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")


class Pooled(nn.Module):
    """An encoder of transformers with a head of one linear layer on the mean of its last hidden states."""

    def __init__(self, encoder: nn.Module, outputs: int, *, asked: bool = True, untrained: bool = False) -> None:
        super().__init__()
        self.asked, self.untrained = asked, untrained
        if isinstance(getattr(encoder, "pooler", None), nn.Module):
            encoder.pooler = None  # type: ignore[assignment]  # this head does not ask it
        self.encoder = encoder
        place = next(encoder.parameters())
        self.head = nn.Linear(encoder.config.hidden_size, outputs, dtype=place.dtype)  # type: ignore[union-attr,arg-type]

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **more: Any) -> Tensor:
        """Return class scores [N, classes]; padding, where the mask is 0, does not count."""
        hidden = self.encoder(input_ids, attention_mask=attention_mask, **more).last_hidden_state
        if attention_mask is None:
            mean: Tensor = hidden.mean(1)
        else:
            there = attention_mask.to(hidden.dtype).unsqueeze(-1)
            mean = (hidden * there).sum(1) / there.sum(1).clamp(min=1)
        found: Tensor = self.head(mean)
        return found


class Words:
    """A tokeniser of transformers: text to ids and back."""

    def __init__(self, tokeniser: Any, *, marked: bool) -> None:
        self.tokeniser, self.marked, self.length = tokeniser, marked, TEXT
        self.size, self.padding = len(tokeniser), tokeniser.pad_token_id or 0

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return list(self.tokeniser.encode(text, add_special_tokens=self.marked, verbose=False))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids."""
        return str(self.tokeniser.decode([int(each) for each in ids]))


def build_hugging_face(model_id: ModelId, state: State | None = None, copies: float = COPIES) -> tuple[nn.Module, ModelInfo]:
    """Return a model of a folder or a repository with its weights in the precision that they are kept in, and what is known of it.

    Its class is that of its configuration, or the one that the task asks for: with a head for classes, with one for the next token, or
    else an encoder with a pooled head of one linear layer. Nothing in the folder is run.
    """
    transformers = transformers_package()
    folder = folder_of(model_id.name, copies)
    config = checked(folder, model_id.name, copies)
    task, auto = _kind(config, model_id.task)
    model, lacking = _opened(transformers, auto, folder)
    if auto == "AutoModel":
        model = _pooled(model, folder, state, model_id.outputs)
    elif lacking:
        raise CheckpointError(
            f"{folder} lacks weights that its configuration asks for: {', '.join(sorted(lacking)[:4])}. Name a folder that is whole"
            + (f", or another task than {model_id.task}" if model_id.task else "")
        )
    if auto == "AutoModelForCausalLM" and getattr(model.config, "use_cache", False):
        model.config.use_cache = False  # type: ignore[union-attr]  # keys and values of a prompt are no answer
    words = _tokeniser(transformers, folder, marked=task == CLASSIFIER)
    base: Any = model.encoder if isinstance(model, Pooled) else model
    rows = int(base.get_input_embeddings().num_embeddings)
    if words is not None and words.size > rows:
        raise ModelError(
            f"the tokeniser in {folder} knows {words.size:,} tokens and the model's embedding holds {rows:,}: take the tokeniser that the "
            "model was trained with"
        )
    return model, _known(model_id, model, task, words, rows)


def transformers_package() -> Any:
    """Return the package, which few need: it is imported when it is asked for."""
    try:
        import transformers  # noqa: PLC0415
    except ImportError:
        raise ModelError("models of Hugging Face need the package transformers: install prunekit[transformers]") from None
    quiet: Any = transformers.utils.logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    return transformers


def _kind(config: dict[str, Any], task: str | None) -> tuple[str, str]:
    """Return the task of a model, and which of the classes of transformers opens it."""
    named = next(iter(config.get("architectures") or ()), "")
    if task == LANGUAGE or (task is None and named.endswith(("ForCausalLM", "LMHeadModel"))):
        return LANGUAGE, "AutoModelForCausalLM"
    if named.endswith("ForSequenceClassification"):
        return task or CLASSIFIER, "AutoModelForSequenceClassification"
    return task or CLASSIFIER, "AutoModel"


def _opened(transformers: Any, auto: str, folder: Path) -> tuple[nn.Module, set[str]]:
    """Return a model from a folder, and the names of weights that the folder lacks."""
    try:
        model, told = getattr(transformers, auto).from_pretrained(
            str(folder),
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            dtype="auto",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told, and refused below
        )
    except Exception as error:  # whatever a damaged or unknown folder makes it trip over
        line = shorten(str(error), 240, placeholder=" ...").rstrip(".") or type(error).__name__
        raise CheckpointError(f"transformers cannot open {folder}: {line}. Name a folder that save_pretrained wrote") from error
    if other := sorted(each if isinstance(each, str) else str(each[0]) for each in told.get("mismatched_keys") or ()):
        raise CheckpointError(
            f"{folder} has weights of another shape than its configuration says, {other[0]} the first: put the config.json beside "
            "them that they were saved with"
        )
    return model, set(told.get("missing_keys") or ())


def outputs_for(model: nn.Module, data: Any) -> int | None:
    """Return how many outputs data want of a pooled head that is new; None where it has as many, or somebody has settled it."""
    found = classes_of(data) if isinstance(model, Pooled) and not model.asked and data is not None else 0
    return found if found > 1 and found != model.head.out_features else None  # type: ignore[union-attr]


def _pooled(encoder: nn.Module, folder: Path, state: State | None, asked: int | None) -> Pooled:
    """Return an encoder with its pooled head: the one beside it, or a new one of as many outputs as some weights have, or as are asked."""
    kept = load_file(str(folder / HEAD)) if (folder / HEAD).is_file() else {}
    decisive = kept if state is None else {name.removeprefix("head."): each for name, each in state.items() if name.startswith("head.")}
    there = len(decisive["weight"]) if "weight" in decisive else None
    if asked is not None and there not in (None, asked):
        raise ModelError(f"{folder} has a head of {there} outputs beside it, and {asked} are asked for: leave the outputs out")
    known = there or asked
    outputs = known or int(encoder.config.num_labels)  # type: ignore[union-attr,arg-type]
    model = Pooled(encoder, outputs, asked=known is not None, untrained=there is None)
    if kept and state is None:
        model.head.load_state_dict(kept)
    return model


def _tokeniser(transformers: Any, folder: Path, *, marked: bool) -> Words | None:
    """Return the tokeniser beside a model; None where there is none."""
    if not any((folder / file).is_file() for file in TOKENISERS):
        return None
    try:
        found = transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # as for weights
        raise ModelError(f"the tokeniser in {folder} cannot be opened ({' '.join(str(error).split())[:160]}): copy it again") from error
    return Words(found, marked=marked)


def _known(model_id: ModelId, model: nn.Module, task: str, words: Words | None, rows: int) -> ModelInfo:
    """Return what is known of a model: inputs that it accepts, its task, names of its classes, its tokeniser."""
    config: Any = model.encoder.config if isinstance(model, Pooled) else model.config
    length = min(LENGTH, int(getattr(config, "max_position_embeddings", None) or LENGTH))
    ids = torch.randint(rows, (EXAMPLES, length), generator=torch.Generator().manual_seed(0))
    padding = getattr(config, "pad_token_id", None)
    form = InputForm.of(Batch((), {"input_ids": ids if padding is None else torch.where(ids == padding, (padding + 1) % rows, ids)}))
    if words is not None:
        positions = int(getattr(config, "max_position_embeddings", None) or TEXT + 2)
        words.length = min(TEXT, max(length, positions - 2))  # RoBERTa counts places from 2
    names = getattr(config, "id2label", None) or {}
    many = model.head.out_features if isinstance(model, Pooled) else len(names)
    named = task == CLASSIFIER and many == len(names) and getattr(model, "asked", True)  # of a new head the data name them
    classes = tuple(str(names[i]) for i in range(many)) if named else ()
    return ModelInfo(
        model_id,
        form,
        classes=classes,
        task=TASKS.get(task),
        example=form.example,
        tokeniser=words,
        vocabulary=rows,
    )
