"""Which items of a page a user clicks: embedding tables, dot products between them, and two perceptrons."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

TABLES = {"user": 2000, "item": 5000, "category": 24, "country": 12, "device": 3}
DENSE = 6


def perceptron(*widths: int) -> nn.Sequential:
    """Return linear layers with a ReLU behind each."""
    return nn.Sequential(*(layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())))


class DLRM(nn.Module):
    """A deep learning recommendation model (Naumov et al., 2019).

    Numbers go through the bottom perceptron to a vector as wide as a row of the tables; all pairs of vectors are multiplied, and the top
    perceptron makes one logit of the products and of the numbers' vector.
    """

    first: Tensor
    second: Tensor

    def __init__(self, width: int = 32, bottom: int = 64, top: tuple[int, ...] = (256, 128), dropout: float = 0.2) -> None:
        super().__init__()
        self.bottom = perceptron(DENSE, bottom, width)
        self.tables = nn.ModuleDict({name: nn.Embedding(rows, width) for name, rows in TABLES.items()})
        self.dropout = nn.Dropout(dropout)
        pairs = torch.combinations(torch.arange(len(TABLES) + 1))
        self.register_buffer("first", pairs[:, 0].contiguous(), persistent=False)
        self.register_buffer("second", pairs[:, 1].contiguous(), persistent=False)
        self.top = perceptron(width + len(pairs), *top)
        self.head = nn.Linear(top[-1], 1)
        for table in self.tables.values():
            nn.init.normal_(table.weight, 0, 0.1)  # type: ignore[arg-type]

    def forward(self, dense: Tensor, *, user: Tensor, item: Tensor, category: Tensor, country: Tensor, device: Tensor) -> Tensor:
        """Return the logit of a click, (N, 1)."""
        numbers = self.bottom(dense)
        ids = {"user": user, "item": item, "category": category, "country": country, "device": device}
        vectors = torch.stack([numbers, *(self.dropout(self.tables[name](each)) for name, each in ids.items())], 1)
        products = (vectors[:, self.first] * vectors[:, self.second]).sum(2)
        return self.head(self.top(torch.cat([numbers, products], 1)))  # type: ignore[no-any-return]


def model() -> DLRM:
    """Return the untrained model."""
    return DLRM()


def example() -> dict[str, Tensor]:
    """Return the inputs of eight candidates."""
    source = torch.Generator().manual_seed(0)
    ids = {name: torch.randint(rows, (8,), generator=source) for name, rows in TABLES.items()}
    return {"dense": torch.randn(8, DENSE, generator=source), **ids}


vars(model).update(task="recommendation", data="clicks", example=example)
