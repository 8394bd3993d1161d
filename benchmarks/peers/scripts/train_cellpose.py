# pyright: reportMissingImports=false
"""Cellpose 3.1 from scratch, with the defaults of its own command for training.

They are: SGD at 0.2 with momentum 0.9 and decay 1e-5, batches of 8 crops of 224 x 224, cells rescaled to 30 pixels,
random rotations and zoom by 0.75 to 1.25, channels [0, 0], images of fewer than 5 cells left out. Its schedule is a
warm-up over 10 epochs; in trainings of more than 300 (100) epochs the rate is halved ten times in the last 100 (50). It
is counted in epochs. So there are more than 300 of them wherever there are as many steps, and where the time is short
they are of fewer images, which its own option `nimg_per_epoch` sets. The diameter of cells at prediction is the mean of
the training labels, its default for such networks.

Cellpose's documentation leaves its two thresholds to the user. They are chosen here on the validation images.
"""

import time
from itertools import product

from peer_job import Job, Part, elapsed_s  # first, so that the time includes the imports below

import numpy as np  # isort: skip
import torch
from cellpose import dynamics, metrics, models, train

_BATCH = 8
_LEAST_CELLS = 5
_EPOCHS = 301  # from which on Cellpose anneals longest
_TRIAL_STEPS = 4
_IOUS = np.arange(0.5, 0.95, 0.1)
_TUNING_SHARE = 0.1  # of the minutes
# Cellpose's defaults come first.
_THRESHOLDS = sorted(product((0.0, -1.0, 1.0, -2.0, 2.0), (0.4, 0.8)), key=lambda pair: abs(pair[0]))


def main() -> None:
    job = Job.read()
    torch.set_num_threads(job.cores)
    part, validation = job.part("train"), job.part("validation")
    device = torch.device("cuda" if job.gpu else "cpu")
    flows = dynamics.labels_to_flows([labels.copy() for labels in part.labels], device=device)
    cells = np.array([np.count_nonzero(np.unique(labels)) for labels in part.labels])
    least = _LEAST_CELLS if cells.max() >= _LEAST_CELLS else 1
    images = int((cells >= least).sum())

    moments: list[float] = []  # when each step began

    def fit(epochs: int, images_per_epoch: int) -> str:
        torch.manual_seed(job.seed)
        network = models.CellposeModel(gpu=job.gpu, pretrained_model=False, nchan=2, device=device).net
        network.register_forward_pre_hook(lambda *_: moments.append(time.perf_counter()))
        return train.train_seg(
            network,
            train_data=part.images,
            train_labels=flows,
            channels=[0, 0],
            batch_size=_BATCH,
            learning_rate=0.2,
            weight_decay=1e-5,
            momentum=0.9,
            SGD=True,
            n_epochs=epochs,
            nimg_per_epoch=images_per_epoch,
            min_train_masks=least,
            save_every=epochs + 1,
            save_path=job.output,
            model_name="model",
        )[0]

    began = time.perf_counter()
    fit(_TRIAL_STEPS, _BATCH)
    step_s = float(np.median(np.diff(moments)))
    preparation_s = moments[0] - began
    steps = max(int((job.seconds_left - preparation_s) / step_s), 1)
    images_per_epoch = min(_BATCH * max(steps // _EPOCHS, 1), images)
    epochs = max(steps * _BATCH // images_per_epoch, 1)
    path = fit(epochs, images_per_epoch)
    fit_s = elapsed_s()
    model = models.CellposeModel(gpu=job.gpu, pretrained_model=str(path), nchan=2, device=device)
    thresholds = _tuned(model, validation, 60 * _TUNING_SHARE * job.minutes)
    trained_s = elapsed_s()

    def segment(image: np.ndarray) -> np.ndarray:
        return model.eval(image, channels=[0, 0], diameter=None, **thresholds)[0]

    steps = epochs * -(-images_per_epoch // _BATCH)
    job.finish(
        ("cellpose", "torch"),
        "GPU" if job.gpu else "CPU",
        {
            "fit_minutes": fit_s / 60,
            "training_minutes": trained_s / 60,
            "steps": steps,
            "epochs": epochs * images_per_epoch / images,
            "seconds_per_image": job.segment(segment),
            "settings": {
                "n_epochs": epochs,
                "nimg_per_epoch": images_per_epoch,
                "diameter_px": float(model.diam_labels),
                **thresholds,
            },
        },
    )


def _tuned(model: models.CellposeModel, validation: Part, seconds: float) -> dict[str, float]:
    """The thresholds with the best average precision on the validation images, of those that the time allows."""
    began, best, chosen = time.perf_counter(), -1.0, _THRESHOLDS[0]
    maps = [model.eval(image, channels=[0, 0], compute_masks=False)[1][1:3] for image in validation.images]
    iterations = 200 * model.diam_labels / model.diam_mean  # as `eval` has it
    for cellprob, flow in _THRESHOLDS:
        if best >= 0 and time.perf_counter() - began > seconds:
            break
        masks = [
            dynamics.resize_and_compute_masks(
                *pair,
                niter=iterations,
                cellprob_threshold=cellprob,
                flow_threshold=flow,
                device=model.device,
            )
            for pair in maps
        ]
        counts = metrics.average_precision(validation.labels, [np.asarray(mask) for mask in masks], threshold=_IOUS)
        found, spurious, missed = (count.sum(axis=0) for count in counts[1:])
        score = float(np.mean(found / np.maximum(found + spurious + missed, 1)))
        if score > best:
            best, chosen = score, (cellprob, flow)
    return {"cellprob_threshold": chosen[0], "flow_threshold": chosen[1]}


if __name__ == "__main__":
    main()
