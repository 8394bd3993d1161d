"""O1 and O2: README's one command on every set, scored on its test part, beside the hand-made recipe.

python experiments/own/all_sets.py SPLITS OUTPUT [--minutes 15 60] [--sets SET ...] [--seeds 0] [-- KEY=VALUE ...]

Trains on SPLITS/SET/train with trainer.max_minutes, predicts SPLITS/SET/test and evaluates. Of the sets whose recipe
was scored with published nuclei as seeds, a second row does the same. Writes OUTPUT/all_sets.md.
"""

import sys

from steps import HEADER, SETS, StepFailed, arguments, columns, failed, place, score_test_part, train, write_table


def main() -> None:
    """Train, predict and evaluate what is not there, and write the table."""
    options = arguments(__doc__, list(SETS), minutes=[15.0], seeds=[0])
    rows, failures = [], 0
    for name in options.sets:
        facts = SETS[name]
        for minutes, seed in ((m, s) for m in options.minutes for s in options.seeds):
            folder = place(options.output, name, minutes, seed, "default")
            start, recipe = [f"`{name}`", f"{minutes:g}", seed], [facts.recipe, facts.figures]
            try:
                data = options.splits / name / "train"
                summary = train(data, folder, facts.channels, minutes, seed, *options.more)
                done = summary["training"]
                spent = [done["validated_step"], f"{done['elapsed_s'] / 60:.1f}"]
                scores = score_test_part(options.splits, name, folder / "run", folder)
                rows.append([*start, *spent, *columns(scores), *recipe])
                if facts.given_nuclei:
                    nuclei = f"nuclei={options.splits / name / 'test' / 'nuclei'}"
                    scores = score_test_part(options.splits, name, folder / "run", folder / "given_nuclei", nuclei)
                    rows.append([f"`{name}`, published nuclei", *start[1:], *spent, *columns(scores), *recipe])
            except StepFailed as error:
                failures += 1
                rows.append([*start, None, None, *failed(error, len(HEADER)), *recipe])
    header = ("set", "minutes", "seed", "steps", "minutes spent", *HEADER, "hand-made recipe", "its figures")
    write_table(options.output / "all_sets.md", header, rows)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
