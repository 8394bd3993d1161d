"""Write files and directories completely or not at all, with a one-line error for a place that cannot be used."""

import errno
import fcntl
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cellflax.errors import UserError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a quota, a limit on the size of files
_TEMPORARY = re.compile(r"\..+\.\d+\.tmp", re.DOTALL)  # as `replacing` names its files
_UNFINISHED = ".unfinished"  # ends the names of directories that are being written


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden file beside the target to write to; it becomes the target at the end.

    A reader sees the old content or the new, never a part. An exception removes the hidden file and leaves the target
    as it was. Two processes that write the same target do not disturb each other: the last to finish wins.

    Args:
        path: the target, in a directory that exists.

    Raises:
        OSError: if the target cannot be replaced.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path, temporary):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Name the file that is written in errors of the system: that of a full disk, for one, names none.

    Args:
        path: the name.
        temporary: a name that it has for the time being.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary), temporary):
            error.filename, error.filename2 = str(path), None
        raise


def remove_leftovers(directory: Path) -> None:
    """Remove the hidden files that `replacing` left in a directory when its process was killed.

    Args:
        directory: one that no other process writes to, such as one whose lock this process holds.
    """
    for path in directory.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name) and (path.is_symlink() or not path.is_dir()):
            path.unlink(missing_ok=True)


def reserve(path: Path) -> None:
    """Give a sparse file all the space that its size needs.

    A process that writes to the map of a sparse file on a full disk is killed by SIGBUS, without a word. After this,
    the map can be written.

    Raises:
        OSError: if the disk has no room for it.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        file.seek(0)  # macOS has none: zeros that are written take their space
        while part := file.read(1 << 20):
            file.seek(-len(part), os.SEEK_CUR)
            file.write(part)


def output_directory(directory: str | Path, key: str = "output") -> Path:
    """Make a directory for results and its parents; an existing one is left as it is.

    Args:
        directory: path as the user gave it.
        key: the argument's name, for the error.

    Raises:
        UserError: if it is a file, or cannot be made.
    """
    path = Path(directory)
    with _making(path, key):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def new_directory(output: Path, key: str = "output") -> Iterator[Path]:
    """Yield a hidden directory to write to; it becomes `output` at the end, and an exception removes it.

    The results of two runs are never mixed. What a process that was killed left of the same directory is removed.

    Args:
        output: absent, or an empty directory.
        key: the argument's name, for the error.

    Raises:
        UserError: if `output` already exists and is not an empty directory, or cannot be made.
    """
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"{key}={output}: already exists; give a new directory, or remove it")
    with _making(output, key):
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(output)
        temporary, lock = _hidden_directory(output)
    try:
        temporary.chmod(0o755)  # mkdtemp gives access to the owner only
        yield temporary
        if output.exists():
            output.rmdir()
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def _hidden_directory(output: Path) -> tuple[Path, int]:
    """Make a hidden directory beside a target, and lock it for as long as this process lives."""
    while True:
        path = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}.", suffix=_UNFINISHED))
        try:
            lock = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # another process took it for one that was left behind
            continue
        with suppress(OSError):  # a file system without locks: no other process will get one either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)


def _remove_left_behind(output: Path) -> None:
    """Remove the hidden directories of processes that were killed, and of no others."""
    for path in output.parent.glob(f".{glob.escape(output.name)}.*{_UNFINISHED}"):
        with suppress(OSError):  # in use, or a file system without locks: it may be in use
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


@contextmanager
def _making(directory: Path, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{key}={directory}: cannot make this directory ({error.strerror}); give another") from error
