"""Images and label images as arrays, from files of all formats in `readers.READERS`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cellflax.errors import BlankError, ContentError, UserError
from cellflax.io.files import ImageFiles, find_images, group_channels, list_files
from cellflax.io.outlines import has_outlines, read_outlines
from cellflax.io.readers import open_scene
from cellflax.io.reading import Reading
from cellflax.io.scene import Scene
from cellflax.io.stack import NamesFrom, Stack, default_channel_names, plane_names
from cellflax.io.tiff_output import write_image, write_labels, write_probability
from cellflax.labels import whole_numbers

__all__ = [
    "Image",
    "ImageFiles",
    "as_grey",
    "find_images",
    "frame_image",
    "grey_hint",
    "grey_if_equal",
    "group_channels",
    "label_plane",
    "list_files",
    "pixel_size_of",
    "read_channels",
    "read_image",
    "read_labels",
    "read_stack",
    "stack_channels",
    "write_image",
    "write_labels",
    "write_probability",
]


@dataclass(frozen=True)
class Image:
    """Pixels of one image as the file holds them.

    Attributes:
        pixels: (H, W, C) in the file's own data type; focal planes are channels.
        channels: name of each channel.
        pixel_size_um: edge of a pixel, if the file says.
        path: the file, or the first of several; used in error messages, so for a movie it includes the frame number.
        origin: where the names of the channels come from.
    """

    pixels: np.ndarray
    channels: tuple[str, ...]
    pixel_size_um: float | None
    path: Path
    origin: NamesFrom = "default"


def read_image(path: str | Path, channel: int | str | None = None, reading: Reading | None = None) -> Image:
    """Read an image with its channels; focal planes count as channels, and an alpha channel is dropped.

    Args:
        path: file of a format in `readers.READERS`.
        channel: read only this channel, by index or by the name that the file gives it.
        reading: how to read it.

    Raises:
        UserError: if the file is missing, damaged, of another format, or holds a movie or several images.
    """
    with open_scene(Path(path), reading) as scene:
        image = frame_image(_still(scene, reading), 0, reading)
    return image if channel is None else channels_of(image, [channel])


def frame_image(scene: Scene, t: int, reading: Reading | None = None) -> Image:
    """A frame of a movie, or the image of a file that holds one; focal planes count as channels.

    Raises:
        UserError: if it is damaged.
    """
    stack = scene.frame(t, (reading or Reading()).z)
    planes = stack.pixels.shape[1]
    pixels = np.moveaxis(stack.pixels.reshape(-1, *stack.pixels.shape[2:]), 0, -1)
    path = scene.path if scene.n_frames == 1 else Path(f"{scene.path}, frame {t}")
    names, origin = plane_names(stack.channels, planes), "planes" if planes > 1 else stack.origin
    return Image(pixels, names, stack.pixel_size_um, path, origin)


def pixel_size_of(path: str | Path) -> float | None:
    """The edge of a pixel in um, None if the file does not say.

    Raises:
        UserError: if the file cannot be opened.
    """
    with open_scene(Path(path)) as scene:
        return scene.pixel_size_um


def _still(scene: Scene, reading: Reading | None = None) -> Scene:
    if scene.n_frames > 1:
        unnamed = ", by an axis that the file leaves unnamed" if scene.unnamed == "T" else ""
        remedy = "save single frames (focal planes as the axis Z)"
        if reading is not None and reading.prefix is not None:
            remedy = f"save single frames, or if they are focal planes, add {reading.prefix}time_axis=none"
        raise UserError(
            f"{scene.path}: a movie of {scene.n_frames} frames{unnamed}, where one image is needed; {remedy}"
        )
    return scene


def channels_of(image: Image, wanted: Sequence[int | str]) -> Image:
    """Some channels of an image, by name (upper or lower case where that is clear) or by index, in the order asked for.

    Raises:
        UserError: if it lacks one.
    """
    indices = [channel_index(image.channels, channel, image.path) for channel in wanted]
    names = tuple(image.channels[i] for i in indices)
    return replace(image, pixels=image.pixels[..., indices], channels=names)


def channel_index(channels: Sequence[str], wanted: int | str, source: str | Path) -> int:
    """The place of a channel among others, by its name (in any case of letters where that is clear) or its index.

    Raises:
        UserError: if there is none.
    """
    same = [i for i, name in enumerate(channels) if name == wanted] or [
        i for i, name in enumerate(channels) if name.lower() == str(wanted).lower()
    ]
    if len(same) != 1 and str(wanted).isdecimal() and int(wanted) < len(channels):
        same = [int(wanted)]
    if len(same) != 1:
        raise UserError(
            f"{source}: no channel {wanted}; it has {', '.join(channels)}. Channels are parts of the file names, or "
            "names or indices of channels in a file"
        )
    return same[0]


def read_stack(path: str | Path, reading: Reading | None = None) -> Stack:
    """Read an image with channels and focal planes on separate axes, and the planes' focus positions.

    Raises:
        UserError: as `read_image`.
    """
    with open_scene(Path(path), reading) as scene:
        return _still(scene, reading).frame(0, (reading or Reading()).z)


def read_labels(path: str | Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Read a label image or mask, or outlines, (H, W) int32, 0 = background; values are kept as they are.

    Of an indexed picture the numbers are the labels, and a colour picture in shades of grey is read as grey.

    Args:
        path: the file.
        shape: height and width of the image, which outlines need; not used for others.

    Raises:
        UserError: for several channels, NaN, fractions, negative values or values above 2^31 - 1; for outlines as
            `read_outlines`, or if the shape is unknown.
    """
    if has_outlines(path):
        if shape is None:
            raise UserError(f"{path}: outlines do not say the size of their image; give a label image here")
        return read_outlines(path, shape)
    with open_scene(Path(path), as_labels=True) as scene:
        return label_plane(frame_image(_still(scene), 0).pixels, str(path))


def label_plane(pixels: np.ndarray, name: str) -> np.ndarray:
    """Labels of an image or of a frame, (H, W) int32, 0 = background.

    Args:
        pixels: (H, W, C) of any type; several channels must be equal, as in a grey picture that was saved as RGB.
        name: name of the file, for errors.

    Raises:
        UserError: as `read_labels`.
    """
    pixels = grey_if_equal(pixels)
    if pixels.shape[-1] == 3:
        raise UserError(
            f"{name}: labels must have one channel, it is a colour picture (red, green and blue differ); save the "
            "label numbers as a grey or indexed image"
        )
    if pixels.shape[-1] != 1:
        raise UserError(
            f"{name}: labels must have one channel, it has {pixels.shape[-1]}; save the label numbers as one plane, "
            "and the time of a movie as the axis T"
        )
    return whole_numbers(pixels[..., 0], name)


def as_grey(image: Image) -> Image:
    """Where one channel is wanted: a colour picture in shades of grey as one channel, any other image unchanged."""
    if image.channels != default_channel_names(3):
        return image
    pixels = grey_if_equal(image.pixels)
    return image if pixels is image.pixels else replace(image, pixels=pixels, channels=("channel_0",), origin="default")


def grey_hint(image: Image) -> str:
    """What is wrong with a colour picture where one channel is wanted, and how to mend it; else an empty text."""
    if image.channels != default_channel_names(3):
        return ""
    return "; it is a colour picture whose red, green and blue differ: save the one channel that is meant as grey"


def grey_if_equal(pixels: np.ndarray) -> np.ndarray:
    """The first of three equal channels, (..., 1), of (..., C) pixels; for others `pixels` itself."""
    if pixels.shape[-1] == 3 and (pixels == pixels[..., :1]).all():
        return pixels[..., :1]
    return pixels


def read_channels(files: ImageFiles) -> Image:
    """Read an image, stacking channels kept in separate files, and check that it can be analysed.

    Raises:
        UserError: as `read_image` and `stack_channels`.
    """
    images = [read_image(path, reading=files.reading) for path in files.paths]
    return stack_channels(images, files.channels, files.within)


def stack_channels(images: Sequence[Image], channels: Sequence[str], within: Sequence[str] = ()) -> Image:
    """Stack images of one field into one image, and check that it can be analysed.

    Args:
        images: one with all channels, or one per channel.
        channels: name of each image's channel; empty where one image has all.
        within: names or indices of the channels to take from an image that has all; empty for all.

    Raises:
        UserError: if shapes or pixel sizes differ, or a channel is not finite or constant.
    """
    for image in images[1:]:
        if image.pixels.shape[:2] != images[0].pixels.shape[:2]:
            raise UserError(
                f"{image.path}: shape {image.pixels.shape[:2]} differs from {images[0].pixels.shape[:2]} of "
                f"{images[0].path.name}; channels of one image must have the same shape"
            )
    if within:
        images = [replace(channels_of(images[0], within), origin="user")]
    if channels:
        images = [_one_channel(as_grey(image), name) for image, name in zip(images, channels, strict=True)]
    names = tuple(channels) or images[0].channels
    pixels = np.concatenate([image.pixels for image in images], axis=-1)
    for index, name in enumerate(names):
        _check_content(images[index if channels else 0].path, name, pixels[..., index])
    origin = "user" if channels else images[0].origin
    return Image(pixels, names, _common_size_um(images), images[0].path, origin)


def _one_channel(image: Image, name: str) -> Image:
    """The channel that a file contributes: its only one, or that of the name by which the file was found."""
    if image.pixels.shape[-1] == 1:
        return image
    if name in image.channels:
        return channels_of(image, [name])
    raise UserError(
        f"{image.path}: with channels= each file must hold one channel, it has {image.pixels.shape[-1]} "
        f"({', '.join(image.channels)}){grey_hint(image)}"
    )


def _check_content(path: Path, name: str, values: np.ndarray) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ContentError(f"{path}: channel {name} contains NaN or infinity; replace these pixels first")
    if values.min() == values.max():
        raise BlankError(f"{path}: channel {name} is constant ({values.flat[0]}); is it the right file?")


def _common_size_um(images: Sequence[Image]) -> float | None:
    known = [image for image in images if image.pixel_size_um is not None]
    for image in known[1:]:
        a, b = known[0].pixel_size_um or 0.0, image.pixel_size_um or 0.0
        if abs(a - b) > 0.01 * max(a, b):
            raise UserError(
                f"{image.path}: pixel size {b:g} um differs from {a:g} um of {known[0].path.name}; "
                "channels of one image must agree"
            )
    return known[0].pixel_size_um if known else None
