# pyright: reportMissingImports=false, reportMissingModuleSource=false
"""StarDist from scratch, as its own example notebooks do it (`examples/2D`: 1_data, 2_training, 3_prediction).

Its defaults: 32 rays, grid 2 x 2, patches of 256 x 256, batches of 4, Adam at 3e-4, the notebook's augmentation, the
best network on the validation patches, thresholds optimised on the validation images. The schedule is not its default,
which halves the rate of learning after 40 of 400 epochs without gain. Here the rate falls to 0 when the time ends.
"""

import time

from peer_job import ANNEALED_SHARE, Job, elapsed_s  # first, so that the time includes the imports below

import keras  # isort: skip
import numpy as np
import tensorflow as tf
from csbdeep.utils import normalize
from stardist import fill_label_holes
from stardist.models import Config2D, StarDist2D

_RATE = 3e-4
_ENDLESS = 100_000  # epochs; the time ends the training
_PATCH = 256  # pixels
_MULTIPLE = 16  # of pixels, that a patch must have: grid 2 and three poolings


class _Schedule(keras.callbacks.Callback):
    """Lowers the rate of learning to 0 in the last part of the time, and then ends the training."""

    def __init__(self, seconds: float):
        super().__init__()
        self._seconds, self._began, self.steps = seconds, time.perf_counter(), 0

    def on_train_begin(self, logs=None):
        self._began = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        left = 1 - (time.perf_counter() - self._began) / self._seconds
        self.model.optimizer.learning_rate = _RATE * min(max(left / ANNEALED_SHARE, 0), 1)

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if time.perf_counter() - self._began > self._seconds:
            self.model.stop_training = True


def main() -> None:
    job = Job.read()
    keras.utils.set_random_seed(job.seed)
    tf.config.threading.set_intra_op_parallelism_threads(job.cores)
    train, validation = job.part("train"), job.part("validation")
    images, held_out = ([_normalized(image) for image in part.images] for part in (train, validation))
    labels, held_out_labels = ([fill_label_holes(each) for each in part.labels] for part in (train, validation))
    smallest = np.min([image.shape for image in (*images, *held_out)], axis=0) // _MULTIPLE * _MULTIPLE
    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        n_channel_in=1,
        train_learning_rate=_RATE,
        train_patch_size=tuple(int(size) for size in np.minimum(smallest, _PATCH)),
        train_reduce_lr=None,
        train_tensorboard=False,
    )
    model = StarDist2D(config, name="model", basedir=str(job.output))
    model.prepare_for_training()
    schedule = _Schedule(max(job.seconds_left, 1))
    model.callbacks.append(schedule)
    model.train(
        images, labels, validation_data=(held_out, held_out_labels), augmenter=_augment, epochs=_ENDLESS, seed=job.seed
    )
    fit_s = elapsed_s()
    thresholds = model.optimize_thresholds(held_out, held_out_labels)
    trained_s = elapsed_s()

    def segment(image: np.ndarray) -> np.ndarray:
        prepared = _normalized(image)
        tiles = model._guess_n_tiles(prepared)  # as the notebook does
        return model.predict_instances(prepared, n_tiles=tiles, show_tile_progress=False)[0]

    job.finish(
        ("stardist", "tensorflow" if job.gpu else "tensorflow-cpu"),
        "GPU" if tf.config.list_physical_devices("GPU") else "CPU",
        {
            "fit_minutes": fit_s / 60,
            "training_minutes": trained_s / 60,
            "steps": schedule.steps,
            "epochs": schedule.steps / config.train_steps_per_epoch,
            "seconds_per_image": job.segment(segment),
            "settings": {
                "patch_px": config.train_patch_size,
                "batch": config.train_batch_size,
                "steps_per_epoch": config.train_steps_per_epoch,
                "prob_thresh": thresholds["prob"],
                "nms_thresh": thresholds["nms"],
            },
        },
    )


def _normalized(image: np.ndarray) -> np.ndarray:
    return normalize(image, 1, 99.8, axis=(0, 1))


def _augment(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and reflections, intensity, noise: `augmenter` of the notebook 2_training."""
    axes = tuple(np.random.permutation(2))  # noqa: NPY002 - StarDist seeds the global generator
    x, y = x.transpose(axes), y.transpose(axes)
    for axis in range(2):
        if np.random.rand() > 0.5:  # noqa: NPY002
            x, y = np.flip(x, axis), np.flip(y, axis)
    x = x * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)  # noqa: NPY002
    return x + 0.02 * np.random.uniform() * np.random.normal(0, 1, x.shape), y  # noqa: NPY002


if __name__ == "__main__":
    main()
