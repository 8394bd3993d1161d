"""The cover of a network: an image beside what the network makes of it."""

import numpy as np
from skimage import transform

_SHADES = np.array([[1.0, 1.0, 1.0], [0.1, 0.6, 1.0], [1.0, 0.5, 0.1]])  # of channels
_COLOURS = np.array([[0.95, 0.75, 0.1], [0.1, 0.55, 0.85], [0.85, 0.25, 0.45], [0.2, 0.7, 0.4]])  # of outputs


def network_cover(image: np.ndarray, outputs: np.ndarray, height: int = 384) -> np.ndarray:
    """An image on the left, the network's outputs on the right, each output in a colour of its own.

    Args:
        image: (H, W, C), H = W.
        outputs: (H, W, K) in 0 ... 1, without the background.
        height: of the picture.

    Returns:
        (height, 2 height, 3) uint8.
    """
    low, high = np.percentile(image, (1, 99.5), axis=(0, 1))
    grey = np.clip((image - low) / np.maximum(high - low, 1e-9), 0, 1)
    halves = [_blend(grey, _SHADES), _blend(np.nan_to_num(outputs), _COLOURS)]
    pictures = [np.asarray(transform.resize(half, (height, height, 3), anti_aliasing=True)) for half in halves]
    return np.round(255 * np.clip(np.concatenate(pictures, axis=1), 0, 1)).astype(np.uint8)


def _blend(planes: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(H, W, K) to (H, W, 3)."""
    each = np.resize(colours, (planes.shape[-1], 3))
    return np.clip(planes @ each / max(1.0, planes.shape[-1] / 2), 0, 1)
