"""Small LIF files, written by hand after Leica's description of the format."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

_NUMBERS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "λ": 5, "A": 6, "M": 10}


@dataclass
class LifImage:
    """An image of a LIF file.

    Attributes:
        name: its name.
        pixels: of any axes.
        axes: a letter for each, of which C is channels (planes, or samples of a pixel if it is the last).
        extents: of axes, from the first element to the last, in metres (seconds for T).
        dyes: names of the channels; empty strings for none.
        stamps_ms: time stamps, in milliseconds.
        padding: bytes behind each row.
        tags: of the channels: 0, or 1 to 3 for red, green and blue.
    """

    name: str
    pixels: np.ndarray
    axes: str
    extents: dict[str, float] = field(default_factory=dict)
    dyes: list[str] = field(default_factory=list)
    stamps_ms: list[int] = field(default_factory=list)
    padding: int = 0
    tags: list[int] = field(default_factory=list)

    def stored(self) -> bytes:
        if not self.padding:
            return self.pixels.tobytes()
        row = self.pixels.shape[self.axes.index("Y") + 1 :]
        rows = self.pixels.reshape(-1, int(np.prod(row))).view("u1")
        return np.pad(rows, ((0, 0), (0, self.padding))).tobytes()

    def steps(self) -> dict[str, int]:
        steps, step = {}, self.pixels.itemsize
        for axis, length in reversed(list(zip(self.axes, self.pixels.shape, strict=True))):
            steps[axis] = step
            step = step * length + (self.padding if axis == "X" else 0)
        return steps

    def xml(self, number: int) -> str:
        size, steps = dict(zip(self.axes, self.pixels.shape, strict=True)), self.steps()
        kind, bits = int(self.pixels.dtype.kind == "f"), 8 * self.pixels.itemsize
        channels = ""
        for c in range(size.get("C", 1)):
            tag = self.tags[c] if self.tags else 0
            dye = self.dyes[c] if self.dyes else ""
            named = f"<ChannelProperty><Key>DyeName</Key><Value>{dye}</Value></ChannelProperty>" if dye else ""
            channels += (
                f'<ChannelDescription DataType="{kind}" ChannelTag="{tag}" Resolution="{bits}" Min="0" Max="1" Unit="" '
                f'NameOfMeasuredQuantity="" LUTName="Green" IsLUTInverted="0" BytesInc="{c * steps.get("C", 0)}" '
                f'BitInc="0">{named}</ChannelDescription>'
            )
        dimensions = "".join(
            f'<DimensionDescription DimID="{_NUMBERS[axis]}" NumberOfElements="{size[axis]}" Origin="0" '
            f'Length="{self.extents.get(axis, 0)!r}" Unit="{"s" if axis == "T" else "m"}" BytesInc="{steps[axis]}" '
            'BitInc="0"/>'
            for axis in reversed(self.axes)
            if axis != "C"
        )
        stamps = " ".join(f"{116444736000000000 + 10000 * stamp:x}" for stamp in self.stamps_ms)
        times = f'<TimeStampList NumberOfTimeStamps="{len(self.stamps_ms)}">{stamps}</TimeStampList>' if stamps else ""
        return (
            f"<Element Name={quoteattr(self.name)}><Data><Image><ImageDescription><Channels>{channels}</Channels>"
            f"<Dimensions>{dimensions}</Dimensions></ImageDescription>{times}</Image></Data>"
            f'<Memory Size="{len(self.stored())}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )


def _block(size: int, text: str) -> bytes:
    name = text.encode("utf-16-le")
    return struct.pack("<IIBQBI", 0x70, 14 + len(name), 0x2A, size, 0x2A, len(text)) + name


def write_lif(path: Path, images: list[LifImage], extra: str = "") -> Path:
    """A LIF file of version 2; `extra` is XML among its images."""
    elements = "".join(image.xml(i) for i, image in enumerate(images))
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="project"><Data/><Children>'
        f"{elements}{extra}</Children></Element></LMSDataContainerHeader>"
    )
    text = xml.encode("utf-16-le")
    content = struct.pack("<IIBI", 0x70, 5 + len(text), 0x2A, len(xml)) + text
    for i, image in enumerate(images):
        stored = image.stored()
        content += _block(len(stored), f"MemBlock_{i}") + stored
    path.write_bytes(content)
    return path
