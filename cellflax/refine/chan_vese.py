"""Morphological active contours without edges, compiled."""

import jax
import jax.numpy as jnp
import numpy as np


def chan_vese(
    image: np.ndarray,
    initial: np.ndarray,
    iterations: int,
    *,
    smoothing: int = 1,
    inside_weight: float = 1.0,
    outside_weight: float = 1.0,
) -> np.ndarray:
    """Move a contour to where it best separates an image into two levels.

    Márquez-Neila, Baumela and Álvarez 2014, IEEE TPAMI 36(1):2-17. Each step gives every pixel on the contour to
    the side whose mean it is nearer to, then smooths with the operators SI∘IS and IS∘SI in turn. The result equals,
    pixel by pixel, that of the first call of `skimage.segmentation.morphological_chan_vese` in a process. (Later
    calls begin with the operator at which the last one stopped.)

    One compilation serves all images of one shape, whatever the other arguments.

    Args:
        image: (H, W), taken as float64: in lower precision, rounding would decide about pixels between both means.
        initial: (H, W) bool, inside of the first contour.
        iterations: number of steps.
        smoothing: smoothing operators in each step.
        inside_weight: weight of the variance inside, lambda 1.
        outside_weight: weight of the variance outside, lambda 2.

    Returns:
        (H, W) bool, inside of the last contour.
    """
    if image.shape != initial.shape or image.ndim != 2:
        raise ValueError(f"image {image.shape} and initial {initial.shape} must have one shape (H, W)")
    with jax.enable_x64(True):
        inside = _evolve(
            jnp.asarray(image, jnp.float64),
            jnp.asarray(initial, bool),
            iterations,
            smoothing,
            float(inside_weight),
            float(outside_weight),
        )
        return np.asarray(inside)


@jax.jit
def _evolve(image, inside, iterations, smoothing, inside_weight, outside_weight):
    total = jnp.sum(image)

    def step(i, inside):
        n_inside, sum_inside = jnp.sum(inside), jnp.sum(jnp.where(inside, image, 0.0))
        mean_inside = sum_inside / (n_inside + 1e-8)
        mean_outside = (total - sum_inside) / (image.size - n_inside + 1e-8)
        force = inside_weight * (image - mean_inside) ** 2 - outside_weight * (image - mean_outside) ** 2
        inside = jnp.where(_on_contour(inside) & (force != 0), force < 0, inside)

        def smooth(k, inside):
            return jax.lax.cond((i * smoothing + k) % 2 == 0, _open_then_close, _close_then_open, inside)

        return jax.lax.fori_loop(0, smoothing, smooth, inside)

    return jax.lax.fori_loop(0, iterations, step, inside)


def _on_contour(inside):
    """Where the central difference of the 0-1 image (the one-sided one at the image's border) is not zero."""
    padded = jnp.pad(inside, 1, mode="edge")
    return (padded[2:, 1:-1] != padded[:-2, 1:-1]) | (padded[1:-1, 2:] != padded[1:-1, :-2])


def _open_then_close(inside):
    return _sup_inf(_inf_sup(inside))


def _close_then_open(inside):
    return _inf_sup(_sup_inf(inside))


def _sup_inf(inside):
    """SI: some line of three pixels through this one lies wholly inside; beyond the image is outside."""
    lines = [before & inside & after for before, after in _neighbours(inside)]
    return lines[0] | lines[1] | lines[2] | lines[3]


def _inf_sup(inside):
    """IS: every line of three pixels through this one has a pixel inside."""
    lines = [before | inside | after for before, after in _neighbours(inside)]
    return lines[0] & lines[1] & lines[2] & lines[3]


def _neighbours(inside):
    """The two neighbours of every pixel along the four directions."""
    padded = jnp.pad(inside, 1)

    def shifted(rows, columns):
        height, width = inside.shape
        return padded[1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    return [(shifted(-r, -c), shifted(r, c)) for r, c in ((1, 1), (1, 0), (1, -1), (0, 1))]
