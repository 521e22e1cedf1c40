"""A model and its data, as a user of 0.4.0 had them."""

import torch
from torch import nn
from torch.utils.data import TensorDataset


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


net.input_shape = (6,)


def data():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=g)
    return TensorDataset(x, (x @ torch.randn(6, 3, generator=g)).argmax(1))
