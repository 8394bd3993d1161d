"""One training step of the 61 x 61 network of Van Valen 2016 (P1): dense crops against patches, and against PyTorch.

python -m benchmarks.train_step [--size 128] [--patches 256] [--rounds 5]
"""

import argparse

from benchmarks.experiment import Experiment, load_config
from benchmarks.timing import COLUMNS, NO_TORCH, Steps, compare, print_table, start, torch
from benchmarks.training import first_batch, training
from cellflax.data.example import CLASS_NAMES

CHANNELS = ("phase", "nuclear")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="edge of the labelled part of the crop, pixels")
    parser.add_argument("--patches", type=int, default=256, help="patches in a step")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each")
    options = parser.parse_args()
    start()
    crops, patches = (
        Experiment(load_config("model=patch_net_61", "optimizer=sgd", *sampler), CHANNELS, CLASS_NAMES)
        for sampler in (
            [f"sampler.size={options.size}"],
            ["sampler=patches", f"sampler.batch={options.patches}"],
        )
    )
    ours = f"cellflax, 1 crop of {options.size} x {options.size}"
    by_patch = f"cellflax, {options.patches} patches"
    runs: dict[str, Steps] = {ours: training(crops, crops.sampler), by_patch: training(patches, patches.sampler)}
    if torch is not None:
        from benchmarks.torch_training import torch_training

        for fragments in (False, True):
            name = f"PyTorch, the same crop, {'fragments' if fragments else 'dilated kernels'}"
            runs[name] = torch_training(crops, first_batch(crops), fragments=fragments)
    else:
        print(NO_TORCH)

    times = compare(runs, options.rounds)
    labelled = {name: options.patches if name == by_patch else options.size**2 for name in runs}
    rows = []
    for name, taken in times.items():
        per_pixel, baseline = taken.wall_s / labelled[name], times[ours].wall_s / labelled[ours]
        cost = [f"{1e6 * per_pixel:.4g}", f"{per_pixel / baseline:.1f}"]
        rows.append([name, *taken.row(times[ours]), *cost, f"{runs[name].first_loss:.6f}"])
    print_table(["one step", *COLUMNS, "us per labelled pixel", "ratio of these", "first loss"], rows)


if __name__ == "__main__":
    main()
