"""One training step of P1's 61 x 61 network: dense crops against patches, and against PyTorch.

python -m benchmarks.train_step [--size 128] [--patches 256] [--rounds 5]
"""

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.timing import COLUMNS, NO_TORCH, compare, print_table, start, torch
from cellflax.data.example import Example
from cellflax.data.sampler import Batch, CropsConfig, PatchesConfig, Sampler, SamplerConfig
from cellflax.losses import CrossEntropyConfig, cross_entropy
from cellflax.models import build_model
from cellflax.models.patch_net import PatchNet, PatchNetConfig
from cellflax.optimizers import SgdConfig, build_optimizer
from cellflax.state import StepSums, create_state, data_mesh, make_train_step, replicate

CHANNELS, CLASSES, SEED = 2, 3, 0
L2 = CrossEntropyConfig().l2
SGD = SgdConfig()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="edge of the labelled part of the crop, pixels")
    parser.add_argument("--patches", type=int, default=256, help="patches in a step")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is timed")
    options = parser.parse_args()
    start()
    crops = new_sampler(CropsConfig(size=options.size))
    ours = f"cellflax, 1 crop of {options.size} x {options.size}"
    patches = f"cellflax, {options.patches} patches"
    first_loss: dict[str, float] = {}
    runs = {
        ours: training(crops, ours, first_loss),
        patches: training(new_sampler(PatchesConfig(batch=options.patches)), patches, first_loss),
    }
    labelled = {ours: options.size**2, patches: options.patches}
    if torch is not None:
        batch = crops(crops.data, SEED, 0)
        for fragments in (False, True):
            name = f"PyTorch, the same crop, {'fragments' if fragments else 'dilated kernels'}"
            runs[name] = torch_training(batch, name, first_loss, fragments=fragments)
            labelled[name] = options.size**2
    else:
        print(NO_TORCH)

    times = compare(runs, options.rounds)
    rows = []
    for name, taken in times.items():
        per_pixel, baseline = taken.wall_s / labelled[name], times[ours].wall_s / labelled[ours]
        cost = [f"{1e6 * per_pixel:.4g}", f"{per_pixel / baseline:.1f}"]
        rows.append([name, *taken.row(times[ours]), *cost, f"{first_loss[name]:.6f}"])
    print_table(["one step", *COLUMNS, "us per labelled pixel", "ratio of these", "first loss"], rows)


def new_network() -> PatchNet:
    return build_model(PatchNetConfig(), channels=CHANNELS, classes=CLASSES, seed=SEED)


def new_sampler(config: SamplerConfig) -> Sampler:
    """A sampler over one image of noise, annotated throughout: what it shows does not change the time."""
    rng, edge, network = np.random.default_rng(0), 1024, new_network()
    image = rng.standard_normal((edge, edge, CHANNELS), np.float32)
    classes = rng.integers(0, CLASSES, (edge, edge), np.int8)
    example = Example("noise", image, classes, cells=np.zeros((edge, edge), np.int32))
    return Sampler(config, (example,), border=network.border, multiple=network.multiple, classes=CLASSES)


def training(sampler: Sampler, name: str, first_loss: dict[str, float]) -> Callable[[], object]:
    """A function that does the next whole step: sampling, forward, backward, update."""
    optimizer = build_optimizer(SGD, steps=1000)
    graph, state = create_state([new_network()], optimizer)
    mesh = data_mesh(1)
    step = make_train_step(graph, optimizer, cross_entropy, L2, sampler, SEED, mesh)
    state, data = replicate(state, mesh), replicate(sampler.data, mesh)

    def run() -> StepSums:
        nonlocal state
        state, sums = step(state, data, StepSums.zero(CLASSES))
        first_loss.setdefault(name, float(sums.loss))
        return sums

    return run


def torch_training(batch: Batch, name: str, first_loss: dict[str, float], *, fragments: bool) -> Callable[[], object]:
    """A function that does the next step on one ready batch: forward, backward, update."""
    from benchmarks.torch_patch_net import TorchPatchNet, kernels, to_torch

    network = TorchPatchNet(new_network(), fragments=fragments).train()
    weights = kernels(network)
    others = [p for p in network.parameters() if all(p is not weight for weight in weights)]
    optimizer = torch.optim.SGD(
        [{"params": weights, "weight_decay": 2 * L2}, {"params": others}],
        lr=SGD.learning_rate,
        momentum=SGD.momentum,
        nesterov=True,
    )
    image, target, weight = to_torch(np.asarray(batch.image)), *(torch.from_numpy(np.array(x)) for x in batch[1:])

    def run() -> None:
        optimizer.zero_grad()
        losses = torch.nn.functional.cross_entropy(network(image), target.long(), reduction="none")
        loss = (weight * losses).mean()
        loss.backward()
        optimizer.step()
        first_loss.setdefault(name, loss.item())

    return run


if __name__ == "__main__":
    main()
