"""The final scores of a training: its best checkpoint on images used neither to train it nor to choose it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import cellflax
from cellflax.data.example import Example
from cellflax.evaluation.part_scores import PartScores
from cellflax.inference.settings import Inference
from cellflax.io.images import Image
from cellflax.metrics.sm import PAPER_K
from cellflax.prediction.segment import find_nuclei, segment
from cellflax.prediction.trained import TrainedModel
from cellflax.prediction.unlike import UnlikeTraining
from cellflax.refine import RefineConfig
from cellflax.schemas import kind_of, to_json


def score_test(
    model: TrainedModel, examples: Sequence[Example], how: RefineConfig, transforms: int, run: Path
) -> PartScores:
    """Segment the test images as `cellflax.predict` does it, score them, and write `test.json` and `test_roc.npz`.

    Args:
        model: the chosen checkpoint.
        examples: the test images as stored in their files.
        how: from probabilities to cells.
        transforms: rotations and reflections averaged, 1, 4 or 8.
        run: directory to write to.
    """
    inference = Inference(transforms=transforms)
    scores, unlike = PartScores(model.outputs.names), UnlikeTraining(model)
    for example in examples:
        scores.add(example, *_segment(model, example, how, inference, unlike))
    unlike.say()
    origin = {
        "cellflax": cellflax.__version__,
        "step": model.step,
        "settings": {
            "refine": {"kind": kind_of("refine", how), **to_json(how)},
            "test_time_augmentation": transforms,
            "sm_k": PAPER_K,
        },
    }
    scores.save(run, origin)
    return scores


def _segment(
    model: TrainedModel, example: Example, how: RefineConfig, inference: Inference, unlike: UnlikeTraining
) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) cells and (H, W, K) outputs for one image."""
    image = Image(example.image, model.channels, example.pixel_size_um, Path(example.name))
    probability = np.empty((*example.cells.shape, len(model.outputs.names)), np.float32)

    def keep(window: tuple[slice, slice], values: np.ndarray, _: np.ndarray | None) -> None:
        probability[window] = values

    unlike.image(example.name, image)
    result = segment(model, image, find_nuclei(model, image, how, inference), how, inference, keep)
    unlike.cells(example.name, result.cells)
    return result.labels, probability
