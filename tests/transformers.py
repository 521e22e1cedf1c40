"""Small networks with attention and norms over channels, for tests."""

import torch
from torch import nn
from torchvision.models import ConvNeXt, MaxVit, SwinTransformer, VisionTransformer
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

SHAPE = (3, 32, 32)
CLASSES = 7


class Grouped(nn.Module):
    """Group norms with several groups, with one, and with one for each channel."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 24, 3, stride=4), nn.GroupNorm(6, 24)
        self.body, self.whole = nn.Conv2d(24, 20, 3), nn.GroupNorm(1, 20)
        self.last, self.each = nn.Conv2d(20, 18, 1), nn.GroupNorm(18, 18)
        self.head = nn.Linear(18, CLASSES)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(self.each(self.last(torch.relu(self.whole(self.body(x))))))
        return self.head(x.amax((2, 3)))


class Encoder(nn.Module):
    """torch's own layers; keys and values from elsewhere than queries; norms without parameters."""

    def __init__(self):
        super().__init__()
        self.patches, self.memory = nn.Conv2d(3, 24, 8, stride=8), nn.Conv2d(3, 24, 16, stride=16)
        self.layer = nn.TransformerEncoderLayer(24, 4, 40, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(24, elementwise_affine=False)
        self.cross = nn.MultiheadAttention(24, 3)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x):
        tokens = self.norm(self.layer(self.patches(x).flatten(2).transpose(1, 2))).transpose(0, 1)
        memory = self.memory(x).flatten(2).permute(2, 0, 1)
        return self.head((tokens + self.cross(tokens, memory, memory)[0])[0])


def vit():
    return VisionTransformer(32, 8, num_layers=2, num_heads=4, hidden_dim=24, mlp_dim=40, num_classes=CLASSES)


def swin(**options):
    return SwinTransformer([4, 4], 16, [2, 2], [2, 4], [3, 4], num_classes=CLASSES, **options)


def swin_v2():
    return swin(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)


def maxvit():
    return MaxVit((32, 32), 8, 2, [16, 24], [1, 2], 4, 0.1, num_classes=CLASSES)


def convnext():
    return ConvNeXt([CNBlockConfig(12, 20, 2), CNBlockConfig(20, None, 1)], 0.1, num_classes=CLASSES)


NETS = {"vit": vit, "swin": swin, "swin_v2": swin_v2, "maxvit": maxvit, "convnext": convnext, "grouped": Grouped, "encoder": Encoder}


def build(name):
    """Return one of them, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return NETS[name]().eval()
