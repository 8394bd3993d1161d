"""A scientific camera: photons to counts, with shot noise, read noise and quantisation."""

from dataclasses import dataclass

import numpy as np

MAX_COUNT = 65535


@dataclass(frozen=True)
class Camera:
    """Linear camera with a 16-bit output.

    Attributes:
        gain_counts: counts per photo-electron.
        offset_counts: count of a dark pixel.
        read_noise_electrons: read noise of the camera, standard deviation per pixel.
    """

    gain_counts: float
    offset_counts: float
    read_noise_electrons: float


def expose(rng: np.random.Generator, electrons: np.ndarray, camera: Camera) -> np.ndarray:
    """Record an image: counts = round(gain * (Poisson(electrons) + read noise) + offset), clipped to 16 bits.

    Args:
        rng: source of the noise.
        electrons: (...) expected photo-electrons per pixel, >= 0.
        camera: gain, offset and read noise.

    Returns:
        (...) uint16 counts.
    """
    read_noise = camera.read_noise_electrons * rng.standard_normal(electrons.shape)
    counts = camera.gain_counts * (rng.poisson(electrons) + read_noise) + camera.offset_counts
    return np.clip(np.rint(counts), 0, MAX_COUNT).astype(np.uint16)
