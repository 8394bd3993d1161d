"""Damage to the structures of TIFF and PNG files: directories, tags, chunks, compressed data, XML in a tag."""

import random
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fuzz.mutate import SPECIAL_NUMBERS

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
# Width, length, bits, compression, photometric, samples, rows per strip, planar, predictor, tiles.
_SHAPING = (256, 257, 258, 259, 262, 277, 278, 284, 317, 322, 323)
_OFFSETS = (273, 279, 324, 325)
_DESCRIPTION = 270


@dataclass
class Entry:
    """A tag of a directory."""

    tag: int
    kind: int
    count: int
    place: int  # of the entry
    value_at: int  # of its values


class Tiff:
    """A classic TIFF or BigTIFF, as far as damage to its directories needs it."""

    def __init__(self, content: bytes):
        self.content = bytearray(content)
        self.order = "<" if content[:2] == b"II" else ">"
        self.big = content[2:4] in (b"+\0", b"\0+")
        self.word = 8 if self.big else 4
        self.first_at = 8 if self.big else 4

    def get(self, place: int, size: int) -> int:
        return struct.unpack_from(self.order + _CODES[size], self.content, place)[0]

    def put(self, place: int, size: int, value: int) -> None:
        struct.pack_into(self.order + _CODES[size], self.content, place, value & (256**size - 1))

    def directories(self) -> Iterator[tuple[int, list[Entry], int]]:
        """Offset, tags, and the place of the offset of the next directory."""
        offset = self.get(self.first_at, self.word)
        n_bytes, entry_bytes = (8, 20) if self.big else (2, 12)
        seen: set[int] = set()
        while offset and offset not in seen:  # damage before this one can have made a circle
            seen.add(offset)
            entries = []
            for i in range(self.get(offset, n_bytes)):
                place = offset + n_bytes + i * entry_bytes
                tag, kind, count = self.get(place, 2), self.get(place + 2, 2), self.get(place + 4, self.word)
                inside = place + 4 + self.word
                here = count * _SIZES.get(kind, 1) <= self.word
                entries.append(Entry(tag, kind, count, place, inside if here else self.get(inside, self.word)))
            next_at = offset + n_bytes + len(entries) * entry_bytes
            yield offset, entries, next_at
            offset = self.get(next_at, self.word)

    def relocate(self, entry: Entry, content: bytes, count: int) -> None:
        """Other values for a tag, at the end of the file."""
        self.content += b"\0" * (len(self.content) % 2)
        self.put(entry.place + 4, self.word, count)
        self.put(entry.place + 4 + self.word, self.word, len(self.content))
        self.content += content


def _any_directory(rng: random.Random, tiff: Tiff) -> tuple[int, list[Entry], int]:
    return rng.choice(list(tiff.directories()))


def tiff_tag(rng: random.Random, path: Path) -> str:
    """A value, type, count or number of a tag at its limits."""
    tiff = Tiff(path.read_bytes())
    entries = _any_directory(rng, tiff)[1]
    if rng.random() < 0.7:
        entries = [entry for entry in entries if entry.tag in (*_SHAPING, *_OFFSETS)]
    entry = rng.choice(entries)
    value = rng.choice(SPECIAL_NUMBERS) if rng.random() < 0.7 else rng.randrange(70000)
    what = rng.choice(("value", "value", "value", "value", "kind", "count", "tag"))
    if what == "value":
        size = min(_SIZES.get(entry.kind, 1), 8)
        place = entry.value_at + size * rng.randrange(max(entry.count, 1))
        tiff.put(min(place, len(tiff.content) - size), size, value)
    elif what == "kind":
        tiff.put(entry.place + 2, 2, rng.choice((*range(20), 65535)))
    elif what == "count":
        tiff.put(entry.place + 4, tiff.word, value)
    else:
        tiff.put(entry.place, 2, rng.choice((*_SHAPING, *_OFFSETS, 330, 34665, 50838, 50839, 51123)))
    path.write_bytes(tiff.content)
    return f"{what} of tag {entry.tag} is {value}"


def tiff_size(rng: random.Random, path: Path) -> str:
    """Width and length up to 2^31, in tags of 32 bits."""
    tiff = Tiff(path.read_bytes())
    width, length = (rng.choice((1, 100, 65535, 10**6, 2**31 - 1, 2**31, 2**32 - 1)) for _ in range(2))
    for _, entries, _ in tiff.directories():
        for entry in entries:
            if entry.tag in (256, 257):
                tiff.put(entry.place + 2, 2, 4)
                tiff.put(entry.place + 4 + tiff.word, 4, width if entry.tag == 256 else length)
    path.write_bytes(tiff.content)
    return f"declares {width} x {length} pixels"


def tiff_circle(rng: random.Random, path: Path) -> str:
    """The chain of directories ends in a circle, beyond the file, or never."""
    tiff = Tiff(path.read_bytes())
    directories = list(tiff.directories())
    next_at = rng.choice(directories)[2]
    where = rng.choice((directories[0][0], directories[-1][0], 0, 4, len(tiff.content), 2**31, next_at))
    tiff.put(next_at, tiff.word, where)
    path.write_bytes(tiff.content)
    return f"the next directory is at {where}"


def tiff_thousands(rng: random.Random, path: Path) -> str:
    """Thousands of directories, all of one plane."""
    tiff = Tiff(path.read_bytes())
    offset, _, next_at = list(tiff.directories())[-1]
    directory = bytes(tiff.content[offset:next_at])
    count = rng.choice((100, 1000, 2000))
    place = next_at
    for _ in range(count):
        tiff.content += b"\0" * (len(tiff.content) % 2)
        tiff.put(place, tiff.word, len(tiff.content))
        place = len(tiff.content) + len(directory)
        tiff.content += directory + bytes(tiff.word)
    path.write_bytes(tiff.content)
    return f"{count} more directories"


@cache
def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(9)
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(
        zlib.Z_FULL_FLUSH
    )  # each by itself, so that it can be repeated
    return start + block * (size >> 20) + packer.flush()


def bomb(rng: random.Random) -> bytes:
    """Zeros of 4 GB, packed into 4 MB, or of 100 MB."""
    return _bomb(rng.choice((100 << 20, 4 << 30)))


def tiff_bomb(rng: random.Random, path: Path) -> str:
    """Compressed data that unpack to gigabytes in the place of a strip or a tile."""
    tiff = Tiff(path.read_bytes())
    entries = {entry.tag: entry for entry in _any_directory(rng, tiff)[1]}
    offsets, counts = entries.get(273, entries.get(324)), entries.get(279, entries.get(325))
    if offsets is None or counts is None:
        return "no strips"
    packed = bomb(rng)
    size = _SIZES[offsets.kind]
    tiff.put(offsets.value_at, size, len(tiff.content))
    tiff.put(counts.value_at, _SIZES[counts.kind], len(packed))
    if rng.random() < 0.7 and (compression := entries.get(259)):
        tiff.put(compression.value_at, 2, 8)
    path.write_bytes(tiff.content + packed)
    return f"{len(packed)} bytes that unpack to gigabytes"


_BILLION = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{}]>'.format(
    "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
)


def mutated_text(rng: random.Random, text: str) -> str:
    """XML or other metadata with a fault."""
    match rng.randrange(8):
        case 0 if numbers := list(re.finditer(r"\d+(\.\d+)?", text)):
            number = rng.choice(numbers)
            values = ("0", "-1", "1e999", "nan", "2147483647", "4294967296", "9" * 5000, "", "1.5", "0x10", "10000")
            return text[: number.start()] + rng.choice(values) + text[number.end() :]
        case 1 if tags := list(re.finditer(r"<[^>]*>", text)):
            tag = rng.choice(tags)
            return text[: tag.start()] + tag[0] * rng.choice((0, 2, 5000)) + text[tag.end() :]
        case 2 if attributes := list(re.finditer(r'(\w+)="([^"]*)"', text)):
            one = rng.choice(attributes)
            value = rng.choice(
                ("", one[0] * 2, f'{one[1]}=""', f'{one[1]}="../../etc/passwd"', f'{one[1]}="\u00b5&#0;"')
            )
            return text[: one.start()] + value + text[one.end() :]
        case 3:
            return re.sub(r"<OME\b", _BILLION + "<OME", text.replace("<?xml", "<!--", 1), count=1) + "&j;"
        case 4:
            return text.replace(">", ">&j;", 2).replace("<OME", _BILLION + "<OME", 1)
        case 5:
            place = rng.randrange(len(text) + 1)
            return text[:place] + "<a>" * rng.choice((1, 100, 100_000)) + text[place:]
        case 6:
            place = rng.randrange(len(text) + 1)
            return (
                text[:place]
                + rng.choice(("\0", "\ufffe", "]]>", "<!--", "&", "\n" * 1000, "=", "x" * 10**6))
                + text[place:]
            )
        case _:
            start = rng.randrange(len(text) + 1)
            return text[:start] + text[start + rng.choice((1, 20, 200)) :]


def tiff_text(rng: random.Random, path: Path) -> str:
    """Faults in the description: OME-XML, or what ImageJ wrote."""
    tiff = Tiff(path.read_bytes())
    entry = next((entry for entry in next(tiff.directories())[1] if entry.tag == _DESCRIPTION), None)
    if entry is None:
        return "no description"
    text = bytes(tiff.content[entry.value_at : entry.value_at + entry.count]).decode("utf-8", "replace")
    changed = mutated_text(rng, text).encode("utf-8", "replace")
    tiff.relocate(entry, changed + b"\0", len(changed) + 1)
    path.write_bytes(tiff.content)
    return f"description of {len(changed)} bytes"


TIFF = (
    tiff_tag,
    tiff_tag,
    tiff_tag,
    tiff_size,
    tiff_circle,
    tiff_thousands,
    tiff_bomb,
    tiff_text,
    tiff_text,
    tiff_text,
)


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        found.append((kind, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def png_chunks(rng: random.Random, path: Path) -> str:
    """Faults of chunks whose checksums are right."""
    content = path.read_bytes()
    chunks = _chunks(content)
    i = rng.randrange(len(chunks))
    what = rng.choice(("size", "size", "kind", "drop", "twice", "swap", "bomb", "text bomb", "extra", "flip"))
    header = bytearray(chunks[0][1])
    if what == "size":
        struct.pack_into(
            ">I", header, rng.choice((0, 4)), rng.choice((0, 1, 65535, 10**6, 2**31 - 1, 2**31, 2**32 - 1))
        )
    elif what == "kind":
        header[rng.randrange(8, 13)] = rng.choice((*range(9), 16, 255))
    chunks[0] = (chunks[0][0], bytes(header))
    match what:
        case "drop":
            del chunks[i]
        case "twice":
            chunks.insert(i, chunks[i])
        case "swap":
            rng.shuffle(chunks)
        case "bomb":
            chunks = [(kind, bomb(rng) if kind == b"IDAT" else data) for kind, data in chunks]
        case "text bomb":
            chunks.insert(1, (rng.choice((b"zTXt", b"iCCP")), b"x\0\0" + bomb(rng)))
        case "extra":
            kind = rng.choice((b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sBIT", b"acTL", b"fcTL", b"eXIf", b"pHYs"))
            chunks.insert(1, (kind, rng.randbytes(rng.choice((0, 1, 3, 4, 768, 1000)))))
        case "flip" if chunks[i][1]:
            data = bytearray(chunks[i][1])
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            chunks[i] = (chunks[i][0], bytes(data))
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    path.write_bytes(content[:8] + b"".join(packed))
    return f"chunks: {what}"


PNG = (png_chunks,)
