"""One image of a file: its planes by time, channel and focus, of which only those wanted are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.damage import DAMAGED, decoding
from cellflax.io.movie_time import regular_times_s
from cellflax.io.reading import Reading, TimeFrom
from cellflax.io.stack import NamesFrom, Stack, default_channel_names


def no_times() -> np.ndarray | None:
    """The times of frames in a file that does not say."""
    return None


@dataclass(frozen=True)
class Scene:
    """One image of a file, as the file describes it.

    Attributes:
        path: the file.
        sizes: lengths of the axes T (frames), C (channels), Z (focal planes), Y (rows) and X (columns).
        dtype: type of the pixels.
        read_plane: reads a plane, (H, W), from the numbers of its frame, channel and focal plane.
        channels: C names.
        origin: where the names of the channels come from.
        name: name of the position or scene in a file that holds several, else "".
        pixel_size_um: edge of a pixel, if the file says.
        source: what in the file says pixel size, focus and times, such as "OME".
        z_um: Z focus positions, if the file says; relative to the first plane if it gives only a distance.
        read_times: reads the (T,) times of the frames in seconds; None if the file does not say.
        unnamed: letter of the axis, T or C, that the file leaves unnamed and that is taken for it, else "".
    """

    path: Path
    sizes: Mapping[str, int]
    dtype: np.dtype
    read_plane: Callable[[int, int, int], np.ndarray]
    channels: tuple[str, ...]
    origin: NamesFrom = "default"
    name: str = ""
    pixel_size_um: float | None = None
    source: str = ""
    z_um: tuple[float, ...] | None = None
    read_times: Callable[[], np.ndarray | None] = field(default=no_times, repr=False)
    unnamed: str = ""

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.sizes["T"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.sizes["Y"], self.sizes["X"]

    def plane(self, t: int, c: int, z: int) -> np.ndarray:
        """A plane, (H, W), in the native byte order.

        Raises:
            UserError: if it is damaged or missing.
        """
        with decoding(self.path, DAMAGED):
            pixels = self.read_plane(t, c, z)
        if pixels.shape != self.shape:
            raise UserError(
                f"{self.path}: damaged or incomplete (a plane of {pixels.shape} pixels instead of {self.shape}); copy "
                "or export it again"
            )
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)

    def frame(self, t: int = 0, z: str = "all") -> Stack:
        """The channels of a frame.

        Args:
            t: number of the frame.
            z: as `Reading.z`.

        Raises:
            UserError: if it is damaged, or lacks the focal plane.
        """
        planes = range(self.sizes["Z"])
        if z.isdecimal():
            planes = range(_plane_of(self, z), _plane_of(self, z) + 1)
        projected = z in ("max", "mean") and len(planes) > 1
        dtype = np.dtype(np.float64) if projected and z == "mean" else self.dtype.newbyteorder("=")
        pixels = np.empty((len(self.channels), 1 if projected else len(planes), *self.shape), dtype)
        # Channels of one focal plane follow each other: in many formats they are stored, and decoded, together.
        for place, i in enumerate(planes):
            for c in range(len(self.channels)):
                plane = self.plane(t, c, i)
                if not projected or place == 0:
                    pixels[c, place] = plane
                elif z == "max":
                    np.maximum(pixels[c, 0], plane, out=pixels[c, 0])
                else:
                    pixels[c, 0] += plane
        if projected and z == "mean":
            pixels = (pixels / len(planes)).astype(np.float32)
        z_um = self.z_um if z == "all" else None
        return Stack(pixels, self.channels, self.pixel_size_um, z_um, self.origin)

    def times_s(self, frame_interval_s: float | None = None) -> np.ndarray | None:
        """(T,) time of each frame in seconds, None if unknown; an interval overrides the times in the file."""
        return regular_times_s(self.n_frames, frame_interval_s) if frame_interval_s is not None else self.read_times()


def with_time_axis(scene: Scene, axis: TimeFrom) -> Scene:
    """The scene with another of its axes as time, see `Reading.time_axis`.

    Raises:
        UserError: if it has time already, or no focal planes or channels to take for it.
    """
    read = scene.read_plane
    if axis is TimeFrom.T or (axis is TimeFrom.none and scene.n_frames == 1):
        return scene
    sizes = dict(scene.sizes)
    if axis is TimeFrom.none:
        if sizes["Z"] > 1:
            raise UserError(
                f"{scene.path}: has {sizes['T']} frames and {sizes['Z']} focal planes; leave time_axis=none out"
            )
        sizes |= {"Z": sizes["T"], "T": 1}
        return replace(
            scene,
            sizes=sizes,
            read_plane=lambda t, c, z: read(z, c, 0),
            read_times=no_times,
            z_um=None,
            unnamed="",
        )
    if sizes["T"] > 1:
        raise UserError(f"{scene.path}: has {sizes['T']} frames along T; leave time_axis={axis.name} out")
    sizes |= {"T": sizes[axis.name], axis.name: 1}
    if axis is TimeFrom.Z:
        return replace(scene, sizes=sizes, read_plane=lambda t, c, z: read(0, c, t), z_um=None)
    channels = default_channel_names(1)
    return replace(
        scene,
        sizes=sizes,
        read_plane=lambda t, c, z: read(0, t, z),
        channels=channels,
        origin="default",
        unnamed="",
    )


def scene_of(path: Path, stack: Stack, source: str = "") -> Scene:
    """The one image of a file that is in memory."""
    count, planes, height, width = stack.pixels.shape
    return Scene(
        path,
        {"T": 1, "C": count, "Z": planes, "Y": height, "X": width},
        stack.pixels.dtype,
        lambda _, c, z: stack.pixels[c, z],
        stack.channels,
        stack.origin,
        pixel_size_um=stack.pixel_size_um,
        source=source,
        z_um=stack.z_um,
    )


def choose_scene(scenes: Sequence[Scene], reading: Reading) -> Scene:
    """The scene that is to be read.

    Raises:
        UserError: if there is no such scene, or several where none is named.
    """
    wanted = reading.scene
    if not wanted and len(scenes) == 1:
        return scenes[0]
    found = [scene for scene in scenes if scene.name == wanted]
    if not found and wanted.isdecimal() and int(wanted) < len(scenes):
        found = [scenes[int(wanted)]]
    if len(found) != 1:
        names = ", ".join(f"{scene.name or i} {scene.shape}" for i, scene in enumerate(scenes[:6]))
        remedy = "save each as a file of its own"
        if reading.prefix is not None:
            remedy = f"choose one with {reading.prefix}scene=..., by its name or number"
        raise UserError(
            f"{scenes[0].path}: {f'no scene {wanted} among' if wanted else 'holds'} {len(scenes)} images (positions, "
            f"scenes or sizes): {names}{', ...' if len(scenes) > 6 else ''}; "
            f"{remedy}"
        )
    return found[0]


def _plane_of(scene: Scene, z: str) -> int:
    if scene.sizes["Z"] == 1:  # an image without focal planes among others that have them
        return 0
    if int(z) >= scene.sizes["Z"]:
        raise UserError(f"{scene.path}: has {scene.sizes['Z']} focal planes, from 0; there is no z={z}")
    return int(z)
