"""One row per cell: shape, intensity, and how sure the network was."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cellflax.checks import above, check_value
from cellflax.errors import UserError
from cellflax.labels import compact
from cellflax.measure.cell_type import cell_type_names, cell_types
from cellflax.measure.regions import region_shapes

# regionprops name -> power of the pixel size in it (0: a pure number)
_SHAPE = {
    "centroid-0": 1,
    "centroid-1": 1,
    "area": 2,
    "perimeter": 1,
    "axis_major_length": 1,
    "axis_minor_length": 1,
    "eccentricity": 0,
    "solidity": 0,
    "orientation": 0,
}
_UNIT_SUFFIX = {1: "_um", 2: "_um2"}


def cell_table(
    labels: np.ndarray,
    image: np.ndarray | None = None,
    channels: Sequence[str] = (),
    probability: np.ndarray | None = None,
    class_names: Sequence[str] = (),
    pixel_size_um: float | None = None,
    *,
    origin: tuple[int, int] = (0, 0),
    field: tuple[int, int] | None = None,
) -> pd.DataFrame:
    """Measure every cell of a label image.

    Columns carry the names of `skimage.measure.regionprops`, then their unit: `label`; `centroid-0_px`,
    `centroid-1_px` (row, column), `area_px`, `perimeter_px`, `axis_major_length_px`, `axis_minor_length_px`;
    the pure numbers `eccentricity` and `solidity`; `orientation_rad` (between the rows and the major axis);
    `touches_border`. If the pixel size is known, lengths and area are added in micrometres (`_um`, `_um2`).
    Each channel adds `intensity_mean_<channel>` and `intensity_std_<channel>`. Each class adds
    `probability_mean_<class>`; that of the interior is the network's confidence in the cell. Interiors of
    several cell types add `cell_type` and `score_<type>` (see `measure.cell_type`).

    Args:
        labels: (H, W) integer labels, 0 = background; they need not be consecutive.
        image: (H, W, C) raw intensities.
        channels: names of the C channels.
        probability: (H, W, K) class probabilities.
        class_names: names of the K classes.
        pixel_size_um: edge of a pixel.
        origin: row and column of the arrays' first pixel if they are a window of an image.
        field: height and width of that image.

    Returns:
        One row per label, ascending. Without cells the table has no rows, but the same columns and types.

    Raises:
        UserError: if an array does not fit the labels or its names, or the pixel size is not positive.
    """
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"cells must be integer labels (height, width), got {labels.dtype} {labels.shape}")
    if pixel_size_um is not None:
        check_value("pixel_size_um", pixel_size_um, above(0))
    present, numbered = compact(labels)
    table = _shape_columns(present, numbered, pixel_size_um, origin, field or labels.shape)
    if image is not None:
        _check_planes("the image", image, "channels", channels, labels.shape)
        for name, plane in zip(channels, np.moveaxis(image, -1, 0), strict=True):
            table[f"intensity_mean_{name}"], table[f"intensity_std_{name}"] = _mean_std(numbered, plane)
    if probability is not None:
        _check_planes("the probability", probability, "classes", class_names, labels.shape)
        for name, plane in zip(class_names, np.moveaxis(probability, -1, 0), strict=True):
            table[f"probability_mean_{name}"], _ = _mean_std(numbered, plane)
        if len(cell_type_names(class_names)) > 1:
            types = cell_types(labels, probability, class_names)
            table |= {name: types[name].to_numpy() for name in types.columns.drop("label")}
    return pd.DataFrame(table)


def _shape_columns(
    present: np.ndarray,
    numbered: np.ndarray,
    pixel_size_um: float | None,
    origin: tuple[int, int],
    field: tuple[int, ...],
) -> dict[str, np.ndarray]:
    found = region_shapes(numbered)
    for axis, first in enumerate(origin):
        for name in (f"centroid-{axis}", f"bbox-{axis}", f"bbox-{axis + 2}"):
            found[name] += first
    table: dict[str, np.ndarray] = {"label": present.astype(np.int64)}
    for name, power in _SHAPE.items():
        suffix = "_px" if power else "_rad" if name == "orientation" else ""
        table[name + suffix] = found[name]
    height, width = field
    table["touches_border"] = (
        (found["bbox-0"] == 0) | (found["bbox-1"] == 0) | (found["bbox-2"] == height) | (found["bbox-3"] == width)
    )
    if pixel_size_um is not None:
        for name, power in _SHAPE.items():
            if power:
                table[name + _UNIT_SUFFIX[power]] = found[name] * pixel_size_um**power
    return table


def _check_planes(what: str, array: np.ndarray, axis: str, names: Sequence[str], shape: tuple[int, ...]) -> None:
    if array.shape != (*shape, len(names)):
        raise UserError(
            f"{what} has shape {array.shape}, but the cells are {shape} and the {axis} are "
            f"{len(names)} ({', '.join(names)})"
        )


def _mean_std(numbered: np.ndarray, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (ddof 0, as regionprops) of each of the labels 1...n, in one pass each."""
    n, inside = int(numbered.max(initial=0)), numbered > 0
    index, value = numbered[inside] - 1, plane[inside].astype(np.float64)
    area = np.bincount(index, minlength=n)
    mean = np.bincount(index, value, minlength=n) / area
    # Squared deviations, because sums of squares would cancel in bright images of low contrast.
    variance = np.bincount(index, (value - mean[index]) ** 2, minlength=n) / area
    return mean, np.sqrt(variance)
