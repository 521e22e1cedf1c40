"""The next character of Shakespeare: a small causal transformer, the smallest language model to prune."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ALPHABET = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = 128


class Characters:
    """Single characters.

    Parameters
    ----------
    characters : str
        The alphabet: a character's place is its id.

    Attributes
    ----------
    size : int
        How many ids there are.
    """

    def __init__(self, characters: str) -> None:
        self.characters, self.size = characters, len(characters)
        self._ids = {character: i for i, character in enumerate(characters)}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text.

        Raises
        ------
        ValueError
            If it holds a character that is not in the alphabet.
        """
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            raise ValueError(f"the alphabet of {self.size} characters does not hold {error.args[0]!r}") from None

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids."""
        return "".join(self.characters[i] for i in ids)


class Past:
    """Keys and values (N, heads, T, head width) of the characters read before, for each attention in turn; in the end, those of all."""

    def __init__(self, cache: Sequence[Tensor]) -> None:
        self.length = cache[0].shape[2] if cache else 0
        self.earlier, self.all = list(cache), list[Tensor]()

    def extend(self, *new: Tensor) -> tuple[Tensor, ...]:
        """Return the keys and the values of an attention with those before them."""
        found = tuple(torch.cat((self.earlier.pop(0), each), 2) if self.length else each for each in new)
        self.all += found
        return found


class SelfAttention(nn.Module):
    """Causal multi-head attention (Vaswani et al., 2017); how many heads there are follows from the width of the projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.head_width = width // heads
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """Return what each place gathers, (N, T, width): from itself and those before it."""
        batch, length, _ = x.shape
        query, key, value = (
            layer(x).view(batch, length, -1, self.head_width).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        if past is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            key, value = past.extend(key, value)
            seen = torch.ones(length, length + past.length, dtype=torch.bool, device=x.device).tril(past.length)
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A transformer block with its norms first (Xiong et al., 2020)."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_1, self.attention = nn.LayerNorm(width), SelfAttention(width, heads)
        self.norm_2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, *past: Past) -> Tensor:
        """Return the stream with what attention and the two linear layers add, (N, T, width)."""
        x = x + self.dropout(self.attention(self.norm_1(x), *past))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm_2(x)))))  # type: ignore[no-any-return]


class CharacterGPT(nn.Module):
    """Character ids (N, up to 128) to scores of the next character (N, T, 65): five transformer blocks, each place sees those before."""

    def __init__(self, width: int = 128, heads: int = 8, blocks: int = 5, hidden: int = 512, dropout: float = 0.05) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(len(ALPHABET), width), nn.Embedding(LENGTH, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, len(ALPHABET), bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, 0.02)
            if name.endswith(("out.weight", "down.weight")):  # what adds to the stream starts smaller (Radford et al., 2019)
                nn.init.normal_(parameter, 0, 0.02 / math.sqrt(2 * blocks))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the scores."""
        x = self.dropout(self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))  # type: ignore[no-any-return]

    def with_cache(self, ids: Tensor, cache: Sequence[Tensor] = ()) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the scores of characters behind others, and keys and values of all; ``cache`` holds those of the others, in that order."""
        past = Past(cache)
        x = self.tokens(ids) + self.positions(torch.arange(past.length, past.length + ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x, past) if isinstance(block, Block) else block(x)  # a block that was pruned away has no attention
        return self.head(self.norm(x)), tuple(past.all)


def model() -> CharacterGPT:
    """Return the untrained model."""
    return CharacterGPT()


def example() -> Tensor:
    """Return ids of eight windows."""
    return torch.randint(0, len(ALPHABET), (8, LENGTH), generator=torch.Generator().manual_seed(0))


vars(model).update(task="language-modelling", data="shakespeare", example=example, tokeniser=Characters(ALPHABET))
