"""One GPU for each process of this machine: the first one that is free."""

import fcntl
import functools
import os
import time
from pathlib import Path

_DEVICES = Path("/dev")
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_WAIT_S = 1.0


@functools.cache  # once for each process: it keeps its GPU
def take_gpu() -> None:
    """Wait until a GPU is free and keep it for this process, if the machine has GPUs that JAX may use.

    Other processes that ask in this way see that it is taken, until this one ends, in whatever way. The processes that
    this one starts compute on it alone, by CUDA_VISIBLE_DEVICES. If that variable names GPUs, it is one of these.
    """
    gpus = _gpus()
    while gpus:
        for number, file in gpus:
            descriptor = os.open(file, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            os.environ[_VISIBLE] = str(number)  # the descriptor stays open, and with it the lock
            return
        time.sleep(_WAIT_S)


def _gpus() -> list[tuple[int, Path]]:
    """The GPUs that may be used, each by its number for CUDA and a file that stands for it."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return []
    files = sorted(_DEVICES.glob("nvidia[0-9]*"), key=lambda file: (len(file.name), file.name))
    named = os.environ.get(_VISIBLE)
    if named is None:
        return list(enumerate(files))
    numbers = named.split(",")
    if not all(number.isdecimal() and int(number) < len(files) for number in numbers):
        return []  # parts of a GPU, or names of theirs: whoever set them has shared them out
    return [(int(number), files[int(number)]) for number in numbers]
