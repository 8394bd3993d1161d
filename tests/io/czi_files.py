"""Small CZI files, written by hand after Zeiss's description of the format (ZISRAW 1.0)."""

import struct
from pathlib import Path

import numpy as np

_PIXELS = {("u1", 1): 0, ("u2", 1): 1, ("f4", 1): 2, ("u1", 3): 3, ("u2", 3): 4, ("u1", 4): 9}


def _segment(sid: str, content: bytes) -> bytes:
    size = len(content) + -len(content) % 32
    return struct.pack("<16sqq", sid.encode(), size, len(content)) + content.ljust(size, b"\0")


def _entry(tile: dict, position: int) -> bytes:
    """A directory entry; `tile` has pixels (H, W) or (H, W, S), and places by axis."""
    pixels, place = tile["pixels"], tile["place"]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    lengths = {"X": pixels.shape[1], "Y": pixels.shape[0]}
    axes = {"X": 0, "Y": 0, **place}
    kind = _PIXELS[pixels.dtype.str[1:], samples]
    header = struct.pack("<2siqiiBB4si", b"DV", kind, position, 0, tile.get("compression", 0), 0, 0, b"", len(axes))
    fields = [
        struct.pack("<4siifi", axis.encode(), start, lengths.get(axis, 1), 0.0, lengths.get(axis, 0))
        for axis, start in axes.items()
    ]
    return header + b"".join(fields)


def tile(pixels: np.ndarray, data: bytes | None = None, compression: int = 0, **place: int) -> dict:
    """A tile, whose red, green and blue are stored as blue, green and red; `place` has its numbers along the axes."""
    stored = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.ndim == 3 else pixels
    return {"pixels": pixels, "data": data or stored.tobytes(), "compression": compression, "place": place}


def write_czi(path: Path, tiles: list[dict], xml: str = "", stamps: list[float] | None = None) -> Path:
    """A CZI file of these tiles, with its XML and time stamps."""
    content = bytearray(_segment("ZISRAWFILE", bytes(512)))
    entries = b""
    for one in tiles:
        position, entry = len(content), _entry(one, len(content))
        head = struct.pack("<iiq", 0, 0, len(one["data"])) + entry
        content += _segment("ZISRAWSUBBLOCK", head.ljust(16 + max(240, len(entry)), b"\0") + one["data"])
        assert position == len(content) - len(content[position:])
        entries += entry
    attachments = 0
    if stamps is not None:
        data = struct.pack("<ii", 8 + 8 * len(stamps), len(stamps)) + struct.pack(f"<{len(stamps)}d", *stamps)
        entry = struct.pack("<2s10sqi16s8s80s", b"A1", b"", len(content), 0, b"", b"CZTIMS", b"TimeStamps")
        assert len(entry) == 128
        head = (struct.pack("<i12x", len(data)) + entry).ljust(256, b"\0")
        content += _segment("ZISRAWATTACH", head + data)
        attachments = len(content)
        content += _segment("ZISRAWATTDIR", struct.pack("<i", 1).ljust(256, b"\0") + entry)
    metadata = len(content)
    content += _segment("ZISRAWMETADATA", struct.pack("<ii", len(xml.encode()), 0).ljust(256, b"\0") + xml.encode())
    directory = len(content)
    content += _segment("ZISRAWDIRECTORY", struct.pack("<i", len(tiles)).ljust(128, b"\0") + entries)
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"", b"", 0, directory, metadata, 0, attachments)
    content[32 : 32 + len(header)] = header
    path.write_bytes(content)
    return path


def czi_xml(channels: list[str], um: tuple[float, float] | None = None, z_um: float = 0, scenes: list[str] = ()) -> str:
    """The XML of a CZI file; a channel without a name has none in the display settings either."""
    named = "".join(
        f'<Channel Id="Channel:{i}"' + (f' Name="{name}"' if name else "") + "/>" for i, name in enumerate(channels)
    )
    scene = "".join(f'<Scene Index="{i}" Name="{name}"/>' for i, name in enumerate(scenes))
    sizes = {"X": um[0], "Y": um[1], "Z": z_um} if um else {}
    items = "".join(f'<Distance Id="{axis}"><Value>{size * 1e-6!r}</Value></Distance>' for axis, size in sizes.items())
    return (
        "<ImageDocument><Metadata><Information><Image><Dimensions>"
        f"<Channels>{named}</Channels><S><Scenes>{scene}</Scenes></S></Dimensions></Image></Information>"
        f"<Scaling><Items>{items}</Items></Scaling></Metadata></ImageDocument>"
    )
