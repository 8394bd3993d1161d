"""Images and label images as arrays, from files of all formats in `readers.READERS`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cellflax.errors import BlankError, ContentError, UserError
from cellflax.io.files import ImageFiles, group_channels, list_files
from cellflax.io.outlines import has_outlines, read_outlines
from cellflax.io.readers import read_file
from cellflax.io.stack import NamesFrom, Stack, default_channel_names, plane_names
from cellflax.io.tiff import write_image, write_labels, write_probability
from cellflax.labels import whole_numbers

__all__ = [
    "Image",
    "ImageFiles",
    "as_grey",
    "grey_hint",
    "grey_if_equal",
    "group_channels",
    "label_plane",
    "list_files",
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


def read_image(path: str | Path, channel: int | str | None = None) -> Image:
    """Read an image with its channels; focal planes count as channels, and an alpha channel is dropped.

    Args:
        path: file of a format in `readers.READERS`.
        channel: read only this channel, by index or by the name that the file gives it.

    Raises:
        UserError: if the file is missing, damaged, of another format, or holds a movie.
    """
    stack = read_stack(path)
    names = plane_names(stack.channels, stack.pixels.shape[1])
    pixels = np.moveaxis(stack.pixels.reshape(-1, *stack.pixels.shape[2:]), 0, -1)
    origin = "planes" if stack.pixels.shape[1] > 1 else stack.origin
    image = Image(pixels, names, stack.pixel_size_um, Path(path), origin)
    return image if channel is None else channels_of(image, [channel])


def channels_of(image: Image, wanted: Sequence[int | str]) -> Image:
    """Some channels of an image, by name (upper or lower case where that is clear) or by index, in the order asked for.

    Raises:
        UserError: if it lacks one.
    """
    indices = []
    for channel in wanted:
        same = [i for i, name in enumerate(image.channels) if name == channel] or [
            i for i, name in enumerate(image.channels) if name.lower() == str(channel).lower()
        ]
        if len(same) != 1 and str(channel).isdecimal() and int(channel) < len(image.channels):
            same = [int(channel)]
        if len(same) != 1:
            raise UserError(
                f"{image.path}: no channel {channel}; it has {', '.join(image.channels)}. channels= takes parts of the "
                "file names, or names or indices of channels in a file"
            )
        indices += same
    names = tuple(image.channels[i] for i in indices)
    return replace(image, pixels=image.pixels[..., indices], channels=names)


def read_stack(path: str | Path, *, as_labels: bool = False) -> Stack:
    """Read an image with channels and focal planes on separate axes, and the planes' focus positions.

    Args:
        path: file of a format in `readers.READERS`.
        as_labels: read the numbers of an indexed picture instead of its colours.

    Raises:
        UserError: as `read_image`.
    """
    path = Path(path)
    stack = read_file(path, as_labels=as_labels)
    pixels = stack.pixels
    if pixels.dtype.kind not in "biuf":
        raise UserError(f"{path}: pixels of type {pixels.dtype} are not supported; save integers or floats")
    if min(pixels.shape) < 1:
        raise UserError(f"{path}: the image is empty, its shape is {pixels.shape}")
    return stack._replace(pixels=pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


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
    stack = read_stack(path, as_labels=True)
    return label_plane(np.moveaxis(stack.pixels.reshape(-1, *stack.pixels.shape[2:]), 0, -1), str(path))


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
    return stack_channels([read_image(path) for path in files.paths], files.channels, files.within)


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
