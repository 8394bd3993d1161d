"""O6: what a network should learn, and how crops should be drawn: every set, target and way of sampling.

python experiments/own/targets.py SPLITS OUTPUT [--minutes 15] [--sets SET ...] [--seeds 0 1 2]
    [--variants NAME ...] [-- KEY=VALUE ...]

Scores are those of the test part, and "held out" is the best validation, by which a default may be chosen. Writes
OUTPUT/targets.md.
"""

import sys

import numpy as np
from steps import HEADER, SETS, StepFailed, arguments, columns, failed, place, score_test_part, train, write_table

TARGETS = {
    "classes": ("target=classes",),
    "distances": ("target=distances", "refine=distances"),
    "classes_distances": ("target=classes_distances", "refine=distances", "refine.landscape=classes"),
}
SAMPLING = {
    "by_image": ("sampler.by_cell=0", "sampler.touching=0"),
    "by_cell": ("sampler.by_cell=0.5", "sampler.touching=0"),
    "touching": ("sampler.by_cell=0", "sampler.touching=5", "sampler.touching_px=3"),
    "both": ("sampler.by_cell=0.5", "sampler.touching=5", "sampler.touching_px=3"),
}
VARIANTS = {f"{target}-{way}": (*t, *s) for target, t in TARGETS.items() for way, s in SAMPLING.items()}


def main() -> None:
    """Train, predict and evaluate what is not there, and write the table."""
    options = arguments(__doc__, list(SETS), minutes=15.0, seeds=[0], variants=list(VARIANTS))
    if unknown := set(options.variants) - set(VARIANTS):
        sys.exit(f"there is no variant {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    rows, failures = [], 0
    for name in options.sets:
        for variant in options.variants:
            settings, values, errors = (*VARIANTS[variant], *options.more), [], []
            for seed in options.seeds:
                folder = place(options.output, name, options.minutes, seed, variant)
                data, images = options.splits / name / "train", options.splits / name / "test" / "labels"
                try:
                    summary = train(data, folder, SETS[name].channels, options.minutes, seed, *settings)
                    scores = score_test_part(options.splits, name, folder / "run", folder)
                except StepFailed as error:
                    errors.append(error)
                    continue
                steps, seconds = summary["training"]["validated_step"], summary["training"]["elapsed_s"]
                per_image = scores["seconds"] / len(list(images.iterdir()))
                values.append([*columns(scores), abs(summary["score"]), steps, seconds / max(steps, 1), per_image])
            start = [f"`{name}`", *variant.split("-"), len(values)]
            failures += len(errors)
            if errors:
                rows.append([*start, *failed(errors[0], len(HEADER)), None, None, None, None])
            if values:
                rows.append([*start, *map(_summary, zip(*values, strict=True))])
    header = ("set", "target", "sampling", "seeds", *HEADER, "held out", "steps", "s per step", "s per image")
    write_table(options.output / "targets.md", header, rows)
    sys.exit(1 if failures else 0)


def _summary(values: tuple[float | None, ...]) -> str:
    """Mean over seeds, and standard deviation if there are several."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{np.mean(known):.3f}" + (f" ± {np.std(known, ddof=1):.3f}" if len(known) > 1 else "")


if __name__ == "__main__":
    main()
