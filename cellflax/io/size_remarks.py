"""Whether two files that should show one field at one scale say so."""

from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.images import pixel_size_of
from cellflax.io.outlines import has_outlines

_TOLERANCE = 0.01


def size_remark(first: Path, second: Path) -> str | None:
    """What to say where two files give different pixel sizes; None where they agree or one does not say."""
    one, other = _size_um(first), _size_um(second)
    if one is None or other is None or abs(one - other) <= _TOLERANCE * max(one, other):
        return None
    return f"{first} has pixels of {one:g} um and {second} of {other:g} um; do both show the same field?"


def _size_um(path: Path) -> float | None:
    if has_outlines(path):
        return None
    try:
        return pixel_size_of(path)
    except UserError:  # oblong, say: it is reported where the file is read
        return None
