"""Images made of noise, as plain as a criterion can be given them."""

import torch


class Noise:
    """A split that can only be read in order."""

    def __init__(self, n, shape, classes=5, seed=0):
        g = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, *shape, generator=g)
        self.y = torch.randint(0, classes, (n,), generator=g)

    def __len__(self):
        return len(self.y)

    def batches(self, batch_size=256):
        yield from zip(self.x.split(batch_size), self.y.split(batch_size), strict=True)
