"""What forward() asks of a mask that it made or was given is answered without values; of anything else both answers are followed."""

import pytest
import torch
from torch import nn

from prunekit.pruning.structured.grouping import trace
from prunekit.tasks.input_form import InputForm


class Asking(nn.Module):
    def __init__(self, asks):
        super().__init__()
        self.a, self.b, self.asks = nn.Linear(4, 6), nn.Linear(6, 3), asks
        self.eval()

    def forward(self, x):
        x = self.a(x)
        return self.b(torch.relu(x) if self.asks(x, torch.ones(len(x), 5, device=x.device)) else x.cumsum(1))


@pytest.mark.parametrize(
    "asks",
    [
        lambda x, mask: mask.bool().all(),
        lambda x, mask: mask[:, None].sum() == mask.numel(),
        lambda x, mask: not (mask.expand(2, -1, -1) == 0).any(),
        lambda x, mask: (mask.min() > 0).item(),
    ],
)
def test_a_mask_of_ones_is_known(asks):
    graph = trace(Asking(asks), (4,))
    assert [group.id for group in graph.groups] == ["a"]


def written(x, mask):
    mask[0] = 0
    return not mask[:, 1:].bool().all()


def places(x, mask):
    return torch.arange(x.shape[1], device=x.device).flip(0)[mask.cumsum(1)[0, 1].long()] == x.shape[1] - 3


def drawn(x, mask):
    return len(mask.nonzero()) == mask.numel()


@pytest.mark.parametrize("asks", [written, places, drawn])
def test_what_follows_from_it_is_known(asks):
    assert [group.id for group in trace(Asking(asks), (4,)).groups] == ["a"]


def of_a_view(x, mask):
    part = mask[:1]
    part[0, 0] = x.sum()
    return mask.bool().all()


@pytest.mark.parametrize("asks", [of_a_view, lambda x, mask: (x.sum() + mask.sum()) > 0, lambda x, mask: torch.rand_like(mask).sum() > 0])
def test_of_anything_else_both_answers_are_followed(asks):
    assert not trace(Asking(asks), (4,)).groups, "the other answer sums over the channels"


class Padded(nn.Module):
    """Takes another path where a mask that it is given hides something."""

    def __init__(self):
        super().__init__()
        self.words, self.a, self.b = nn.Embedding(9, 4), nn.Linear(4, 6), nn.Linear(6, 3)
        self.eval()

    def forward(self, ids, mask):
        x = self.words(ids)
        if mask.all() and ids.max() < len(self.words.weight):
            return self.b(self.a(x).relu())
        return self.b(self.a(x).relu() * mask[..., None])


@pytest.mark.parametrize("hides", [False, True])
def test_whole_numbers_that_are_given_are_known(hides):
    mask = torch.ones(2, 5, dtype=torch.long)
    mask[:, 3:] = 1 - int(hides)
    form = InputForm.of({"ids": torch.randint(9, (2, 5)), "mask": mask})
    graph = trace(Padded(), form)
    assert [group.id for group in graph.groups] == ["words", "a"]
    assert sum(operation == "mul" for _, operation, _ in graph.facts.records) == hides
