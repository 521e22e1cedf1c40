"""What was found of a model is found anew when its parameters have other shapes."""

import torch
from torch import nn

from prunekit.models.cost import model_macs


class Bare(nn.Module):
    """A product with a parameter of its own: no attribute but the parameter tells how large it is."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(3, 4))

    def forward(self, x):
        return x @ self.factor.t()


def test_costs_follow_the_shape_of_a_bare_parameter():
    model = Bare()
    assert model_macs(model, (4,)) == 12
    model.factor = nn.Parameter(torch.ones(5, 4))
    assert model_macs(model, (4,)) == 20
    model.factor = nn.Parameter(torch.zeros(3, 4))
    assert model_macs(model, (4,)) == 12
