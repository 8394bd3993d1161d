"""O5: whether the same cells come out of the same images at another exposure, offset, background or bit depth.

python experiments/own/robustness.py SPLITS OUTPUT [--minutes 15] [--sets dsb2018 hela jump] [--seed 0]

Takes the trainings of all_sets.py in the same OUTPUT, or trains. Predicts the test images and each variant of them,
and scores the masks of the variant against those of the original: F1 at IoU 0.5. Writes OUTPUT/robustness.md.

times 0.1, times 10, offset: as float32, so that nothing is rounded; the offset is a tenth of the largest value.
background: each channel less its 5th percentile, and no value below 0.
8 bit, 16 bit: each channel from its smallest to its largest value on all values of that type.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from steps import SETS, StepFailed, arguments, evaluate, failed, place, predict, train, write_table

from cellflax.io.images import list_files, read_image

ACCEPTED = 0.98


def _whole_range(pixels: np.ndarray, kind: type[np.unsignedinteger]) -> np.ndarray:
    low, high = float(pixels.min()), float(pixels.max())
    return np.rint((pixels - low) / max(high - low, 1e-9) * np.iinfo(kind).max).astype(kind)


VARIANTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "times 0.1": lambda pixels: 0.1 * pixels,
    "times 10": lambda pixels: 10 * pixels,
    "offset": lambda pixels: pixels + 0.1 * pixels.max(),
    "background": lambda pixels: np.maximum(pixels - np.percentile(pixels, 5), 0),
    "8 bit": lambda pixels: _whole_range(pixels, np.uint8),
    "16 bit": lambda pixels: _whole_range(pixels, np.uint16),
}


def main() -> None:
    """Train and predict what is not there, compare, and write the table."""
    options = arguments(__doc__, ["dsb2018", "hela", "jump"], minutes=15.0, seed=0)
    rows, failures = [], 0
    for name in options.sets:
        folder = place(options.output, name, options.minutes, options.seed, "default")
        channels, images = SETS[name].channels, options.splits / name / "test" / "images"
        try:
            train(options.splits / name / "train", folder, channels, options.minutes, options.seed, *options.more)
            predict(folder / "run", images, folder / "predicted", channels)
            values = [f1_with(variant, images, folder, channels) for variant in VARIANTS]
            known = [value for value in values if value is not None]
            accepted = len(known) == len(values) and min(known) >= ACCEPTED
            rows.append([f"`{name}`", *values, "yes" if accepted else "no"])
        except StepFailed as error:
            failures += 1
            rows.append([f"`{name}`", *failed(error, len(VARIANTS)), None])
    write_table(options.output / "robustness.md", ("set", *VARIANTS, f"all >= {ACCEPTED}"), rows)
    sys.exit(1 if failures else 0)


def f1_with(variant: str, images: Path, folder: Path, channels: tuple[str, ...]) -> float | None:
    """F1 at IoU 0.5 between the masks of a variant and those of the original images; None if neither has a cell."""
    here = folder / "robustness" / variant.replace(" ", "_")
    for path in list_files(images):
        target = here / "images" / f"{path.stem}.tif"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.moveaxis(read_image(path).pixels.astype(np.float64), -1, 0)
            changed = np.stack([VARIANTS[variant](plane) for plane in pixels])
            changed = changed.astype(np.float32) if changed.dtype == np.float64 else changed
            tifffile.imwrite(target, changed.squeeze(0) if len(changed) == 1 else changed)
    predict(folder / "run", here / "images", here / "predicted", channels)
    scores = evaluate(here / "predicted", folder / "predicted", here / "scores")
    return scores["pooled"]["f1"]


if __name__ == "__main__":
    main()
