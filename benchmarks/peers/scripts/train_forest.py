# pyright: reportMissingImports=false, reportArgumentType=false
"""A random forest on multiscale filters, as Ilastik's pixel classification, which Van Valen 2016 compares with (S17).

Filters at each scale: those of `skimage.feature.multiscale_basic_features` (Gaussian, its gradient magnitude,
eigenvalues of the Hessian), eigenvalues of the structure tensor, Laplacian of Gaussian and difference of Gaussians. The
forest has Ilastik's 100 trees. Three classes: edge, interior and background, the same number of pixels of each from
every training image. Intensities are scaled by percentiles of each image, as the networks beside it have them.

Probabilities of the validation and test images go to `probability/`; `refine_forest.py` makes cells of them.
"""

import time

from peer_job import Job, elapsed_s  # first, so that the time includes the imports below

from itertools import pairwise  # isort: skip

import numpy as np
from scipy import ndimage
from skimage.feature import multiscale_basic_features, structure_tensor, structure_tensor_eigenvalues
from sklearn.ensemble import RandomForestClassifier

_SIGMAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # px; 0.5 to 16 doubled, as scikit-image has them
_TREES = 100
_TRIAL_PIXELS = 20_000
_TRIAL_TREES = 4
_PIXELS_PER_CLASS = 2000  # of each image
_READING_SHARE = 0.4  # of the time, at most, for the filters of the training images
_CLASSES = (1, 2, 3)  # edge, interior, background; 0 is not annotated


def main() -> None:
    job = Job.read()
    rng = np.random.default_rng(job.seed)
    values, classes, used = _sample(job, rng)
    order = rng.permutation(len(values))
    trial = order[:_TRIAL_PIXELS]
    count, trial_s = len(values), _seconds_of_trial(values[trial], classes[trial], job)
    while count > len(trial) and _cost(count) / _cost(len(trial)) * trial_s > job.seconds_left:
        count = int(0.95 * count)
    chosen = order[:count]
    forest = RandomForestClassifier(_TREES, n_jobs=job.cores, random_state=job.seed)
    forest.fit(values[chosen], classes[chosen])
    fit_s = elapsed_s()

    def probability(image: np.ndarray) -> np.ndarray:
        features = filters(image)
        found = np.asarray(forest.predict_proba(features.reshape(-1, features.shape[-1])))
        whole = np.zeros((len(found), len(_CLASSES)), np.float32)
        whole[:, np.asarray(forest.classes_, np.intp) - 1] = found
        return whole.reshape(*image.shape, -1)

    ready_s = fit_s
    for name in ("validation", "test"):
        part, folder = job.part(name), job.output / "probability" / name
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        for file, image in zip(part.names, part.images, strict=True):
            np.save(folder / f"{file}.npy", probability(image))
        seconds = (time.perf_counter() - began) / len(part.names)
        ready_s = elapsed_s() if name == "validation" else ready_s
    job.finish(
        ("scikit-learn", "scikit-image"),
        "CPU",
        {
            "fit_minutes": fit_s / 60,
            "training_minutes": ready_s / 60,  # refine_forest.py adds its tuning
            "steps": _TREES,
            "epochs": None,
            "seconds_per_image": seconds,
            "settings": {"pixels": len(chosen), "filters": values.shape[1], "images": used, "trees": _TREES},
        },
    )


def filters(image: np.ndarray) -> np.ndarray:
    """(H, W, F) float32 responses of the filters to an (H, W) image."""
    low, high = np.percentile(image, (1, 99.8))
    image = (image.astype(np.float32) - low) / max(high - low, 1e-6)
    basic = multiscale_basic_features(image, sigma_min=_SIGMAS[0], sigma_max=_SIGMAS[-1])
    blurred = [ndimage.gaussian_filter(image, sigma) for sigma in _SIGMAS]
    more = [ndimage.gaussian_laplace(image, sigma) for sigma in _SIGMAS]
    more += [fine - coarse for fine, coarse in pairwise(blurred)]
    for sigma in _SIGMAS:
        tensor = structure_tensor(ndimage.gaussian_filter(image, sigma / 2), sigma, order="rc")
        more += list(structure_tensor_eigenvalues(tensor))
    return np.concatenate([basic, np.stack(more, axis=-1)], axis=-1).astype(np.float32)


def _sample(job: Job, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """Filters (N, F) and classes (N,) of pixels, and the number of images that they are from."""
    part = job.part("train")
    annotations = job.classes(part.names)
    values, classes, used = [], [], 0
    for i in rng.permutation(len(part.names)):
        if used and elapsed_s() > _READING_SHARE * 60 * job.minutes:
            break
        features, annotated = filters(part.images[i]), annotations[i].ravel()
        positions = [np.flatnonzero(annotated == index) for index in _CLASSES]
        # The sparsest class of an image sets how many of each are drawn from it (RECIPES: Van Valen 2016).
        count = min([_PIXELS_PER_CLASS, *(len(found) for found in positions if len(found))])
        drawn = np.concatenate([rng.choice(found, min(count, len(found)), replace=False) for found in positions])
        values.append(features.reshape(-1, features.shape[-1])[drawn])
        classes.append(annotated[drawn])
        used += 1
    return np.concatenate(values), np.concatenate(classes), used


def _seconds_of_trial(values: np.ndarray, classes: np.ndarray, job: Job) -> float:
    """Time to grow the forest on these pixels, from a few trees."""
    trees = _TRIAL_TREES * job.cores
    began = time.perf_counter()
    RandomForestClassifier(trees, n_jobs=job.cores, random_state=job.seed).fit(values, classes)
    return (time.perf_counter() - began) / trees * _TREES


def _cost(pixels: int) -> float:
    """How the time to grow a tree depends on the number of pixels: they are sorted at every level."""
    return pixels * np.log(pixels) ** 2


if __name__ == "__main__":
    main()
