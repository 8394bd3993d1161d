"""From probabilities to cells: active contours against scikit-image, every method, and the whole pipeline.

python -m benchmarks.refine [--size 1280 1080] [--iterations 80] [--rounds 3]

If CELLFLAX_DATA names the public data, the probabilities and nuclei are those that Van Valen 2016 (P1) published for
its HeLa-S3 validation field, repeated to fill the image. Otherwise they are those of a simulated field.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from skimage import io
from skimage.segmentation import morphological_chan_vese

from benchmarks.dense_inference import probability, trained_like
from benchmarks.stages import blurred, print_stages
from benchmarks.timing import COLUMNS, compare, print_table, start
from cellflax.data.example import CLASS_NAMES
from cellflax.data.normalize import NormalizeConfig, normalize
from cellflax.data.pixel_classes import classes_from_labels
from cellflax.inference.dense import predict_tiles
from cellflax.labels import components
from cellflax.measure.cells import cell_table
from cellflax.models.patch_net import PatchNet, PatchNetConfig
from cellflax.refine import RefineConfig, refine
from cellflax.refine.active_contour import ActiveContourConfig
from cellflax.refine.chan_vese import chan_vese
from cellflax.refine.threshold import ThresholdConfig
from cellflax.refine.watershed import WatershedConfig
from cellflax.simulation.hela import CHANNELS, HelaFieldConfig, simulate_hela_field

PAPER_S = 75  # P1's time per image, all stages
EMPTY_PX = 30  # border that P1's networks leave empty
SMOOTHING = 1


@dataclass(frozen=True)
class Field:
    """One image and the outputs of networks for it.

    Attributes:
        image: (H, W, 2) raw phase and nuclear marker.
        cytoplasm: (H, W, 3) class probabilities.
        nuclear: (H, W, 3) class probabilities.
        nuclei: (H, W) bool.
    """

    image: np.ndarray
    cytoplasm: np.ndarray
    nuclear: np.ndarray
    nuclei: np.ndarray

    def repeated(self, size: tuple[int, int]) -> "Field":
        """The field repeated side by side, cut to a size."""
        return Field(*(fill(array, size) for array in (self.image, self.cytoplasm, self.nuclear, self.nuclei)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 1080), help="image height and width, pixels")
    parser.add_argument("--iterations", type=int, default=ActiveContourConfig().iterations, help="contour iterations")
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each")
    options = parser.parse_args()
    start()
    root = os.environ.get("CELLFLAX_DATA")
    field = published_field(Path(root)) if root else simulated_field()
    print("P1's probabilities" if root else "CELLFLAX_DATA is not set: simulated probabilities")
    field = field.repeated(tuple(options.size))
    size = f"{options.size[0]} x {options.size[1]} pixels"
    compare_contours(field, options.iterations, options.rounds, size)
    time_methods(field, options.iterations, options.rounds, size)
    time_pipeline(field, options.iterations, options.rounds, size)


def compare_contours(field: Field, iterations: int, rounds: int, size: str) -> None:
    """Our active contour against scikit-image's."""
    interior = field.cytoplasm[..., CLASS_NAMES.index("interior")]
    ours = f"cellflax, contour of {iterations} iterations"
    theirs = "scikit-image, the same"
    runs: dict[str, Callable[[], np.ndarray]] = {
        ours: lambda: chan_vese(interior, field.nuclei, iterations, smoothing=SMOOTHING),
        theirs: lambda: morphological_chan_vese(
            interior.astype(np.float64), iterations, init_level_set=field.nuclei, smoothing=SMOOTHING
        ),
    }
    # Compare first calls: on later ones, scikit-image's smoothing may start with its other operator.
    inside = {name: run() > 0 for name, run in runs.items()}
    different = {name: f"{np.sum(inside[name] != inside[ours])} of {inside[ours].size}" for name in runs}
    times = compare(runs, rounds)
    rows = [[name, *taken.row(times[ours]), different[name]] for name, taken in times.items()]
    print_table([size, *COLUMNS, "different pixels"], rows)


def time_methods(field: Field, iterations: int, rounds: int, size: str) -> None:
    """Every refinement, on the probabilities that it is meant for."""
    seeds = components(field.nuclei)
    configs: dict[str, tuple[RefineConfig, np.ndarray, np.ndarray | None]] = {
        "threshold (nuclei)": (ThresholdConfig(interior=0.5), field.nuclear, None),
        "threshold, adaptive (nuclei)": (ThresholdConfig(interior=0.075, adaptive=True), field.nuclear, None),
        "watershed, nuclei given": (WatershedConfig(), field.cytoplasm, seeds),
        "watershed, own seeds": (WatershedConfig(), field.cytoplasm, None),
        "active contour": (contour_config(iterations), field.cytoplasm, seeds),
    }
    runs = {name: refining(config, maps, seeds) for name, (config, maps, seeds) in configs.items()}
    cells = {name: run().max() for name, run in runs.items()}
    times = compare(runs, rounds)
    rows = [[name, *taken.seconds(), str(cells[name])] for name, taken in times.items()]
    print_table([f"refine, {size}", "seconds", "core-seconds", "cells"], rows)


def time_pipeline(field: Field, iterations: int, rounds: int, size: str) -> None:
    """The stages of `cellflax.predict` with one 61 x 61 network and given nuclei, without reading and writing.

    The network is not trained, which does not change its time; the stages after it take the field's probabilities.
    """
    model = trained_like(PatchNetConfig().build(channels=len(CHANNELS), classes=len(CLASS_NAMES), seed=0))
    network = probability(model, PatchNet.dense)
    normalized = normalize(field.image, NormalizeConfig(), model.geometry.receptive_field)
    refined = refining(contour_config(iterations), field.cytoplasm, components(field.nuclei))
    labels = refined()
    runs: dict[str, Callable[[], object]] = {
        "normalise": lambda: normalize(field.image, NormalizeConfig(), model.geometry.receptive_field),
        "one network, dense": lambda: predict_tiles(network, normalized, model.geometry),
        "active contour": refined,
        "table of cells": lambda: (
            cell_table(
                labels, image=field.image, channels=CHANNELS, probability=field.cytoplasm, class_names=CLASS_NAMES
            ).size
        ),
    }
    print_stages(f"pipeline, {size}", compare(runs, rounds), {"all": list(runs)}, PAPER_S, "P1")


def contour_config(iterations: int) -> ActiveContourConfig:
    return ActiveContourConfig(iterations=iterations, smoothing=SMOOTHING)


def refining(config: RefineConfig, maps: np.ndarray, seeds: np.ndarray | None) -> Callable[[], np.ndarray]:
    return lambda: refine(config, maps, CLASS_NAMES, seeds)


def published_field(root: Path) -> Field:
    """P1's HeLa-S3 validation field without its empty border."""
    folder = root / "deepcell/validation_data/HeLa"
    inner = slice(EMPTY_PX, -EMPTY_PX)

    def maps(network: str) -> np.ndarray:
        return np.stack([tifffile.imread(folder / f"{network}/feature_{k}_frame_0.tif") for k in range(3)], -1)

    image = np.stack([tifffile.imread(folder / f"RawImages/{name}.tif") for name in ("phase", "farred")], -1)
    nuclei = io.imread(folder / "Masks/nuclear_mask_0.png") > 0
    return Field(*(array[inner, inner] for array in (image, maps("Cytoplasm"), maps("Nuclear"), nuclei)))


def simulated_field() -> Field:
    """A simulated field; the probabilities are its blurred truth."""
    field = simulate_hela_field(HelaFieldConfig(), seed=0)

    def maps(labels: np.ndarray) -> np.ndarray:
        return blurred(classes_from_labels(labels), len(CLASS_NAMES))

    return Field(field.image, maps(field.cells), maps(field.nuclei), field.nuclei > 0)


def fill(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    repeats = [-(-wanted // have) for wanted, have in zip(size, array.shape, strict=False)]
    return np.tile(array, (*repeats, *[1] * (array.ndim - 2)))[: size[0], : size[1]]


if __name__ == "__main__":
    main()
