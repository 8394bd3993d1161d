"""Image formation: phase contrast after Zernike, bright field, wide-field fluorescence, uneven illumination."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import fft, ndimage


class PhasePolarity(Enum):
    """Sign of phase contrast: how a thin object that delays light appears on the background."""

    POSITIVE = 1  # dark, with a bright halo
    NEGATIVE = -1  # bright, with a dark halo


@dataclass(frozen=True)
class PhaseOptics:
    """A phase-contrast objective and its condenser annulus.

    Attributes:
        wavelength_um: wavelength of the illumination in vacuum.
        numerical_aperture: numerical aperture of the objective.
        annulus_na: numerical aperture of the condenser annulus (its mean radius in the pupil).
        ring_width_na: width of the objective's phase ring. Light diffracted into the ring is treated like
            the direct light: this causes halo and shade-off, which a wider ring makes stronger.
        ring_transmission: share of the intensity that the ring lets through.
        stray_light: share of the background intensity that carries no contrast (dish, glare, out-of-focus
            light).
        polarity: positive or negative contrast.
        n_source_points: number of points that represent the annulus; their intensities add up.
    """

    wavelength_um: float = 0.55
    numerical_aperture: float = 0.45
    annulus_na: float = 0.2
    ring_width_na: float = 0.06
    ring_transmission: float = 0.25
    stray_light: float = 0.0
    polarity: PhasePolarity = PhasePolarity.POSITIVE
    n_source_points: int = 12


def phase_delay_rad(optical_path_um: np.ndarray, wavelength_um: float) -> np.ndarray:
    """Phase delay of light by an optical path difference (thickness x refractive-index difference)."""
    return 2.0 * np.pi * optical_path_um / wavelength_um


def phase_contrast(delay_rad: np.ndarray, pixel_size_um: float, optics: PhaseOptics) -> np.ndarray:
    """Phase-contrast image of a pure phase object.

    Every point of the condenser annulus illuminates the object exp(i delay) with a tilted plane wave. In the
    pupil the direct light falls on the phase ring, which attenuates it and shifts it by a quarter wave
    relative to the diffracted light (Zernike, Physica 9:686, 1942). The points are mutually incoherent, so
    their intensities are averaged. Borders wrap around: give the object a margin.

    Args:
        delay_rad: (H, W) phase delay by the object.
        pixel_size_um: edge of a pixel in the object plane.
        optics: objective and annulus.

    Returns:
        (H, W) intensity relative to the empty background (1).
    """
    spectrum = np.asarray(fft.fft2(np.exp(1j * delay_rad)))
    fy = fft.fftfreq(delay_rad.shape[0], pixel_size_um)[:, None] * optics.wavelength_um
    fx = fft.fftfreq(delay_rad.shape[1], pixel_size_um)[None, :] * optics.wavelength_um
    # Advancing the direct light delays the diffracted light relative to it, which lowers the intensity there.
    ring = np.sqrt(optics.ring_transmission) * np.exp(-0.5j * np.pi * optics.polarity.value)
    intensity = np.zeros(delay_rad.shape)
    for angle in 2.0 * np.pi * (np.arange(optics.n_source_points) + 0.5) / optics.n_source_points:
        na = np.hypot(fy + optics.annulus_na * np.sin(angle), fx + optics.annulus_na * np.cos(angle))
        on_ring = np.abs(na - optics.annulus_na) <= optics.ring_width_na / 2
        pupil = np.where(on_ring, ring, na <= optics.numerical_aperture)
        intensity += np.abs(np.asarray(fft.ifft2(spectrum * pupil))) ** 2
    intensity /= optics.n_source_points * optics.ring_transmission
    return optics.stray_light + (1.0 - optics.stray_light) * intensity


@dataclass(frozen=True)
class BrightFieldOptics:
    """A bright-field objective and its condenser.

    Attributes:
        wavelength_um: wavelength of the illumination in vacuum.
        numerical_aperture: numerical aperture of the objective.
        condenser_na: numerical aperture of the illumination, stopped down well below that of the objective for
            contrast.
    """

    wavelength_um: float = 0.55
    numerical_aperture: float = 0.4
    condenser_na: float = 0.15


def bright_field(
    delay_rad: np.ndarray, absorbance: np.ndarray, defocus_um: float, pixel_size_um: float, optics: BrightFieldOptics
) -> np.ndarray:
    """Bright-field image of a phase and absorbing object in a plane `defocus_um` behind it.

    The wave exp(i delay - absorbance / 2) is propagated paraxially. To first order its intensity has the
    spectrum 1 - absorbance cos(pi lambda z q^2) + 2 delay sin(pi lambda z q^2) (weak-object transfer
    functions; the transport-of-intensity equation for small z): phase contrast vanishes in focus and reverses
    its sign there. Light from a tilted source point gives the same image, shifted by z times its angle,
    so the whole condenser blurs the image by its disk of radius |z| NA (as a Gaussian of equal variance).
    Borders wrap around: give the object a margin.

    Args:
        delay_rad: (H, W) phase delay by the object.
        absorbance: (H, W) minus the natural logarithm of the share of the intensity that the object transmits.
        defocus_um: position z of the plane, along the light, relative to the object.
        pixel_size_um: edge of a pixel in the object plane.
        optics: objective and condenser.

    Returns:
        (H, W) intensity relative to the empty background (1).
    """
    spectrum = np.asarray(fft.fft2(np.exp(1j * delay_rad - 0.5 * absorbance)))
    fy = fft.fftfreq(delay_rad.shape[0], pixel_size_um)[:, None]
    fx = fft.fftfreq(delay_rad.shape[1], pixel_size_um)[None, :]
    q2 = fy**2 + fx**2
    pupil = q2 <= (optics.numerical_aperture / optics.wavelength_um) ** 2
    propagated = spectrum * pupil * np.exp(-1j * np.pi * optics.wavelength_um * defocus_um * q2)
    intensity = np.abs(np.asarray(fft.ifft2(propagated))) ** 2
    blur = np.exp(-2.0 * (np.pi * 0.5 * defocus_um * optics.condenser_na) ** 2 * q2)
    return np.real(np.asarray(fft.ifft2(np.asarray(fft.fft2(intensity)) * blur)))


def fluorescence(
    emission: np.ndarray,
    pixel_size_um: float,
    wavelength_um: float,
    numerical_aperture: float,
    haze: float,
    haze_sigma_um: float,
    defocus_um: float = 0.0,
) -> np.ndarray:
    """Wide-field image of an emitting object: light from its plane plus a share spread out as haze.

    The in-focus point-spread function is the Gaussian that approximates the Airy pattern,
    sigma = 0.21 wavelength / NA (Zhang, Zerubia, Olivo-Marin, Appl. Opt. 46:1819, 2007). Out of focus, the
    cone of light adds the variance of a disk of radius |defocus| NA.

    Args:
        emission: (H, W) emitted light.
        pixel_size_um: edge of a pixel.
        wavelength_um: emission wavelength.
        numerical_aperture: numerical aperture of the objective.
        haze: share of the light that is out of focus, in [0, 1].
        haze_sigma_um: spread of that share.
        defocus_um: distance of the object from the plane in focus; its sign does not matter.
    """
    sigma_um = np.hypot(0.21 * wavelength_um / numerical_aperture, 0.5 * defocus_um * numerical_aperture)
    sharp = ndimage.gaussian_filter(emission, sigma_um / pixel_size_um)
    blurred = ndimage.gaussian_filter(emission, haze_sigma_um / pixel_size_um)
    return (1.0 - haze) * sharp + haze * blurred


def uneven_illumination(rng: np.random.Generator, shape_px: tuple[int, int], variation: float) -> np.ndarray:
    """Draw a smooth illumination field: a lamp off the axis (a gradient) that falls off to the sides.

    Args:
        rng: source of direction and centre.
        shape_px: height and width.
        variation: range (maximum minus minimum) relative to the mean, in [0, 1).

    Returns:
        (H, W) positive factor with mean 1.
    """
    y, x = np.meshgrid(np.linspace(-1, 1, shape_px[0]), np.linspace(-1, 1, shape_px[1]), indexing="ij")
    tilt_rad, (cy, cx) = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(-0.4, 0.4, 2)
    field = 0.5 * (x * np.cos(tilt_rad) + y * np.sin(tilt_rad)) - 0.5 * ((y - cy) ** 2 + (x - cx) ** 2)
    field -= field.mean()
    return 1.0 + variation * field / np.ptp(field)
