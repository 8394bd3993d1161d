"""From outlines to exact label images: cells that share borders, and a nucleus inside each."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage import segmentation

from cellflax.labels import components
from cellflax.simulation.shapes import N_ANGLES, Outline
from cellflax.simulation.specimen import inside_px


def pack_cells(
    outlines: Sequence[Outline],
    centres_um: np.ndarray,
    shape_px: tuple[int, int],
    pixel_size_um: float,
    adhesion_um: float,
) -> np.ndarray:
    """Draw the outlines; where several cover a pixel, it goes to the cell whose centre is nearest.

    The distance is measured in units of the cell's own radius in that direction, so that borders are curved
    and a long cell keeps its length. Gaps between cells that are narrower than twice `adhesion_um` are
    closed, because touching cells adhere.

    Returns:
        (H, W) int32 labels: cell i + 1 from outline i, each 4-connected; a fully covered cell is absent.
    """
    nearest = np.full(shape_px, np.inf)
    labels = np.zeros(shape_px, np.int32)
    for index, (outline, centre_um) in enumerate(zip(outlines, centres_um, strict=True)):
        centre_px, reach_px = centre_um / pixel_size_um, outline.radii_um.max() / pixel_size_um
        low = np.maximum(np.floor(centre_px - reach_px).astype(int), 0)
        high = np.maximum(np.ceil(centre_px + reach_px).astype(int) + 1, 0)
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        y, x = np.indices(labels[window].shape)
        dy, dx = y + low[0] - centre_px[0], x + low[1] - centre_px[1]
        angle_index = np.arctan2(dy, dx) % (2 * np.pi) * N_ANGLES / (2 * np.pi)
        radius_um = np.interp(angle_index, np.arange(N_ANGLES + 1), np.append(outline.radii_um, outline.radii_um[0]))
        relative = np.hypot(dy, dx) * pixel_size_um / radius_um
        won = (relative < 1.0) & (relative < nearest[window])
        labels[window][won] = index + 1
        nearest[window][won] = relative[won]
    return keep_largest_parts(_close_gaps(keep_largest_parts(labels), adhesion_um / pixel_size_um))


def _close_gaps(labels: np.ndarray, distance_px: float) -> np.ndarray:
    """Assign to the nearest cell each background pixel that a closing with a disk of `distance_px` fills."""
    near = inside_px(labels == 0) <= distance_px
    closed = inside_px(near) > distance_px
    grown = segmentation.expand_labels(labels, int(np.ceil(distance_px)))
    return np.where((labels == 0) & closed, grown, labels).astype(np.int32)


def keep_largest_parts(labels: np.ndarray) -> np.ndarray:
    """Keep the largest 4-connected part of every label; the others become background."""
    parts = components(labels)
    sizes = np.bincount(parts.ravel())
    owner = np.zeros(len(sizes), labels.dtype)
    owner[parts.ravel()] = labels.ravel()
    by_size = np.argsort(sizes, kind="stable")
    largest = np.zeros(labels.max() + 1, np.int64)
    largest[owner[by_size]] = by_size  # the last write, the largest part, wins
    return np.where(largest[labels] == parts, labels, 0).astype(labels.dtype)


def place_nuclei(
    rng: np.random.Generator,
    cells: np.ndarray,
    areas_um2: np.ndarray,
    pixel_size_um: float,
    clearance_um: float,
) -> np.ndarray:
    """Put an elliptic nucleus, aligned with its cell, where the cell is widest.

    Where the cell is narrow, its nucleus becomes slimmer, and then smaller. Nuclei are cut off `clearance_um`
    from the cell's border.

    Args:
        rng: source of the nuclear shapes.
        cells: (H, W) labels up to n.
        areas_um2: (n,) wanted area of the nuclei of the labels 1..n.
        pixel_size_um: edge of a pixel.
        clearance_um: width of cytoplasm kept around a nucleus, less in cells narrower than four times this.

    Returns:
        (H, W) int32 labels; label i lies inside cell i and is 4-connected.
    """
    aspects = rng.uniform(1.1, 1.7, len(areas_um2))
    turns_rad = rng.normal(0.0, 0.2, len(areas_um2))
    nuclei = np.zeros_like(cells)
    for index, window in enumerate(ndimage.find_objects(cells, max_label=len(areas_um2))):
        if window is None:
            continue
        cell = np.pad(cells[window] == index + 1, 1)
        depth_um = inside_px(cell) * pixel_size_um
        smooth_depth = ndimage.gaussian_filter(depth_um, 2.0 / pixel_size_um) * cell
        centre_px = np.unravel_index(np.argmax(smooth_depth), cell.shape)
        clearance = min(clearance_um, 0.5 * depth_um.max())
        short_um = min(np.sqrt(areas_um2[index] / np.pi / aspects[index]), depth_um.max() - clearance)
        long_um = min(areas_um2[index] / np.pi / short_um, 2.0 * short_um)
        angle_rad = _long_axis_rad(cell) + turns_rad[index]
        y, x = np.indices(cell.shape)
        dy, dx = (y - centre_px[0]) * pixel_size_um, (x - centre_px[1]) * pixel_size_um
        along = dx * np.cos(angle_rad) + dy * np.sin(angle_rad)
        across = dy * np.cos(angle_rad) - dx * np.sin(angle_rad)
        ellipse = (along / long_um) ** 2 + (across / short_um) ** 2 <= 1.0
        nuclei[window][(ellipse & (depth_um > clearance))[1:-1, 1:-1]] = index + 1
    return keep_largest_parts(nuclei)


def _long_axis_rad(mask: np.ndarray) -> float:
    """Direction of the long axis of a region, from its second moments; x is 0, y a quarter turn."""
    y, x = np.nonzero(mask)
    dy, dx = y - y.mean(), x - x.mean()
    return 0.5 * float(np.arctan2(2.0 * np.mean(dx * dy), np.mean(dx**2) - np.mean(dy**2)))
