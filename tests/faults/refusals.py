"""A system that does not let a process write: small and full disks, rights, limits."""

import contextlib
import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path | None]:
    """A disk of its own, which can be filled; None where this user may not mount one."""
    folder.mkdir()
    options = f"size={megabytes}m,nr_inodes=20000"
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def filled(disk: Path, left_bytes: int) -> Iterator[None]:
    """A disk with so much room, until the block ends."""
    filler, is_filled = disk / "filler", False
    with filler.open("wb") as file:
        while not is_filled:  # the training writes meanwhile, so that there can be less room than there was
            room = os.statvfs(disk)
            try:
                os.posix_fallocate(file.fileno(), 0, max(room.f_bavail * room.f_frsize - left_bytes, 1))
                is_filled = True
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def without_rights(run: Path) -> Iterator[None]:
    """Nothing can be made in the run directory, until the block ends."""
    folders = [run, *(path for path in run.rglob("*") if path.is_dir())]
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                folder.chmod(0o755)


def limit_files(process: subprocess.Popen[str], most_bytes: int) -> None:
    """From now on, the process can write no file that is larger."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
