"""The network of Sadanandan 2017 (P2) on a bright-field z-stack.

It times the stages of `cellflax.predict`, then one training step.

python -m benchmarks.fcn [--size 2034] [--crop 240] [--batch 4] [--rounds 3]

The image is simulated. The network is the untrained one of `+experiment=brightfield_auto`; training does not change
its time. The stages after it get blurred truth instead of its probabilities.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.experiment import Experiment, load_config
from benchmarks.stages import blurred, measuring, normalizing, predicting, print_stages
from benchmarks.timing import compare, start
from benchmarks.training import add_sampler_options, sampler_overrides, time_step
from cellflax.data.pixel_classes import pixel_classes
from cellflax.inference.settings import Inference, Tiling
from cellflax.io.images import Image
from cellflax.refine import refine
from cellflax.simulation import BrightfieldConfig, Well, simulate_brightfield_site

PAPER_S = 6  # P2's time per image of 2034 x 2034 on a Titan X, including everything before and after the network
CHANNELS = tuple(name for name in BrightfieldConfig().channels if name.startswith("brightfield"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=2034, help="edge of the image, pixels")
    add_sampler_options(parser)
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each")
    options = parser.parse_args()
    start()
    config = load_config("+experiment=brightfield_auto", *sampler_overrides(options))
    experiment = Experiment(config, CHANNELS, config.data.annotation.class_names)
    time_stages(experiment, options.size, options.rounds)
    time_step(experiment, options.rounds)


def time_stages(experiment: Experiment, size: int, rounds: int) -> None:
    """The stages of `cellflax.predict`, with seamless tiles and with P2's two Gaussian passes."""
    config, model = experiment.config, experiment.load()
    field = simulate_brightfield_site(BrightfieldConfig(height=size, width=size), Well.well1, seed=0)
    planes = [field.channels.index(name) for name in CHANNELS]
    image = Image(field.image[..., planes], CHANNELS, field.pixel_size_um, Path("simulated"))
    classes = pixel_classes(config.data.annotation, field.cells, None, edge_px=config.data.edge_px)
    maps = blurred(classes, len(experiment.class_names))

    def cells() -> np.ndarray:
        return refine(config.refine, maps, experiment.class_names)

    normalize, labels = normalizing(model, image), cells()
    normalized = normalize()
    ways = {f"{tiling.name} tiles": Inference(tiling=tiling) for tiling in Tiling}
    runs: dict[str, Callable[[], object]] = {
        "normalise": normalize,
        **{f"predict, {way}": predicting(model, normalized, inference) for way, inference in ways.items()},
        "refine": cells,
        "table of cells": measuring(model, image, labels, maps),
    }
    totals = {f"all but the table, {way}": ["normalise", f"predict, {way}", "refine"] for way in ways}
    title = f"{size} x {size} pixels, {labels.max()} cells"
    print_stages(title, compare(runs, rounds), totals, PAPER_S, "P2")


if __name__ == "__main__":
    main()
