"""Training steps in PyTorch that equal those of one of our experiments: network, cost, penalty, optimiser."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.experiment import Experiment
from benchmarks.timing import Steps
from benchmarks.torch_layers import kernels, to_torch
from benchmarks.torch_padded import TorchSkipFcn, TorchUNet
from benchmarks.torch_patch_net import TorchPatchNet
from cellflax.data.sampler import Batch
from cellflax.losses import LossConfig
from cellflax.losses.composite_rmsd import CompositeRmsdConfig, class_weights
from cellflax.losses.cross_entropy import CrossEntropyConfig
from cellflax.losses.weighted_softmax import WeightedSoftmaxConfig
from cellflax.models.patch_net import PatchNet
from cellflax.models.skip_fcn import SkipFcn
from cellflax.models.unet import UNet
from cellflax.training.optimizers import AdamwConfig, OptimizerConfig, RmspropConfig, SgdConfig

# (B, K, S, S) logits, (B, S, S) classes, (B, S, S) weights of the sampler -> scalar.
TorchLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


def torch_training(
    experiment: Experiment,
    batch: Batch,
    *,
    fragments: bool = False,
    device: str = "cpu",
    mixed: bool = False,
    compiled: bool = False,
) -> Steps:
    """Steps on one batch: forward, backward, update.

    Args:
        experiment: network, cost and optimiser.
        batch: a batch as its sampler draws it.
        fragments: how a patch network runs, see `TorchPatchNet`.
        device: where.
        mixed: automatic mixed precision, bfloat16.
        compiled: by `torch.compile`, the network and the cost together.
    """
    network = torch_network(experiment.network, fragments=fragments).train().to(device)
    optimizer = torch_optimizer(experiment.config.optimizer, network)
    cost, l2 = torch_loss(experiment), experiment.config.loss.l2
    image = to_torch(np.asarray(batch.image)).to(device)
    target, weight = (torch.from_numpy(np.array(x)).to(device) for x in batch[1:3])
    target = target.long()

    def costs(image: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            logits = network(image)
        penalty = l2 * sum(kernel.square().sum() for kernel in kernels(network))
        return cost(logits.float(), target, weight), penalty

    run = torch.compile(costs) if compiled else costs

    def step() -> Tensor:
        optimizer.zero_grad()
        loss, penalty = run(image, target, weight)
        (loss + penalty).backward()
        optimizer.step()
        return loss.detach()

    return Steps(step)


def torch_network(model: PatchNet | SkipFcn | UNet, *, fragments: bool = False) -> nn.Module:
    """The same network with the same parameters."""
    match model:
        case PatchNet():
            return TorchPatchNet(model, fragments=fragments)
        case SkipFcn():
            return TorchSkipFcn(model)
        case UNet():
            return TorchUNet(model)


def torch_optimizer(config: OptimizerConfig, network: nn.Module) -> torch.optim.Optimizer:
    """The same optimiser at its highest learning rate."""
    rate = config.learning_rate
    match config:
        case SgdConfig():
            return torch.optim.SGD(network.parameters(), lr=rate, momentum=config.momentum, nesterov=True)
        case RmspropConfig():
            return torch.optim.RMSprop(network.parameters(), lr=rate, alpha=config.rho, eps=config.epsilon)
        case AdamwConfig():
            others = [p for p in network.parameters() if p.ndim != 4]
            groups = [
                {"params": kernels(network), "weight_decay": config.weight_decay},
                {"params": others, "weight_decay": 0},
            ]
            return torch.optim.AdamW(groups, lr=rate)
    raise TypeError(f"not an optimizer configuration: {type(config).__name__}")


def torch_loss(experiment: Experiment) -> TorchLoss:
    """The same cost, without its penalty."""
    config: LossConfig = experiment.config.loss
    match config:
        case CrossEntropyConfig():
            return cross_entropy
        case WeightedSoftmaxConfig():
            foreground = config.foreground
            assert foreground is not None, "a factor that depends on the data has no place in a benchmark"
            return lambda logits, target, weight: weighted_softmax(logits, target, weight, foreground)
        case CompositeRmsdConfig():
            factors = torch.tensor([*class_weights(config, experiment.class_names), config.sum_weight])
            return lambda logits, target, weight: composite_rmsd(logits, target, weight, factors.to(logits.device))
    raise TypeError(f"not a loss configuration: {type(config).__name__}")


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """P1's cost; see cellflax/losses/cross_entropy.py."""
    return (weight * functional.cross_entropy(logits, target, reduction="none")).mean()


def weighted_softmax(logits: Tensor, target: Tensor, weight: Tensor, foreground: float) -> Tensor:
    """P2's cost; see cellflax/losses/weighted_softmax.py."""
    annotated, classes = weight > 0, logits.shape[1]
    surprise = functional.cross_entropy(logits, target, reduction="none")
    member = functional.one_hot(target, classes) * annotated[..., None]
    pixels = member.sum((1, 2))  # (B, K)
    occurring, total = (pixels > 0).sum(1, keepdim=True), pixels.sum(1, keepdim=True)
    balance = total / (occurring * pixels).clamp(min=1)
    balance = torch.cat([foreground * balance[:, :-1], balance[:, -1:]], dim=1)
    balanced = (member * balance[:, None, None]).sum(-1)
    return (balanced * surprise).sum() / annotated.sum().clamp(min=1)


def composite_rmsd(logits: Tensor, target: Tensor, weight: Tensor, factors: Tensor) -> Tensor:
    """P3's cost for crops that all have annotated pixels; see cellflax/losses/composite_rmsd.py.

    Args:
        logits: (B, K, S, S).
        target: (B, S, S) classes.
        weight: (B, S, S) weights of the sampler.
        factors: (K + 1,) factors of the classes' terms and of the sum's term.
    """
    annotated = (weight > 0)[:, None]
    probability = logits.sigmoid()
    label = functional.one_hot(target, logits.shape[1]).permute(0, 3, 1, 2)
    error = annotated * torch.cat([probability - label, probability.sum(1, keepdim=True) - 1], dim=1)
    rmsd = (error.square().sum((2, 3)) / annotated.sum((2, 3))).sqrt()
    return (rmsd @ factors).mean()
