"""Recommenders of one's own in plain embeddings, tiny, with data that hold what they take: for tests."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import Dataset

USERS, ITEMS, KINDS, WIDTH, LENGTH = 20, 30, 5, 8, 6


class DLRM(nn.Module):
    """Bags of ids of several values beside single ones, products of all pairs by a matrix product."""

    def __init__(self):
        super().__init__()
        self.bottom = nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, WIDTH), nn.ReLU())
        self.user, self.item = nn.EmbeddingBag(USERS, WIDTH, mode="sum"), nn.EmbeddingBag(ITEMS, WIDTH, mode="sum")
        self.history = nn.EmbeddingBag(ITEMS, WIDTH, mode="mean", padding_idx=0)
        self.top = nn.Sequential(nn.Linear(WIDTH + 6, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, dense, user, item, history):
        x = self.bottom(dense)
        all_of = torch.stack([x, self.user(user[:, None]), self.item(item[:, None]), self.history(history)], 1)
        products = torch.bmm(all_of, all_of.transpose(1, 2))
        rows, columns = torch.tril_indices(4, 4, -1)
        return self.top(torch.cat([x, products[:, rows, columns]], 1))[:, 0]


class DeepFM(nn.Module):
    """A factorisation machine and a perceptron over the same rows of one table with an offset for each field."""

    def __init__(self):
        super().__init__()
        self.table, self.linear = nn.Embedding(USERS + ITEMS + KINDS, WIDTH), nn.Embedding(USERS + ITEMS + KINDS, 1)
        self.register_buffer("offsets", torch.tensor([0, USERS, USERS + ITEMS]))
        self.deep = nn.Sequential(nn.Linear(3 * WIDTH, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))

    def forward(self, fields):
        ids = fields + self.offsets
        rows = self.table(ids)
        machine = 0.5 * (rows.sum(1) ** 2 - (rows**2).sum(1)).sum(1, keepdim=True)
        return self.linear(ids).sum(1) + machine + self.deep(rows.flatten(1))


class WideAndDeep(nn.Module):
    """A linear part of crossed ids beside a perceptron of two tables of different widths and of numbers."""

    def __init__(self):
        super().__init__()
        self.wide = nn.EmbeddingBag(97, 1, mode="sum")
        self.user, self.item = nn.Embedding(USERS, WIDTH), nn.Embedding(ITEMS, 2 * WIDTH)
        self.deep = nn.Sequential(nn.Linear(3 * WIDTH + 3, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, user, item, dense):
        crossed = torch.stack([user % 97, item % 97, (user * ITEMS + item) % 97], 1)
        return {"logits": self.wide(crossed) + self.deep(torch.cat([self.user(user), self.item(item), dense], 1))}


class SASRec(nn.Module):
    """Self-attention over what was chosen before; the candidate is scored with the rows that are read, too."""

    def __init__(self):
        super().__init__()
        self.items, self.places = nn.Embedding(ITEMS, WIDTH, padding_idx=0), nn.Embedding(LENGTH, WIDTH)
        self.norm_1, self.norm_2, self.last = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.up, self.down = nn.Linear(WIDTH, 16), nn.Linear(16, WIDTH)

    def forward(self, history, item):
        x = self.items(history) + self.places(torch.arange(history.shape[1], device=history.device))
        later = torch.ones(history.shape[1], history.shape[1], dtype=torch.bool, device=history.device).triu(1)
        y = self.norm_1(x)
        x = x + self.attention(y, y, y, attn_mask=later, need_weights=False)[0]
        x = x + self.down(torch.relu(self.up(self.norm_2(x))))
        return (self.last(x)[:, -1] * self.items(item)).sum(1)


def rows(n, seed=0):
    """Return inputs of candidates by name."""
    source = torch.Generator().manual_seed(seed)
    whole = {"user": torch.randint(USERS, (n,), generator=source), "item": torch.randint(1, ITEMS, (n,), generator=source)}
    history = torch.randint(1, ITEMS, (n, LENGTH), generator=source)
    kind = torch.randint(KINDS, (n,), generator=source)
    fields = torch.stack([whole["user"], whole["item"], kind], 1)
    return {**whole, "history": history, "dense": torch.randn(n, 3, generator=source), "fields": fields}


TAKES = {
    DLRM: ("dense", "user", "item", "history"), DeepFM: ("fields",), WideAndDeep: ("user", "item", "dense"), SASRec: ("history", "item")
}  # fmt: skip


class Choices(Dataset):
    """Candidates of users, of whom each likes items of a few numbers."""

    task = "recommendation"

    def __init__(self, n, seed, names):
        self.inputs, self.names = rows(n, seed), names
        self.label = ((self.inputs["item"] + self.inputs["user"]) % 3 == 0).float()

    def __len__(self):
        return len(self.label)

    def __getitem__(self, i):
        target = {"label": self.label[i], "user": self.inputs["user"][i]}
        return {name: self.inputs[name][i] for name in self.names}, target


def _factory(kind):
    def build():
        torch.manual_seed(1)
        return kind()

    build.task, build.example = "recommendation", lambda: {name: rows(4)[name] for name in TAKES[kind]}
    return build


def _data(kind):
    return lambda: {"train": Choices(160, 1, TAKES[kind]), "test": Choices(160, 2, TAKES[kind])}


dlrm, deepfm, wide_and_deep, sasrec = map(_factory, (DLRM, DeepFM, WideAndDeep, SASRec))
dlrm_data, deepfm_data, wide_and_deep_data, sasrec_data = map(_data, (DLRM, DeepFM, WideAndDeep, SASRec))
NAMES = ("dlrm", "deepfm", "wide_and_deep", "sasrec")
