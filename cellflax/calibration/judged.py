"""Predicted cells of held-out regions, each measured as in prediction, and judged by the annotation."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cellflax.data.example import Region
from cellflax.io.results import RIGHT
from cellflax.labels import OverlapTable, overlap_table
from cellflax.measure.sureness import Sides, sureness_table
from cellflax.measure.uncertainty import structural_uncertainty
from cellflax.metrics.detection import right_cells
from cellflax.metrics.overlap import compared_cells
from cellflax.prediction.held_out_maps import HeldOutMaps
from cellflax.refine import RefineConfig, find_seeds
from cellflax.training.held_out import HeldOut

# Cells of an image are alike, so that whole images are left out in cross-fitting. Where there are fewer images than
# these, parts of the regions are: at least so many.
_ENOUGH_IMAGES = 5
_PARTS = 8


@dataclass(frozen=True)
class JudgedCells:
    """N predicted cells of held-out regions.

    Attributes:
        measured: N rows, as from `measure.sureness`.
        right: by the name of a probability, (N,) bool: whether the cell has a partner at that IoU.
        group: (N,) image, or part of a region, that the cell is in.
        regions: number of regions.
        images: number of images that they are of.
        left_out: number of cells that could not be judged.
    """

    measured: pd.DataFrame
    right: dict[str, np.ndarray]
    group: np.ndarray
    regions: int
    images: int
    left_out: int


def judged_cells(maps: HeldOutMaps, regions: Sequence[Region], how: RefineConfig) -> JudgedCells:
    """Find, measure and judge the cells of held-out regions.

    A cell is right at an IoU if it has a partner there, as in the F1 of `evaluate`. Three kinds of cells are left out:

    1. Cells that a region's border cuts, where the image goes on: prediction sees images as a whole. A predicted cell
       is cut if it, or the annotated cell that it covers most of, touches such a border. Cells at the border of the
       image itself are cut in prediction, too, and stay.
    2. Cells where nothing is annotated, see `metrics.comparable`.
    3. Cells of simulated images, where other images are held out, too.

    Args:
        maps: the predictions.
        regions: the held-out regions of the data set, in the order of `maps`.
        how: from probabilities to cells.

    Raises:
        UserError: as `refine`.
    """
    chosen = _chosen(regions)
    images = list(dict.fromkeys(regions[i].example.name for i in chosen))
    parts = 1 if len(images) >= _ENOUGH_IMAGES else math.ceil(_PARTS / max(len(chosen), 1))
    tables, left_out = [], 0
    for i, predictions in enumerate(maps.predictions()):
        if i not in chosen:
            continue
        region = regions[i]
        found, n_found = _judge(maps, maps.validator.held_out[i], region, predictions, how)
        part = _part(found["row"].to_numpy(), found["column"].to_numpy(), region, parts)
        image = images.index(region.example.name)
        found["group"] = image if parts == 1 else parts * chosen.index(i) + part
        left_out += n_found - len(found)
        tables.append(found)
    cells = pd.concat(tables, ignore_index=True)
    return JudgedCells(
        measured=cells.drop(columns=[*RIGHT, "row", "column", "group"]),
        right={name: cells[name].to_numpy(bool) for name in RIGHT},
        group=cells["group"].to_numpy(np.intp),
        regions=len(chosen),
        images=len(images),
        left_out=left_out,
    )


def _chosen(regions: Sequence[Region]) -> list[int]:
    """All regions, or those of images that are not simulated, where there are both."""
    real = [i for i, region in enumerate(regions) if not region.example.simulated]
    return real or list(range(len(regions)))


def _judge(
    maps: HeldOutMaps, held_out: HeldOut, region: Region, predictions: list[np.ndarray], how: RefineConfig
) -> tuple[pd.DataFrame, int]:
    """One row per judged cell, with the row and column of its middle; and the number of all cells found."""
    validator = maps.validator
    mean = sum(predictions[1:], predictions[0]) / len(predictions)
    seeds = held_out.seeds
    if seeds is None:
        seeds = find_seeds(how, mean, validator.outputs.names, held_out.pixel_size_um)
    seeded = replace(held_out, seeds=seeds)
    labels = validator.cells(seeded, mean, how)
    sure = None
    if len(predictions) > 1:
        sure = structural_uncertainty(labels, [validator.cells(seeded, each, how) for each in predictions])
    at_border = _at_border(region)
    classes = validator.outputs.classes(mean)
    measured = sureness_table(labels, classes, validator.outputs.class_names, sure, at_border=at_border)

    reference, predicted = compared_cells(held_out.cells, labels, ignored=held_out.ignored)
    table = overlap_table(reference, predicted)
    whole = ~_cut(table, reference, predicted, at_border)
    judged = table.predicted_labels[whole]
    rows = measured.iloc[judged - 1].reset_index(drop=True)  # cells are numbered without gaps
    for name, iou in RIGHT.items():
        rows[name] = right_cells(table, iou)[whole]
    rows["row"], rows["column"] = _middles(labels, judged)
    return rows, len(measured)


def _at_border(region: Region) -> Sides:
    height, width = region.example.cells.shape
    return region.y0 == 0, region.x0 == 0, region.y1 == height, region.x1 == width


def _cut(table: OverlapTable, reference: np.ndarray, predicted: np.ndarray, at_border: Sides) -> np.ndarray:
    """(P,) bool: predicted cells that a region's border cuts, or whose annotated cell it cuts."""

    def at_cuts(labels: np.ndarray) -> Iterator[np.ndarray]:
        for line, outer in zip((labels[0], labels[:, 0], labels[-1], labels[:, -1]), at_border, strict=True):
            if not outer:
                yield line

    cut_reference, cut_predicted = (
        np.unique(np.concatenate([*at_cuts(labels), np.zeros(0, labels.dtype)])) for labels in (reference, predicted)
    )
    joint = table.intersection.tocoo()
    rows, columns = joint.coords
    # The last of each column is the annotated cell that it covers most of.
    order = np.lexsort((joint.data, columns))
    partner = np.zeros(len(table.predicted_labels), reference.dtype)
    partner[columns[order]] = table.reference_labels[rows[order]]
    own = np.isin(table.predicted_labels, cut_predicted)
    return own | np.isin(partner, cut_reference[cut_reference > 0])


def _middles(labels: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the middle of some cells."""
    position = np.nonzero(labels)
    number = labels[position]
    area = np.bincount(number, minlength=1)
    row, column = (np.bincount(number, axis) / np.maximum(area, 1) for axis in position)
    return row[chosen], column[chosen]


def _part(row: np.ndarray, column: np.ndarray, region: Region, parts: int) -> np.ndarray:
    """(n,) which of so many equal strips along the longer side of a region a cell is in."""
    height, width = region.y1 - region.y0, region.x1 - region.x0
    along, length = (row, height) if height >= width else (column, width)
    return np.minimum(along * parts / length, parts - 1).astype(np.intp)
