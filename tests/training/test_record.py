"""The record of a checkpoint."""

import numpy as np

from cellflax.prediction.trained import load_model
from cellflax.training.checkpoint import save_model
from cellflax.training.record import read_record


def test_a_number_that_json_has_not_is_null(trained, tmp_path):
    """A class without held-out pixels has no accuracy; the checkpoint can be read all the same."""
    model = load_model(trained.path)
    record = {"config": model.record["config"], "data": model.record["data"], "validation": {"accuracy_edge": np.nan}}
    save_model(tmp_path, {"w": np.zeros(1)}, {}, record)  # pyright: ignore[reportArgumentType]
    assert read_record(tmp_path / "checkpoints" / "0")["validation"] == {"accuracy_edge": None}
