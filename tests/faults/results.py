"""Commands that end early, again and again: what they leave, and whether the next run makes the same bytes.

    python -m tests.faults.results 100 --seed 1 --only predict

prints a line per command and fault, and exits with status 1 if a trial was wrong. Before the trials, each command runs
undisturbed; all others are compared with that run.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.contents import RECORDS, contents, files_in
from tests.faults.forked import Ended, Fault, Forked

KINDS = (
    *("kill", "terminate", "full", "denied", "limit", "random kill", "random terminate", "small disk"),
    "kill and truncate",
)
_CUT = "kill and truncate"  # what was written last then loses its second half
_SIGNALS = {"random kill": signal.SIGKILL, "random terminate": signal.SIGTERM}  # anywhere, also within libraries
_DISK = "small disk"  # a file system in memory, as libraries in C++ see it; only root can mount it
_STATUS = {"kill": -9, _CUT: -9, "random kill": -9, "terminate": 143, "random terminate": 143}  # else 1
_PAGE = 4096
_LOG_BYTES = 2048  # of what a command prints, which the limit on files concerns, too


@dataclass(frozen=True)
class Scenario:
    """A command on small inputs.

    Attributes:
        name: of the command.
        module: has `main`.
        make: writes the inputs to a folder, and gives the arguments but `output`.
        again: arguments that let it run again where it was ended, beside `overwrite=true` if there is a record.
        kept: whether finished images are kept when it is ended.
        is_set: whether it writes a set of results, with a record.
    """

    name: str
    module: str
    make: Callable[[Path], list[str]]
    again: tuple[str, ...] = ()
    kept: bool = False
    is_set: bool = True


class Harness:
    """A scenario with its undisturbed run, and trials of it.

    Args:
        scenario: what is run.
        folder: new folder for all of it.
        commands: the process that runs it.

    Attributes:
        uses: number of uses of files of the undisturbed run.
        lines: the lines of errors so far.
    """

    def __init__(self, scenario: Scenario, folder: Path, commands: Forked):
        self.scenario, self._commands, self.output = scenario, commands, folder / "out"
        self._arguments = [*scenario.make(folder), f"output={self.output}"]
        self.lines: list[str] = []
        whole = self._run(Fault())
        assert (whole.status, whole.errors) == (0, []), whole.text
        self.uses, self._seconds = whole.uses, whole.seconds
        self._reference = contents(self.output)
        assert self._reference, "the command wrote nothing"
        shutil.rmtree(self.output)

    def trial(self, kind: str, part: float) -> str | None:
        """Let a fault happen, run the command again, and remove all that it wrote.

        Args:
            kind: one of `KINDS`.
            part: when it happens, or how large files may be, as a part of the undisturbed run.

        Returns:
            What was wrong; None if nothing was.
        """
        try:
            ended = self._disturbed(kind, part)
            self.lines += ended.errors
            wrong = self._wrong_end(kind, ended) or self._wrong_files(ended)
            if kind == _DISK:
                _mount(self.output, "remount,size=1g")  # there is room now
            if kind == _CUT:
                _truncate_newest(self.output)
            return f"{wrong}; it said: {ended.text[-600:]}" if wrong else self._wrong_after(may_refuse=kind == _CUT)
        finally:
            if kind == _DISK:
                subprocess.run(["umount", self.output], check=True)
            shutil.rmtree(self.output, ignore_errors=True)

    def _disturbed(self, kind: str, part: float) -> Ended:
        if kind == _DISK:
            self.output.mkdir()
            pages = 1 + int(part * 2 * sum(-(-len(content) // _PAGE) + 1 for content in self._reference.values()))
            _mount(self.output, f"size={pages * _PAGE}")
        if kind in _SIGNALS:

            def kill_later(pid: int) -> None:
                time.sleep(part * self._seconds)
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(pid, _SIGNALS[kind])

            return self._run(Fault(), kill_later)
        if kind == "limit":
            sizes = sorted(len(content) for content in self._reference.values())
            return self._run(Fault(kind, max(_LOG_BYTES, int(part * sizes[-1]))))
        fault = {_DISK: "none", _CUT: "kill"}.get(kind, kind)
        return self._run(Fault(fault, 1 + int(part * self.uses)))

    def _run(self, fault: Fault, meanwhile: Callable[[int], None] | None = None, *more: str) -> Ended:
        arguments = [*self._arguments, *more]
        return self._commands.run(self.scenario.module, arguments, self.output, fault, meanwhile)

    def _wrong_end(self, kind: str, ended: Ended) -> str | None:
        """Status and lines."""
        if "Traceback" in ended.text:
            return "a traceback"
        if ended.status == 0:  # it was done already, or went on without what it could not write
            return None if not ended.errors else "status 0 with an error"
        status = _STATUS.get(kind, 1)
        if ended.status != status:
            return f"status {ended.status}, not {status}"
        return None if len(ended.errors) == (status > 0) else f"{len(ended.errors)} lines of errors"

    def _wrong_files(self, ended: Ended) -> str | None:
        """Every file that is visible is whole, and the record says whether they are all."""
        there = contents(self.output)
        if not self.scenario.is_set:
            return None
        visible = {name: content for name, content in there.items() if not name.startswith(".")}
        records = [json.loads(content) for name, content in visible.items() if name.startswith(RECORDS)]
        complete = bool(records) and records[0]["complete"]
        if ended.status == 0 and "report.html is not written" in ended.text:  # of which a note is enough
            return None if complete else "status 0 without a complete record"
        if ended.status == 0 and not complete:
            return "status 0 without a complete record"
        if visible and not records:
            return f"files without a record: {sorted(visible)}"
        if complete:
            return self._difference(visible)
        for name, content in visible.items():
            if not name.startswith(RECORDS) and ".partial." not in name and content != self._reference.get(name):
                return f"{name} is not whole, and the record is not complete"
        return None

    def _wrong_after(self, may_refuse: bool) -> str | None:
        """A second, undisturbed run makes what the undisturbed run made, and leaves nothing hidden.

        Args:
            may_refuse: whether it may refuse in one line, instead, what was damaged after it had appeared.
        """
        more = self.scenario.again if self.scenario.kept else ()
        published = any(path.name.startswith(RECORDS) for path in self.output.glob("*"))
        if published and not self.scenario.kept:
            more = ("overwrite=true",)
        again = self._run(Fault(), None, *more)
        if may_refuse and again.status == 1 and len(again.errors) == 1 and "Traceback" not in again.text:
            self.lines += again.errors
            return None
        if again.status != 0:
            return f"the next run: status {again.status}: {again.text[-600:]}"
        return self._difference(contents(self.output))

    def _difference(self, there: dict[str, bytes]) -> str | None:
        for name in sorted({*there, *self._reference}):
            if name not in there or name not in self._reference:
                return f"{name} is {'missing' if name not in there else 'left behind'}"
            if there[name] != self._reference[name]:
                return f"{name} differs from the undisturbed run"
        return None


def _truncate_newest(folder: Path) -> None:
    """Cut off the second half of the file that was written last."""
    files = [path for path in files_in(folder) if path.stat().st_size and not path.name.endswith(".lock")]
    if files:
        newest = max(files, key=lambda path: path.stat().st_mtime_ns)
        os.truncate(newest, newest.stat().st_size // 2)


def can_mount(folder: Path) -> bool:
    """Whether this process can mount a file system in memory."""
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        _mount(place, "size=64k")
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", place], check=True)
    return True


def _mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, capture_output=True)


@contextmanager
def harness(scenario: Scenario, folder: Path, commands: Forked) -> Iterator[Harness]:
    """A scenario in a folder of its own, which is removed at the end."""
    place = Path(tempfile.mkdtemp(dir=folder, prefix=f"{scenario.name}."))
    try:
        yield Harness(scenario, place, commands)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    """Try faults, and print what came of them."""
    from tests.faults.scenarios import SCENARIOS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=int, help="of each command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--lines", action="store_true", help="print what the commands say")
    given = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if not given.only or scenario.name in given.only]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, Forked(Path(folder), sorted({s.module for s in chosen})) as commands:
        kinds = [kind for kind in given.kinds if kind != _DISK or can_mount(Path(folder))]
        for scenario in chosen:
            draw = random.Random(f"{given.seed} {scenario.name}")
            count, faults = defaultdict(int), defaultdict(list)
            with harness(scenario, Path(folder), commands) as tried:
                for number in range(given.trials):
                    kind, part = kinds[number % len(kinds)], draw.random()
                    count[kind] += 1
                    found = tried.trial(kind, part)
                    if given.lines:
                        print(kind, *tried.lines, sep="\n  ", flush=True)
                    tried.lines.clear()
                    if found:
                        faults[kind].append(f"{part:.4f}: {found}")
            for kind, n in count.items():
                print(f"| {scenario.name} | {kind} | {n} | {n - len(faults[kind])} |", flush=True)
            for kind, lines in faults.items():
                wrong += len(lines)
                for line in lines:
                    print(f"WRONG {scenario.name} {kind} {line}", flush=True)
    print(f"{wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
