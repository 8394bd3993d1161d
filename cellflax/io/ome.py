"""OME-XML of one file out of a set: what it says of the planes in this file, and nothing of other files."""

import math
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from cellflax.errors import UserError
from cellflax.io.notices import warn

_AXES = "CZT"


def images_of(xml: str) -> list[ElementTree.Element]:
    """The images that the metadata describe."""
    return children(ElementTree.fromstring(xml), "Image")


def children(element: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    """Children of a tag, in any name space."""
    return [child for child in element if _tag(child) == tag]


def of_this_file(path: Path, xml: str, n_pages: int) -> str | None:
    """The part of a file's OME-XML that describes its own planes, None where there is none or it cannot be read.

    Micro-Manager and others write into each file what all files of a set hold. Images (positions) of other files are
    left out. Sizes, channels, time stamps and focus are those of the planes in this file.

    Args:
        path: the file.
        xml: its OME-XML.
        n_pages: number of its TIFF pages.

    Raises:
        UserError: if the XML declares planes that the file does not hold.
    """
    try:
        root = ElementTree.fromstring(xml)
        if children(root, "BinaryOnly"):
            warn(f"{path}: its metadata are in another file, which is not read; pixel size and names are unknown")
            return None
        own = _own_uuids(root, path)
        for image in children(root, "Image"):
            pixels = next(iter(children(image, "Pixels")), None)
            if pixels is None or not _restrict(path, pixels, own, n_pages):
                root.remove(image)
        if not children(root, "Image"):
            return None
        if (name := root.tag.rpartition("}")[0]).startswith("{"):
            ElementTree.register_namespace("", name[1:])
        return ElementTree.tostring(root, encoding="unicode")
    except (ElementTree.ParseError, ValueError, KeyError, ZeroDivisionError) as error:
        warn(f"{path}: its OME metadata cannot be read ({error!r:.80}) and are ignored")
        return None


def _own_uuids(root: ElementTree.Element, path: Path) -> set[str]:
    """UUIDs by which the metadata mean this file."""
    uuids = [element for element in root.iter() if _tag(element) == "UUID"]
    named = {_text(uuid) for uuid in uuids}
    here = {root.get("UUID", "").strip().lower()} & named
    if not here:
        here = {_text(uuid) for uuid in uuids if Path(uuid.get("FileName", "")).name.lower() == path.name.lower()}
    return here or (named if len(named) == 1 else set())  # a renamed file


def _restrict(path: Path, pixels: ElementTree.Element, own: set[str], n_pages: int) -> bool:
    """Leave what describes planes of this file; False if there are none."""
    channels = children(pixels, "Channel")
    samples = int(channels[0].get("SamplesPerPixel", 1)) if channels else 1
    size = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in _AXES}
    size["C"] = max(size["C"] // samples, 1)
    data = children(pixels, "TiffData")
    if not data:
        return False
    declared = math.prod(size.values())
    if all(not _uuid(block) for block in data):
        if declared > n_pages:
            raise UserError(_missing(path, declared, n_pages))
        return True
    order = [axis for axis in pixels.attrib["DimensionOrder"] if axis in _AXES]
    planes: dict[tuple[int, ...], int] = {}
    for block in data:
        if not _uuid(block) or _uuid(block) & own:
            _add_planes(planes, block, [size[axis] for axis in order], order, n_pages)
        pixels.remove(block)
    if not planes:
        return False
    kept = [sorted({plane[i] for plane in planes}) for i in range(3)]
    if math.prod(map(len, kept)) != len(planes) or max(planes.values()) >= n_pages:
        raise UserError(_missing(path, math.prod(map(len, kept)), n_pages))
    places = dict(zip(order, kept, strict=True))
    _keep_channels(pixels, channels, places["C"])
    for axis in _AXES:
        pixels.set(f"Size{axis}", str(len(places[axis]) * (samples if axis == "C" else 1)))
    for plane in children(pixels, "Plane"):
        where = {axis: int(plane.get(f"The{axis}", 0)) for axis in _AXES}
        if all(where[axis] in places[axis] for axis in _AXES):
            for axis in _AXES:
                plane.set(f"The{axis}", str(places[axis].index(where[axis])))
        else:
            pixels.remove(plane)
    space = pixels.tag.rpartition("}")[0]
    for plane, page in sorted(planes.items(), key=lambda item: item[1]):
        first = {f"First{axis}": str(places[axis].index(plane[i])) for i, axis in enumerate(order)}
        tag = f"{space}}}TiffData" if space else "TiffData"
        pixels.append(ElementTree.Element(tag, {"IFD": str(page), "PlaneCount": "1", **first}))
    return True


def _add_planes(
    planes: dict[tuple[int, ...], int], block: ElementTree.Element, size: list[int], order: list[str], n_pages: int
) -> None:
    """Add the pages of a TiffData element by their place along the axes of `order`; the first runs fastest."""
    page = int(block.get("IFD", 0))
    count = int(block.get("PlaneCount", block.get("NumPlanes", 1 if "IFD" in block.attrib else n_pages)))
    place = [int(block.get(f"First{axis}", 0)) for axis in order]
    index = place[0] + size[0] * (place[1] + size[1] * place[2])
    for i in range(min(count, n_pages + 1)):
        rest, first = divmod(index + i, size[0])
        planes[first, rest % size[1], rest // size[1]] = page + i


def _keep_channels(pixels: ElementTree.Element, channels: Iterable[ElementTree.Element], kept: list[int]) -> None:
    for number, channel in enumerate(channels):
        if number not in kept:
            pixels.remove(channel)


def _missing(path: Path, declared: int, n_pages: int) -> str:
    return (
        f"{path}: damaged or incomplete (its OME metadata declare {declared} planes, it holds {n_pages}); "
        "copy or export it again"
    )


def _uuid(block: ElementTree.Element) -> set[str]:
    return {_text(child) for child in block if _tag(child) == "UUID"}


def _text(element: ElementTree.Element) -> str:
    return (element.text or "").strip().lower()


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
