"""The hidden folder of a run that is under way, or of one that was killed: whose it is, and whether it is still in use.

A run holds a lock on a file in its folder for as long as it lives, so that no other run takes the folder up or removes
it. The system gives the lock back when a process ends, however it ends.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

UNFINISHED = ".unfinished."  # begins the name of the folder
_LOCK = "run.lock"


class Unfinished:
    """A hidden folder that this process holds the lock of.

    Attributes:
        path: the folder.
        results: folder within it for the files that will be published.
    """

    def __init__(self, path: Path, lock: int):
        self.path, self.results, self._lock = path, path / "results", lock

    @classmethod
    def make(cls, target: Path, command: str) -> Self:
        """Make a folder in a directory.

        Raises:
            OSError: if it cannot be made.
        """
        while True:
            path = Path(tempfile.mkdtemp(dir=target, prefix=UNFINISHED))
            try:
                lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:  # another run took the empty folder for one that was left behind
                continue
            with suppress(OSError):  # a file system without locks: no other run will get one either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not (path / _LOCK).exists():
                os.close(lock)
                continue
            os.write(lock, _mark(command))
            folder = cls(path, lock)
            folder.results.mkdir()
            return folder

    @classmethod
    def claim(cls, path: Path, command: str) -> Self | None:
        """Take a folder that a run of a command left behind; None if it is in use, or of another origin.

        No run makes links. A folder that holds some is from elsewhere: what they point to would be written or removed.

        Raises:
            BlockingIOError: if a living run of this command uses it.
        """
        if path.is_symlink() or any(file.is_symlink() for file in path.rglob("*")):
            return None
        try:
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return None
        mark = b""
        try:
            mark = os.read(lock, 100)
            ours = mark == _mark(command) or (not mark and os.listdir(path) == [_LOCK])
            if ours:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return cls(path, lock)
        except BlockingIOError:
            os.close(lock)
            if not mark:  # of a run that begins this moment, of whatever command
                return None
            raise
        except OSError:  # a file system without locks: whether it is in use is unknown
            pass
        os.close(lock)
        return None

    def release(self) -> None:
        """Leave the folder as it is, for a run that takes it up."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def remove(self) -> None:
        """Remove the folder with all that it holds, if that has not been done."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            self.release()


def left_behind(target: Path, command: str) -> list[Unfinished]:
    """Take all folders that runs of a command left behind in a directory; empty ones are removed.

    Raises:
        BlockingIOError: if a living run of this command uses one.
    """
    found: list[Unfinished] = []
    try:
        for path in sorted(target.glob(f"{UNFINISHED}*")):
            with suppress(OSError):  # of a run that was killed as it began
                path.rmdir()
                continue
            folder = Unfinished.claim(path, command)
            if folder is not None:
                found.append(folder)
    except BlockingIOError:
        for folder in found:
            folder.release()
        raise
    return found


def _mark(command: str) -> bytes:
    return f"cellflax {command}\n".encode()
