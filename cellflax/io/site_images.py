"""Pixels of a site: its channels with all their focal planes, wherever they are kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.images import read_stack
from cellflax.io.reading import Reading
from cellflax.io.sites import SiteFiles
from cellflax.io.stack import Stack, grey_stack


@dataclass(frozen=True)
class SiteChannel:
    """One channel of a site.

    Attributes:
        pixels: (Z, H, W) in the files' own data type.
        planes: Z names, such as z0; "" for the only plane of a channel.
        z_um: Z focus positions, if known.
        pixel_size_um: edge of a pixel, if known.
    """

    pixels: np.ndarray
    planes: tuple[str, ...]
    z_um: tuple[float, ...] | None
    pixel_size_um: float | None


@dataclass(frozen=True)
class SiteImages:
    """Channels of a site, all of one size, by name."""

    channels: dict[str, SiteChannel]
    pixel_size_um: float | None


def read_site(site: SiteFiles, channels: Iterable[str], reading: Reading | None = None) -> SiteImages:
    """Read channels of a site.

    Raises:
        UserError: as `read_channel`, and if channels differ in size.
    """
    read: dict[str, SiteChannel] = {}
    for channel in channels:
        read[channel] = read_channel(site, channel, reading)
        first = next(iter(read))
        if read[channel].pixels.shape[1:] != read[first].pixels.shape[1:]:
            raise UserError(
                f"site {site.name}: channel {channel} is {read[channel].pixels.shape[1:]} and channel {first} "
                f"{read[first].pixels.shape[1:]} pixels; all channels of a site must have the same size"
            )
    sizes = [channel.pixel_size_um for channel in read.values() if channel.pixel_size_um is not None]
    return SiteImages(read, sizes[0] if sizes else None)


def read_channel(site: SiteFiles, channel: str, reading: Reading | None = None) -> SiteChannel:
    """Read a channel from one file with all its planes, or from one file per plane.

    Args:
        site: the site.
        channel: its name in the pattern or, without that field, in the file; "" is a file's only channel.
        reading: how to read the files.

    Raises:
        UserError: if a file cannot be read or has no such channel, planes differ in size, or a plane is constant
            (such as an all-dark stain) or not finite.
    """
    files = site.of_channel(channel)
    stacks = [_choose(path, read_stack(path, reading), "" if channel in site.files else channel) for _, path in files]
    for (_, path), stack in zip(files, stacks, strict=True):
        _check(path, channel, stack.pixels)
        if stack.pixels.shape[2:] != stacks[0].pixels.shape[2:]:
            raise UserError(
                f"{path}: its size {stack.pixels.shape[2:]} differs from {stacks[0].pixels.shape[2:]} of "
                f"{files[0][1].name}; all planes of a site must have the same size"
            )
        if len(files) > 1 and stack.pixels.shape[1] > 1:
            raise UserError(
                f"{path}: holds {stack.pixels.shape[1]} planes; the pattern makes it one of {len(files)} planes"
            )
    pixels = np.concatenate([stack.pixels[0] for stack in stacks])
    texts = [plane for plane, _ in files]
    numbered = range(len(pixels)) if site.in_um or len(files) == 1 else texts
    names = tuple(f"z{plane}" for plane in numbered) if len(pixels) > 1 else ("",)
    z_um = tuple(map(float, texts)) if site.in_um and all(texts) else _focus(stacks)
    return SiteChannel(pixels, names, z_um, stacks[0].pixel_size_um)


def _focus(stacks: list[Stack]) -> tuple[float, ...] | None:
    """Focus positions from the files; None unless every plane has its own."""
    known = [position for stack in stacks for position in stack.z_um or ()]
    planes = sum(stack.pixels.shape[1] for stack in stacks)
    return tuple(known) if len(set(known)) == planes else None


def _choose(path: Path, stack: Stack, channel: str) -> Stack:
    """The named channel of a file, or its only one."""
    if channel == "":
        stack = grey_stack(stack)
    names = stack.channels
    if channel == "":
        if len(names) != 1:
            raise UserError(
                f"{path}: has {len(names)} channels ({', '.join(names)}); it must have one where the pattern names the "
                "channel, else name them in nuclear=, cell= and images="
            )
        return stack
    if channel not in names:
        raise UserError(f"{path}: no channel {channel}; it has {', '.join(names)}")
    index = names.index(channel)
    return stack._replace(pixels=stack.pixels[index : index + 1], channels=(channel,))


def _check(path: Path, channel: str, pixels: np.ndarray) -> None:
    name = f"channel {channel}" if channel else "the image"
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise UserError(f"{path}: {name} contains NaN or infinity; replace these pixels first")
    for plane in pixels[0]:
        if plane.min() == plane.max():
            raise UserError(
                f"{path}: {name} is {plane.flat[0]:g} everywhere, nothing was recorded; move this site away"
            )
