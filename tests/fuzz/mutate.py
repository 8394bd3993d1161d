"""Damage that any file can have: bits, missing and repeated parts, numbers at their limits, other things in its place.

A mutation takes a random generator and the file, changes the file in place, and says in a few words what it did.
"""

import os
import random
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path

Mutation = Callable[[random.Random, Path], str]

SPECIAL_NUMBERS = (0, 1, 2, 127, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**64 - 1)


def _changed(path: Path, content: bytes | bytearray) -> None:
    path.write_bytes(content)


def flip_bits(rng: random.Random, path: Path) -> str:
    content = bytearray(path.read_bytes())
    count = rng.choice((1, 1, 2, 8, 64))
    for _ in range(count if content else 0):
        # Half of them near the beginning, where headers are.
        end = min(len(content), 256) if rng.random() < 0.5 else len(content)
        content[rng.randrange(end)] ^= 1 << rng.randrange(8)
    _changed(path, content)
    return f"{count} bits flipped"


def truncate(rng: random.Random, path: Path) -> str:
    content = path.read_bytes()
    length = rng.choice((0, 1, 8, 16, rng.randrange(len(content) + 1), max(len(content) - 1, 0)))
    _changed(path, content[:length])
    return f"cut to {length} bytes"


def _block(rng: random.Random, content: bytes) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(start + rng.choice((1, 2, 4, 16, 100, 1000)), len(content))


def delete_block(rng: random.Random, path: Path) -> str:
    content = path.read_bytes()
    start, end = _block(rng, content)
    _changed(path, content[:start] + content[end:])
    return f"bytes {start} to {end} deleted"


def insert_block(rng: random.Random, path: Path) -> str:
    content = path.read_bytes()
    start = rng.randrange(len(content) + 1)
    length = rng.choice((1, 2, 4, 16, 1000))
    block = rng.choice((rng.randbytes(length), b"\0" * length, b"\xff" * length))
    _changed(path, content[:start] + block + content[start:])
    return f"{length} bytes inserted at {start}"


def repeat_block(rng: random.Random, path: Path) -> str:
    content = path.read_bytes()
    start, end = _block(rng, content)
    times = rng.choice((1, 2, 50))
    _changed(path, content[:end] + content[start:end] * times + content[end:])
    return f"bytes {start} to {end} repeated {times} times"


def overwrite_block(rng: random.Random, path: Path) -> str:
    content = bytearray(path.read_bytes())
    start, end = _block(rng, content)
    content[start:end] = rng.choice((bytes(end - start), b"\xff" * (end - start), rng.randbytes(end - start)))
    _changed(path, content)
    return f"bytes {start} to {end} overwritten"


def set_number(rng: random.Random, path: Path) -> str:
    """A number of a header at one of its limits."""
    content = bytearray(path.read_bytes())
    code = rng.choice("BHIQ")
    size = struct.calcsize(code)
    if len(content) < size:
        return "too short for a number"
    end = min(len(content), 512) if rng.random() < 0.7 else len(content)
    place = rng.randrange(max(end - size, 0) + 1)
    value = rng.choice(SPECIAL_NUMBERS) & (256**size - 1)
    struct.pack_into(rng.choice("<>") + code, content, place, value)
    _changed(path, content)
    return f"{value} as {size} bytes at {place}"


BYTES: tuple[Mutation, ...] = (
    flip_bits,
    truncate,
    delete_block,
    insert_block,
    repeat_block,
    overwrite_block,
    set_number,
)


def _replaced(path: Path) -> None:
    path.rename(path.with_name(path.name + ".was"))


def pipe(rng: random.Random, path: Path) -> str:
    _replaced(path)
    os.mkfifo(path)
    return "a pipe in its place"


def device(rng: random.Random, path: Path) -> str:
    _replaced(path)
    target = rng.choice(("/dev/zero", "/dev/null", "/dev/random"))
    path.symlink_to(target)
    return f"{target} in its place"


def folder(rng: random.Random, path: Path) -> str:
    _replaced(path)
    path.mkdir()
    return "a folder in its place"


def unix_socket(rng: random.Random, path: Path) -> str:
    _replaced(path)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(path.parent, os.O_RDONLY)  # a socket's path is 100 characters at most
        try:
            server.bind(f"/proc/self/fd/{here}/{path.name}")
        except OSError:
            path.symlink_to("nowhere")
        finally:
            os.close(here)
    return "a socket in its place"


def link_loop(rng: random.Random, path: Path) -> str:
    _replaced(path)
    path.symlink_to(rng.choice((path.name, "nowhere", "..")))
    return f"a link to {os.readlink(path)} in its place"


def missing(rng: random.Random, path: Path) -> str:
    _replaced(path)
    return "missing"


def other_file(rng: random.Random, path: Path) -> str:
    """Another file of the same sample in its place."""
    others = [file for file in sorted(path.parent.iterdir()) if file.is_file() and file != path]
    if not others:
        _changed(path, b"%PDF-1.4\n")
        return "a PDF in its place"
    chosen = rng.choice(others)
    shutil.copyfile(chosen, path)
    return f"{chosen.name} in its place"


PLACES: tuple[Mutation, ...] = (pipe, device, folder, unix_socket, link_loop, missing, other_file)


def gigabytes(rng: random.Random, path: Path) -> str:
    """Ten gigabytes of nothing, which take no space."""
    with path.open("r+b") as file:
        file.truncate(rng.choice((1, 5)) * (10 << 30))
    return "grown to gigabytes"
