"""One process at a time writes to a directory: a second one is refused in one line that names the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellflax.errors import UserError
from cellflax.locks import Lock, LockedError
from cellflax.progress import say


@contextmanager
def directory_lock(directory: Path, command: str, key: str = "output", name: str = "cellflax") -> Iterator[None]:
    """Hold a directory; the lock ends with this process, however it ends, and what it leaves is taken over.

    The lock is the hidden file `.<name>.lock` in the directory, which is removed at the end. On a file system without
    locks a line says so, and nothing else is done: the user has to see to it.

    Args:
        directory: where this process writes; it exists.
        command: the command that writes, such as "train".
        key: the argument's name, for errors.
        name: locks of different names do not exclude each other.

    Raises:
        UserError: if another process holds it, or it cannot be written to.
    """
    try:
        lock = Lock.take(directory / f".{name}.lock", command)
    except LockedError as error:
        raise UserError(
            f"{key}={directory}: {error} is writing there; wait until it has ended, or give another directory"
        ) from error
    except OSError as error:
        raise UserError(f"{key}={directory}: cannot be written to ({error.strerror}); give another") from error
    with lock:
        if not lock.is_exclusive:
            say(
                f"note: {directory} is on a file system without locks; start no other cellflax {command} there before "
                "this one has ended"
            )
        yield
