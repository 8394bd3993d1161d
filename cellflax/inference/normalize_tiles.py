"""Normalise an image part by part: the values are those of `normalize`, without the whole result in memory."""

import numpy as np

from cellflax.data.normalize import NormalizeConfig, box_px, intensity_scale, rescale


class NormalizedImage:
    """A raw image that returns any of its windows normalised.

    The statistics are those of the whole image. Sums over the averaging box are rounded differently in each window,
    by some 1e-16 of the intensity.

    Args:
        image: (H, W, C) raw, in its own type; kept, not copied.
        config: the method.
        receptive_field: as in `normalize`.
        name: as in `normalize`.

    Raises:
        UserError: as `normalize`.
    """

    def __init__(self, image: np.ndarray, config: NormalizeConfig, receptive_field: int, name: str = "image"):
        self._image = image
        # How images are normalised is the checkpoint's: at prediction, only the image can be another.
        remedy = "give raw (not background-subtracted) intensities, as the network's training had"
        self._scale = intensity_scale(image, config, name, remedy)
        self._box = box_px(config, receptive_field)

    def window(self, window: tuple[slice, slice]) -> np.ndarray:
        """Normalised pixels of a window within the image, (h, w, C) float32."""
        reach = 0 if self._box is None else self._box // 2
        around, inner = [], []
        for span, size in zip(window, self._image.shape[:2], strict=True):
            start = max(span.start - reach, 0)
            around.append(slice(start, min(span.stop + reach, size)))
            inner.append(slice(span.start - start, span.stop - start))
        return rescale(self._image[tuple(around)], self._scale, self._box)[tuple(inner)]
