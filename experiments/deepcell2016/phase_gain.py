"""How much the cell types of a co-culture network depend on the contrast of its first channel.

python experiments/deepcell2016/phase_gain.py RUN PREDICTED QUANTITIES IMAGE IMAGE [--gain 0.6 1 1.6]

RUN is the network. PREDICTED is the output of cellflax.predict for one field, QUANTITIES that of cellflax.quantify
method=cell_type. Each IMAGE is a channel of the field. The normalised first channel is multiplied by the gain, the
network runs once (no rotations), and cells are scored as in prediction: by the share of one type among the types.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.data.normalize import normalize
from cellflax.io.images import ImageFiles, read_channels, read_labels
from cellflax.prediction.trained import TrainedModel, load_model


def main() -> None:
    """Print the share of each type's cells that are taken for the other, by gain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("predicted", type=Path)
    parser.add_argument("quantities", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--gain", type=float, nargs="+", default=[0.6, 1.0, 1.6])
    options = parser.parse_args()
    model = load_model(options.run)
    image = read_channels(ImageFiles("field", tuple(options.images), model.channels)).pixels
    labels = read_labels(next(options.predicted.glob("*_labels.tif")))
    cells = pd.read_csv(options.quantities / "cell_types.csv")
    types = [name.removeprefix("interior_") for name in model.class_names if name.startswith("interior_")]
    reference = cells["reference_type"].to_numpy()
    of_first, of_second = (cells["label"].to_numpy()[reference == name] for name in types)
    pixels = normalize(image, model.config.normalize, model.geometry.receptive_field)
    for gain in options.gain:
        score = first_type(model, pixels * np.array([gain, *[1] * (pixels.shape[-1] - 1)], np.float32), labels)
        wrong = {types[0]: score[of_first] <= 0.5, types[1]: score[of_second] > 0.5}
        print(f"gain {gain:g}:", ", ".join(f"{name} {share.mean():.1%} wrong" for name, share in wrong.items()))


def first_type(model: TrainedModel, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Score of each label for the first type, from one pass over the (H, W, C) normalised pixels."""
    border, multiple = model.geometry.border, model.geometry.multiple
    height, width = (size // multiple * multiple for size in labels.shape)
    around = [(border, border)] * 2
    padded = np.pad(pixels[:height, :width], [*around, (0, 0)], mode="reflect")
    probability = np.asarray(model.probabilities(padded[None]))[0]
    of_types = [k for k, name in enumerate(model.class_names) if name.startswith("interior_")]
    inside = labels[:height, :width].ravel()
    sums = [np.bincount(inside, probability[..., k].ravel(), labels.max() + 1) for k in of_types]
    return sums[0] / np.maximum(sum(sums), 1e-12)


if __name__ == "__main__":
    main()
