"""The chain of a TIFF's directories, checked for circles: tifffile notices only those that lead to its first pages."""

import struct
from pathlib import Path

from cellflax.errors import UserError
from cellflax.wholefile import open_regular


def refuse_circle(path: Path) -> None:
    """Check that the directories of a TIFF or BigTIFF come to an end.

    Raises:
        UserError: if one of them follows itself. Other faults are for the decoder to report.
    """
    with open_regular(path, "give an image file") as file:
        start = file.read(16)
        order = ">" if start[:2] == b"MM" else "<"
        big = start[2:4] in (b"+\0", b"\0+")
        word, count, entry, at = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
        seen: set[int] = set()
        try:
            (offset,) = struct.unpack_from(order + word, start, at)
            while offset:
                if offset in seen:
                    raise UserError(
                        f"{path}: damaged or incomplete (its directories go round in a circle); copy or export it again"
                    )
                seen.add(offset)
                file.seek(offset)
                (entries,) = struct.unpack(order + count, file.read(struct.calcsize(count)))
                file.seek(offset + struct.calcsize(count) + entries * entry)
                (offset,) = struct.unpack(order + word, file.read(struct.calcsize(word)))
        except (struct.error, OSError, ValueError, OverflowError):  # it ends beyond the file
            return
