"""The network of Al-Kofahi 2018 (P3) on whole cells: the stages of `cellflax.predict`, then one training step.

python -m benchmarks.whole_cell [--size 2048] [--pixel-size-um 0.65] [--crop 160] [--batch 4] [--rounds 3]

The image is simulated, as at 10x, or as at 20x with 0.325 um. The network is the untrained one of
`+experiment=whole_cell`; training does not change its time. The stages after it get blurred truth instead of its
probabilities.
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
from cellflax.data.resample import labels_to_grid, to_scale
from cellflax.inference.settings import Inference
from cellflax.io.images import Image
from cellflax.refine import find_seeds, intensity_image, refine
from cellflax.simulation import CytoplasmFieldConfig, simulate_cytoplasm_field

PAPER_S = 6  # P3's time per image of 2048 x 2048, all stages: 4 to 6 seconds
CHANNELS = ("cytoplasm",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="edge of the image, pixels")
    parser.add_argument("--pixel-size-um", type=float, default=0.65, help="the image's; the network's is 0.65")
    add_sampler_options(parser)
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each")
    options = parser.parse_args()
    start()
    overrides = ["+experiment=whole_cell", *sampler_overrides(options)]
    experiment, without_dropout = (
        Experiment(config, CHANNELS, config.data.annotation.class_names)
        for config in (load_config(*overrides), load_config(*overrides, "model.dropout=0"))
    )
    time_stages(experiment, options.size, options.pixel_size_um, options.rounds)
    time_step(experiment, options.rounds, without_dropout)


def time_stages(experiment: Experiment, size: int, pixel_size_um: float, rounds: int) -> None:
    """The stages of `cellflax.predict` on one field."""
    config, model, class_names = experiment.config, experiment.load(), experiment.class_names
    field = simulate_cytoplasm_field(CytoplasmFieldConfig(height=size, width=size, pixel_size_um=pixel_size_um), seed=0)
    image = Image(field.image[..., :1], CHANNELS, field.pixel_size_um, Path("simulated"))

    def scaling() -> np.ndarray:
        return to_scale(image.pixels, image.pixel_size_um, config.scale)

    scaled = Image(scaling(), CHANNELS, config.scale.pixel_size_um, image.path)
    truth = pixel_classes(config.data.annotation, field.cells, field.nuclei)
    maps = blurred(labels_to_grid(truth, scaled.pixels.shape[:2]), len(class_names))
    nuclei = find_seeds(config.refine, maps, class_names, scaled.pixel_size_um)
    assert nuclei is not None

    def cells() -> np.ndarray:
        intensity = intensity_image(config.refine, scaled.pixels, CHANNELS)
        return refine(config.refine, maps, class_names, nuclei, intensity=intensity, pixel_size_um=scaled.pixel_size_um)

    normalize, labels = normalizing(model, scaled), labels_to_grid(cells(), image.pixels.shape[:2])
    probability = labels_to_grid(maps, image.pixels.shape[:2])
    runs: dict[str, Callable[[], object]] = {
        "top-hat, resampling": scaling,
        "normalise": normalize,
        "predict": predicting(model, normalize(), Inference()),
        "nuclei": lambda: find_seeds(config.refine, maps, class_names, scaled.pixel_size_um),
        "cells": cells,
        "table of cells": measuring(model, image, labels, probability),
    }
    title = f"{size} x {size} pixels, {labels.max()} cells"
    print_stages(title, compare(runs, rounds), {"all but the table": list(runs)[:-1]}, PAPER_S, "P3")


if __name__ == "__main__":
    main()
