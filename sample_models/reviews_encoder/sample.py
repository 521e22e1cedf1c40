"""Which department a review of clothes is about: a small transformer encoder, the smallest text classifier to prune."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = ("Tops", "Dresses", "Bottoms", "Intimate", "Jackets")
VOCABULARY, LENGTH = 6000, 128
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+|[^\sa-z0-9]")


class Words:
    """Lower-case words, numbers and single marks; what is not in the vocabulary has one id for all.

    Parameters
    ----------
    words : sequence of str
        The vocabulary: a word's place is its id. The first two stand for padding and for unknown words.

    Attributes
    ----------
    size : int
        How many ids there are.
    padding : int
        The id that fills up short texts.
    """

    padding, unknown = 0, 1

    def __init__(self, words: Sequence[str]) -> None:
        self.words, self.size = tuple(words), len(words)
        self._ids = {word: i for i, word in enumerate(words) if i > self.unknown}

    @classmethod
    def read(cls, path: Path) -> Words:
        """Return the tokeniser of a file with a word a line."""
        return cls(path.read_text(encoding="utf-8").splitlines())

    @classmethod
    def learn(cls, texts: Iterable[str], size: int) -> Words:
        """Return the tokeniser of the most frequent words of texts."""
        counts = Counter(word for text in texts for word in WORD.findall(text.lower()))
        return cls(["[padding]", "[unknown]", *(word for word, _ in counts.most_common(size - 2))])

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return [self._ids.get(word, self.unknown) for word in WORD.findall(text.lower())]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words of ids with spaces between them."""
        return " ".join(self.words[i] for i in ids if i != self.padding)


class SelfAttention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017); how many heads there are follows from the width of the projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.head_width = width // heads
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what each place gathers, (N, T, width); ``mask`` is True for places that may be looked at."""
        batch, length, _ = x.shape
        query, key, value = (
            layer(x).view(batch, length, -1, self.head_width).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A transformer block with its norms first (Xiong et al., 2020)."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_1, self.attention = nn.LayerNorm(width), SelfAttention(width, heads)
        self.norm_2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the stream with what attention and the two linear layers add, (N, T, width)."""
        x = x + self.dropout(self.attention(self.norm_1(x), mask))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm_2(x)))))  # type: ignore[no-any-return]


class TextEncoder(nn.Module):
    """Word ids (N, up to 128), filled up with 0, to scores of the classes (N, 5): the mean over words of two transformer blocks."""

    def __init__(self, width: int = 96, heads: int = 6, blocks: int = 2, hidden: int = 192, dropout: float = 0.3) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, width, padding_idx=0), nn.Embedding(LENGTH, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, len(CLASSES))
        nn.init.normal_(self.tokens.weight, 0, 0.1)
        nn.init.zeros_(self.tokens.weight.data[0])
        nn.init.normal_(self.positions.weight, 0, 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the scores."""
        there = ids != 0
        x = self.dropout(self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device)))
        for block in self.blocks:
            x = block(x, there[:, None, None, :])
        weight = there.unsqueeze(-1).to(x.dtype)
        return self.head((self.norm(x) * weight).sum(1) / weight.sum(1).clamp_min(1))  # type: ignore[no-any-return]


def model() -> TextEncoder:
    """Return the untrained encoder."""
    return TextEncoder()


def example() -> Tensor:
    """Return ids of eight texts, every second one half as long as the others."""
    ids = torch.randint(2, VOCABULARY, (8, LENGTH), generator=torch.Generator().manual_seed(0))
    ids[1::2, LENGTH // 2 :] = 0
    return ids


vars(model).update(task="text-classification", data="reviews", classes=CLASSES, example=example)
if (_known := Path(__file__).with_name("vocabulary.txt")).is_file():
    vars(model).update(tokeniser=Words.read(_known))
