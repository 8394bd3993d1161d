"""Trainings that are killed, stopped, robbed of disk and rights, damaged, and doubled; each is resumed to its end.

    python -m tests.faults.kill_trainings --kills 100 --seed 1

First, one training is left alone. Then trainings of the same settings have a fault at a random moment: while they
start, as they run, or as they write a checkpoint. Each is started again, with a fault of its own, until it is done, and
must then be bit for bit what the first one is. `--kills` counts the faults that met a running process. A table is
printed at the end, or at Ctrl-C. The exit status is 1 if anything was wrong, and the folder then stays.

"full" needs a user who may mount a small disk, and is left out where that is not so.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.commands import Result
from tests.faults.refusals import filled, limit_files, small_disk, without_rights
from tests.faults.trainings import (
    Running,
    Wrong,
    follow_remedy,
    newest,
    owner_named,
    require_one_line,
    require_same_training,
    require_whole_checkpoints,
    spoil_last,
)

_DISK_MB = 48
_MOMENTS = ("starting", "running", "running", "saving", "saving")
_MOST_STARTS = 60  # of one training
_MOST_S = 120  # that a training takes to end after a fault, also beside other work


@dataclass
class Campaign:
    """Faults that were tried.

    Attributes:
        rng: chooses faults and moments.
        disk: a disk that can be filled; None without one.
        start_s: how long a start takes.
        met: by fault and moment, how many met a running process.
        ended: by fault, how the processes ended.
        resumed: trainings that ended as one that was left alone.
        log_was_damaged: whether `cut` met the log of the training.
    """

    rng: random.Random
    disk: Path | None
    start_s: float = 1.0
    met: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended: dict[str, Counter[str]] = field(default_factory=dict)
    resumed: int = 0
    log_was_damaged: bool = False

    def note(self, kind: str, words: str) -> None:
        self.ended.setdefault(kind, Counter())[words] += 1


def kill(campaign: Campaign, running: Running) -> Result:
    running.signal(signal.SIGKILL)
    return running.finish()


def cut(campaign: Campaign, running: Running) -> Result:
    """A kill, after which what was written last is damaged."""
    result = kill(campaign, running)
    path = spoil_last(running.run, campaign.rng)
    campaign.log_was_damaged |= path is not None and path.name == "metrics.jsonl"
    campaign.note("cut", f"damaged: {'nothing' if path is None else _kind_of(path)}")
    return result


def terminate(campaign: Campaign, running: Running) -> Result:
    running.signal(signal.SIGTERM)
    return running.finish()


def interrupt(campaign: Campaign, running: Running) -> Result:
    running.signal(signal.SIGINT)
    return running.finish()


def full(campaign: Campaign, running: Running) -> Result:
    assert campaign.disk is not None
    with filled(campaign.disk, campaign.rng.choice([0, campaign.rng.randrange(200_000)])):
        return running.finish()


def limit(campaign: Campaign, running: Running) -> Result:
    limit_files(running.process, campaign.rng.choice([0, campaign.rng.randrange(20_000)]))
    return running.finish()


def rights(campaign: Campaign, running: Running) -> Result:
    with without_rights(running.run):
        return running.finish()


def second(campaign: Campaign, running: Running) -> Result:
    """Another process in the same run directory, which must be refused."""
    other = Running.start(running.run).finish()
    if running.process.poll() is None and not (other.status == 1 and owner_named(other, running)):
        raise Wrong(f"the second process was not refused: status {other.status}, {other.err[-300:]}")
    result = running.finish()
    if result.status != 0:
        raise Wrong(f"a second process disturbed the first: {result.err[-300:]}")
    return result


FAULTS: dict[str, Callable[[Campaign, Running], Result]] = {
    each.__name__: each for each in (kill, cut, terminate, interrupt, full, limit, rights, second)
}
_STATUS = {"kill": {-9}, "cut": {-9}, "terminate": {0, 143}, "interrupt": {0, 130}, "second": {0}}
_SHARES = {"kill": 8, "cut": 3, "terminate": 2, "interrupt": 2, "full": 3, "limit": 2, "rights": 2, "second": 1}


def _kind_of(path: Path) -> str:
    return "arrays" if "state" in path.parts else path.name.lstrip(".").split(".")[0]


def try_fault(campaign: Campaign, run: Path, kind: str, moment: str) -> bool:
    """Start a training, or resume it, and let something happen to it; whether it has ended regularly.

    Raises:
        Wrong: if what the process says, or what it leaves, is not as it must be.
    """
    before = newest(run)
    with Running.start(run) as running:
        return _try_fault(campaign, running, kind, moment, before)


def _try_fault(campaign: Campaign, running: Running, kind: str, moment: str, before: int) -> bool:
    run = running.run
    in_time = running.wait(campaign.rng, moment, campaign.start_s)
    if in_time and kind in ("rights", "second") and not (run / ".cellflax.lock").exists():
        in_time = False  # there is no directory yet, or nobody holds it
    if in_time:
        campaign.met[kind, moment] += 1
        began = time.monotonic()
        result = FAULTS[kind](campaign, running)
        if result.status and (took := time.monotonic() - began) > _MOST_S:
            raise Wrong(f"{kind} took {took:.0f} s to end it: {result.err[-500:]}")
    else:
        result = running.finish()
    # After its last line, Python takes a second to end, in which it handles no signal any more.
    done = kind == "terminate" and result.status == -signal.SIGTERM and result.out == f"run: {run}\n"
    damaged = not in_time and result.status == 1 and follow_remedy(result)
    if not damaged:
        require_one_line(result, run)
        if not in_time and result.status != 0:
            raise Wrong(f"a start without a fault ended with status {result.status}: {result.err[-500:]}")
        if in_time and result.status not in _STATUS.get(kind, {0, 1}) and not done:
            raise Wrong(f"{kind} ended with status {result.status}: {result.err[-500:]}")
    if in_time:
        campaign.note(kind, f"status {result.status}")
    if kind != "cut":
        require_whole_checkpoints(run)
        if newest(run) < before and not damaged:
            raise Wrong(f"the checkpoint of step {before} is gone")
    return result.status == 0 or done


def train_through(campaign: Campaign, run: Path, whole: Path, kinds: Sequence[str], count: int) -> None:
    """Train with faults until `count` of them met, or it is done; then to the end, and compare.

    Raises:
        Wrong: as `try_fault`, and if the end differs from that of the training that was left alone.
    """
    target, campaign.log_was_damaged = campaign.met.total() + count, False
    for _ in range(_MOST_STARTS):
        if campaign.met.total() >= target:
            break
        kind = campaign.rng.choices(kinds, [_SHARES[kind] for kind in kinds])[0]
        if try_fault(campaign, run, kind, campaign.rng.choice(_MOMENTS)):
            break
    for _ in range(4):  # damage of several files is told one by one
        result = Running.start(run).finish()
        if result.status == 0:
            break
        if not follow_remedy(result):
            raise Wrong(f"cannot be resumed: {result.err[-500:]}")
        campaign.note("cut", "refused with a remedy, which was followed")
    require_same_training(run, whole, campaign.log_was_damaged)
    campaign.resumed += 1


def campaign_of(folder: Path, kills: int, seed: int, kinds: Sequence[str]) -> tuple[Campaign, list[str]]:
    """Try faults; what was tried, and what was wrong."""
    wrong: list[str] = []
    with small_disk(folder / "disk", _DISK_MB) as disk:
        campaign = Campaign(random.Random(seed), disk)
        kinds = [kind for kind in kinds if kind != "full" or disk is not None]
        whole, place = folder / "alone", disk or folder
        began = time.monotonic()
        with Running.start(whole) as alone:
            alone.wait(campaign.rng, "running", 0)
            campaign.start_s = 1.2 * (time.monotonic() - began)
            if (result := alone.finish()).status != 0:
                raise SystemExit(f"the training that is left alone ended with status {result.status}: {result.err}")
        number = 0
        while campaign.met.total() < kills and len(wrong) < 5:
            run, number = place / f"run{number}", number + 1
            try:
                train_through(campaign, run, whole, kinds, min(kills - campaign.met.total(), 12))
            except KeyboardInterrupt:
                break
            except Wrong as error:
                wrong.append(f"{run}: {error}")
                print(wrong[-1], file=sys.stderr)
                shutil.copytree(run, folder / f"wrong{number}", ignore_dangling_symlinks=True)
            shutil.rmtree(run, ignore_errors=True)
            print(f"{campaign.met.total()} faults, {campaign.resumed} trainings, {len(wrong)} wrong", file=sys.stderr)
    return campaign, wrong


def table(campaign: Campaign) -> str:
    """What was tried, as Markdown."""
    rows = ["| fault | starting | running | saving | how it ended |", "|---|---|---|---|---|"]
    for kind in FAULTS:
        counts = [campaign.met[kind, moment] for moment in ("starting", "running", "saving")]
        ends = ", ".join(f"{words}: {count}" for words, count in sorted(campaign.ended.get(kind, Counter()).items()))
        rows.append(f"| {kind} | {' | '.join(map(str, counts))} | {ends} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="faults that shall meet a running process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(FAULTS), help="kinds of faults, with commas between them")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cellflax_faults."))
    # Programs run for moments here: they are compiled once, for all starts.
    os.environ |= {"CELLFLAX_CACHE": str(folder / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"
    campaign, wrong = campaign_of(folder, given.kills, given.seed, given.only.split(","))
    print(table(campaign))
    print(f"\n{campaign.met.total()} faults in {campaign.resumed} trainings, all bit for bit as one left alone")
    for line in wrong:
        print(f"WRONG: {line}")
    if wrong:
        sys.exit(f"what is left is in {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
