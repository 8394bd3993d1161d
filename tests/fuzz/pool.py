"""Cases shared among worker processes; one that hangs or dies is a fault of the case that it had."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.formats import FORMATS
from tests.fuzz.worker import MOST_SECONDS, Outcome, serve

Case = tuple[str, str]  # name of a format, seed
# Longer than a case may take: the machine may be busy. The worker reports what took longer.
_MOST_WAIT_S = 4 * MOST_SECONDS
_START_S = 120  # of a worker with its imports, and of the first reading of a format, which compiles


def cases(count: int, seed: int, part: int = 0, parts: int = 1) -> list[Case]:
    """`count` cases, the formats in turn; of several parts, one has its share of the formats."""
    names = [one.name for i, one in enumerate(FORMATS) if i % parts == part]
    share = count // parts + (part < count % parts)
    return [(names[i % len(names)], f"{seed}.{i // len(names)}") for i in range(share)]


def outcomes(wanted: Sequence[Case], workers: int = 1, keep: str | None = None) -> Iterator[tuple[Case, Outcome]]:
    """Run cases; yields each with its outcome.

    Args:
        wanted: the cases.
        workers: number of processes.
        keep: folder for the inputs that end in a fault.
    """
    # A worker has some formats, all cases of one in a row: less to warm up.
    ordered = sorted(wanted)
    shares = [[case for i, case in enumerate(ordered) if i * workers // len(ordered) == n] for n in range(workers)]
    with ThreadPoolExecutor(workers) as threads:
        for found in threads.map(lambda share: list(_one_worker(share, keep)), shares):
            yield from found


def _one_worker(wanted: Sequence[Case], keep: str | None) -> Iterator[tuple[Case, Outcome]]:
    worker = _Worker(keep)
    try:
        for case in wanted:
            outcome = worker.run(case)
            if outcome.kind in ("hang", "died"):
                worker.kill()
                worker = _Worker(keep)
            yield case, outcome
    finally:
        worker.kill()


class _Worker:
    def __init__(self, keep: str | None):
        context = multiprocessing.get_context("spawn")  # JAX has threads, which a fork would lose
        self._connection, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, keep), daemon=True)
        self._process.start()
        other.close()

    def run(self, case: Case) -> Outcome:
        damage = "not begun"
        try:
            self._connection.send(case)
            if not self._connection.poll(_START_S):
                return Outcome("hang", "the undamaged sample was not read", damage)
            damage = self._connection.recv()
            if isinstance(damage, Outcome):
                raise RuntimeError(f"{case[0]}: the undamaged sample cannot be read: {damage.detail}")
            if not self._connection.poll(_MOST_WAIT_S):
                return Outcome("hang", f"no end after {_MOST_WAIT_S} s", damage, _MOST_WAIT_S)
            return self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(5)
            return Outcome("died", f"exit code {self._process.exitcode} ({error!r})", damage)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()
