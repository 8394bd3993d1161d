"""What a plan should choose: whole training images are left out, and found by networks of several settings.

python experiments/own/left_out.py SPLITS OUTPUT [--sets SET ...] [--variants NAME ...] [--steps 500] [--seed 0]

Test parts are not read. Of `nuclei`, set1 is left out, then set5; of `cytoplasm_only`, F7; of `dsb2018`, 40 of the
training fields. Each network is trained for --steps: `without` the exposures that a plan varies where there are few
images of a stain, and `with` them. The variants of targets.py are trained without them.
Writes OUTPUT/left_out.md.
"""

import random
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from steps import HEADER, StepFailed, arguments, columns, failed, score_test_part, train, write_table
from targets import VARIANTS as TARGETS_AND_SAMPLING

from cellflax.planning.training_rules import FEW_EXPOSURES

FIELDS = 40
MINUTES = 40.0  # more than the steps take


def exposures(factor: float) -> tuple[str, ...]:
    """The exposures of a plan for few images, times a factor."""
    return tuple(f"sampler.augment.{key}={factor * value:g}" for key, value in FEW_EXPOSURES.items())


EXPOSURES = {"without": exposures(0), "with": exposures(1)}
VARIANTS = {**EXPOSURES, **{name: (*exposures(0), *words) for name, words in TARGETS_AND_SAMPLING.items()}}


def main() -> None:
    """Train, predict and evaluate what is not there, and write the table."""
    options = arguments(__doc__, ["nuclei", "cytoplasm_only", "dsb2018"], variants=list(EXPOSURES), steps=500, seed=0)
    if unknown := set(options.variants) - set(VARIANTS):
        sys.exit(f"there is no variant {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    rows, failures = [], 0
    for name in options.sets:
        for left, stems in left_out(options.splits / name / "train", name).items():
            splits = options.output / "left_out" / left
            divide(options.splits / name / "train", splits / name, stems)
            for variant in options.variants:
                folder = splits / f"{options.steps}_steps" / f"seed_{options.seed}" / variant
                more = (f"trainer.steps={options.steps}", *VARIANTS[variant], *options.more)
                try:
                    train(splits / name / "train", folder, (), MINUTES, options.seed, *more)
                    found = columns(score_test_part(splits, name, folder / "run", folder))
                except StepFailed as error:
                    failures += 1
                    found = failed(error, len(HEADER))
                rows.append([f"`{name}`", left, variant, *found])
    write_table(options.output / "left_out.md", ("set", "left out", "variant", *HEADER), rows)
    sys.exit(1 if failures else 0)


def left_out(train_part: Path, name: str) -> dict[str, set[str]]:
    """Names of images to leave out, by what the choice is called."""
    names = sorted(path.name for path in (train_part / "images").iterdir())
    if name == "dsb2018":
        random.Random(5).shuffle(names)
        return {f"{FIELDS} fields": {Path(one).stem for one in names[:FIELDS]}}
    return {stem: {stem} for stem in (("set1", "set5") if name == "nuclei" else ("f7",))}


def divide(train_part: Path, target: Path, stems: Collection[str]) -> None:
    """Copy a training part: images of these names to `test`, the others to `train`."""
    for file in train_part.glob("*/*"):
        part = "test" if file.name.split(".")[0] in stems else "train"
        folder = target / part / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)


if __name__ == "__main__":
    main()
