"""One line where JAX's C++ code ends this process in many, because another process of the training has ended.

That code prints a stack to file descriptor 2 and aborts; no Python runs any more. So a helper process, this file run as
a program, reads what is printed there: it passes on other lines, and puts one line in the place of that report.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

LOST = (
    "another process of this training has ended, so this one ends, too; see what the other said, and start all of them "
    "again with the same run=... to resume"
)
_PATIENCE_S = 2
_MARK = b"\x1ccellflax "
# How the lines begin, or what is in them, that JAX's service prints before it ends a process, and Gloo at the start.
_NOISE = (b"coordination_service", b"preemption_sync_manager", b"JAX distributed service", b"GRPC error", b"[Gloo]")
_END = b"JAX distributed service detected fatal errors"
_FROM_THEN_ON = (b"coordination_service", b"preemption_sync_manager")


@contextlib.contextmanager
def one_line_for_lost_process(index: int, joining: str) -> Iterator[Callable[[str | None], None]]:
    """Let what C++ code prints go through the helper; Python prints as before.

    Args:
        index: number of this process.
        joining: the line that is printed until another one is told.

    Yields:
        A function that tells the helper which line to print, or with None to print it now.
    """
    sys.stderr.flush()
    screen, stderr = os.dup(2), sys.stderr
    helper = subprocess.Popen([sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE)
    assert helper.stdin is not None
    os.dup2(helper.stdin.fileno(), 2)
    helper.stdin.close()

    def tell(line: str | None) -> None:
        os.write(2, _MARK + (b"" if line is None else f"error: process {index}: {line}".encode()) + b"\n")

    sys.stderr = open(screen, "w", buffering=1, encoding=stderr.encoding, errors="backslashreplace")  # noqa: SIM115
    tell(joining)
    yield tell  # after an error all stays as it is: what C++ code then prints is of no use either
    os.dup2(screen, 2)
    sys.stderr.close()
    sys.stderr = stderr
    with contextlib.suppress(subprocess.TimeoutExpired):  # W&B's processes may keep the pipe open
        helper.wait(_PATIENCE_S)


def _pass_on(lines: Iterator[bytes], write: Callable[[bytes], object]) -> None:
    """Pass lines on until the report of a lost process, in whose place the line goes that was told."""
    instead, ending = b"", False
    for line in lines:
        if line.startswith(_MARK):
            told = line.removeprefix(_MARK)
            if told.strip():
                instead = told
                continue
            write(instead)
            return
        if _END in line:
            write(instead)
            return
        ending = ending or any(name in line for name in _FROM_THEN_ON)
        if not ending and not any(name in line for name in _NOISE):
            write(line)


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # of the whole group; this one ends with its parent
        signal.signal(number, signal.SIG_IGN)
    lines = sys.stdin.buffer

    def write(line: bytes) -> None:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()

    _pass_on(iter(lines.readline, b""), write)
    for _ in iter(lines.readline, b""):  # until the parent has ended: it must not find the pipe closed
        pass


if __name__ == "__main__":
    _main()
