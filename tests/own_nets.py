"""A model, data and pictures of one's own, for the command line and the pages: bright against dark images of any size, mean at 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

TEXT = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([0.7, 0.8, 1.0, 1.1]).reshape(4, 1, 1, 1).expand(4, 3, 1, 1))
            self.conv.bias.zero_()
            self.fc.weight.copy_(torch.tensor([[-0.9, -1.0, -1.1, -1.2], [0.9, 1.0, 1.1, 1.2]]))
            self.fc.bias.zero_()

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))

def net(): return Net()
def few(): return nn.Sequential(nn.Flatten(), nn.Linear(12, 2))

def letters(): return nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2))
letters.task = "text-classification"
letters.example = torch.ones(2, 3, dtype=torch.long)

def data():
    y = torch.arange(60) % 2
    return TensorDataset(torch.where(y == 1, 1.0, -1.0).reshape(-1, 1, 1, 1).expand(60, 3, 18, 30) + 0.01, y)

def many(): return TensorDataset(torch.zeros(12, 12), torch.arange(12) % 4)
"""


def write(folder: Path) -> str:
    """Write the file and return its path."""
    (folder / "own.py").write_text(TEXT)
    return f"{folder}/own.py"


def pictures(folder: Path) -> str:
    """Write thirty images of each of two classes, of 12 pixels and no size that is ever guessed; return their name."""
    for name, level in (("a", 90), ("b", 160)):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(30):
            Image.fromarray(np.full((12, 12, 3), level + i % 5, np.uint8)).save(folder / "pictures" / name / f"{i}.png")
    return f"imagefolder:{folder / 'pictures'}"
