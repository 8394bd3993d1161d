"""Layers of our networks in PyTorch, with their parameters; channels are last in memory, oneDNN's fastest order."""

import numpy as np
import torch
from torch import Tensor, nn

from cellflax.models.layers import Convolution, Normalization, Upsampling


def convolution(kernel, bias, *, dilation: int = 1, pad: int = 0) -> nn.Conv2d:
    """A convolution, or a linear map at every pixel if the kernel is (C, M).

    Args:
        kernel: parameter (k, k, C, M) or (C, M).
        bias: parameter (M,) or None.
        dilation: pixels between taps.
        pad: zeros on each side.
    """
    values = np.asarray(kernel[...])
    values = values if values.ndim == 4 else values[None, None]
    size, _, filters_in, filters = values.shape
    layer = nn.Conv2d(filters_in, filters, size, dilation=dilation, padding=pad, bias=bias is not None)
    _copy(layer.weight, values.transpose(3, 2, 0, 1))
    if bias is not None:
        _copy(layer.bias, bias[...])
    return layer


def padded_convolution(ours: Convolution) -> nn.Conv2d:
    return convolution(ours.kernel, ours.bias, pad=ours.pad)


def normalization(ours: Normalization) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(ours.scale.shape[0], eps=ours.epsilon, momentum=1 - ours.momentum)
    pairs = ((layer.weight, ours.scale), (layer.bias, ours.bias))
    pairs += ((layer.running_mean, ours.mean), (layer.running_var, ours.var))
    for target, source in pairs:
        _copy(target, source[...])
    return layer


def upsampling(ours: Upsampling) -> nn.ConvTranspose2d:
    filters_in, filters = ours.kernel.shape[0], ours.bias.shape[0]
    layer = nn.ConvTranspose2d(filters_in, filters, 2, stride=2)
    kernel = np.asarray(ours.kernel[...]).reshape(filters_in, 2, 2, filters)
    _copy(layer.weight, kernel.transpose(0, 3, 1, 2))
    _copy(layer.bias, ours.bias[...])
    return layer


def to_torch(images: np.ndarray) -> Tensor:
    """(N, H, W, C) -> (N, C, H, W) with the channels still last in memory."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)


def kernels(network: nn.Module) -> list[Tensor]:
    """The parameters that the L2 penalty applies to."""
    return [parameter for parameter in network.parameters() if parameter.ndim == 4]


def _copy(target: Tensor | None, values) -> None:
    assert target is not None
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.array(values)))
