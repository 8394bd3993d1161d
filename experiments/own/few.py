"""O3: AP at IoU 0.5 on the test part of dsb2018 after training on 1, 5 and 10 images, three draws each.

python experiments/own/few.py SPLITS OUTPUT [--minutes 15] [--images 1 5 10] [--draws 0 1 2]
    [--start NAME=RUN ...] [-- KEY=VALUE ...]

Draw d takes the first images of numpy.random.default_rng(d).permutation of the sorted training images, so that the
draw of five contains that of one. Trains from scratch, and from each network of --start (start_from=RUN), which must
not have seen dsb2018. AP is TP / (TP + FP + FN), the mean over the test images. Writes OUTPUT/few.md.
"""

import sys
from pathlib import Path

import numpy as np
from steps import StepFailed, arguments, score_test_part, train, write_table

SET = "dsb2018"


def main() -> None:
    """Train, predict and evaluate what is not there, and write the table."""
    options = arguments(__doc__, [SET], minutes=15.0, images=[1, 5, 10], draws=[0, 1, 2], start=[])
    if wrong := [start for start in options.start if "=" not in start]:
        sys.exit(f"--start {wrong[0]}: give NAME=RUN")
    starts = {"scratch": (), **{name: (f"start_from={run}",) for name, run in (s.split("=", 1) for s in options.start)}}
    rows, failures = [], 0
    for start, settings in starts.items():
        for count in options.images:
            values: list[float | str] = []
            for draw in options.draws:
                data = options.output / "few" / f"draw_{draw}" / f"{count}_images"
                link_some(options.splits / SET / "train", data, count, draw)
                folder = data.parent / f"{count}_{start}_{options.minutes:g}_minutes"
                try:
                    train(data, folder, (), options.minutes, draw, *settings, *options.more)
                    values.append(mean_precision(score_test_part(options.splits, SET, folder / "run", folder)))
                except StepFailed as error:
                    failures += 1
                    values.append(f"failed: {error}".replace("|", "/"))
            numbers = [value for value in values if isinstance(value, float)]
            rows.append([start, count, *values, float(np.mean(numbers)) if len(numbers) == len(values) else None])
    header = ("from", "images", *(f"draw {draw}" for draw in options.draws), "mean")
    write_table(options.output / "few.md", header, rows)
    sys.exit(1 if failures else 0)


def link_some(source: Path, folder: Path, count: int, draw: int) -> None:
    """Link to the first images of a draw, and to their labels."""
    names = sorted(path.name for path in (source / "images").iterdir())
    chosen = [names[k] for k in np.random.default_rng(draw).permutation(len(names))[:count]]
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name in chosen:
            if not (folder / kind / name).exists():
                (folder / kind / name).symlink_to((source / kind / name).resolve(strict=True))


def mean_precision(scores: dict) -> float:
    """AP at IoU 0.5, the mean over images; an image without cells in which none was found has none, and is left out."""
    values = [image["by_iou"][0]["average_precision"] for image in scores["images"].values()]
    return float(np.mean([value for value in values if value is not None]))


if __name__ == "__main__":
    main()
