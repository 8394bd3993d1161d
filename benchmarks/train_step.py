"""One training step: of four networks against PyTorch, and of Van Valen 2016 (P1) on dense crops against patches.

python -m benchmarks.train_step [--networks NAME ...] [--crop 224] [--batch 4] [--size 128] [--patches 256] [--rounds 5]

The first table is a step of each network on the crops of its experiment. PyTorch gets one ready batch, so that the
ratio is that of the steps without drawing it; what drawing costs is the sampler's share. Dropout is off, so that first
losses can agree; they may differ by one in 10,000, else the script ends with an error.
"""

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.experiment import Experiment, load_config
from benchmarks.gpu_programs import NETWORKS
from benchmarks.timing import COLUMNS, NO_TORCH, Steps, compare, print_table, start, torch
from benchmarks.training import (
    LOSS_TOLERANCE,
    ReadyBatch,
    add_sampler_options,
    first_batch,
    sampler_overrides,
    training,
)
from cellflax.data.example import CLASS_NAMES

CHANNELS = ("phase", "nuclear")
OURS, READY, THEIRS = "cellflax", "cellflax, a ready batch", "PyTorch"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    add_sampler_options(parser)
    parser.add_argument("--size", type=int, default=128, help="edge of the labelled part of the crop, pixels")
    parser.add_argument("--patches", type=int, default=256, help="patches in a step")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each")
    options = parser.parse_args()
    start()
    if torch is None:
        print(NO_TORCH)
    rows = [row_of(name, sampler_overrides(options), options.rounds) for name in options.networks]
    print_table(["network", "crops", "seconds", "sampler's share", "PyTorch", "PyTorch / ours", "core-seconds"], rows)
    crops_and_patches(options.size, options.patches, options.rounds)


def row_of(network: str, sizes: list[str], rounds: int) -> list[str]:
    """A network's step with a ready batch and without, and PyTorch's.

    Raises:
        AssertionError: if the first losses differ.
    """
    overrides, channels, class_names = NETWORKS[network]
    config = load_config(*overrides, "sampler.stored_crops=null", *sizes)
    experiment = Experiment(config, channels, class_names or config.data.annotation.class_names)
    batch = first_batch(experiment)
    steps = {OURS: training(experiment, experiment.sampler), READY: training(experiment, ReadyBatch(batch))}
    if torch is not None:
        from benchmarks.torch_training import torch_training

        steps[THEIRS] = torch_training(experiment, batch, fragments=True)
    runs: dict[str, Callable[[], object]] = {**steps}
    times = compare(runs, rounds)
    np.testing.assert_allclose([s.first_loss for s in steps.values()], steps[OURS].first_loss, rtol=LOSS_TOLERANCE)
    ready, theirs = times[READY], times.get(THEIRS)
    share = 1 - ready.wall_s / times[OURS].wall_s
    crops = f"{len(batch.target)} x {batch.target.shape[1]} x {batch.target.shape[2]}"
    row = [network, crops, f"{ready.wall_s:.3f}", f"{share:.0%}"]
    if theirs is None:
        return [*row, "", "", f"{ready.cpu_s:.3f}"]
    cores = f"{ready.cpu_s:.3f}, PyTorch {theirs.cpu_s:.3f}"
    return [*row, f"{theirs.wall_s:.3f}", f"{theirs.wall_s / ready.wall_s:.2f}", cores]


def crops_and_patches(size: int, patch_count: int, rounds: int) -> None:
    """P1's network on one crop and on patches, per labelled pixel; and PyTorch's two ways to do the crop."""
    crops, patches = (
        Experiment(load_config("model=patch_net_61", "optimizer=sgd", *sampler), CHANNELS, CLASS_NAMES)
        for sampler in (
            [f"sampler.size={size}"],
            ["sampler=patches", f"sampler.batch={patch_count}"],
        )
    )
    ours = f"cellflax, 1 crop of {size} x {size}"
    by_patch = f"cellflax, {patch_count} patches"
    runs: dict[str, Steps] = {ours: training(crops, crops.sampler), by_patch: training(patches, patches.sampler)}
    if torch is not None:
        from benchmarks.torch_training import torch_training

        for fragments in (False, True):
            name = f"PyTorch, the same crop, {'fragments' if fragments else 'dilated kernels'}"
            runs[name] = torch_training(crops, first_batch(crops), fragments=fragments)
    times = compare(runs, rounds)
    labelled = {name: patch_count if name == by_patch else size**2 for name in runs}
    rows = []
    for name, taken in times.items():
        per_pixel, baseline = taken.wall_s / labelled[name], times[ours].wall_s / labelled[ours]
        cost = [f"{1e6 * per_pixel:.4g}", f"{per_pixel / baseline:.1f}"]
        rows.append([name, *taken.row(times[ours]), *cost, f"{runs[name].first_loss:.6f}"])
    print_table(["one step", *COLUMNS, "us per labelled pixel", "ratio of these", "first loss"], rows)


if __name__ == "__main__":
    main()
