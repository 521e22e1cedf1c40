"""Random small encoders, pruned twice at random counts, proved with one sample and with several."""

import numpy as np
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import shrink

SHAPE = (3, 12, 12)


class Block(nn.Module):
    def __init__(self, heads, size, hidden, first, batch_first, weights):
        super().__init__()
        width = heads * size
        self.attention = nn.MultiheadAttention(width, heads, batch_first=batch_first)
        self.before, self.behind = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.first, self.batch_first, self.weights = first, batch_first, weights

    def attend(self, x):
        x = x if self.batch_first else x.transpose(0, 1)
        x = self.attention(x, x, x, need_weights=self.weights)[0]
        return x if self.batch_first else x.transpose(0, 1)

    def forward(self, x):
        if self.first:
            x = x + self.attend(self.before(x))
            return x + self.down(torch.relu(self.up(self.behind(x))))
        x = self.before(x + self.attend(x))
        return self.behind(x + self.down(nn.functional.gelu(self.up(x))))


class Encoder(nn.Module):
    def __init__(self, depth, *args):
        super().__init__()
        width = args[0] * args[1]
        self.patches, self.positions = nn.Conv2d(3, width, 4, stride=4), nn.Parameter(torch.randn(1, 9, width))
        self.layers, self.head = nn.Sequential(*(Block(*args) for _ in range(depth))), nn.Linear(width, 5)

    def forward(self, x):
        return self.head(self.layers(self.patches(x).flatten(2).transpose(1, 2) + self.positions)[:, 0])


def removal_of(graph, noise):
    """Remove a random share of most groups; of the embedding no more than leaves its norms three channels to tell apart."""
    picked = [np.zeros(0, np.int64)]
    for group in graph.groups:
        most = max(group.size - 3, 0) if group.layers[0] == "patches" else group.size - 1
        picked.append(noise.permutation(group.atoms)[: int(noise.uniform(0.1, 0.95) * most)])
    return Removal(graph, np.concatenate(picked))


flags = st.booleans()


@given(st.integers(1, 3), st.integers(1, 5), st.integers(2, 7), st.integers(2, 29), flags, flags, flags, st.integers(0, 999))
@example(1, 1, 5, 7, True, False, True, 27)  # whether one sample's rows lie next to each other decides which product a layer becomes
@example(2, 1, 5, 13, False, False, True, 23)
@example(2, 1, 5, 19, False, False, True, 37)
def test_encoders_are_proved_when_pruned_and_when_pruned_again(depth, heads, size, hidden, first, batch_first, weights, seed):
    torch.manual_seed(seed)
    model, noise = Encoder(depth, heads, size, hidden, first, batch_first, weights).eval(), np.random.default_rng(seed)
    for _ in range(2):
        removal = removal_of(trace(model, SHAPE), noise)
        for batch in (1, 3):
            if removal.atoms.size:
                proof = prove(model, removal, batch=batch)
                assert proof.passed or proof.output_change < 0.01, proof
        model = shrink(model, removal).eval()
