"""What the metadata of OME-Zarr 0.4 and 0.5 say of an image."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellflax.errors import UserError
from cellflax.io.movie_time import SECONDS_PER_UNIT
from cellflax.io.notices import warn
from cellflax.io.stack import UM_PER_UNIT, NamesFrom, default_channel_names, square_pixel_um

VERSIONS = ("0.4", "0.5")
# Axes are known by their types; where a type is left out, by these names.
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


@dataclass(frozen=True)
class ZarrAxis:
    """An axis of an image.

    Attributes:
        letter: one of T, C, Z, Y and X, or "" for any other.
        name: its name in the file.
        scale: its step in the unit of the axis, None if unknown.
        unit: the unit in the file, "" for none.
    """

    letter: str
    name: str
    scale: float | None
    unit: str


@dataclass(frozen=True)
class ZarrImage:
    """What the metadata say of one image, of which an OME-Zarr may hold several copies of less resolution.

    Attributes:
        name: its name, "" for none.
        array: name of the array of full resolution.
        axes: its axes.
    """

    name: str
    array: str
    axes: tuple[ZarrAxis, ...]

    def pixel_size_um(self, path: Path | str) -> float | None:
        """Edge of a pixel, None if unknown.

        Raises:
            UserError: if pixels are oblong.
        """
        x, y = self._um(path, "X"), self._um(path, "Y")
        return None if x is None or y is None else square_pixel_um(path, x, y)

    def z_um(self, path: Path | str, planes: int) -> tuple[float, ...] | None:
        """Focus positions of the planes from the first, None if unknown."""
        step = self._um(path, "Z") if planes > 1 else None
        return None if step is None else tuple(step * plane for plane in range(planes))

    def interval_s(self) -> float | None:
        """Time between frames, None if unknown."""
        for axis in self.axes:
            scale = SECONDS_PER_UNIT.get(axis.unit.lower())
            if axis.letter == "T" and axis.scale is not None and scale is not None:
                interval = axis.scale * scale
                return interval if math.isfinite(interval) and interval > 0 else None
        return None

    def _um(self, path: Path | str, letter: str) -> float | None:
        for axis in self.axes:
            if axis.letter == letter and axis.scale is not None:
                scale = UM_PER_UNIT.get(axis.unit.lower())
                if scale is not None:
                    return scale * axis.scale if math.isfinite(axis.scale) and axis.scale > 0 else None
                if axis.scale != 1:
                    unit = f"{axis.unit!r:.30}, no unit of length" if axis.unit else "without a unit"
                    warn(f"{path}: gives a step of {axis.scale:g} along {axis.name}, {unit}: its size is unknown")
        return None


def read_images(path: Path | str, group: Mapping[str, Any]) -> list[ZarrImage]:
    """The images that a group of OME-Zarr describes.

    Args:
        path: the file, for errors.
        group: the OME metadata of the group.

    Raises:
        UserError: for other versions, axes that cannot be named, and metadata that are not valid.
    """
    return [_read_image(path, content, str(group["version"])) for content in group["multiscales"]]


def channel_names(group: Mapping[str, Any], count: int) -> tuple[tuple[str, ...], NamesFrom]:
    """Names of the channels by the part "omero" of a group's metadata, and where they come from.

    Channels without a name beside others that have one are channel_0, ... by their place.
    """
    omero = group.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    labels = [channel.get("label") if isinstance(channel, dict) else None for channel in channels or []]
    if any(labels):
        names = [str(label) if label else f"channel_{i}" for i, label in enumerate(labels)]
        if len(names) == len(set(names)) == count:
            return tuple(names), "file"
    return default_channel_names(count), "default"


def check_version(path: Path | str, version: object) -> None:
    """Refuse other versions of OME-Zarr.

    Raises:
        UserError: for them.
    """
    if version not in VERSIONS:
        raise UserError(
            f"{path}: OME-Zarr of version {version!r:.20} is not supported; convert it to {' or '.join(VERSIONS)}, for "
            "instance with bioformats2raw"
        )


def validated(path: Path | str, kind: str, content: Any, version: str) -> Any:
    """A part of the metadata as the model of this name in `yaozarrs`.

    Raises:
        UserError: if it is not valid.
    """
    # Imported here because its models take a quarter of a second, which most commands can do without.
    import yaozarrs
    from pydantic import ValidationError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends names and units
        try:
            return getattr(yaozarrs.v04 if version == "0.4" else yaozarrs.v05, kind).model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"] if len(str(part)) < 40)
            reason = str(first["msg"]).splitlines()[0][:100]
            raise UserError(
                f"{path}: its metadata are no valid OME-Zarr {version} ({place}: {reason}); export it again"
            ) from error


def _read_image(path: Path | str, content: dict[str, Any], version: str) -> ZarrImage:
    check_version(path, content.get("version", version) if version == "0.4" else version)
    content = {**content, "axes": [_with_type(axis) for axis in content.get("axes", [])]}
    content.pop("version", None)
    try:
        model = validated(path, "Multiscale", content, version)
        scales = _scales(model)
    except UserError:
        steps = [{"type": "scale", "scale": [1.0] * len(content["axes"])}]
        first = {"path": content["datasets"][0]["path"], "coordinateTransformations": steps}
        plain = {"axes": content["axes"], "datasets": [first]}
        model = validated(path, "Multiscale", plain, version)
        warn(f"{path}: its scales are not those of a valid OME-Zarr {version}; sizes and times are unknown")
        scales = [None] * len(model.axes)
    axes = [
        ZarrAxis(_letter(axis), str(axis.name), scale, axis.unit or "")
        for axis, scale in zip(model.axes, scales, strict=True)
    ]
    letters = [axis.letter for axis in axes if axis.letter]
    if not {"Y", "X"} <= set(letters) or len(letters) != len(set(letters)):
        names = ", ".join(axis.name for axis in axes)
        raise UserError(f"{path}: axes {names:.100} are not supported; name them t, c, z, y and x")
    return ZarrImage(model.name or "", str(model.datasets[0].path), tuple(axes))


def _with_type(axis: Any) -> Any:
    name = str(axis.get("name")).lower() if isinstance(axis, dict) else ""
    return {"type": _TYPES[name], **axis} if name in _TYPES else axis


def _letter(axis: Any) -> str:
    if axis.type in ("time", "channel"):
        return "T" if axis.type == "time" else "C"
    name = str(axis.name).upper()
    return name if axis.type == "space" and name in ("X", "Y", "Z") else ""


def _scales(model: Any) -> list[float | None]:
    """The steps along the axes: those of the array times those of all arrays."""
    scales = [1.0] * len(model.axes)
    for step in (*model.datasets[0].coordinateTransformations, *(model.coordinateTransformations or [])):
        if step.type == "scale":
            scales = [a * b for a, b in zip(scales, step.scale, strict=True)]
    return [*scales]
