"""Scores of a test part: cells and pixels of each image, of each data set and of all, and the files that keep them."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cellflax.atomic import replacing
from cellflax.data.example import Example
from cellflax.errors import UserError
from cellflax.evaluation.targets import CELLS, NUCLEI, target_classes, target_probability
from cellflax.io import results
from cellflax.jsonfile import write_json
from cellflax.metrics.roc import N_BINS, RocCounts, roc_counts
from cellflax.metrics.score import CellScores, pool, score_cells
from cellflax.metrics.table import cell_metrics
from cellflax.report.held_out import Scored
from cellflax.wholefile import open_regular

_CELL_METRICS = ("sm", "sm_outlines", "sm_detection", "jaccard_index", "dice_index", "f1")
_KINDS = ("positive", "negative")
_MOST_COUNT_BYTES = 8 * N_BINS + 1024


@dataclass
class _DataSet:
    """What is kept of a data set: scores of each image's cells, and sums over its pixels by target."""

    cells: list[CellScores] = field(default_factory=list)
    pixels: dict[str, RocCounts] = field(default_factory=dict)


class PartScores:
    """Scores of segmented images, gathered image by image.

    Args:
        class_names: names of the network's outputs.

    Attributes:
        scored: the images with their cells, for pictures.
    """

    def __init__(self, class_names: Sequence[str]):
        self.scored: list[Scored] = []
        targets = {target: target_classes(target, class_names) for target in (CELLS, NUCLEI)}
        self._targets = {target: classes for target, classes in targets.items() if classes}
        self._data_sets: dict[str, _DataSet] = {}
        self._images: dict[str, dict[str, Any]] = {}

    def add(self, example: Example, labels: np.ndarray, probability: np.ndarray) -> None:
        """Score one image against its reference.

        Args:
            example: the image with its cells and, if known, its nuclei. The nuclei are the reference for their pixels,
                and cells without one do not count.
            labels: (H, W) predicted cells.
            probability: (H, W, K) the network's outputs.
        """
        cells = score_cells(example.cells, labels, nuclei=example.nuclei, ignored=example.ignored)
        self.scored.append(Scored(example.name, labels, example.cells, example.image[..., 0], cells.accuracy))
        references = {CELLS: example.cells, NUCLEI: example.nuclei}
        known = ... if example.ignored is None else example.ignored == 0
        pixels = {
            target: roc_counts(target_probability(probability, classes)[known], (reference != 0)[known])
            for target, classes in self._targets.items()
            if (reference := references[target]) is not None
        }
        data_set = self._data_sets.setdefault(example.data_set, _DataSet())
        data_set.cells.append(cells)
        data_set.pixels = add_roc(data_set.pixels, pixels)
        self._images[example.name] = {"data_set": example.data_set, **_metrics([cells], pixels)}

    def roc(self) -> dict[str, RocCounts]:
        """Pixels of all images by target."""
        total: dict[str, RocCounts] = {}
        for data_set in self._data_sets.values():
            total = add_roc(total, data_set.pixels)
        return total

    def pooled(self) -> dict[str, float | int | None]:
        """Metrics of all images together.

        Returns:
            `images`, their number; `n_reference` and `n_predicted` cells; `sm` (Al-Kofahi et al. 2018, k = 0.6) with
            its terms `sm_outlines` and `sm_detection`, `jaccard_index`, `dice_index` and `f1` (IoU 0.5) as in
            `metrics.table.METRICS`, all pooled cell by cell and, if nuclei are known, all except `f1` over the cells
            that hold one; `image_level_sm`, the mean of the images' own; and `auc` and `acc` of the pixels of cells
            and of nuclei, each after its target's name. None where undefined.
        """
        cells = [scores for data_set in self._data_sets.values() for scores in data_set.cells]
        return _metrics(cells, self.roc())

    def summary(self) -> dict[str, Any]:
        """The metrics of `pooled` for JSON: of all images, of each data set, and of each image."""
        data_sets = {name: _metrics(data_set.cells, data_set.pixels) for name, data_set in self._data_sets.items()}
        return {"pooled": self.pooled(), "data_sets": data_sets, "images": self._images}

    def save(self, directory: Path, origin: Mapping[str, Any]) -> None:
        """Write `test.json`, which begins with the origin of the scores, and the counts behind the ROC curves."""
        counts = {f"{target}_{kind}": getattr(roc, kind) for target, roc in self.roc().items() for kind in _KINDS}
        # A file rather than its name, to which NumPy would add an ending.
        with replacing(directory / results.TEST_ROC) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **counts)
        write_json(directory / results.TEST_SCORES, {**origin, **self.summary()})


def read_roc(directory: Path) -> dict[str, RocCounts]:
    """Read the counts that `PartScores.save` wrote, by target.

    Raises:
        UserError: if they are missing or damaged.
    """
    path = directory / results.TEST_ROC
    try:
        with open_regular(path, "score again") as file:
            arrays = _read_counts(file)
        targets = [target for target in (CELLS, NUCLEI) if f"{target}_{_KINDS[0]}" in arrays]
        found = {target: RocCounts(*(arrays[f"{target}_{kind}"] for kind in _KINDS)) for target in targets}
    except Exception as error:  # a damaged archive can make zipfile and NumPy raise anything
        raise UserError(f"{path} cannot be read; score again: cellflax.validate part=test checkpoint=...") from error
    for counts in found.values():
        if any(part.dtype.kind not in "iu" or (part < 0).any() for part in (counts.positive, counts.negative)):
            raise UserError(f"{path} holds no counts; score again: cellflax.validate part=test checkpoint=...")
        if not counts.positive.shape == counts.negative.shape == (N_BINS,):
            raise UserError(f"{path} is of another version; score again: cellflax.validate part=test checkpoint=...")
    return found


def _read_counts(file: BinaryIO) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.file_size > _MOST_COUNT_BYTES:  # its first bytes are compressed a thousandfold
                raise ValueError(f"{member.filename} is larger than counts are")
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)


def add_roc(total: Mapping[str, RocCounts], more: Mapping[str, RocCounts]) -> dict[str, RocCounts]:
    """Add counts target by target."""
    return {**total, **{target: total[target] + roc if target in total else roc for target, roc in more.items()}}


def _metrics(cells: Sequence[CellScores], pixels: Mapping[str, RocCounts]) -> dict[str, float | int | None]:
    together = cell_metrics(pool(cells))
    of_images = [value for scores in cells if (value := cell_metrics(scores)["sm"]) is not None]
    metrics = {
        "images": len(cells),
        **{name: together[name] for name in ("n_reference", "n_predicted", *_CELL_METRICS)},
        "image_level_sm": float(np.mean(of_images)) if of_images else None,
    }
    for target, counts in pixels.items():
        metrics[f"{target}_auc"] = counts.auc if counts.is_defined else None
        metrics[f"{target}_acc"] = counts.accuracy if counts.n_positive + counts.n_negative else None
    return metrics
