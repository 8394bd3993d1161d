"""How the images of a file are read: what the user says of files that hold several, or do not say enough."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from cellflax.errors import UserError


class TimeFrom(Enum):
    """The axis of a file that is time: its own, or focal planes or channels; with `none` its time is focal planes."""

    T = "T"
    Z = "Z"
    C = "C"
    none = "none"


@dataclass(frozen=True)
class Reading:
    """How the images of a file are read, see `ReadingOptions`.

    Attributes:
        scene: name or number of the one position or scene to read; empty where there is one.
        z: what to read of the focal planes.
        time_axis: axis of the file that is time.
        prefix: of these options on the command line, for errors; None where the command has none.
    """

    scene: str = ""
    z: str = "all"
    time_axis: TimeFrom = TimeFrom.T
    prefix: str | None = None


@dataclass(kw_only=True)
class ReadingOptions:
    """Options of commands that read images.

    Attributes:
        scene: name or number (from 0) of the one position or scene to read of files with several; null for all, each
            an image of its own.
        z: focal planes: `all` as channels, their maximum `max`, their `mean`, or the number of one, from 0; null for
            what the network was trained on, else all.
        time_axis: axis of the image files that is time: T, or Z or C where a microscope saved frames as focal planes
            or channels; `none` where what the files call time are focal planes.
    """

    prefix: ClassVar[str] = ""  # of the keys on the command line

    scene: str | None = None
    z: str | None = None
    time_axis: TimeFrom = TimeFrom.T

    def __post_init__(self) -> None:
        if self.z is not None and self.z not in ("all", "max", "mean") and not self.z.isdecimal():
            raise UserError(f"{self.prefix}z={self.z}: must be all, max, mean or the number of a focal plane, from 0")
        if (others := getattr(super(), "__post_init__", None)) is not None:  # of the other classes of a configuration
            others()

    def reading(self, z: str | None = None) -> Reading:
        """How to read.

        Args:
            z: as the option, where that is null.
        """
        return Reading(self.scene or "", self.z or z or "all", self.time_axis, self.prefix)
