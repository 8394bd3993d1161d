"""The network of Sadanandan 2017 (P2) and U-Nets in PyTorch, with the parameters of one of ours.

They return the logits that training uses, unless `border` is set.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.torch_layers import convolution, normalization, padded_convolution, upsampling
from cellflax.models.padded import Blocks, PaddedBlock, PaddedNetwork
from cellflax.models.skip_fcn import DeConv, Level, Residual, SkipFcn
from cellflax.models.unet import UNet


class TorchPadded(nn.Module):
    """What both networks share: (N, C, H, W) -> logits (N, classes, H - 2 border, W - 2 border) of a crop.

    Attributes:
        border: that of training; to be set for tiles.

    Args:
        model: network whose parameters are copied.
    """

    def __init__(self, model: PaddedNetwork):
        super().__init__()
        self.border = model.geometry.train_border
        self.output = convolution(model.output.kernel, model.output.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        inner = slice(self.border, -self.border or None)
        return self.output(x[:, :, inner, inner])

    def features(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class TorchSkipFcn(TorchPadded):
    """P2's network, with long skips and residual blocks."""

    def __init__(self, model: SkipFcn):
        super().__init__(model)
        self.down = nn.ModuleList(_level(level) for level in model.down)
        self.up = nn.ModuleList(_DeConv(up) for up in model.up)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> Tensor:
        skips = []
        for level in self.down:
            x = level(functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        skips.pop()
        for up in self.up:
            x = up(x, skips.pop())
        return x


class TorchUNet(TorchPadded):
    """A U-Net."""

    def __init__(self, model: UNet):
        super().__init__(model)
        self.down = nn.ModuleList(_blocks(level) for level in model.down)
        self.bottom = _blocks(model.bottom)
        self.upsampling = nn.ModuleList(map(upsampling, model.upsampling))
        self.up = nn.ModuleList(map(_blocks, model.up))
        rates = [model.dropout.rate * (i in model.dropout_levels) for i in range(len(model.down) + 1)]
        self.dropout = nn.ModuleList(nn.Dropout(rate) if rate else nn.Identity() for rate in rates)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> Tensor:
        skips = []
        for level, dropout in zip(self.down, self.dropout, strict=False):
            skips.append(dropout(level(x)))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.dropout[-1](self.bottom(x))
        for larger, level in zip(self.upsampling, self.up, strict=True):
            x = level(torch.cat([skips.pop(), larger(x)], dim=1))
        return x


class _Residual(nn.Module):
    def __init__(self, ours: Residual):
        super().__init__()
        assert ours.normalization is not None, "the variant without residuals is not implemented here"
        self.blocks, self.normalization = _blocks(ours.blocks), normalization(ours.normalization)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalization(x + self.blocks(x))


class _DeConv(nn.Module):
    def __init__(self, ours: DeConv):
        super().__init__()
        assert ours.normalization is not None, "the variant without long skips is not implemented here"
        self.upsampling, self.convs = upsampling(ours.upsampling), _blocks(ours.convs)
        self.normalization = normalization(ours.normalization)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.convs(self.normalization(self.upsampling(x) + skip))


def _level(ours: Level) -> nn.Sequential:
    return nn.Sequential(_blocks(ours.conv), *map(_Residual, ours.residuals))


def _blocks(ours: Blocks) -> nn.Sequential:
    return nn.Sequential(*(layer for block in ours.blocks for layer in _block(block)))


def _block(ours: PaddedBlock) -> list[nn.Module]:
    normalized = [] if ours.normalization is None else [normalization(ours.normalization)]
    return [padded_convolution(ours.convolution), *normalized, nn.ReLU(inplace=True)]
