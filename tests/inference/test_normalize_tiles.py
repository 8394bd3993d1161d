"""Windows of a normalised image are what the whole is there."""

import numpy as np
import pytest

from cellflax.data.normalize import Intensity, NormalizeConfig, normalize
from cellflax.inference.normalize_tiles import NormalizedImage


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "config",
    [
        NormalizeConfig(),
        NormalizeConfig(Intensity.maximum, window_px=7),
        NormalizeConfig(Intensity.percentile, window_px=7),
        NormalizeConfig(Intensity.percentile, subtract_local_mean=False),
    ],
)
def test_equals_the_whole(config, dtype):
    image = np.random.default_rng(0).integers(1, 255, (61, 94, 2)).astype(dtype)
    whole = normalize(image, config, receptive_field=31)
    parts = NormalizedImage(image, config, receptive_field=31)
    np.testing.assert_array_equal(parts.window((slice(0, 61), slice(0, 94))), whole)
    for rows in (slice(0, 9), slice(9, 40), slice(40, 61)):
        for columns in (slice(0, 70), slice(70, 94)):
            part = parts.window((rows, columns))
            assert part.dtype == np.float32
            np.testing.assert_allclose(part, whole[rows, columns], rtol=0, atol=1e-6)
