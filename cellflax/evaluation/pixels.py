"""Pixel metrics of `evaluate`: probability maps as `cellflax.predict` writes them, against reference labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.evaluation.targets import CELLS, NUCLEI, target_classes, target_probability
from cellflax.io import results
from cellflax.io.files import list_files
from cellflax.io.images import Image, read_image, read_labels
from cellflax.io.pairs import Pair, PairBy, partners
from cellflax.metrics.overlap import crop_border
from cellflax.metrics.roc import RocCounts, roc_counts

_TOLERANCE = 1e-3  # a mean of float32 probabilities may leave [0, 1] by rounding


class PixelScores:
    """ROC of cells, and of nuclei where there is a reference, image by image; only their sums are kept.

    Cells are all classes but background, so a class of cell edges belongs to them, as in the maps of P1.

    Attributes:
        notes: why pixels are not scored, if that is not a mistake: only some predictions have a map beside them,
            or the maps do not fit.
        pooled: counts of all images by target, "cells" and "nuclei".
        images: AUC and ACC of each image by target.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        probability: str | None,
        reference_nuclei: str | None,
        border: int,
        pair_by: PairBy = PairBy.names,
    ):
        self.notes: list[str] = []
        self.pooled: dict[str, RocCounts] = {}
        self.images: dict[str, dict[str, dict[str, Any]]] = {}
        self._asked = probability is not None or reference_nuclei is not None
        self._border = border
        self._maps: dict[str, Path] = {}
        self._nuclei: dict[str, Path] = {}
        if movies := [pair for pair in pairs if pair.frame is not None]:
            if self._asked or _maps_beside(pairs):
                self._refuse(f"{movies[0].predicted} is a movie; give single images for the ROC of pixels")
            return
        self._maps = _maps_beside(pairs) if probability is None else _given_maps(pairs, probability)
        predicted = {pair.name: pair.predicted for pair in pairs}
        self._nuclei = partners("reference_nuclei", reference_nuclei, predicted, pair_by)
        missing = [pair for pair in pairs if pair.name not in self._maps]
        if missing and (self._asked or self._maps):
            self._refuse(
                f"{missing[0].predicted} has no probability map beside it; predict with save_probability=true or give "
                "probability=DIRECTORY"
            )

    def add(self, name: str, reference: np.ndarray, ignored: np.ndarray | None = None) -> None:
        """Count the pixels of one image; nothing happens where there are no maps.

        Args:
            name: of the pair.
            reference: (H, W) labels or mask.
            ignored: (H, W), not zero where nothing is annotated; such pixels do not count. None if everything is.

        Raises:
            UserError: if the given file is no probability map, has another shape, or lacks a class of nuclei.
        """
        if name not in self._maps:
            return
        try:
            counts = self._count(name, reference, ignored)
        except UserError as error:
            self._refuse(str(error))
            return
        self.images[name] = {target: _values(count) for target, count in counts.items()}
        for target, count in counts.items():
            self.pooled[target] = self.pooled[target] + count if target in self.pooled else count

    def summary(self) -> dict[str, Any]:
        """AUC and ACC for JSON, of all images together (`pooled`) and of each (`images`)."""
        return {"pooled": {target: _values(counts) for target, counts in self.pooled.items()}, "images": self.images}

    def curves(self) -> dict[str, RocCounts]:
        """Pooled counts that have a ROC curve."""
        return {target: counts for target, counts in self.pooled.items() if counts.is_defined}

    def _refuse(self, problem: str) -> None:
        """An error where the user asked for pixel metrics; else a note, and no image is scored."""
        if self._asked:
            raise UserError(problem)
        self.notes.append(f"pixels not scored: {problem}")
        self._maps, self.pooled, self.images = {}, {}, {}

    def _count(self, name: str, reference: np.ndarray, ignored: np.ndarray | None) -> dict[str, RocCounts]:
        path = self._maps[name]
        image = read_image(path)
        truths = {CELLS: reference}
        if name in self._nuclei:
            truths[NUCLEI] = read_labels(self._nuclei[name], reference.shape)
        counts = {}
        for target, labels in truths.items():
            probability = _class_sum(image, target)
            if labels.shape != probability.shape:
                raise UserError(
                    f"{path}: shape {probability.shape} differs from {labels.shape} of its reference {target}"
                )
            known = ... if ignored is None else crop_border(ignored, self._border) == 0
            counts[target] = roc_counts(
                crop_border(probability, self._border)[known], (crop_border(labels, self._border) != 0)[known]
            )
        return counts


def _values(counts: RocCounts) -> dict[str, Any]:
    """For JSON; None where undefined."""
    return {
        "auc": counts.auc if counts.is_defined else None,
        "auc_error": counts.auc_error if counts.is_defined else None,
        "acc": counts.accuracy if counts.n_positive + counts.n_negative else None,
        "n_pixels": counts.n_positive + counts.n_negative,
        "n_foreground": counts.n_positive,
    }


def roc_table(curves: Mapping[str, RocCounts]) -> pd.DataFrame:
    """Points of all ROC curves by target; columns as in `RocCounts.curve`."""
    return pd.concat({target: counts.curve() for target, counts in curves.items()}, names=["target"]).reset_index(0)


def _maps_beside(pairs: Sequence[Pair]) -> dict[str, Path]:
    """Probability maps that `cellflax.predict` wrote beside its labels, by the name of the pair."""
    maps = {pair.name: pair.predicted.with_name(_map_file(pair)) for pair in pairs}
    return {name: path for name, path in maps.items() if path.is_file()}


def _given_maps(pairs: Sequence[Pair], probability: str) -> dict[str, Path]:
    """Probability maps of FILE | DIR | GLOB by the name of the pair; a single map for one pair may have any name."""
    files = list_files(probability)
    files = [file for file in files if file.stem.endswith(f"_{results.PROBABILITY}")] or files
    if len(files) == len(pairs) == 1:
        return {pairs[0].name: files[0]}
    by_name = {results.input_name(file, results.PROBABILITY): file for file in files}
    missing = [pair for pair in pairs if results.input_name(pair.predicted) not in by_name]
    if missing:
        file = _map_file(missing[0])
        raise UserError(f"{missing[0].predicted}: probability={probability} has no file named {file}")
    return {pair.name: by_name[results.input_name(pair.predicted)] for pair in pairs}


def _map_file(pair: Pair) -> str:
    return results.result_file(results.input_name(pair.predicted), results.PROBABILITY)


def _class_sum(image: Image, target: str) -> np.ndarray:
    """(H, W) probability of a target: the sum of its classes, at most 1."""
    classes = target_classes(target, image.channels)
    if "background" not in image.channels or not classes:
        wanted = "background" if "background" not in image.channels else "nucleus"
        raise UserError(
            f"{image.path}: no class is called {wanted}, it has {', '.join(image.channels)}; give probability maps as "
            "cellflax.predict writes them"
        )
    values = image.pixels
    # Not `min < 0 or max > 1`: NaN must fail too.
    if not (values.min() >= -_TOLERANCE and values.max() <= 1 + _TOLERANCE):
        raise UserError(
            f"{image.path}: probabilities must be in [0, 1], got {values.min():g} ... {values.max():g}; "
            "is it a probability map?"
        )
    return target_probability(values, classes)
