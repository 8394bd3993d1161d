"""Turn segmented cells into numbers: python -m cellflax.quantify method=cell_type predicted=DIR output=DIR ...

`predicted` is what `cellflax.predict` wrote. Every method writes a tidy CSV file with one row per cell, `metrics.json`
and a figure:

    method=cell_type   predicted types against a marker channel per type: `+cell_type.markers.<type>=FILE|DIR|GLOB`
"""

import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

import cellflax
from cellflax.config import entry, to_json
from cellflax.data.images import ImageFiles, read_channels, read_labels
from cellflax.data.pairs import partners
from cellflax.data.predictions import Prediction, find_predictions, from_simulated_training
from cellflax.errors import UserError
from cellflax.jsonfile import write_json
from cellflax.quantify_cell_type import CellTypeConfig, format_accuracy, quantify_cell_types
from cellflax.refine.seeds import NucleiSeedsConfig, nuclei_seeds, seeds_from_labels


class Method(Enum):
    """What is quantified; the settings of each method are in the key of its name."""

    cell_type = "cell_type"


@dataclass
class QuantifyConfig:
    """Options of `cellflax.quantify`; FILE | DIR | GLOB wherever files are named, paired by name.

    Attributes:
        method: what is quantified.
        predicted: label images, beside the `cells.csv` that came with them.
        nuclei: nucleus labels or masks.
        nuclear: images of a nuclear marker, in which nuclei are found where no `nuclei` are given.
        seeds: how they are found.
        cell_type: settings of method=cell_type.
        output: directory for the results.
    """

    method: Method = Method.cell_type
    predicted: str = ""
    nuclei: str | None = None
    nuclear: str | None = None
    seeds: NucleiSeedsConfig = field(default_factory=NucleiSeedsConfig)
    cell_type: CellTypeConfig = field(default_factory=CellTypeConfig)
    output: str = "quantities"

    def __post_init__(self):
        if self.nuclei is not None and self.nuclear is not None:
            raise UserError(f"nuclei={self.nuclei} and nuclear={self.nuclear}: give one of them")


@entry("quantify", QuantifyConfig)
def main(config: QuantifyConfig) -> None:
    """Quantify the cells of `predicted`."""
    metrics = quantify(config)
    for note in metrics["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(format_accuracy(metrics["pooled"]))
    print(f"results: {config.output}")


def quantify(config: QuantifyConfig) -> dict[str, Any]:
    """Run the method, write its results, and return what `metrics.json` holds."""
    if not config.predicted:
        raise UserError("predicted is not given; add predicted=DIR, the output of cellflax.predict")
    predictions = find_predictions(config.predicted)
    nuclei = _nuclei_files(config, predictions)
    output = Path(config.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output={output}: cannot make this directory ({error.strerror})") from error
    measured = quantify_cell_types(
        config.cell_type, predictions, lambda stem: _read_nuclei(config, nuclei[stem]), output
    )
    metrics = {
        "cellflax": cellflax.__version__,
        "settings": to_json(config),
        "notes": _notes(predictions),
        **measured,
    }
    write_json(output / "metrics.json", metrics)
    return metrics


def _nuclei_files(config: QuantifyConfig, predictions: dict[str, Prediction]) -> dict[str, Path]:
    files = {stem: prediction.file for stem, prediction in predictions.items()}
    found = partners("nuclei", config.nuclei, files) or partners("nuclear", config.nuclear, files)
    if not found:
        raise UserError(
            f"method={config.method.name} needs nuclei: add nuclear=... with images of a nuclear marker, or "
            "nuclei=... with labels"
        )
    return found


def _read_nuclei(config: QuantifyConfig, file: Path) -> np.ndarray:
    if config.nuclei is not None:
        return seeds_from_labels(read_labels(file))
    image = read_channels(ImageFiles(file.stem, (file,)))
    if image.pixels.shape[-1] != 1:
        raise UserError(f"{file}: has {image.pixels.shape[-1]} channels; give the nuclear marker alone")
    return nuclei_seeds(image.pixels[..., 0], config.seeds, image.pixel_size_um)


def _notes(predictions: dict[str, Prediction]) -> list[str]:
    folders = sorted({prediction.file.parent for prediction in predictions.values()})
    return [
        f"simulated: the model behind {folder} was trained on simulated images"
        for folder in folders
        if from_simulated_training(folder)
    ]


if __name__ == "__main__":
    main()
