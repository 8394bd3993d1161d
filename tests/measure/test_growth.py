import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.measure.growth import GrowthConfig, cell_cycles, count_jumps, step_rates, track_rate

NAN = np.nan


def test_step_rates_of_exponential_growth_are_exact_even_over_gaps():
    track = np.array([1, 1, 1, 2, 2])
    time = np.array([0.0, 0.1, 0.5, 0.0, 0.1])
    area = np.array([100, 100 * np.exp(0.07), 100 * np.exp(0.35), 50, 50])
    np.testing.assert_allclose(step_rates(track, time, area), [NAN, 0.7, 0.7, NAN, 0])


def test_unknown_areas_have_no_rate():
    rates = step_rates(np.ones(5), np.arange(5.0), np.array([1, 2, NAN, 4, 8]))
    np.testing.assert_allclose(rates, [NAN, np.log(2), NAN, NAN, np.log(2)])


def test_jumps():
    track = np.array([1, 1, 1, 1, 2, 2, 2])
    frame = np.array([0, 1, 2, 4, 0, 1, 2])  # track 1 is not seen in frame 3
    area = np.array([100, 130, 168, 400, 10, 20, NAN])
    assert count_jumps(track, frame, area, 0.3) == (2, 3)  # 100 -> 130 and 10 -> 20, not 130 -> 168
    assert count_jumps(track, frame, area, 0.29) == (3, 3)
    assert count_jumps(track[:1], frame[:1], area[:1], 0.3) == (0, 0)


def test_the_rate_of_a_cell_survives_wrong_frames():
    rng = np.random.default_rng(0)
    time = np.arange(20) / 12
    area = 80 * np.exp(1.2 * time) * (1 + 0.02 * rng.normal(size=20))
    area[[3, 11, 17]] *= [2, 0.4, 3]
    area[5] = NAN
    rate, low, high = track_rate(time, area, 5)
    assert rate == pytest.approx(1.2, rel=0.03)
    assert low < 1.2 < high
    assert high - low < 0.3
    assert np.isnan(track_rate(time[:6], area[:6], 6)).all()


def test_cell_cycles_need_birth_and_division():
    # 1 divides into 2, 3; 2 into 5, 6; 3 continues alone as 4; 6 divides into 7, 8; the parent of 9 is unknown
    track = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9])
    parent = np.array([0, 1, 1, 3, 2, 2, 6, 6, 40])
    start = np.array([0.0, 2.0, 2.0, 4.0, 5.0, 5.5, 9.0, 9.0, 3.0])
    order = np.array([8, 3, 0, 5, 1, 2, 7, 4, 6])
    n_daughters, cycle = cell_cycles(track[order], parent[order], start[order])
    expected = {1: (2, NAN), 2: (2, 3.0), 6: (2, 3.5)}
    for one, n, time in zip(track[order], n_daughters, cycle, strict=True):
        np.testing.assert_equal((n, time), expected.get(one, (0, NAN)))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [("min_frames", 1, "growth.min_frames must be 2 or more, got 1"), ("jump", 0.0, "growth.jump must be above 0")],
)
def test_ranges(setting, value, message):
    with pytest.raises(UserError, match=message):
        GrowthConfig(**{setting: value})
