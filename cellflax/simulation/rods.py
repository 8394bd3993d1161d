"""Rod-shaped bacteria as spherocylinders: areas, contacts that push overlapping rods apart, and label images."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import spatial

from cellflax.simulation.packing import keep_largest_parts

_MOST_SWEEPS = 400
_STEP = 0.6  # share of an overlap that one sweep removes; sweeps move all rods at once


@dataclass(frozen=True)
class Rods:
    """Spherocylinders of one width.

    Attributes:
        centres_um: (n, 2) centres (y, x).
        angles_rad: (n,) direction of the axes; x is 0, y a quarter turn.
        lengths_um: (n,) lengths from pole to pole, caps included; at least the width.
        width_um: diameter.
    """

    centres_um: np.ndarray
    angles_rad: np.ndarray
    lengths_um: np.ndarray
    width_um: float

    @property
    def axes(self) -> np.ndarray:
        """(n, 2) unit vectors (y, x) along the rods."""
        return np.stack([np.sin(self.angles_rad), np.cos(self.angles_rad)], axis=-1)

    @property
    def half_axes_um(self) -> np.ndarray:
        """(n, 2) vectors from the centre of a rod to the centre of a cap."""
        return 0.5 * (self.lengths_um - self.width_um)[:, None] * self.axes

    @property
    def areas_um2(self) -> np.ndarray:
        """(n,) area of the outlines: rectangle and two half disks."""
        return self.width_um * (self.lengths_um - self.width_um) + np.pi * self.width_um**2 / 4


def length_of_area_um(area_um2: np.ndarray, width_um: float) -> np.ndarray:
    """Length from pole to pole of rods with these areas; the inverse of `Rods.areas_um2`."""
    return (area_um2 - np.pi * width_um**2 / 4) / width_um + width_um


def push_apart(rods: Rods, tolerance_um: float) -> Rods:
    """Move and turn rods until none overlaps another by more than `tolerance_um` (or the sweeps run out).

    If two segments do not cross, their nearest points include an end of one of them. Contacts are therefore
    between the cap of one rod and any part of another. Each is resolved as a position-based constraint between rigid
    bodies (Mueller et al., J. Vis. Commun. Image Represent. 18:109, 2007), of mass L and moment L^3 / 12.
    """
    for _ in range(_MOST_SWEEPS):
        ends, others, normals, arms, other_arms, overlaps_um = _contacts(rods)
        if not len(overlaps_um) or overlaps_um.max() <= tolerance_um:
            break
        mass, moment = rods.lengths_um, rods.lengths_um**3 / 12.0
        torque, other_torque = _cross(arms, normals), _cross(other_arms, normals)
        yielding = 1 / mass[ends] + torque**2 / moment[ends] + 1 / mass[others] + other_torque**2 / moment[others]
        impulse = _STEP * overlaps_um / yielding
        shifts, turns = np.zeros_like(rods.centres_um), np.zeros_like(rods.angles_rad)
        np.add.at(shifts, ends, (impulse / mass[ends])[:, None] * normals)
        np.add.at(shifts, others, -(impulse / mass[others])[:, None] * normals)
        np.add.at(turns, ends, impulse * torque / moment[ends])
        np.add.at(turns, others, -impulse * other_torque / moment[others])
        # Rods in many contacts would overshoot if they followed all of them at once.
        contacts = np.maximum(np.bincount(np.concatenate([ends, others]), minlength=len(mass)) / 2.0, 1.0)
        rods = replace(
            rods, centres_um=rods.centres_um + shifts / contacts[:, None], angles_rad=rods.angles_rad + turns / contacts
        )
    return rods


def _contacts(rods: Rods) -> tuple[np.ndarray, ...]:
    """Caps that overlap other rods.

    Returns:
        (m,) rod with the cap, (m,) the other rod, (m, 2) unit normal towards the cap, (m, 2) arms from either
        centre to its side of the contact, and (m,) overlap in micrometres.
    """
    tree = spatial.KDTree(rods.centres_um)
    pairs = tree.query_pairs(rods.lengths_um.max(), output_type="ndarray")
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    ends, others = np.repeat(pairs, 2, axis=0).T
    signs = np.tile([-1.0, 1.0], len(pairs))
    arms = signs[:, None] * rods.half_axes_um[ends]
    half_um, axes = 0.5 * (rods.lengths_um - rods.width_um)[others], rods.axes[others]
    offsets = rods.centres_um[ends] + arms - rods.centres_um[others]
    other_arms = np.clip(np.sum(offsets * axes, axis=-1), -half_um, half_um)[:, None] * axes
    gaps = offsets - other_arms
    distances_um = np.maximum(np.linalg.norm(gaps, axis=-1), 1e-9)
    touching = distances_um < rods.width_um
    normals = gaps / distances_um[:, None]
    found = (ends, others, normals, arms, other_arms, rods.width_um - distances_um)
    return tuple(values[touching] for values in found)


def _cross(arms: np.ndarray, forces: np.ndarray) -> np.ndarray:
    """Torque about the centre that increases the angle; vectors are (y, x)."""
    return arms[:, 1] * forces[:, 0] - arms[:, 0] * forces[:, 1]


def draw_rods(
    rods: Rods, numbers: np.ndarray, shape_px: tuple[int, int], pixel_size_um: float
) -> tuple[np.ndarray, np.ndarray]:
    """Label image of rods, and their thickness; a pixel in two rods goes to the one whose axis is nearer.

    Args:
        rods: positions relative to the centre of the image.
        numbers: (n,) label of each rod, >= 1.
        shape_px: height and width.
        pixel_size_um: edge of a pixel.

    Returns:
        (H, W) int32 labels, each 4-connected, and (H, W) thickness of the rods in micrometres.
    """
    nearest_um = np.full(shape_px, 0.5 * rods.width_um)
    labels = np.zeros(shape_px, np.int32)
    middle_px = (np.array(shape_px) - 1) / 2.0
    for number, centre_um, half_um, axis in zip(numbers, rods.centres_um, rods.half_axes_um, rods.axes, strict=True):
        reach_px = (np.abs(half_um) + 0.5 * rods.width_um) / pixel_size_um
        low = np.maximum(np.floor(middle_px + centre_um / pixel_size_um - reach_px).astype(int), 0)
        high = np.maximum(np.ceil(middle_px + centre_um / pixel_size_um + reach_px).astype(int) + 1, 0)
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        grid = np.moveaxis(np.indices(labels[window].shape), 0, -1) + low
        offsets = (grid - middle_px) * pixel_size_um - centre_um
        limit = np.linalg.norm(half_um)
        along = np.clip(offsets @ axis, -limit, limit)
        distance_um = np.linalg.norm(offsets - along[..., None] * axis, axis=-1)
        won = distance_um < nearest_um[window]
        labels[window][won] = number
        nearest_um[window][won] = distance_um[won]
    thickness_um = 2.0 * np.sqrt(np.maximum((0.5 * rods.width_um) ** 2 - nearest_um**2, 0.0))
    return keep_largest_parts(labels), thickness_um
