"""Read damaged files of every format: `python -m tests.fuzz 20000 --seed 1`.

Prints how many ended in which way, by format, and exits with status 1 if one ended neither in a result nor in one
line, within 10 s and 2 GB. Such inputs are kept in a folder, with their damage and what was said. `--only TIFF` takes
the formats whose names contain a word; `--case 'TIFF, grey' 1.7` repeats one case.
"""

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from tests.fuzz.formats import FORMATS
from tests.fuzz.pool import Case, cases, outcomes
from tests.fuzz.worker import GOOD, Outcome


def main() -> int:
    parser = argparse.ArgumentParser(description="Read damaged files of every format that cellflax reads.")
    parser.add_argument("count", type=int, nargs="?", default=1000, help="number of damaged files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", default="fuzz_faults", help="folder for inputs that end in a fault")
    parser.add_argument("--only", default="", help="formats whose names contain this")
    parser.add_argument("--case", nargs=2, metavar=("FORMAT", "SEED"), help="repeat one case")
    given = parser.parse_args()
    wanted: list[Case] = [tuple(given.case)] if given.case else []
    if not wanted:
        names = [one.name for one in FORMATS if given.only.lower() in one.name.lower()]
        every = [case for case in cases(given.count * len(FORMATS) // len(names), given.seed) if case[0] in names]
        wanted = every[: given.count]
    start = time.monotonic()
    found = []
    for one in outcomes(wanted, min(given.workers, len(wanted)), str(Path(given.keep).resolve())):
        found.append(one)
    print(table(found))
    faults = [(case, outcome) for case, outcome in found if outcome.kind not in GOOD]
    for (name, seed), outcome in faults[:50]:
        last = (outcome.detail.strip().splitlines() or [""])[-1]
        print(f"{outcome.kind}: --case '{name}' {seed}: {outcome.damage[:120]}: {last[:300]}")
    minutes = (time.monotonic() - start) / 60
    print(f"{len(found)} damaged files in {minutes:.1f} minutes, {len(faults)} faults")
    if given.case:
        print(found[0][1].detail or found[0][1].kind)
    elif faults:
        print(f"inputs that ended in a fault: {given.keep}")
    return 1 if faults else 0


def table(found: list[tuple[Case, Outcome]]) -> str:
    """Counts by format and outcome, with the longest time and the highest peak, as Markdown."""
    kinds = [*GOOD, *sorted({outcome.kind for _, outcome in found} - set(GOOD))]
    by_format: dict[str, list[Outcome]] = defaultdict(list)
    for (name, _), outcome in found:
        by_format[name].append(outcome)
    rows = [f"| format | files | {' | '.join(kinds)} | longest, s | most memory, MB |", "|" + "---|" * (len(kinds) + 4)]
    for name, ended in (*by_format.items(), ("all", [outcome for _, outcome in found])):
        counts = Counter(outcome.kind for outcome in ended)
        longest, most = max(outcome.seconds for outcome in ended), max(outcome.peak for outcome in ended) / 1e6
        numbers = " | ".join(str(counts[kind]) for kind in kinds)
        rows.append(f"| {name} | {len(ended)} | {numbers} | {longest:.1f} | {most:.0f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
