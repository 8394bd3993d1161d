"""What an image file holds: channels, each in one or several focal planes."""

from typing import Literal, NamedTuple

import numpy as np

from cellflax.errors import UserError
from cellflax.io.notices import warn

# Files often hold a screen's 72 dpi, or 1 of any unit, in place of the sample's size.
_PLAUSIBLE_UM = (0.01, 5.0)
# As files spell them.
UM_PER_UNIT = {
    "angstrom": 1e-4,
    **dict.fromkeys(("um", "µm", "μm", "\\u00b5m", "micron", "microns", "micrometer", "micrometers"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimeters"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 1e4),
    **dict.fromkeys(("m", "meter", "meters"), 1e6),
    **dict.fromkeys(("in", "inch", "inches"), 2.54e4),
}


# Where channel names come from: the file; its colours (red, green, blue); its focal planes; cellflax, where the file
# has none; the user.
NamesFrom = Literal["file", "colours", "planes", "default", "user"]


class Stack(NamedTuple):
    """Pixels of one file.

    Attributes:
        pixels: (C, Z, H, W) in the file's own data type.
        channels: C names.
        pixel_size_um: edge of a pixel, if the file says.
        z_um: Z focus positions, if the file says; relative to the first plane if it gives only a distance.
        origin: where the names of the channels come from.
    """

    pixels: np.ndarray
    channels: tuple[str, ...]
    pixel_size_um: float | None = None
    z_um: tuple[float, ...] | None = None
    origin: "NamesFrom" = "default"


def default_channel_names(count: int) -> tuple[str, ...]:
    """Names of channels that a file does not name: red, green, blue for three, else channel_0, ..."""
    return ("red", "green", "blue") if count == 3 else tuple(f"channel_{i}" for i in range(count))


def grey_stack(stack: Stack) -> Stack:
    """A colour picture whose red, green and blue are equal as one channel; any other image unchanged."""
    if stack.channels != default_channel_names(3) or not (stack.pixels == stack.pixels[:1]).all():
        return stack
    return stack._replace(pixels=stack.pixels[:1], channels=default_channel_names(1), origin="default")


def plane_names(channels: tuple[str, ...], planes: int) -> tuple[str, ...]:
    """Names of all planes, grouped by channel: dapi_z0, dapi_z1, ...; dapi where there is one plane.

    The name of a single channel is left out: z0, z1, ...
    """
    if planes == 1:
        return channels
    prefixes = [f"{channel}_" for channel in channels] if len(channels) > 1 else [""]
    return tuple(f"{prefix}z{plane}" for prefix in prefixes for plane in range(planes))


def square_pixel_um(path: object, x_um: float, y_um: float) -> float | None:
    """The edge of a square pixel; width and height may differ by 1 %.

    None, with a warning, where a file's numbers cannot be those of a light microscope (0.01 to 5 um).

    Raises:
        UserError: if they differ by more.
    """
    for size in (x_um, y_um):
        if not _PLAUSIBLE_UM[0] <= size <= _PLAUSIBLE_UM[1]:  # false for NaN too
            warn(f"{path}: its pixel size of {size:.4g} um is implausible and counts as unknown")
            return None
    if abs(x_um - y_um) > 0.01 * max(x_um, y_um):
        raise UserError(f"{path}: pixels are {x_um:g} x {y_um:g} um; resample the image to square pixels")
    return x_um
