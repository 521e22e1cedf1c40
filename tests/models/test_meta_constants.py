"""What forward() asks of a mask that it made itself is answered without values; of anything else it is not."""

import pytest
import torch
from torch import nn

from prunekit.errors import PruningError
from prunekit.pruning.structured.grouping import trace


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


def test_a_mask_that_was_written_to_is_not():
    def asks(x, mask):
        mask[0] = 0
        return mask.bool().all()

    def depends(x, mask):
        return (x.sum() + mask.sum()) > 0

    for each in (asks, depends):
        with pytest.raises(PruningError, match="value of a tensor"):
            trace(Asking(each), (4,))
