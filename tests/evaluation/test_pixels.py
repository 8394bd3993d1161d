"""Pixel metrics of `evaluate`: probability maps beside the labels or elsewhere, against cells and nuclei."""

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from cellflax.errors import UserError
from cellflax.evaluate import evaluate
from cellflax.io.images import write_probability
from tests.evaluation.fields import PREDICTED, REFERENCE, config, maps, write, write_fields


@pytest.fixture
def folders(tmp_path):
    return write_fields(tmp_path)


def test_pixels_of_cells_and_nuclei(folders):
    maps(folders)
    for name in "ab":
        write(folders / "nuclei" / f"{name}_nuclei.tif", np.where(REFERENCE == 1, 4, 0))
    metrics = evaluate(config(folders, reference_nuclei=str(folders / "nuclei")))
    right = (PREDICTED > 0) == (REFERENCE > 0)
    cells, nuclei = metrics["pixels"]["pooled"]["cells"], metrics["pixels"]["pooled"]["nuclei"]
    assert metrics["pixels"]["images"]["a"]["cells"]["acc"] == pytest.approx(right.mean())
    assert metrics["pixels"]["images"]["b"]["cells"]["auc"] == 1
    assert (cells["n_pixels"], cells["n_foreground"]) == (40, 30)
    # Of a map with two values, the AUC is the mean of sensitivity and specificity.
    found = np.concatenate([PREDICTED > 0, REFERENCE > 0])
    truth = np.concatenate([REFERENCE > 0] * 2)
    assert cells["auc"] == pytest.approx((found[truth].mean() + (~found)[~truth].mean()) / 2)
    assert nuclei["acc"] == pytest.approx(((PREDICTED == 5) == (REFERENCE == 1)).mean() / 2 + (14 / 20) / 2)
    roc = pd.read_csv(folders / "out" / "roc.csv")
    assert list(roc["target"].unique()) == ["cells", "nuclei"]
    assert matplotlib.image.imread(folders / "out" / "roc.png").ndim == 3

    cropped = evaluate(config(folders, border=1, overwrite=True))["pixels"]["pooled"]
    assert list(cropped) == ["cells"]
    assert cropped["cells"]["n_pixels"] == 2 * 2 * 3


def test_maps_elsewhere(folders):
    maps(folders, "maps")
    assert evaluate(config(folders, probability=str(folders / "maps")))["pixels"]["images"].keys() == {"a", "b"}


def test_maps_that_nobody_asked_for_are_no_mistake(folders):
    """One image without, and one of another program."""
    maps(folders)
    (folders / "predicted" / "b_probability.tif").unlink()
    metrics = evaluate(config(folders))
    assert "pixels" not in metrics
    assert metrics["notes"][0].startswith("pixels not scored: ")
    assert "b_labels.tif has no probability map beside it" in metrics["notes"][0]
    write(folders / "predicted" / "b_probability.tif", np.full(REFERENCE.shape, 0.5, np.float32))
    metrics = evaluate(config(folders, overwrite=True))
    assert "pixels" not in metrics
    assert "b_probability.tif: no class is called background, it has channel_0" in metrics["notes"][0]
    assert not (folders / "out" / "roc.csv").exists()


def no_map_of_b(folders):
    maps(folders, "maps")
    (folders / "maps" / "b_probability.tif").unlink()


def map_of_another_shape(folders):
    maps(folders, "maps")
    write_probability(folders / "maps" / "a_probability.tif", np.ones((3, 3, 2)) / 2, ("cell", "background"))


def map_out_of_range(folders):
    write_probability(folders / "maps" / "a_probability.tif", np.full((4, 5, 2), 40.0), ("cell", "background"))
    write_probability(folders / "maps" / "b_probability.tif", np.full((4, 5, 2), 0.5), ("cell", "background"))


def map_of_nan(folders):
    maps(folders, "maps")
    write_probability(folders / "maps" / "a_probability.tif", np.full((4, 5, 2), np.nan), ("cell", "background"))


def no_class_of_nuclei(folders):
    for name in "ab":
        path = folders / "predicted" / f"{name}_probability.tif"
        write_probability(path, np.full((4, 5, 2), 0.5), ("interior", "background"))


def unchanged(folders):
    pass


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (no_map_of_b, {"probability": "maps"}, "probability={}/maps has no file named b_probability.tif"),
        (map_of_another_shape, {"probability": "maps"}, "a_probability.tif: shape (3, 3) differs from (4, 5)"),
        (map_out_of_range, {"probability": "maps"}, "a_probability.tif: probabilities must be in [0, 1], got 40"),
        (map_of_nan, {"probability": "maps"}, "a_probability.tif: probabilities must be in [0, 1], got nan"),
        (unchanged, {"reference_nuclei": "reference"}, "a_labels.tif has no probability map beside it"),
        (no_class_of_nuclei, {"reference_nuclei": "reference"}, "no class is called nucleus, it has interior"),
    ],
)
def test_maps_that_cannot_be_used(folders, spoil, changes, message):
    spoil(folders)
    with pytest.raises(UserError) as caught:
        evaluate(config(folders, **{key: str(folders / folder) for key, folder in changes.items()}))
    assert message.format(folders) in str(caught.value)
    assert "\n" not in str(caught.value)
    some = spoil in (map_of_another_shape, map_out_of_range, map_of_nan)  # the other image is scored
    assert (folders / "out" / "metrics.json").exists() == some
