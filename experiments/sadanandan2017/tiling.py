"""Errors at tile edges (Sadanandan 2017, P2): one image predicted in tiles of each kind, and as a whole.

python experiments/sadanandan2017/tiling.py --checkpoint RUN --image FILE --output DIR [--tile 240] [--phases 4]

Writes `tiling.csv` (largest, 99.9th-percentile and mean difference in probability from the whole image, away from the
image's border), `tiling.tif` (the difference maps) and `tiling.png`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cellflax.data.normalize import normalize
from cellflax.data.resample import to_scale
from cellflax.device import set_up_jax
from cellflax.inference.blended import predict_blended
from cellflax.inference.dense import predict_tiles
from cellflax.io.images import ImageFiles, read_channels, write_probability
from cellflax.prediction.trained import TrainedModel, load_model

FLOOR = 1e-7  # of the colour scale: the rounding of float32


def main() -> None:
    """Predict, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="run directory of a training")
    parser.add_argument("--image", required=True, type=Path, help="a file with all channels of the checkpoint")
    parser.add_argument("--output", required=True, type=Path, help="directory for the results")
    parser.add_argument("--tile", type=int, default=240, help="edge of the tiles, pixels; P2: 240")
    parser.add_argument("--phases", type=int, default=4, help="positions of the seamless tiles to try")
    options = parser.parse_args()
    model = load_model(options.checkpoint)
    print(set_up_jax(model.config.trainer.precision.name))
    image = read_channels(ImageFiles(options.image.stem, (options.image,)))
    if image.pixels.shape[-1] != len(model.channels):
        parser.error(f"--image must have the channels {', '.join(model.channels)}, {options.image} does not")
    pixels = to_scale(image.pixels, image.pixel_size_um, model.config.scale, str(options.image))
    normalized = normalize(pixels, model.config.normalize, model.geometry.receptive_field, str(options.image))
    maps = differences(model, normalized, options.tile, options.phases)
    options.output.mkdir(parents=True, exist_ok=True)
    table = summary(maps)
    table.to_csv(options.output / "tiling.csv", index=False)
    write_probability(options.output / "tiling.tif", np.stack(list(maps.values()), -1), tuple(maps))
    figure(maps, normalized, model.geometry.border).savefig(options.output / "tiling.png", bbox_inches="tight")
    print(table.to_string(index=False))


def differences(model: TrainedModel, image: np.ndarray, tile: int, phases: int) -> dict[str, np.ndarray]:
    """Largest difference over the classes at every pixel, `border` away from the image's edge, by method.

    Args:
        model: one network or an ensemble.
        image: (H, W, C) normalised.
        tile: edge of the tiles.
        phases: how many positions of the seamless tiles are tried; the largest difference over them counts.
    """
    border, multiple = model.geometry.border, model.geometry.multiple
    inner = slice(border, -border or None), slice(border, -border or None)

    def tiled(method: Callable[..., np.ndarray], **options: int) -> np.ndarray:
        return method(model.probabilities, image, model.geometry, **options)[inner]

    whole = tiled(predict_tiles, tile=2 * max(image.shape))
    found = {
        "tiles alone": tiled(predict_blended, tile=tile, passes=1),
        "P2, two Gaussian passes": tiled(predict_blended, tile=tile),
    }
    maps = {name: np.abs(result - whole).max(-1) for name, result in found.items()}
    worst = np.zeros(whole.shape[:2], np.float32)
    step = max(tile // phases // multiple, 1) * multiple
    for shift in range(0, phases * step, step):
        # Without its first rows and columns the image's tiles lie elsewhere; pixels near the new edge do not count.
        part = predict_tiles(model.probabilities, image[shift:, shift:], model.geometry, tile=tile)[inner]
        np.maximum(worst[shift:, shift:], np.abs(part - whole[shift:, shift:]).max(-1), out=worst[shift:, shift:])
    return {**maps, f"seamless, {phases} phases": worst}


def summary(maps: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row per method."""
    return pd.DataFrame(
        {
            "tiles": name,
            "largest difference": values.max(),
            "99.9 % below": np.percentile(values, 99.9),
            "mean": values.mean(dtype=np.float64),
        }
        for name, values in maps.items()
    )


def figure(maps: dict[str, np.ndarray], image: np.ndarray, border: int) -> Figure:
    """The image and the difference maps on one logarithmic scale of colours."""
    drawing = Figure(figsize=(4 * (len(maps) + 1), 4.4), dpi=150, layout="constrained")
    axes = drawing.subplots(1, len(maps) + 1)
    inner = image[border : -border or None, border : -border or None, 0]
    axes[0].imshow(inner, cmap="gray", vmin=np.percentile(inner, 0.5), vmax=np.percentile(inner, 99.5))
    axes[0].set_title("image (normalised)")
    colours = {"norm": LogNorm(FLOOR, 1), "cmap": "inferno"}
    for ax, (name, values) in zip(axes[1:], maps.items(), strict=True):
        ax.imshow(np.maximum(values, FLOOR), interpolation="none", **colours)
        ax.set_title(f"{name}\nlargest {values.max():.1e}")
    for ax in axes:
        ax.set_axis_off()
    drawing.colorbar(
        ScalarMappable(**colours), ax=axes, label="difference in probability from the whole image at once", shrink=0.8
    )
    return drawing


if __name__ == "__main__":
    main()
