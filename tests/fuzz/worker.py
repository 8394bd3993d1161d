"""A process that damages files and reads them, case by case, and measures time and memory of each."""

import contextlib
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.formats import BY_NAME, Format

MOST_SECONDS = 10
MOST_BYTES = 2 << 30
_LONGEST_LINE = 2000
GOOD = ("read", "one line")


@dataclass(frozen=True)
class Outcome:
    """How reading one damaged input ended.

    Attributes:
        kind: "read", "one line", or a fault: "traceback", "several lines", "no name", "memory", "hang",
            "died". "refused" if the undamaged sample is.
        detail: the line or the traceback.
        damage: what was done to which file.
        seconds: processor time of reading.
        peak: most bytes of memory while reading, beyond those of the process before.
    """

    kind: str
    detail: str = ""
    damage: str = ""
    seconds: float = 0.0
    peak: int = 0


def serve(connection: Connection, keep: str | None) -> None:
    """Answer (format, seed) with an `Outcome` until None comes.

    Args:
        connection: to the process that began this one.
        keep: folder for inputs that end in a fault.
    """
    warnings.simplefilter("ignore")
    _silence()
    with tempfile.TemporaryDirectory(prefix="fuzz") as place:
        samples: dict[str, Path] = {}
        while (request := connection.recv()) is not None:
            name, seed = request
            one = BY_NAME[name]
            if name not in samples:  # the first reading of an undamaged sample imports and compiles
                samples[name] = Path(place, f"sample_{len(samples)}")
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                samples[name].mkdir()
                one.make(samples[name])
                try:
                    _warm(one, samples[name])
                except Exception:
                    connection.send(Outcome("refused", traceback.format_exc()))
                    return
                _limit()
            case = Path(place, "case")
            shutil.rmtree(case, ignore_errors=True)
            shutil.copytree(samples[name], case)
            file, said = one.damage(random.Random(f"{name} {seed}"), case)
            damage = f"{file.relative_to(case)}: {said}"
            connection.send(damage)
            outcome = _read(one, case, file, damage)
            connection.send(outcome)
            if outcome.kind not in GOOD and keep is not None:
                _keep(case, Path(keep, f"{name.replace(' ', '_').replace(',', '')}_{seed}"), outcome)


def _silence() -> None:
    """Send what readers print to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            os.dup2(nowhere, stream.fileno())
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _warm(one: Format, sample: Path) -> None:
    trial = sample.with_name("trial")
    for read in one.read:
        shutil.copytree(sample, trial)
        reason = read(trial)
        assert reason is None, f"{one.name}: the undamaged sample is refused: {reason}"
        shutil.rmtree(trial)


def _limit() -> None:
    """Let the process have 2 GB more than it has now: what needs more fails where it is claimed."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MOST_BYTES, resource.RLIM_INFINITY))


def _read(one: Format, case: Path, file: Path, damage: str) -> Outcome:
    # Of the processor: other programs may keep it busy. The process that began this one watches for what only waits.
    start, before = time.process_time(), _reset_peak()
    kind, detail = "read", ""
    for read in one.read:
        try:
            found = _judged_line(read(case), one, case, file)
        except Exception as error:
            found = _judged(error, one, case, file)
        if found[0] not in GOOD or kind == "read":
            kind, detail = found
        if kind not in GOOD:
            break
    peak = max(_peak() - before, 0)
    seconds = time.process_time() - start
    if kind in GOOD and peak > MOST_BYTES:
        kind, detail = "memory", f"{peak} bytes; {detail}"
    if kind in GOOD and seconds > MOST_SECONDS:
        kind, detail = "hang", f"{seconds:.1f} s; {detail}"
    return Outcome(kind, detail, damage, seconds, peak)


def _judged(error: Exception, one: Format, case: Path, file: Path) -> tuple[str, str]:
    from cellflax.config_errors import error_line

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "memory", "".join(traceback.format_exception(error))
        cause = cause.__cause__ or cause.__context__
    line = error_line(error)
    if line is None:
        return "traceback", "".join(traceback.format_exception(error))
    return _judged_line(line, one, case, file)


def _judged_line(line: str | None, one: Format, case: Path, file: Path) -> tuple[str, str]:
    if line is None:
        return "read", ""
    if "\n" in line or len(line) > _LONGEST_LINE or not line.isprintable():
        return "several lines", line[:_LONGEST_LINE]
    # A missing file is missed in its folder.
    if not one.by_key and file.name not in line and str(case) not in line:
        return "no name", line
    return "one line", line


def _keep(case: Path, place: Path, outcome: Outcome) -> None:
    shutil.rmtree(place, ignore_errors=True)
    for file in case.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.stat().st_size < 1 << 26:
            target = place / file.relative_to(case)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    place.mkdir(parents=True, exist_ok=True)
    (place / "outcome.txt").write_text(f"{outcome.kind}\n{outcome.damage}\n{outcome.detail}\n", errors="replace")


def _reset_peak() -> int:
    """Begin to measure the peak of memory; returns what the process has now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
