"""O7: what choosing the refinement on the held-out regions brings there and on the test part, and its time.

python experiments/own/tuning.py SPLITS OUTPUT [--minutes 15] [--sets SET ...] [--seed 0] [-- KEY=VALUE ...]

Trains with tune=false, scores the test part, runs `validate tune=true` on a copy of the run, and scores the test part
again. Writes OUTPUT/tuning.md.
"""

import json
import re
import shutil
import sys
import time
from pathlib import Path

from steps import SETS, StepFailed, arguments, cellflax, columns, failed, place, score_test_part, train, write_table

SCORES = ("F1 at 0.5", "at 0.7", "PQ", "JI")


def main() -> None:
    """Train, tune, predict and evaluate what is not there, and write the table."""
    options = arguments(__doc__, list(SETS), minutes=15.0, seed=0)
    rows, failures = [], 0
    for name in options.sets:
        folder = place(options.output, name, options.minutes, options.seed, "untuned")
        try:
            data, settings = options.splits / name / "train", ("tune=false", *options.more)
            summary = train(data, folder, SETS[name].channels, options.minutes, options.seed, *settings)
            before = score_test_part(options.splits, name, folder / "run", folder)
            tuned = place(options.output, name, options.minutes, options.seed, "tuned")
            done = tune(folder / "run", tuned)
            after = score_test_part(options.splits, name, tuned / "run", tuned)
        except StepFailed as error:
            failures += 1
            rows.append([f"`{name}`", *failed(error, 5 + 2 * len(SCORES))])
            continue
        pairs = zip(columns(before), columns(after), strict=True)
        test = [value for pair in list(pairs)[: len(SCORES)] for value in pair]
        share = 100 * done["seconds"] / summary["training"]["elapsed_s"]
        times = [f"{done['seconds']:.0f}", f"{share:.0f} %"]
        rows.append([f"`{name}`", done["index"], done["before"], done["after"], *test, *times])
    test_header = [f"{score} {when}" for score in SCORES for when in ("before", "after")]
    header = ("set", "held out: index", "before", "after", *test_header, "s", "of training")
    write_table(options.output / "tuning.md", header, rows)
    sys.exit(1 if failures else 0)


def tune(run: Path, folder: Path) -> dict:
    """Tune a copy of a run, `folder/run`; returns the index before and after, and the seconds of the command.

    Raises:
        StepFailed: if that failed.
    """
    record = folder / "tuning.json"
    if not record.exists():
        shutil.rmtree(folder / "run", ignore_errors=True)
        shutil.copytree(run, folder / "run")
        start = time.monotonic()
        cellflax(folder / "tune.log", "validate", f"checkpoint={folder / 'run'}", "tune=true")
        seconds = time.monotonic() - start
        printed = re.search(r"(\w+)_before (\S+) +\w+_after (\S+)", (folder / "tune.log").read_text())
        if printed is None:
            raise StepFailed(f"{folder / 'tune.log'} does not say the index before and after")
        before, after = (None if value == "-" else float(value) for value in printed.groups()[1:])
        found = {"index": printed[1], "before": before, "after": after, "seconds": seconds}
        record.write_text(json.dumps(found))
    return json.loads(record.read_text())


if __name__ == "__main__":
    main()
