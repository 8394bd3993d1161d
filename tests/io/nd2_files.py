"""Small ND2 files of version 2.0 (metadata as XML), written by hand."""

import struct
import zlib
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

_MAGIC = 0x0ABECEDA
_TYPES = {bool: "bool", int: "lx_int32", float: "double", str: "CLxStringW"}


def _xml(value: dict) -> bytes:
    def node(name: str, content) -> str:
        if isinstance(content, list):
            return f"<{name}>{''.join(node('no_name', item) for item in content)}</{name}>"
        if isinstance(content, dict):
            return f"<{name}>{''.join(node(key, item) for key, item in content.items())}</{name}>"
        text = str(content).lower() if isinstance(content, bool) else str(content)
        return f"<{name} runtype={quoteattr(_TYPES[type(content)])} value={quoteattr(text)}/>"

    return ('<?xml version="1.0" encoding="UTF-8"?>' + node("variant", {"no_name": value})).encode()


def time_loop(count: int, period_ms: float = 0.0) -> tuple[int, dict]:
    return 1, {"uiCount": count, "dStart": 0.0, "dPeriod": period_ms, "dDuration": 0.0}


def positions(names: list[str]) -> tuple[int, dict]:
    return 2, {"Points": [{"dPosX": 1.0, "dPosY": 2.0, "dPosZ": 0.0, "pPosName": name} for name in names]}


def z_stack(count: int, step_um: float, bottom_to_top: bool = True) -> tuple[int, dict]:
    return 4, {"uiCount": count, "dZStep": step_um, "iType": 2 if bottom_to_top else 6}


def other_loop(count: int) -> tuple[int, dict]:
    return 7, {"uiCount": count}


def write_nd2(
    path: Path,
    frames: np.ndarray,
    loops: list[tuple[int, dict]],
    channels: list[str],
    um: float | None = None,
    times_ms: list[float] | None = None,
    compressed: bool = False,
    padding: int = 0,
    samples: int = 1,
    without: tuple[int, ...] = (),
) -> Path:
    """An ND2 file.

    Args:
        path: where to.
        frames: (N, H, W, components), in the order of the loops, the first of which is the slowest.
        loops: the loops.
        channels: names of the channels.
        um: edge of a pixel.
        times_ms: of each frame.
        compressed: store the pixels with zlib.
        padding: bytes behind each row.
        samples: components of a channel.
        without: numbers of frames that are left out.
    """
    count, height, width, components = frames.shape
    row = width * components * frames.itemsize + padding
    experiment: dict = {}
    for kind, parameters in reversed(loops):
        inner = {"ppNextLevelEx": [experiment]} if experiment else {}
        experiment = {"eType": kind, "uLoopPars": parameters, **inner}
    bits = 8 * frames.itemsize
    size = {"uiWidth": width, "uiWidthBytes": row, "uiHeight": height, "uiComp": components}
    depth = {"uiBpcInMemory": bits, "uiBpcSignificant": bits, "uiSequenceCount": count}
    plane = {"uiCompCount": samples, "pFluorescentProbe": {"m_sName": ""}}
    planes = {f"Plane{i}": {"sDescription": name, **plane} for i, name in enumerate(channels)}
    picture = {
        "bCalibrated": um is not None,
        "dCalibration": um or 1.0,
        "sPicturePlanes": {"uiCount": len(channels), "sPlaneNew": planes},
    }
    chunks = [
        (b"ImageAttributes!", _xml({**size, **depth, "eCompression": 0 if compressed else 2})),
        (b"ImageMetadataSeq|0!", _xml(picture)),
    ]
    if experiment:
        chunks.append((b"ImageMetadata!", _xml(experiment)))
    for i, frame in enumerate(frames):
        rows = frame.reshape(height, -1).view("u1")
        pixels = np.pad(rows, ((0, 0), (0, padding))).tobytes()
        if i not in without:
            chunks.append((f"ImageDataSeq|{i}!".encode(), bytes(8) + (zlib.compress(pixels) if compressed else pixels)))
    if times_ms is not None:
        chunks.append((b"CustomData|AcqTimesCache!", struct.pack(f"<{len(times_ms)}d", *times_ms)))
    content = _chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver2.0".ljust(64, b"\0"), 32)
    listed = b""
    for name, data in chunks:
        listed += name + struct.pack("<QQ", len(content), len(data))
        content += _chunk(name, data, 4072)
    place = len(content)
    listed += b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", place)
    path.write_bytes(content + _chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", listed, 32))
    return path


def _chunk(name: bytes, data: bytes, name_length: int) -> bytes:
    return struct.pack("<IIQ", _MAGIC, name_length, len(data)) + name.ljust(name_length, b"\0") + data
