import numpy as np
import pytest

from cellflax.tracking.cells import measure_movie
from cellflax.tracking.drift import estimate_drift
from tests.tracking.drawing import colony, discs

SHAPE = (120, 200)


def _field(rng, n=14):
    """Cells of a wide field at random places."""
    return {1 + i: (rng.uniform(0, 120), rng.uniform(0, 330), rng.uniform(6, 9)) for i in range(n)}


def _moved(cells, shift):
    return {label: (y + shift[0], x + shift[1], r) for label, (y, x, r) in cells.items()}


@pytest.mark.parametrize("shift", [(0, 0), (10, -15), (-25, 60), (3, -100)])
def test_stage_shifts_are_found(shift):
    rng = np.random.default_rng(5)
    cells = _field(rng)
    wander = {label: (y + rng.normal(), x + rng.normal(), 1.03 * r) for label, (y, x, r) in cells.items()}
    here = discs((120, 330), cells)[:, 110:310]
    there = discs((120, 330), _moved(wander, shift))[:, 110:310]
    drift = estimate_drift(measure_movie(np.stack([here, there])))
    np.testing.assert_array_equal(drift[0], 0)
    assert np.abs(drift[1] - shift).max() <= (0 if shift == (0, 0) else 2)


def test_cells_that_move_and_divide_are_no_drift():
    drift = estimate_drift(measure_movie(colony(1).labels))
    assert not drift.any()


def test_images_tell_a_shift_that_masks_cannot():
    """Equal cells on a regular grid look alike after any whole period; their textures do not."""
    rng = np.random.default_rng(2)
    cells = {1 + i: (15 + 30 * (i // 6), 15 + 30 * (i % 6), 9) for i in range(24)}
    texture = rng.random((SHAPE[0] + 60, SHAPE[1] + 60))
    labels = np.stack([discs(SHAPE, cells), discs(SHAPE, _moved(cells, (13, 11)))])
    images = np.stack([texture[30:-30, 30:-30], texture[17:-43, 19:-41]])
    images = images * (labels > 0) + 0.05 * rng.random(images.shape)
    np.testing.assert_array_equal(estimate_drift(measure_movie(labels), images)[1], (13, 11))


def test_empty_and_full_frames_do_not_drift():
    full = np.ones((20, 20), np.int32)
    assert not estimate_drift(measure_movie(np.stack([full, 0 * full, full, full]))).any()
