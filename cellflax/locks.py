"""Locks on files: of several processes one holds a lock, and the system takes it back however that process ends."""

import errno
import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Self

# What flock raises where a file system has no locks: some network file systems, depending on how they are mounted.
_WITHOUT_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
_MOST_BYTES = 400  # of the owner's name


class LockedError(Exception):
    """Another process, or another part of this one, holds the lock; the message says who, as far as it is known."""


class Lock:
    """A lock that this process holds.

    Attributes:
        path: the file, which exists while the lock is held, and after a process that was killed.
        is_exclusive: False on a file system without locks, where any number of processes can have it.
    """

    def __init__(self, path: Path, descriptor: int, is_exclusive: bool):
        self.path, self.is_exclusive, self._descriptor = path, is_exclusive, descriptor

    @classmethod
    def take(cls, path: Path, command: str) -> Self:
        """Take a lock without waiting; a file that a process left behind is taken over.

        Args:
            path: the file, in a directory that exists.
            command: the command that holds it, for the message to others.

        Raises:
            LockedError: if it is held.
            OSError: if the file cannot be made.
        """
        while True:
            # A pipe of that name would be opened, too, without waiting; it cannot be written to as a file is.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            is_exclusive = True
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = _read_owner(descriptor)
                os.close(descriptor)
                raise LockedError(owner) from None
            except OSError as error:
                if error.errno not in _WITHOUT_LOCKS:
                    os.close(descriptor)
                    raise
                is_exclusive = False
            if _is_of(descriptor, path):
                break
            os.close(descriptor)  # who held it removed the file meanwhile
        with suppress(OSError):  # a full disk: the lock holds without a name
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"cellflax {command}, process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        return cls(path, descriptor, is_exclusive)

    def release(self) -> None:
        """Remove the file and give the lock back; calling again does nothing."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with suppress(OSError):  # the directory may be gone; the file does no harm
                # Removed while it is held: who opened it before sees that it is another file now, and tries again.
                self.path.unlink()
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _is_of(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _read_owner(descriptor: int) -> str:
    with suppress(OSError):
        text = os.pread(descriptor, _MOST_BYTES, 0).decode(errors="replace").partition("\n")[0]
        name = "".join(letter for letter in text if letter.isprintable())
        if name:
            return name
    return "another process"
