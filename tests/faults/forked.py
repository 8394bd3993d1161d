"""Commands in processes of their own, forked from one that has imported them: no trial waits for imports.

A trial can have a fault: something that happens at its n-th use of a file below a directory. Python reports these uses
to audit hooks before they happen. What libraries in C++ write (TensorStore, HDF5) is not seen; small disks and kills at
random times are for those.
"""

import contextlib
import errno
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


@dataclass(frozen=True)
class Fault:
    """What happens to a command.

    Attributes:
        kind: kill (SIGKILL) or terminate (SIGTERM) at a use of a file; full (ENOSPC) or denied (EACCES), of all
            writing from that use on; limit (no file may be larger than `at` bytes); none.
        at: number of the use, from 1.
    """

    kind: str = "none"
    at: int = 0


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: exit status; negative: the signal.
        text: what it printed.
        uses: number of its uses of files below the directory.
        seconds: how long it took.
    """

    status: int
    text: str
    uses: int
    seconds: float

    @property
    def errors(self) -> list[str]:
        """Lines of errors."""
        return [line for line in self.text.splitlines() if line.startswith("error: ")]


class Forked:
    """The process that has imported the commands; a context manager.

    Args:
        folder: for its log, and the working directory of the commands.
        modules: what it imports at the start.
        environment: variables besides those of this process.
    """

    def __init__(self, folder: Path, modules: Sequence[str], environment: dict[str, str] | None = None):
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forked", *modules],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.communicate()

    def run(
        self,
        module: str,
        arguments: Sequence[object],
        watched: Path,
        fault: Fault = Fault(),
        meanwhile: Callable[[int], None] | None = None,
    ) -> Ended:
        """Run a command to its end.

        Args:
            module: has `main`.
            arguments: its command line.
            watched: directory below which uses of files are counted.
            fault: what happens to it.
            meanwhile: called with the number of the process while it runs.
        """
        log, uses = self._folder / "log", self._folder / "uses"
        given = [str(argument) for argument in arguments]
        request = {"module": module, "arguments": given, "watched": str(watched), "fault": asdict(fault)}
        start = time.monotonic()
        pid = self._ask({**request, "log": str(log), "uses": str(uses), "cwd": str(self._folder)})
        if meanwhile is not None:
            meanwhile(pid)
        status = self._ask(None)
        seconds = time.monotonic() - start
        return Ended(status, log.read_text(), len(uses.read_bytes()), seconds)

    def _ask(self, request: dict[str, Any] | None) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        if request is not None:
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
        return int(self._server.stdout.readline())


def _serve() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(request)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(request: dict[str, Any]) -> None:
    """Be the command, to the end of the process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(request["cwd"])
    sys.argv[:] = ["cellflax", *request["arguments"]]
    status = 1
    try:
        with _under(Fault(**request["fault"]), request["watched"], request["uses"]):
            importlib.import_module(request["module"]).main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)


@contextlib.contextmanager
def _under(fault: Fault, watched: str, uses: str) -> Iterator[None]:
    """Let the fault happen, and leave a byte in the file `uses` for each use."""
    counter = os.open(uses, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    state = {"uses": 0, "active": True}
    if fault.kind == "limit":  # of files; Python ignores SIGXFSZ, so that writing fails with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.at, fault.at))

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if not state["active"] or not _is_use(event, given, watched):
            return
        state["uses"] += 1
        os.write(counter, b".")
        if fault.kind in ("kill", "terminate") and state["uses"] == fault.at:
            os.kill(os.getpid(), signal.SIGKILL if fault.kind == "kill" else signal.SIGTERM)
        if fault.kind in ("full", "denied") and state["uses"] >= fault.at and event in ("open", "os.mkdir"):
            number = errno.ENOSPC if fault.kind == "full" else errno.EACCES
            raise OSError(number, os.strerror(number), str(given[0]))
        if fault.kind == "denied" and state["uses"] >= fault.at:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(given[0]))

    sys.addaudithook(hook)
    try:
        yield
    finally:
        state["active"] = False


def _is_use(event: str, given: tuple[Any, ...], watched: str) -> bool:
    """Whether an event changes something below a directory."""
    if event == "open":
        if not isinstance(given[2], int) or not given[2] & _WRITES:
            return False
    elif event not in _EVENTS:
        return False
    return isinstance(given[0], str | bytes | os.PathLike) and os.fsdecode(given[0]).startswith(watched)


if __name__ == "__main__":
    _serve()
