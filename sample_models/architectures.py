"""The sample architectures: small, of plain modules, written so that a pruned copy runs too.

No size is written down twice: what follows a convolution is flattened with ``flatten(1)``, and nothing in ``forward``
depends on a width, so that layers can be made narrower one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from torch import Tensor, nn

Layers = Iterable[tuple[str, nn.Module]]


def _sequence(layers: Layers) -> nn.Sequential:
    """Return named layers in a row."""
    return nn.Sequential(OrderedDict(layers))


def _perceptron(inputs: int, hidden: tuple[int, int], classes: int) -> nn.Sequential:
    """Return a perceptron with two hidden layers of ReLU neurons."""
    first, second = hidden
    return _sequence(
        [
            ("flatten", nn.Flatten()),
            ("fc1", nn.Linear(inputs, first)),
            ("relu1", nn.ReLU()),
            ("fc2", nn.Linear(first, second)),
            ("relu2", nn.ReLU()),
            ("fc3", nn.Linear(second, classes)),
        ]
    )


def digits_mlp() -> nn.Sequential:
    """Return the perceptron 64-200-100-10 for 8 x 8 digits; its last layer has 100 x 10 weights."""
    return _perceptron(64, (200, 100), 10)


def mnist_lenet300() -> nn.Sequential:
    """Return LeNet-300-100 (LeCun et al., 1998), the perceptron 784-300-100-10 of the pruning literature."""
    return _perceptron(784, (300, 100), 10)


def digits_cnn() -> nn.Sequential:
    """Return a small convolutional network for 8 x 8 digits; its second convolution has 64 filters."""
    return _sequence(
        [
            ("conv1", nn.Conv2d(1, 32, 3, padding=1, bias=False)),
            ("bn1", nn.BatchNorm2d(32)),
            ("relu1", nn.ReLU()),
            ("conv2", nn.Conv2d(32, 64, 3, padding=1, bias=False)),
            ("bn2", nn.BatchNorm2d(64)),
            ("relu2", nn.ReLU()),
            ("pool", nn.MaxPool2d(2)),
            ("flatten", nn.Flatten()),
            ("fc1", nn.Linear(64 * 4 * 4, 64)),
            ("relu3", nn.ReLU()),
            ("fc2", nn.Linear(64, 10)),
        ]
    )


def mnist_lenet5() -> nn.Sequential:
    """Return LeNet-5 with the widths 20-50-500 that Caffe and Han et al. (2015) used, with ReLU after each layer."""
    return _sequence(
        [
            ("conv1", nn.Conv2d(1, 20, 5)),
            ("relu1", nn.ReLU()),
            ("pool1", nn.MaxPool2d(2)),
            ("conv2", nn.Conv2d(20, 50, 5)),
            ("relu2", nn.ReLU()),
            ("pool2", nn.MaxPool2d(2)),
            ("flatten", nn.Flatten()),
            ("fc1", nn.Linear(50 * 4 * 4, 500)),
            ("relu3", nn.ReLU()),
            ("fc2", nn.Linear(500, 10)),
        ]
    )


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al., 2016).

    Parameters
    ----------
    inputs, outputs : int
        Channels before and after.
    stride : int
        Stride of the first convolution; where it or the width changes the shortcut is a 1 x 1 convolution (option B).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = _sequence([("conv", nn.Conv2d(inputs, outputs, 1, stride, bias=False)), ("bn", nn.BatchNorm2d(outputs))])
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, outputs, H / stride, W / stride)."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + self.shortcut(x))  # type: ignore[no-any-return]


class ResNetCifar(nn.Module):
    """The ResNet for 32 x 32 images (He et al., 2016, section 4.2).

    Parameters
    ----------
    blocks : int
        Blocks in each of the three stages; 3 gives ResNet-20.
    classes : int
        Outputs.
    """

    def __init__(self, blocks: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = self._stage(16, 16, blocks, 1)
        self.layer2 = self._stage(16, 32, blocks, 2)
        self.layer3 = self._stage(32, 64, blocks, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)

    @staticmethod
    def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
        """Return a row of blocks; the first one changes size and width."""
        first = BasicBlock(inputs, outputs, stride)
        return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (N, classes), of images (N, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.pool(x).flatten(1))  # type: ignore[no-any-return]


def cifar10_resnet20() -> ResNetCifar:
    """Return ResNet-20 for CIFAR-10: widths 16, 32 and 64, 1 x 1 convolutions as shortcuts, 0.27 M parameters."""
    return ResNetCifar(3, 10)


class InvertedResidual(nn.Module):
    """Widen with a 1 x 1 convolution, filter each channel on its own, narrow again (Sandler et al., 2018).

    Parameters
    ----------
    inputs, outputs : int
        Channels before and after; where they agree and the stride is 1 the input is added.
    stride : int
        Stride of the depthwise convolution.
    expansion : int
        How many times wider the middle is; at 1 there is no widening convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        self.expand: nn.Module = nn.Identity()
        if expansion != 1:
            self.expand = _conv_bn(inputs, hidden, 1, activate=True)
        self.depthwise = _conv_bn(hidden, hidden, 3, stride, groups=hidden, activate=True)
        self.project = _conv_bn(hidden, outputs, 1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, outputs, H / stride, W / stride)."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y  # type: ignore[no-any-return]


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, activate: bool) -> nn.Sequential:
    """Return a convolution, its norm and, where asked for, ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    layers: list[tuple[str, nn.Module]] = [("conv", conv), ("bn", nn.BatchNorm2d(outputs))]
    return _sequence([*layers, ("relu", nn.ReLU6())] if activate else layers)


class MobileNetV2Cifar(nn.Module):
    """MobileNetV2 (Sandler et al., 2018) for 32 x 32 images: three of the five halvings, and narrower.

    Parameters
    ----------
    stages : sequence of (int, int, int, int)
        Expansion, channels, blocks and stride of the first block, for each stage.
    stem, last, classes : int
        Channels of the first and of the last convolution, and outputs.
    """

    def __init__(self, stages: Iterable[tuple[int, int, int, int]], stem: int, last: int, classes: int) -> None:
        super().__init__()
        self.stem = _conv_bn(3, stem, 3, activate=True)
        width, rows = stem, []
        for expansion, channels, blocks, stride in stages:
            row = []
            for block in range(blocks):
                row.append(InvertedResidual(width, channels, stride if block == 0 else 1, expansion))
                width = channels
            rows.append(nn.Sequential(*row))
        self.stages = nn.Sequential(*rows)
        self.last = _conv_bn(width, last, 1, activate=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (N, classes), of images (N, 3, H, W)."""
        x = self.last(self.stages(self.stem(x)))
        return self.fc(self.pool(x).flatten(1))  # type: ignore[no-any-return]


def cifar10_mobilenetv2() -> MobileNetV2Cifar:
    """Return MobileNetV2 for CIFAR-10: about 0.7 M parameters, and all but the first stages at 16 x 16 pixels and below."""
    stages = [(1, 16, 1, 1), (6, 16, 1, 1), (6, 24, 2, 2), (6, 48, 3, 2), (6, 64, 2, 1), (6, 96, 2, 2), (6, 160, 1, 1)]
    return MobileNetV2Cifar(stages, 16, 640, 10)
