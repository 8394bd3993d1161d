"""Times of the frames of a movie: read from ImageJ and OME-TIFF files, and written to OME-TIFF."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from cellflax.errors import UserError
from cellflax.io.ome import children
from cellflax.progress import say

# By the names that files have for them.
SECONDS_PER_UNIT = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


@dataclass(frozen=True)
class TimeAxis:
    """The frames of a movie.

    Attributes:
        n_frames: number of frames.
        times_s: (T,) time of each in seconds, if known.
    """

    n_frames: int
    times_s: np.ndarray | None = None

    def ome_metadata(self, planes: int = 1) -> dict[str, Any]:
        """OME metadata of frames with this many planes: an interval if it is constant, else a time stamp per plane."""
        if self.times_s is None:
            return {}
        interval = float(self.times_s[-1] - self.times_s[0]) / (self.n_frames - 1)
        if np.allclose(np.diff(self.times_s), interval, rtol=1e-9, atol=0):
            return {"TimeIncrement": interval, "TimeIncrementUnit": "s"}
        stamps = np.repeat(self.times_s, planes).tolist()
        return {"Plane": {"DeltaT": stamps, "DeltaTUnit": ["s"] * len(stamps)}}


def regular_times_s(n_frames: int, interval_s: float | None) -> np.ndarray | None:
    """(T,) times of frames an interval apart; None without one."""
    return None if interval_s is None else interval_s * np.arange(n_frames)


def tiff_times_s(tiff: tifffile.TiffFile, n_frames: int) -> np.ndarray | None:
    """(T,) times of the frames of an ImageJ, LSM or STK file in seconds, from the first; None where it does not say.

    ImageJ has a `finterval`, LSM and STK time stamps, which say nothing if they do not rise.
    """
    if tiff.is_lsm:
        stamps = np.asarray((tiff.lsm_metadata or {}).get("TimeStamps", []), float)
        return rising_times_s(stamps, n_frames)
    if tiff.is_stk:
        created = np.asarray((tiff.stk_metadata or {}).get("DatetimeCreated", []), "datetime64[ms]")
        return rising_times_s(created.astype(float) / 1000, n_frames)
    metadata = tiff.imagej_metadata or {}
    interval = float(metadata.get("finterval", 0)) * SECONDS_PER_UNIT.get(str(metadata.get("tunit", "s")).lower(), 0.0)
    return interval * np.arange(n_frames) if interval > 0 else None


def rising_times_s(stamps: np.ndarray, n_frames: int) -> np.ndarray | None:
    """Time stamps from the first on; None if they are not one for each frame, or do not rise."""
    return stamps - stamps[0] if len(stamps) == n_frames > 1 and (np.diff(stamps) > 0).all() else None


def check_times(source: str | Path, times_s: Sequence[float] | np.ndarray) -> np.ndarray:
    """Times of frames as an array, counted from the first.

    Raises:
        UserError: if they do not rise from frame to frame.
    """
    times = np.asarray(times_s, float)
    (stuck,) = np.nonzero(~(np.diff(times) > 0))
    if stuck.size:
        frame = int(stuck[0])
        raise UserError(
            f"{source}: time stamps do not rise: frame {frame} at {times[frame]:g} s, frame {frame + 1} at "
            f"{times[frame + 1]:g} s; sort the frames, or give frame_interval_s=..."
        )
    return times - times[0]


def ome_times_s(path: Path, pixels: ElementTree.Element, n_frames: int) -> np.ndarray | None:
    """(T,) times of the frames in seconds, from the first, by an OME element `Pixels`; None where it does not say.

    Time stamps (`Plane.DeltaT`) override its `TimeIncrement`, but stamps that do not rise say nothing: converters leave
    zeros there.
    """
    stamps: dict[int, float] = {}
    for plane in children(pixels, "Plane"):
        if "DeltaT" in plane.attrib:
            scale = SECONDS_PER_UNIT.get(plane.get("DeltaTUnit", "s"), 0.0)
            stamps.setdefault(int(plane.get("TheT", 0)), float(plane.attrib["DeltaT"]) * scale)
    complete = n_frames > 1 and all(frame in stamps for frame in range(n_frames))
    times = np.array([stamps[frame] for frame in range(n_frames)]) if complete else np.zeros(0)
    if complete and np.isfinite(times).all() and (np.diff(times) > 0).all():
        return times - times[0]
    interval = float(pixels.get("TimeIncrement", 0)) * SECONDS_PER_UNIT.get(pixels.get("TimeIncrementUnit", "s"), 0.0)
    known = np.isfinite(interval) and interval > 0
    if complete:
        instead = (
            f"its TimeIncrement of {interval:g} s counts" if known else "times are unknown; add frame_interval_s=..."
        )
        say(f"note: {path}: its time stamps (DeltaT) do not rise from frame to frame: {instead}")
    return interval * np.arange(n_frames) if known else None
