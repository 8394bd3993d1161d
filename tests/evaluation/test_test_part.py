"""Test images that could not be segmented after the training are refused before it."""

import numpy as np
import pytest

from cellflax.data.example import Example
from cellflax.data.resample import ScaleConfig
from cellflax.errors import UserError
from cellflax.refine.watershed import WatershedConfig
from cellflax.refine.whole_cell import WholeCellConfig
from cellflax.training.composition import check_test
from cellflax.training.config import TrainConfig

LABELS = np.zeros((4, 4), np.int32)


@pytest.mark.parametrize(
    ("refine", "scale", "needed_by"),
    [
        (WatershedConfig(), ScaleConfig(), None),
        (WholeCellConfig(), ScaleConfig(), "refine=whole_cell"),
        (WatershedConfig(), ScaleConfig(pixel_size_um=0.65), "scale"),
        (WholeCellConfig(), ScaleConfig(tophat_um=130), "scale"),
    ],
)
def test_pixel_size(refine, scale, needed_by):
    config = TrainConfig(refine=refine, scale=scale)
    known, unknown = (Example(f"rna/{size}", LABELS[..., None], LABELS, LABELS, None, size) for size in (0.65, None))
    check_test(config, [known])
    if needed_by is None:
        check_test(config, [known, unknown])
        return
    with pytest.raises(UserError, match=f"rna/None: its pixel size is unknown, but {needed_by} needs it") as error:
        check_test(config, [known, unknown])
    assert "\n" not in str(error.value)
