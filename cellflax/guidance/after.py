"""What `train` does when the training is done: guidance, and the learning curve."""

from pathlib import Path
from typing import Any

from cellflax.data.example import Dataset
from cellflax.data.folder import FolderData
from cellflax.guidance.guide import guide
from cellflax.guidance.intervals import Interval
from cellflax.guidance.learning_curve import TrainPart, learning_curve
from cellflax.guidance.report import write_report
from cellflax.prediction.trained import load_model
from cellflax.training.config import TrainConfig


def after_training(config: TrainConfig, dataset: Dataset, run: Path, train_part: TrainPart) -> dict[str, Any] | None:
    """Write guidance and the learning curve, as the configuration says.

    Args:
        config: configuration of the training.
        dataset: what it was trained on, as it is in the files.
        run: its directory, with the checkpoints.
        train_part: trains with a number of the training images.

    Returns:
        What `guidance.json` holds; None without guidance.

    Raises:
        UserError: if the held-out images cannot be segmented, or there is one training image for a curve.
    """
    wanted = isinstance(config.data, FolderData) if config.guide is None else config.guide
    guidance = None
    if wanted:
        model = load_model(run)
        guidance = guide(model, dataset, model.config.refine, run)
    if config.learning_curve:
        interval = None if guidance is None else Interval(**guidance["held_out"]["f1"])
        curve = learning_curve(config, run, len(dataset.train), train_part, interval)
        if guidance is not None:
            guidance = {**guidance, "learning_curve": curve}
            write_report(run, guidance)
    return guidance
