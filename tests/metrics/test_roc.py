"""AUC against counting pairs of pixels, and the curve against counting at its thresholds."""

import math

import numpy as np
import pytest

from cellflax.metrics.roc import N_BINS, roc_counts


def pair_auc(probability, foreground):
    """Share of all pairs of a foreground and a background pixel in the right order; equals count half."""
    above, below = probability[foreground][:, None], probability[~foreground][None, :]
    return ((above > below) + 0.5 * (above == below)).mean()


def pixels(seed, shape=(30, 40)):
    rng = np.random.default_rng(seed)
    foreground = rng.random(shape) < 0.3
    return rng.beta(2 + 2 * foreground, 4 - foreground).astype(np.float32), foreground


def test_auc_is_exact_on_the_grid_of_the_bins():
    probability, foreground = pixels(0)
    probability = np.round(probability * 64) / 64  # with many equals
    counts = roc_counts(probability, foreground)
    assert counts.auc == pytest.approx(pair_auc(probability, foreground), abs=1e-12)


@pytest.mark.parametrize("power", [1, 12])  # the second puts most pixels into the lowest bins
def test_auc_is_within_its_bound(power):
    probability, foreground = pixels(1)
    counts = roc_counts(probability**power, foreground)
    difference = abs(counts.auc - pair_auc(probability**power, foreground))
    assert difference <= counts.auc_error + 1e-12
    assert counts.auc_error < (1e-6 if power == 1 else 0.1)
    assert power == 1 or difference > 1e-6


def test_images_add_up():
    (p1, f1), (p2, f2) = pixels(2), pixels(3, (11, 5))
    both = roc_counts(p1, f1) + roc_counts(p2, f2)
    together = np.concatenate([p1.ravel(), p2.ravel()]), np.concatenate([f1.ravel(), f2.ravel()])
    assert both.auc == pytest.approx(pair_auc(*together), abs=1e-6)
    assert both.accuracy == ((together[0] >= 0.5) == together[1]).mean()
    assert (both.n_positive, both.n_negative) == (together[1].sum(), (~together[1]).sum())


def test_one_half_is_foreground():
    probability = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(0)), 0.0, 1.0], np.float32)
    assert roc_counts(probability, np.array([True, False, False, True])).accuracy == 1


def test_curve_counts_at_its_thresholds():
    probability, foreground = pixels(4, (300, 400))
    counts = roc_counts(probability, foreground)
    curve = counts.curve()
    assert len(curve) <= 2001
    assert tuple(curve.iloc[0]) == (math.inf, 0, 0)
    assert tuple(curve.iloc[-1][["false_positive_rate", "true_positive_rate"]]) == (1, 1)
    for threshold, false_rate, true_rate in curve.iloc[1::97].itertuples(index=False):
        assert false_rate == pytest.approx((probability[~foreground] >= threshold).mean())
        assert true_rate == pytest.approx((probability[foreground] >= threshold).mean())
    area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
    assert area == pytest.approx(counts.auc, abs=1e-4)


def test_a_certain_network_still_has_a_curve():
    """Where all that matters lies in a few of the bins."""
    probability, foreground = np.array([3, 2, 1, 0]) / N_BINS, np.array([True, False, True, False])
    curve = roc_counts(probability, foreground).curve()
    corners = list(curve[["false_positive_rate", "true_positive_rate"]].itertuples(index=False, name=None))
    assert corners == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]


def test_one_kind_of_pixel_has_no_auc():
    counts = roc_counts(np.array([0.2, 0.8]), np.array([True, True]))
    assert math.isnan(counts.auc)
    assert not counts.is_defined
    assert counts.accuracy == 0.5


def test_bad_arrays():
    with pytest.raises(ValueError, match=r"probability is \(2,\) but foreground is \(3,\)"):
        roc_counts(np.zeros(2), np.zeros(3, bool))
