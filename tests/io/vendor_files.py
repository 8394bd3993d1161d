"""What the tests of microscope makers' formats share."""

import os
import tracemalloc
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.readers import open_file

RNG = np.random.default_rng(0)


def random_pixels(*shape: int, dtype: str = "u2") -> np.ndarray:
    return RNG.integers(0, 200, shape).astype(dtype)


def real_file(name: str) -> Path:
    return Path(os.environ["CELLFLAX_DATA"]) / "vendor" / name


def frames_of(path: Path, scene: int = 0) -> np.ndarray:
    """(T, C, Z, H, W)."""
    with open_file(path) as scenes:
        one = scenes[scene]
        return np.stack([one.frame(t).pixels for t in range(one.n_frames)])


def peak_of_a_plane(path: Path) -> int:
    """Most bytes in use while the last plane is read."""
    with open_file(path) as scenes:
        sizes = scenes[-1].sizes
        tracemalloc.start()
        try:
            scenes[-1].plane(sizes["T"] - 1, sizes["C"] - 1, sizes["Z"] - 1)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def outcomes(path: Path, mutants: list[bytes], images: list[np.ndarray]) -> list[str]:
    """What became of each mutant: "right", "wrong", or "refused" in one line; other exceptions are raised."""
    found = []
    for content in mutants:
        path.write_bytes(content)
        try:
            with open_file(path) as scenes:
                count = len(scenes)
            got = [frames_of(path, i) for i in range(count)]
        except UserError as error:
            one_line = str(error).startswith(str(path)) and "\n" not in str(error)
            found.append("refused" if one_line else str(error))
            continue
        same = len(got) == len(images) and all(
            a.shape == b.shape and np.array_equal(a, b) for a, b in zip(got, images, strict=True)
        )
        found.append("right" if same else "wrong")
    return found


def cuts(content: bytes, count: int = 60) -> list[bytes]:
    """The file cut off at places from its start to one byte before its end."""
    return [content[:size] for size in np.linspace(1, len(content) - 1, count, dtype=int).tolist()]


def flips(content: bytes, count: int) -> list[bytes]:
    """The file with one byte changed, at places spread over those of its bytes that are not zero."""
    places = np.flatnonzero(np.frombuffer(content, "u1"))
    rng = np.random.default_rng(0)
    mutants = []
    for place in rng.choice(places, count):
        changed = bytearray(content)
        changed[place] ^= int(rng.integers(1, 256))
        mutants.append(bytes(changed))
    return mutants
