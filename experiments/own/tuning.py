"""O7: what choosing the refinement on the held-out regions brings there and on the test part, and its time.

python experiments/own/tuning.py SPLITS OUTPUT [--minutes 15] [--sets SET ...] [--seed 0] [-- KEY=VALUE ...]

Takes the trainings of all_sets.py in the same OUTPUT, or trains. Their checkpoints hold the refinement
before and after. Scores the test part by the refinement before the tuning as well. Writes OUTPUT/tuning.md.
"""

import json
import sys

from steps import SETS, StepFailed, arguments, columns, failed, place, score_test_part, train, write_table

SCORES = ("F1 at 0.5", "at 0.7", "PQ", "JI")


def main() -> None:
    """Train, predict and evaluate what is not there, and write the table."""
    options = arguments(__doc__, list(SETS), minutes=15.0, seed=0)
    rows, failures = [], 0
    for name in options.sets:
        folder = place(options.output, name, options.minutes, options.seed, "default")
        try:
            data, channels = options.splits / name / "train", SETS[name].channels
            summary = train(data, folder, channels, options.minutes, options.seed, *options.more)
            done = summary["tuning"]
            after = score_test_part(options.splits, name, folder / "run", folder)
            before = score_test_part(options.splits, name, folder / "run", folder / "untuned", *settings(done["start"]))
        except StepFailed as error:
            failures += 1
            rows.append([f"`{name}`", *failed(error, 6 + 2 * len(SCORES))])
            continue
        pairs = zip(columns(before), columns(after), strict=True)
        test = [value for pair in list(pairs)[: len(SCORES)] for value in pair]
        share = 100 * done["seconds"] / summary["training"]["elapsed_s"]
        times = [f"{done['seconds']:.0f}", f"{share:.0f} %"]
        rows.append([f"`{name}`", done["index"], done["regions"], done["before"], done["after"], *test, *times])
    test_header = [f"{score} {when}" for score in SCORES for when in ("before", "after")]
    header = ("set", "held out: index", "regions", "before", "after", *test_header, "s", "of training")
    write_table(options.output / "tuning.md", header, rows)
    sys.exit(1 if failures else 0)


def settings(refine: dict) -> list[str]:
    """Options of `predict` for a refinement, as the record of a checkpoint holds it."""
    keys = {key: value for key, value in refine.items() if key != "kind"}
    return [f"refine={refine['kind']}", *(f"refine.{key}={json.dumps(value)}" for key, value in keys.items())]


if __name__ == "__main__":
    main()
