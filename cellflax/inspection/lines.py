"""What was understood of an image, in one line."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.readers import open_file
from cellflax.io.reading import Reading, TimeFrom
from cellflax.io.scene import Scene, choose_scene, with_time_axis

_MOST_CHANNELS = 6
_MOST_ALIKE = 4  # lines on images that differ in their names alone


def describe(scene: Scene, time_axis: TimeFrom = TimeFrom.T) -> str:
    """An image's axes with units, channels, type of its pixels, size of a pixel and times.

    Args:
        scene: the image.
        time_axis: what the user says of time; an axis that the file leaves unnamed is mentioned if this is T.
    """
    sizes = scene.sizes
    parts = []
    unnamed = scene.unnamed if time_axis is TimeFrom.T else ""
    if scene.n_frames > 1:
        parts.append(f"{scene.n_frames} frames{_guessed(unnamed == 'T', 'none')}, {_times(scene)}")
    if sizes["Z"] > 1:
        parts.append(f"{sizes['Z']} focal planes{_focus(scene)}")
    parts.append(_channels(scene) + _guessed(unnamed == "C", "C"))
    parts.append(f"{sizes['Y']} x {sizes['X']} px {scene.dtype.newbyteorder('=')}")
    size = scene.pixel_size_um
    parts.append("pixel size unknown" if size is None else f"{size:.4g} um per px ({scene.source})")
    return "; ".join(parts)


def _guessed(is_unnamed: bool, other: str) -> str:
    """A word on an axis that the file leaves unnamed, and the option that reads it otherwise."""
    return f" (an axis without a name in the file; time_axis={other} if it is not)" if is_unnamed and other else ""


def _channels(scene: Scene) -> str:
    names = ", ".join(scene.channels[:_MOST_CHANNELS]) + (", ..." if len(scene.channels) > _MOST_CHANNELS else "")
    count = len(scene.channels)
    if scene.origin == "colours":
        return f"{count} colours ({names})"
    what = "1 channel" if count == 1 else f"{count} channels"
    return f"{what} ({names})" if scene.origin == "file" else f"{what} without a name"


def _focus(scene: Scene) -> str:
    if scene.z_um is None:
        return ""
    steps = np.diff(scene.z_um)
    if np.allclose(steps, steps[0], rtol=0.01):
        return f", {abs(steps[0]):.4g} um apart"
    return f", from {min(scene.z_um):.4g} to {max(scene.z_um):.4g} um"


def _times(scene: Scene) -> str:
    times_s = scene.times_s()
    if times_s is None:
        return "times unknown"
    steps = np.diff(times_s)
    if np.allclose(steps, steps[0], rtol=0.01):
        return f"one every {steps[0]:.4g} s ({scene.source})"
    return f"{steps.min():.4g} to {steps.max():.4g} s apart ({scene.source})"


@dataclass(frozen=True)
class Line:
    """What is said of an image.

    Attributes:
        text: the line.
        is_error: whether it says that the file cannot be read.
    """

    text: str
    is_error: bool = False


def image_lines(files: Sequence[Path], reading: Reading) -> list[Line]:
    """A line for each image of the files; a file that cannot be read has the line that says why.

    Long runs of images that differ in nothing but their names are shortened.
    """
    described: list[tuple[str, str]] = []
    errors: list[Line] = []
    for file in files:
        try:
            described += _images_of(file, reading)
        except UserError as error:
            errors.append(Line(f"CANNOT BE READ: {error}", is_error=True))
    lines = []
    for what, group in itertools.groupby(described, key=lambda item: item[1]):
        names = [name for name, _ in group]
        shown = names if len(names) <= _MOST_ALIKE else names[:_MOST_ALIKE]
        lines += [Line(f"{name}: {what}") for name in shown]
        if len(shown) < len(names):
            lines.append(Line(f"... and {len(names) - len(shown)} more like it, to {names[-1]}"))
    return lines + errors


def _images_of(file: Path, reading: Reading) -> list[tuple[str, str]]:
    with open_file(file) as scenes:
        chosen = [choose_scene(scenes, reading)] if reading.scene and len(scenes) > 1 else scenes
        return [
            (
                f"{file.name} [{scene.name}]" if scene.name else file.name,
                describe(with_time_axis(scene, reading.time_axis), reading.time_axis),
            )
            for scene in chosen
        ]
