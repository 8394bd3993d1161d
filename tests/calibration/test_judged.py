"""Held-out cells that are drawn: which are right, which cannot be judged, and who is like whom."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cellflax.calibration.judged import judged_cells
from cellflax.calibration.run import LEAST_CELLS, calibrate
from cellflax.data.example import Dataset, Example, Region
from cellflax.ignored import UNDRAWN
from cellflax.labels import components
from cellflax.losses import Activation
from cellflax.metrics.calibration import reliability
from cellflax.metrics.score import score_cells
from cellflax.models import Geometry
from cellflax.refine.threshold import ThresholdConfig
from cellflax.training.config import TrainConfig
from cellflax.training.held_out import HeldOut, Validator
from tests.refine.drawing import CLASSES, disc, probability_of

HOW = ThresholdConfig(interior=0.5, min_area_px=5)
SHAPE = (60, 200)


class Drawn:
    """Predictions of held-out regions that no network made; as `HeldOutMaps`."""

    def __init__(self, regions: Sequence[Region], predicted: Sequence[Sequence[np.ndarray]]):
        held_out = tuple(HeldOut.of(region, region.example.image, None, Geometry()) for region in regions)
        self.validator = Validator(held_out, ("phase",), CLASSES, Activation.softmax, HOW, 1.0, Geometry())
        self.transforms = len(predicted[0])
        self.model: Any = type("Model", (), {"config": TrainConfig()})
        self._regions, self._predicted = regions, predicted

    def predictions(self):
        for region, each in zip(self._regions, self._predicted, strict=True):
            yield [probability_of(interior[region.slices]) for interior in each]


def example(cells: np.ndarray, name: str = "field", **options: Any) -> Example:
    image = np.zeros((*cells.shape, 1), np.float32)
    return Example(name, image, np.zeros(cells.shape, np.int8), cells, **options)


def whole(image: Example) -> Region:
    return Region(image, 0, 0, *image.cells.shape)


def cells_at(columns: Sequence[float], radius: float = 8, row: float = 30) -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    for number, column in enumerate(columns, 1):
        labels[disc(SHAPE, row, column, radius)] = number
    return labels


def test_right_is_what_evaluate_calls_right():
    """One cell as drawn, one too large for IoU 0.8, one where nothing is annotated."""
    true = cells_at([20, 60])
    found = cells_at([20, 100]) + cells_at([60], radius=10)
    judged = judged_cells(Drawn([whole(example(true))], [[found > 0]]), [whole(example(true))], HOW)
    assert judged.right["probability_iou50"].tolist() == [True, True, False]
    assert judged.right["probability_iou80"].tolist() == [False, True, False]  # the larger one begins higher up
    assert (judged.regions, judged.images, judged.left_out) == (1, 1, 0)
    matches = score_cells(true, components(found > 0)).matches
    assert matches[0].true_positives == judged.right["probability_iou50"].sum()
    assert matches[6].threshold == 0.8
    assert matches[6].true_positives == judged.right["probability_iou80"].sum()


def test_cells_that_a_region_cuts_are_left_out():
    """The region ends at column 100, within the image: cells there are cut for us, and whole for prediction."""
    true, found = cells_at([3, 50, 92, 130]), cells_at([3, 50, 96, 130])
    # The annotated cell at 92 ends just at the cut; what was found for it crosses. Beside it, one that is cut in truth
    # alone: it was found too small.
    true[disc(SHAPE, 8, 94, 7)] = 5
    found[disc(SHAPE, 8, 92, 5)] = 6
    region = Region(example(true), 0, 0, 60, 100)
    judged = judged_cells(Drawn([region], [[found > 0]]), [region], HOW)
    assert len(judged.measured) == 2
    assert judged.left_out == 2
    assert judged.right["probability_iou80"].all()
    # The image's own border cuts cells in prediction, too: that one stays, and is known to be cut.
    assert judged.measured["touches_border"].tolist() == [1, 0]
    # The same image held out as a whole: all cells are judged.
    everything = judged_cells(Drawn([whole(example(true))], [[found > 0]]), [whole(example(true))], HOW)
    assert (len(everything.measured), everything.left_out) == (5, 0)


def test_what_is_not_annotated_is_left_out():
    true = cells_at([20])
    ignored = np.where(true == 0, UNDRAWN, 0).astype(np.uint8)
    region = whole(example(true, ignored=ignored))
    judged = judged_cells(Drawn([region], [[cells_at([20, 60]) > 0]]), [region], HOW)
    assert (len(judged.measured), judged.left_out) == (1, 1)


def test_simulated_images_are_left_out_where_there_are_others():
    true = cells_at([20, 60, 100])
    regions = [whole(example(true, name, simulated=name == "s")) for name in ("a", "s", "b")]
    maps = Drawn(regions, [[true > 0]] * 3)
    assert judged_cells(maps, regions, HOW).regions == 2
    alone = [regions[1]]
    assert judged_cells(Drawn(alone, [[true > 0]]), alone, HOW).regions == 1


def test_cells_of_an_image_are_one_group():
    true = cells_at([20, 60, 100, 140, 180])
    many = [whole(example(true, f"field {i}")) for i in range(5)]
    judged = judged_cells(Drawn(many, [[true > 0]] * 5), many, HOW)
    assert judged.group.tolist() == np.repeat(range(5), 5).tolist()
    few = many[:2]  # then parts of a region: four strips of 50 columns each
    assert judged_cells(Drawn(few, [[true > 0]] * 2), few, HOW).group.tolist() == [0, 1, 2, 2, 3, 4, 5, 6, 6, 7]


def test_several_predictions_give_an_uncertainty():
    true = cells_at([20, 60])
    region = whole(example(true))
    # One view does not see the second cell, the mean of three does.
    judged = judged_cells(Drawn([region], [[true > 0, true > 0, true == 1]]), [region], HOW)
    assert judged.measured["uncertainty"].tolist() == pytest.approx([0, 1 / 3])


def noisy_fields(n: int, seed: int = 0) -> tuple[list[Region], list[list[np.ndarray]]]:
    """Fields of cells, a third of which are wrong: faint, and not in the annotation."""
    rng, regions, maps = np.random.default_rng(seed), [], []
    for i in range(n):
        true, interior = cells_at([]), np.zeros(SHAPE)
        for number, (row, column) in enumerate(np.ndindex(3, 10), 1):
            there = disc(SHAPE, 10 + 20 * row, 10 + 20 * column, 6)
            wrong = rng.random() < 1 / 3
            interior[there] = np.clip(rng.normal(0.7 if wrong else 0.9, 0.1), 0.55, 1)
            if not wrong:
                true[there] = number
        regions.append(whole(example(true, f"field {i}")))
        maps.append([interior])
    return regions, maps


def dataset_of(regions: Sequence[Region], **options: Any) -> Dataset:
    return Dataset((), tuple(regions), ("phase",), CLASSES, "drawn", **options)


def test_calibrated_probabilities_hold_on_other_images():
    regions, predicted = noisy_fields(8)
    found = calibrate(Drawn(regions, predicted), dataset_of(regions), HOW)
    assert set(found.calibration.weights) == {"probability_iou50", "probability_iou80"}
    others, unseen = noisy_fields(20, seed=1)
    judged = judged_cells(Drawn(others, unseen), others, HOW)
    probability = found.calibration.probabilities(judged.measured)["probability_iou50"].to_numpy()
    after = reliability(probability, judged.right["probability_iou50"])
    before = reliability(judged.measured["foreground"].to_numpy(), judged.right["probability_iou50"])
    assert after.expected_calibration_error < 0.06 < 0.1 < before.expected_calibration_error
    assert after.brier < 0.8 * after.brier_of_rate
    # What the training reports, by cross-fitting, is what other images then show.
    assert found.after["probability_iou50"].brier == pytest.approx(after.brier, abs=0.03)
    # All wrong cells are wrong at any IoU here; a higher IoU is never more likely.
    both = found.calibration.probabilities(judged.measured)
    assert (both["probability_iou80"] <= both["probability_iou50"]).all()


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_cells_are_known_as_such(simulated):
    regions, predicted = noisy_fields(5)
    assert calibrate(
        Drawn(regions, predicted), dataset_of(regions, simulated=simulated), HOW
    ).calibration.simulated is (simulated)


def test_too_few_wrong_cells():
    regions, predicted = noisy_fields(2)
    found = calibrate(Drawn(regions, predicted), dataset_of(regions), HOW)
    n_wrong = int((~found.cells.right["probability_iou50"]).sum())
    assert n_wrong < LEAST_CELLS
    assert not found.calibration.weights
    assert found.calibration.missing["probability_iou50"] == (
        f"{60 - n_wrong} held-out cells are right at IoU 0.5 and {n_wrong} wrong, and {LEAST_CELLS} of each are "
        "needed; hold out more annotated cells"
    )


def test_no_cell_at_all():
    region = whole(example(cells_at([20])))
    found = calibrate(Drawn([region], [[np.zeros(SHAPE)]]), dataset_of([region]), HOW)
    assert found.calibration.n_cells == 0
    assert set(found.calibration.missing) == {"probability_iou50", "probability_iou80"}
