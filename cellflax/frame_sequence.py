"""Frames of a movie one at a time, so that a long movie needs no more memory than a short one.

Label images are mostly runs of equal numbers: compressed, a frame of a thousand cells takes about as much memory as the
rows of its cells in a table. Images do not compress, so they are read again whenever they are needed.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import imagecodecs
import numpy as np

_LEVEL = 3  # of Zstandard: a frame of 1500 x 1500 pixels takes 5 ms either way, and a hundredth of its memory


class FrameSequence(Protocol):
    """What an array (T, ...) of frames and the classes below have in common: `frames[t]`, a loop, and the shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of frames, and the shape of each."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, t: int, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class _Frames:
    """A sequence of frames that are made on demand; `np.asarray` puts them all in memory."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, t: int, /) -> np.ndarray:
        raise NotImplementedError

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[t] for t in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("these frames are made on demand: an array of them is always a copy")
        whole = np.empty(self.shape, self.dtype)
        for t, frame in enumerate(self):
            np.copyto(whole[t], frame, casting="safe")
        return whole if dtype is None else whole.astype(dtype)

    def _checked(self, t: int) -> int:
        if not -len(self) <= t < len(self):  # this also ends a loop over something that is indexed
            raise IndexError(f"frame {t} of {len(self)}")
        return t % len(self)


class PackedFrame:
    """One (H, W) array of integers, compressed in memory."""

    def __init__(self, frame: np.ndarray) -> None:
        self.shape, self.dtype = frame.shape, frame.dtype
        self._packed = imagecodecs.zstd_encode(np.ascontiguousarray(frame).tobytes(), level=_LEVEL)

    def unpack(self) -> np.ndarray:
        """The array, which is read-only."""
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        content = imagecodecs.zstd_decode(self._packed, out=size) if size else b""
        return np.frombuffer(content, self.dtype).reshape(self.shape)


class PackedFrames(_Frames):
    """Label images of a movie, compressed in memory; a frame that is taken out is read-only.

    Args:
        frames: one or more (H, W) arrays of one data type; they are taken one at a time.

    Raises:
        ValueError: if there is none, or they differ in shape or data type.
    """

    def __init__(self, frames: Iterable[np.ndarray]) -> None:
        self._frames = [PackedFrame(frame) for frame in frames]
        kinds = {(frame.shape, frame.dtype) for frame in self._frames}
        if len(kinds) != 1:
            raise ValueError(f"frames must be of one shape and data type, got {len(kinds)} kinds of {len(self)}")
        ((shape, self.dtype),) = kinds
        self.shape = (len(self._frames), *shape)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, t: int, /) -> np.ndarray:
        return self._frames[self._checked(t)].unpack()


class FramesOnDemand(_Frames):
    """Frames that a function makes, or reads, each time that one is wanted.

    Args:
        shape: number of frames, and the shape of each.
        dtype: their data type.
        make: function from the number of a frame to its array.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, make: Callable[[int], np.ndarray]) -> None:
        self.shape, self.dtype, self._make = shape, np.dtype(dtype), make

    def __getitem__(self, t: int, /) -> np.ndarray:
        return self._make(self._checked(t))


def first_channel(images: FrameSequence) -> FrameSequence:
    """The first channel of (T, H, W, C) images, (T, H, W)."""
    return FramesOnDemand(images.shape[:3], getattr(images, "dtype", np.float32), lambda t: images[t][..., 0])
