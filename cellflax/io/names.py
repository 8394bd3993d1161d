"""What the names of files say: which stems a file may stand for, and the number of its frame."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

_SEPARATOR = "[-_. ]"
_LABEL_SUFFIX = re.compile(
    rf"(?<=.){_SEPARATOR}(labels?|masks?|cells?|nuclei|nucleus|cp|seg|gt|instances?|annotations?|interior|ignore)$",
    re.IGNORECASE,
)
_IGNORE_MASK = re.compile(rf"(?<=.){_SEPARATOR}ignore$", re.IGNORECASE)
_IMAGE_SUFFIX = re.compile(rf"(?<=.){_SEPARATOR}(images?|img)$", re.IGNORECASE)
_PREFIX = re.compile(rf"(labels?|masks?|seg|gt|images?|img|im){_SEPARATOR}(?=.)")
_DIGITS = re.compile(r"(\d+)")
_OF_TIME = re.compile(r"(?:^|[^a-z])(?:t|tp|time|timepoint|frame|mask|man_track|man_seg)[-_ ]?$", re.IGNORECASE)
# A number after these letters is that of a channel, and a bare one of this range a wavelength in nanometres.
_ONLY_TIME = re.compile(r"(?:(?:t|tp|time|timepoint|frame|man_track|man_seg)[-_ ]?|mask)(\d+)")
_CHANNEL = re.compile(r"(?:c|ch|w|wv|channel|gfp|cy|alexa|af|dapi|hoechst)\d+|[3-8]\d\d(?:nm)?", re.IGNORECASE)


def stem_of(path: Path) -> str:
    """The name of an image file without its ending, which may be double (`a.ome.tif`).

    Labels within an OME-Zarr bear its name too: `a.zarr/labels/cells` is a_cells.
    That of a file of outlines is without the words of ImageJ's ROI Manager too (`a_rois.zip`, `a_RoiSet.zip`).
    """
    if path.suffix.lower() in (".zip", ".roi", ".geojson"):
        stem = re.sub(r"(\.ome)?\.(tiff?|png)$", "", path.stem, flags=re.IGNORECASE)  # QuPath keeps the image's ending
        return re.sub(rf"(?<=.){_SEPARATOR}roi(s|set)?$", "", stem, flags=re.IGNORECASE)
    if path.parent.name == "labels" and path.parent.parent.suffix.lower() == ".zarr":
        return f"{stem_of(path.parent.parent)}_{path.name}"
    return path.stem[:-4] if path.stem.lower().endswith(".ome") and len(path.stem) > 4 else path.stem


def has_label_suffix(stem: str) -> bool:
    """Whether a stem ends in `_labels`, `_cp_masks`, `_nuclei` or the like."""
    return _LABEL_SUFFIX.search(stem) is not None


def is_ignore_mask(path: Path) -> bool:
    """Whether a file is a mask of what is not annotated in an image, by its name: `x_ignore.tif`."""
    return _IGNORE_MASK.search(stem_of(path)) is not None


def common_stem(path: Path) -> str:
    """The file's name without its ending and without suffixes such as `_labels`, `_cp_masks` or `_img`."""
    return shorter_stems(stem_of(path))[-1]


def shorter_stems(stem: str) -> list[str]:
    """A stem, then the same without its last suffix (`_labels`, `_nuclei`, `_img` ...), without the last two, ..."""
    stems = [stem]
    bare = _IMAGE_SUFFIX.sub("", stem)
    if bare != stem:
        stems.append(bare)
    while (shorter := _LABEL_SUFFIX.sub("", stems[-1])) != stems[-1]:
        stems.append(shorter)
    return stems


def possible_stems(stems: Sequence[str]) -> list[list[str]]:
    """For each of several stems its shorter ones, longest first, as far as they stay apart from the others'.

    Suffixes are taken off only as far as needed: of `w1` and `w1_nuclei`, the second stays what it is; of
    `w1_labels` and `w1_nuclei_labels`, both lose `_labels` alone. Two stems that differ only in their last suffix
    (`a_labels`, `a_masks`) both keep the shorter one: they are two files of one name.
    """
    whole = [shorter_stems(stem) for stem in stems]
    kept = [1] * len(whole)
    growing = set(range(len(whole)))
    step = 1
    while growing:
        growing = {i for i in growing if len(whole[i]) > kept[i]}
        now = Counter(comparable(chain[n - 1]) for chain, n in zip(whole, kept, strict=True))
        after = Counter(comparable(whole[i][kept[i]]) for i in growing)
        for i in sorted(growing):
            name = comparable(whole[i][kept[i]])
            if now[name] or (step > 1 and after[name] > 1):
                growing.discard(i)
        for i in growing:
            kept[i] += 1
        step += 1
    return [chain[:n] for chain, n in zip(whole, kept, strict=True)]


def comparable(stem: str) -> str:
    """A stem as names are compared: without regard to letter case and to zeros before numbers (t3 is T003).

    A stem that only counts frames (`t003`, `man_track003`, `frame_3`) is the number of the frame, whatever its word.
    """
    plain = _DIGITS.sub(lambda number: str(int(number[0])), stem.casefold())
    frame = _ONLY_TIME.fullmatch(plain)
    return f"t{frame[1]}" if frame else plain


def without_prefix(stem: str) -> str:
    """A comparable stem without `mask_`, `img_` or the like in front."""
    return _PREFIX.sub("", stem, count=1) if _PREFIX.match(stem) else stem


def split_rest(stem: str) -> list[tuple[str, str]]:
    """Each way to cut a comparable stem in two at a separator: beginning and rest, the longest beginning first.

    Rests that hold a number are left out, except the number of a channel or a wavelength: `a_2_gfp` is not an image
    of `a`, because 2 may be a position or a frame.
    """
    cuts = []
    for place in re.finditer(_SEPARATOR, stem):
        start, rest = stem[: place.start()], stem[place.end() :]
        if start and rest and not _says_place(rest):
            cuts.append((start, rest))
    return cuts[::-1]


def _says_place(rest: str) -> bool:
    """Whether a part of a name may be the number of a position or a frame."""
    return any(_DIGITS.search(part) and not _CHANNEL.fullmatch(part) for part in re.split(_SEPARATOR, rest))


def shared_ending(stems: Sequence[str]) -> int:
    """How many of the last parts of comparable stems (split at separators) are the same in all, and no place."""
    if len(stems) < 2:
        return 0
    parts = [re.split(_SEPARATOR, stem)[1:][::-1] for stem in stems]
    count = 0
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1 or _says_place(column[0]):
            break
        count += 1
    return count


def by_constant_words(stems: Sequence[str]) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Cut comparable stems, all of as many parts, into the words that differ between them and those that do not.

    Returns:
        For each stem, its parts with "" for every word that is the same in all stems and no place; and the positions of
        these words, the same for all. Nothing for fewer than two stems, or stems with different numbers of parts.
    """
    parts = [tuple(re.split(_SEPARATOR, stem)) for stem in stems]
    if len(parts) < 2 or len({len(row) for row in parts}) > 1:
        return []
    constant = tuple(
        i for i, column in enumerate(zip(*parts, strict=True)) if len(set(column)) == 1 and not _says_place(column[0])
    )
    return [(tuple("" if i in constant else part for i, part in enumerate(row)), constant) for row in parts]


def without_ending(stem: str, count: int) -> str:
    """A stem without its last parts."""
    for _ in range(count):
        stem = re.sub(rf"{_SEPARATOR}[^-_. ]*$", "", stem)
    return stem


def frame_numbers(stems: Iterable[str]) -> list[int] | None:
    """The number of the frame in each name of a movie's files; None where names do not hold one.

    Names must agree in all but one number; where several numbers differ, the one after `t`, `time` or `frame` counts.
    Numbers that repeat mean nothing, because then the files are not the frames of one movie.
    """
    split = [_DIGITS.split(stem) for stem in stems]
    if len(split) < 2 or len({tuple(part.casefold() for part in parts[::2]) for parts in split}) > 1:
        return None
    columns = [[int(parts[i]) for parts in split] for i in range(1, len(split[0]), 2)]
    differ = [i for i, column in enumerate(columns) if len(set(column)) > 1]
    if len(differ) > 1:
        differ = [i for i in differ if _OF_TIME.search(split[0][2 * i])]
    if len(differ) != 1 or len(set(columns[differ[0]])) < len(split):
        return None
    return columns[differ[0]]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sorting key that reads digits as numbers: t2 before t10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name) if part]


_PLACE = re.compile(
    r"(?:^|[-_. ])(pos|position|xy|s|f|fov|field|site|p|scene|series|well)[-_ ]?(\d+)(?=$|[-_. ])", re.I
)
_WELL = re.compile(r"(?:^|[-_. ])([a-p])(\d{1,2})(?=$|[-_. ])", re.IGNORECASE)


def places(stem: str) -> dict[str, int]:
    """Numbers of positions in a name, by the word before each, such as {"pos": 2}; wells as "well b"."""
    found = {match[1].casefold(): int(match[2]) for match in _PLACE.finditer(stem)}
    well = _WELL.search(stem)
    if well and well[1].casefold() not in found:
        found["well"] = 100 * ord(well[1].casefold()) + int(well[2])
    return found
