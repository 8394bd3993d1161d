"""What a checkpoint predicts for the held-out regions of its training, made once for all that look at it."""

import functools
from collections.abc import Iterator

import numpy as np

from cellflax.inference.dense import predict_transforms
from cellflax.prediction.trained import TrainedModel
from cellflax.training.held_out import Validator


class HeldOutMaps:
    """Predictions of held-out regions, made when they are first asked for.

    Attributes:
        model: the checkpoint.
        validator: its held-out regions.
        transforms: rotations and reflections averaged, 1, 4 or 8.
    """

    def __init__(self, model: TrainedModel, validator: Validator, transforms: int):
        self.model, self.validator, self.transforms = model, validator, transforms

    @functools.cached_property
    def _members(self) -> list[list[np.ndarray]]:
        """For every region the prediction of each network, averaged over the transforms, (h, w, K)."""
        predicted = self.validator.predict(self.model.probabilities, self.transforms)
        return [np.split(each, self.model.members, axis=-1) for each in predicted]

    @functools.cached_property
    def means(self) -> list[np.ndarray]:
        """For every region the mean over networks and transforms, (h, w, K)."""
        return [members[0] if len(members) == 1 else np.mean(members, axis=0) for members in self._members]

    def predictions(self) -> Iterator[list[np.ndarray]]:
        """For every region the predictions whose mean finds the cells, as in `prediction.segment`: one of each network;
        of a single network, one of each transform."""
        model = self.model
        if model.members > 1 or self.transforms == 1:
            yield from self._members
            return
        # One region at a time: all of them, eight times, may be more than memory holds.
        for region in self.validator.held_out:
            each = predict_transforms(model.probabilities, region.image, self.transforms, model.geometry)
            yield [prediction[region.inner] for prediction in each]
