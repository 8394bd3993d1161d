"""Commands in processes of their own, with the time and memory that the operating system counts for them."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Used:
    """What commands took that ran at the same time.

    Attributes:
        seconds: elapsed time until the last one ended.
        core_seconds: processor time of all, summed over threads.
        peak_mb: largest resident memory of any one.
    """

    seconds: float
    core_seconds: float
    peak_mb: float

    def __add__(self, later: "Used") -> "Used":
        """What commands took that ran one after the other."""
        peak = max(self.peak_mb, later.peak_mb)
        return Used(self.seconds + later.seconds, self.core_seconds + later.core_seconds, peak)


def run_at_once(*commands: Sequence[str], environment: Mapping[str, str] | None = None) -> Used:
    """Run `python -m COMMAND ...` for each, at the same time; end the benchmark if one fails.

    Args:
        commands: the module and its arguments.
        environment: variables of all of them, beside those of this process.
    """
    began = time.perf_counter()
    variables = {**os.environ, **(environment or {})}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *command], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for command in commands
    ]
    core_s, peak_mb = 0.0, 0.0
    for command, process in zip(commands, processes, strict=True):
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # which Popen does not know by itself
        if process.returncode:
            for other in processes:
                other.kill()
            sys.exit(f"{' '.join(command)} ended with status {process.returncode}")
        core_s += used.ru_utime + used.ru_stime
        peak_mb = max(peak_mb, used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10))
    return Used(time.perf_counter() - began, core_s, peak_mb)
