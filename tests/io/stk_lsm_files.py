"""Small MetaMorph STK and Zeiss LSM files, written by hand."""

import struct
from pathlib import Path

import numpy as np
import tifffile

_MIDNIGHT = 2459580  # Julian day of 2022-01-01


def write_stk(
    path: Path, planes: np.ndarray, units: str = "um", size: float = 0.65, times_ms=None, z_step: int = 0, calibrated=1
) -> Path:
    """An STK of (N, H, W): one page, behind whose pixels those of the other planes follow.

    Args:
        path: where to.
        planes: the planes.
        units: unit of the pixel size.
        size: edge of a pixel.
        times_ms: creation time of each plane, in milliseconds of a day.
        z_step: distance between planes.
        calibrated: whether the pixel size counts.
    """
    count, height, width = planes.shape
    content = bytearray(b"II*\0\0\0\0\0")

    def append(data: bytes) -> int:
        content.extend(bytes(len(content) % 2) + data)
        return len(content) - len(data)

    pixels = append(planes.tobytes())
    name = units.encode() + b"\0"
    unit, edge = append(struct.pack("<I", len(name)) + name), append(struct.pack("<II", int(size * 10000), 10000))
    uic1 = append(struct.pack("<8I", 3, calibrated, 4, edge, 5, edge, 6, unit))
    times = [0] * count if times_ms is None else times_ms
    stamps = [number for t in times for number in (z_step, 1, _MIDNIGHT, int(t), _MIDNIGHT, int(t))]
    uic2, uic4 = append(struct.pack(f"<{6 * count}I", *stamps)), append(bytes(2))
    uic3 = append(struct.pack("<II", 0, 1) * count)
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8 * planes.itemsize),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, pixels),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, planes[0].nbytes),
        (33628, 4, 4, uic1),
        (33629, 5, count, uic2),
        (33630, 5, count, uic3),
        (33631, 4, count, uic4),
    ]
    directory = append(struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4))
    content[4:8] = struct.pack("<I", directory)
    path.write_bytes(content)
    return path


def write_lsm(
    path: Path,
    pixels: np.ndarray,
    names: list[str] = (),
    um: tuple[float, float, float] = (0.5, 0.5, 2.0),
    stamps: list[float] = (),
) -> Path:
    """An LSM of (T, Z, C, H, W): a page with all channels for each plane, and after each a thumbnail."""
    frames, planes, channels, height, width = pixels.shape
    kind = {(False, False): 0, (True, False): 3}.get((frames > 1, planes > 1), 6 if frames > 1 else 0)
    numbers = (width, height, planes, channels, frames, 0, 8, 8)
    info = bytearray(struct.pack("<Ii8i", 67127628, 244, *numbers))
    info += struct.pack("<6dHHI", *(size * 1e-6 for size in um), 0, 0, 0, kind, 0, 0)
    offsets = len(info)
    info += bytes(244 - len(info))
    with tifffile.TiffWriter(path, byteorder="<") as tiff:
        first = True
        for plane in pixels.reshape(-1, channels, height, width):
            extra = [(34412, 1, len(info), bytes(info), True)] if first else []
            options = {"planarconfig": "separate"} if channels > 1 else {}
            tiff.write(plane if channels > 1 else plane[0], photometric="minisblack", metadata=None, contiguous=False,
                       extratags=extra, **options)  # fmt: skip
            tiff.write(np.zeros((8, 8), "u1"), subfiletype=1, metadata=None, contiguous=False, photometric="minisblack")
            first = False
    content = bytearray(path.read_bytes())
    at = content.index(info)
    if names:
        text = b"".join(struct.pack("<I", len(name) + 1) + name.encode() + b"\0" for name in names)
        start = 24 + 4 * len(names)
        block = struct.pack("<6I", start + len(text), len(names), len(names), 24, start, 0) + bytes(4 * len(names))
        content[at + offsets + 12 : at + offsets + 16] = struct.pack("<I", len(content))
        content += block + text
    if stamps:
        # Offsets of time stamps come behind the time interval (8), channel types, scan information and Ks data.
        content[at + offsets + 36 : at + offsets + 40] = struct.pack("<I", len(content))
        content += struct.pack("<ii", 8 + 8 * len(stamps), len(stamps)) + struct.pack(f"<{len(stamps)}d", *stamps)
    # LSM keeps the bits of two channels elsewhere, though they fit into the tag.
    bits = 8 * pixels.itemsize
    inline, elsewhere = struct.pack("<HHIHH", 258, 3, 2, bits, bits), struct.pack("<HHII", 258, 3, 2, len(content))
    if inline in content:
        content = content.replace(inline, elsewhere) + struct.pack("<HH", bits, bits)
    path.write_bytes(content)
    return path
