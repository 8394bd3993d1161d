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
_MARK = "cellflax "  # begins what is in that file; then comes the command


class Unfinished:
    """A hidden folder that this process holds the lock of.

    Attributes:
        path: the folder.
        results: folder within it for the files that will be published.
        command: of which it is a run; empty for one that was killed before it wrote that.
    """

    def __init__(self, path: Path, lock: int, command: str):
        self.path, self.results, self.command, self._lock = path, path / "results", command, lock

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
            folder = cls(path, lock, command)
            try:
                os.write(lock, f"{_MARK}{command}\n".encode())
                folder.results.mkdir()
            except BaseException:  # a full disk
                folder.remove()
                raise
            return folder

    @classmethod
    def claim(cls, path: Path) -> Self | None:
        """Take a folder that a run left behind; None if it is in use, or of another origin.

        No run makes links. A folder that holds some is from elsewhere: what they point to would be written or removed.
        """
        if path.is_symlink() or any(file.is_symlink() for file in path.rglob("*")):
            return None
        try:
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return None
        with suppress(OSError, UnicodeDecodeError):  # locked, or a file system without locks: it may be in use
            mark = os.read(lock, 100).decode()
            if mark.startswith(_MARK) or (not mark and os.listdir(path) == [_LOCK]):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return cls(path, lock, mark.removeprefix(_MARK).strip())
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


def left_behind(target: Path) -> list[Unfinished]:
    """Take all folders that killed runs of any command left in a directory; empty ones are removed."""
    found: list[Unfinished] = []
    for path in sorted(target.glob(f"{UNFINISHED}*")):
        with suppress(OSError):  # of a run that was killed as it began
            path.rmdir()
            continue
        folder = Unfinished.claim(path)
        if folder is not None:
            found.append(folder)
    return found
