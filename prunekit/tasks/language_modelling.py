"""Language modelling: the next token at each place of a window of text, judged by perplexity and by bits per character."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import DataError, ModelError
from prunekit.statistics.bootstrap import Sums
from prunekit.tasks.base import OUTPUT
from prunekit.tasks.faults import check_finite
from prunekit.tasks.metrics import LOWER, Metric
from prunekit.tasks.observations import Observations
from prunekit.tasks.protocol import ONE_TOKEN, PROMPT, Phase
from prunekit.tasks.shown import Bars, Continuation, Prompt, Reader
from prunekit.tasks.text_inputs import TextInputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunekit.tasks.batch import Batch

IGNORED = -100
"""A target of this value is no token: what fills up a window."""
NEXT, CHARACTERS, DOCUMENT = "next", "characters", "document"


def _sums(*names: str) -> Any:
    """Return what a ratio of totals sums."""
    return lambda seen: np.column_stack([seen[name] for name in names])


def _perplexity(sums: NDArray[np.float64]) -> Any:
    """Return e to the mean negative log-likelihood of a token."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.exp(sums[..., 0] / sums[..., 1])


def _bits(sums: NDArray[np.float64]) -> Any:
    """Return bits for each character; NaN where nobody counted those."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / (math.log(2) * sums[..., 1]), np.nan)


PERPLEXITY = Metric("perplexity", "Perplexity", Sums(_sums("nll", "tokens"), _perplexity), better=LOWER)
BITS = Metric("bits_per_character", "Bits per character", Sums(_sums("nll", CHARACTERS), _bits), better=LOWER, decimals=3)


@dataclass(frozen=True)
class LanguageModelling(TextInputs):
    """The next token at each place of a window.

    Targets are the next tokens [windows, tokens] (`IGNORED` where there is none), or a mapping that holds them as ``next`` and may say how
    many ``characters`` they stand for and which ``document`` a window is of, a number for each window: then intervals resample documents.
    """

    given_as = "textfile:PATH"

    @property
    def phases(self) -> tuple[Phase, ...]:
        """A prompt, read at once, and one token more, with the keys and values of those before it."""
        return PROMPT, ONE_TOKEN

    reads_end = True

    @property
    def prompt(self) -> Prompt:
        """The beginning of a text."""
        words = "How does it go on? The model is asked anew whenever the text changes: Ctrl and Enter, or a click elsewhere."
        return Prompt("The beginning of a text", words, lines=True, goes_on=True)

    def answer(self, output: Any, batch: Batch, reader: Reader) -> Bars:
        """Return how sure the model is of each token that may come next: the softmax of the scores at the last place."""
        shares = self._scores(output)[0, -1].detach().double().softmax(0).cpu().numpy()
        return Bars("Next token", shares, lambda k: visible(reader.coding.tokeniser.decode([k])))

    def go_on(self, model: nn.Module, text: str, reader: Reader, *, tokens: int, seed: int | None = None) -> Continuation:
        """Return how a model goes on from a text.

        Parameters
        ----------
        model : nn.Module
            In evaluation mode.
        text : str
            What is given.
        reader : Reader
            How it is read.
        tokens : int
            How many to write.
        seed : int, optional
            Draw each token by its share, at temperature 1; otherwise the likeliest is taken.
        """
        import torch  # noqa: PLC0415 (a task's name and metrics need no torch)

        from prunekit.tasks.batch import Batch  # noqa: PLC0415

        source, coding = torch.Generator().manual_seed(seed or 0), reader.coding
        ids = torch.from_numpy(coding.ids(text, "your text"))
        given = len(ids)
        with torch.inference_mode():
            for _ in range(tokens):
                part = ids[None, -coding.length :]
                scores = self._scores(self.forward(model, Batch.of(coding.inputs(part, torch.ones_like(part)))))[0, -1].float().cpu()
                following = scores.argmax() if seed is None else torch.multinomial(scores.softmax(0), 1, generator=source)[0]
                ids = torch.cat([ids, following.view(1)])
        how = "each time the likeliest token" if seed is None else f"each token drawn by its share, seed {seed}"
        return Continuation(coding.tokeniser.decode(ids[given:].tolist()), how)

    def readable(self, seen: Observations) -> Observations:
        """Return tokens and perplexity of each window."""
        return Observations.of(tokens=seen["tokens"], perplexity=_perplexity(_sums("nll", "tokens")(seen)), groups=seen.groups)

    def _scores(self, output: Any) -> Tensor:
        """Return scores [windows, tokens, vocabulary] of an output of which nobody knows what should follow."""
        named = {name: each for name, each in self.tensors(output).items() if each.is_floating_point() and each.ndim == 3}
        if not named:
            raise ModelError("the model must return scores [windows, tokens, vocabulary]. Is it a language model?")
        return named.get("logits", next(iter(named.values())))

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the cross-entropy, the mean over tokens.

        Raises
        ------
        DataError
            If there are no next tokens of the windows' own shape, or one is outside the model's vocabulary.
        """
        from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

        scores, following = self._pair(output, batch)
        return functional.cross_entropy(scores.flatten(0, 1), following.flatten(), ignore_index=IGNORED)

    def terms(self, batch: Batch) -> int:
        """Return how many tokens the loss is the mean of."""
        return int((self._following(batch) != IGNORED).sum())

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Return the Kullback-Leibler divergence from the teacher's softened scores, the mean over tokens, times temperature squared."""
        from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

        own, following = self._pair(output, batch)
        theirs, _ = self._pair(teacher, batch)
        there = following != IGNORED
        own, theirs = (each[there] / temperature for each in (own, theirs))
        return functional.kl_div(own.log_softmax(1), theirs.softmax(1), reduction="batchmean") * temperature**2

    def observe(self, output: Any, batch: Batch) -> Observations:
        """Return the columns ``nll`` (of all tokens of a window, in nats), ``tokens`` and ``characters`` (NaN where nobody counted them).

        Raises
        ------
        ModelError
            If the scores hold NaN or infinity.
        DataError
            As for `loss`.
        """
        import torch  # noqa: PLC0415 (a task's name and metrics need no torch)
        from torch.nn import functional  # noqa: PLC0415

        scores, following = self._pair(output, batch)
        check_finite(scores)
        each = functional.cross_entropy(scores.detach().flatten(0, 1), following.flatten(), ignore_index=IGNORED, reduction="none")
        told = batch.targets if isinstance(batch.targets, Mapping) else {}
        tokens = (following != IGNORED).sum(1)
        characters = told.get(CHARACTERS, torch.full((len(following),), math.nan))
        return Observations.of(
            nll=each.view(following.shape).double().sum(1), tokens=tokens, characters=characters, groups=told.get(DOCUMENT)
        )

    def _following(self, batch: Batch) -> Tensor:
        """Return next tokens [windows, tokens]."""
        following: Tensor = batch.targets[NEXT] if isinstance(batch.targets, Mapping) and NEXT in batch.targets else batch.targets
        if not hasattr(following, "is_floating_point") or following.is_floating_point() or following.ndim != 2:
            got = f"{following.dtype} of shape {list(following.shape)}" if hasattr(following, "dtype") else type(following).__name__
            raise DataError(f"need the next token at each place of {self.count(batch.samples)} as targets; got {got}")
        return following

    def _pair(self, output: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return scores [windows, tokens, vocabulary] and next tokens [windows, tokens], checked."""
        following = self._following(batch)
        named = self.tensors(output)
        fitting = {name: each for name, each in named.items() if each.is_floating_point() and each.ndim == 3}
        scores = fitting.get("logits", next((each for each in fitting.values() if each.shape[:2] == following.shape), None))
        if scores is None or scores.shape[:2] != following.shape:
            listed = "; ".join(f"{name} {list(each.shape)}" for name, each in named.items()) or OUTPUT
            raise ModelError(f"the model must return scores {[*following.shape, 'vocabulary']}; got {listed}. Is it a language model?")
        scores = scores.float() if scores.itemsize < 4 else scores  # halves would round the loss away
        following = following.to(scores.device).long()
        there = following[following != IGNORED]
        if there.numel() and (int(there.min()) < 0 or int(there.max()) >= scores.shape[2]):
            wrong = int(there.min()) if int(there.min()) < 0 else int(there.max())
            raise DataError(f"next token {wrong} is outside 0..{scores.shape[2] - 1}: the model scores {scores.shape[2]} tokens")
        return scores, following


LANGUAGE = LanguageModelling("language-modelling", "language modelling", (PERPLEXITY, BITS), "window", "windows")


def visible(token: str) -> str:
    """Return a token as it can be read in a label: a space, a line break or nothing at all become marks."""
    shown = token.replace("\n", "⏎").replace("\t", "⇥")
    return shown.replace(" ", "␣") if not shown.strip() else shown.replace(" ", "␣", 1) if shown.startswith(" ") else shown
