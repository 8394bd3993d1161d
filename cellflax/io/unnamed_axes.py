"""Axes that a file leaves unnamed."""

from pathlib import Path

from cellflax.errors import UserError

UNNAMED = "QI"  # letters for such axes, as tifffile has them
# An axis that the file leaves unnamed is read as channels if it is this short, else as time.
_MOST_UNNAMED_CHANNELS = 5


def named_axes(path: Path, axes: str, shape: tuple[int, ...]) -> tuple[str, str]:
    """The letters of the axes, of which each is one of TCSZYX or has length 1; and the letter that was unnamed, or "".

    The only unnamed axis is channels if it is short, else time.

    Args:
        path: the file.
        axes: a letter for each axis.
        shape: their lengths.

    Raises:
        UserError: for other axes.
    """
    other = [i for i, (axis, length) in enumerate(zip(axes, shape, strict=True)) if axis not in "TCSZYX" and length > 1]
    if not other:
        return axes, ""
    place, size = other[0], dict(zip(axes, shape, strict=True))
    if len(other) == 1 and axes[place] in UNNAMED:
        if len(shape) == 3 and "C" not in axes and "S" not in axes:
            if shape[-1] <= _MOST_UNNAMED_CHANNELS < min(shape[:-1]):
                return "YXC", "C"
            if shape[place] <= _MOST_UNNAMED_CHANNELS:
                return axes.replace(axes[place], "C"), "C"
        if size.get("T", 1) == 1:
            return axes.replace("T", "_").replace(axes[place], "T"), "T"
    raise UserError(
        f"{path}: {shape[place]} planes along {axes[place]} (axes {axes}, shape {shape}) are not supported; save "
        "channels as the axis C, focal planes as Z and time as T"
    )
