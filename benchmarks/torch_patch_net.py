"""The batch-normalised patch network of Van Valen 2016 (P1) in PyTorch, with the parameters of one of ours."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.torch_layers import convolution, normalization
from cellflax.models.patch_net import PatchNet


class TorchPatchNet(nn.Module):
    """Dense execution.

    Args:
        model: batch-normalised network without side branches, whose parameters are copied.
        fragments: move the phases of each pooling into the batch, as cellflax does; otherwise pool and
            convolve with dilated kernels, as is usual in PyTorch.
    """

    def __init__(self, model: PatchNet, *, fragments: bool):
        super().__init__()
        self.fragments = fragments
        self.stages = nn.ModuleList()
        for i, stage in enumerate(model.stages):
            self.stages.append(nn.Sequential(*(_block(block, 1 if fragments else 2**i) for block in stage)))
        head = [_block(block, 1) for block in model.hidden]
        self.head = nn.Sequential(*head, convolution(model.output.kernel, model.output.bias))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, classes, H - 2 border, W - 2 border), each a multiple of 2 ** poolings."""
        for i, stage in enumerate(self.stages):
            if i and self.fragments:
                x = _split_phases(functional.max_pool2d(x, 2, stride=1))
            elif i:
                x = functional.max_pool2d(x, 2, stride=1, dilation=2 ** (i - 1))
            x = stage(x)
        x = self.head(x)
        if self.fragments:
            for _ in self.stages[1:]:
                x = _merge_phases(x)
        return x


def _block(block, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        convolution(block.transform.kernel, None, dilation=dilation),
        normalization(block.normalization),
        nn.ReLU(inplace=True),
    )


def _split_phases(x: Tensor) -> Tensor:
    n, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, height // 2, 2, width // 2, 2, channels)
    return x.permute(2, 4, 0, 1, 3, 5).reshape(4 * n, height // 2, width // 2, channels).permute(0, 3, 1, 2)


def _merge_phases(x: Tensor) -> Tensor:
    n, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(2, 2, n // 4, height, width, channels)
    return x.permute(2, 3, 0, 4, 1, 5).reshape(n // 4, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
