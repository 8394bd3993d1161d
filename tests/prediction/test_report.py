"""What the report of a prediction keeps of images; drawn by hand."""

import numpy as np
import pandas as pd

from cellflax.prediction.report import Look, PredictionSights


def _segmented(uncertainty: list[float]) -> tuple[pd.DataFrame, Look]:
    labels = np.zeros((30, 30 * len(uncertainty)), np.int32)
    for i in range(len(uncertainty)):
        labels[10:20, 30 * i + 10 : 30 * i + 20] = i + 1
    numbers = np.arange(1, len(uncertainty) + 1)
    cells = pd.DataFrame({"label": numbers, "area_px": 100 * numbers, "uncertainty": uncertainty})
    return cells, lambda: (labels, np.random.default_rng(0).random(labels.shape))


def test_the_most_uncertain_cells_of_all_images():
    sights = PredictionSights()
    for number in range(10):
        values = [0.01 * number, 0.5 + 0.01 * number, 0.0, 0.3, 0.2, 0.1]
        sights.add("movie", f"movie, frame {number}", *_segmented(values))
    gallery = sights.gallery()
    assert gallery is not None
    titles = [picture.title for picture in gallery.pictures]
    assert titles[:2] == ["0.59  movie, frame 9, cell 2", "0.58  movie, frame 8, cell 2"]
    assert len(titles) == 12
    assert titles[10].startswith("0.30")  # after the ten of 0.5 and more
    assert sights.numbers["movie"]["frames"] == 10
    assert sights.numbers["movie"]["cells"] == 60


def test_without_uncertainty_there_is_no_such_gallery():
    sights = PredictionSights()
    cells, look = _segmented([0.0, 0.0])
    sights.add("a", "a", cells, look)
    sights.add("b", "b", cells.drop(columns="uncertainty"), look)
    assert sights.gallery() is None
    assert np.concatenate(sights.areas).tolist() == [100, 200, 100, 200]
