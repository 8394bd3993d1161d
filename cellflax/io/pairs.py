"""Files that belong together: one rule, by names, for all commands; and pairs of label images with their arrays.

The longest common stem wins, files are paired one to one, and numbers of frames and positions must agree. Files are
paired by order only if the user asks for it, or if there is one on each side. What has no partner is named.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.files import list_files
from cellflax.io.name_matching import common_of, match_names, stems_of_names
from cellflax.io.names import (
    frame_numbers,
    has_label_suffix,
    is_ignore_mask,
    natural_key,
    places,
    possible_stems,
    stem_of,
)
from cellflax.io.outlines import has_outlines
from cellflax.io.records import not_results
from cellflax.progress import say


class PairBy(Enum):
    """How files are paired: by their names, or in the order of their names."""

    names = "names"
    order = "order"


@dataclass(frozen=True)
class Pair:
    """Files of one image, or of one frame of a movie.

    Attributes:
        name: what their stems have in common, and for a movie the number of the frame.
        predicted: label image or label movie.
        reference: the same of the reference.
        nuclei: nuclei of the reference cells, if given.
        image: background for pictures, if given.
        frame: number of the frame in those files that are movies; None where none is.
    """

    name: str
    predicted: Path
    reference: Path
    nuclei: Path | None
    image: Path | None
    frame: int | None = None


def pair_files(
    predicted: str, reference: str, nuclei: str | None = None, image: str | None = None, pair: PairBy = PairBy.names
) -> list[Pair]:
    """Pair the files of FILE | DIR | GLOB arguments by name, or by order if `pair` says so.

    One predicted against one reference file needs no common name. If some files of a folder carry a
    suffix such as `_labels`, only these are taken for labels, and only the others for images.

    Raises:
        UserError: if a predicted or reference file has no partner, two files have one stem, or nuclei or
            images are missing for a pair.
    """
    found = by_stem("predicted", predicted)
    truth = partners("reference", reference, found, pair, all_files=f"predicted={predicted}")
    nuclei_of = partners("nuclei", nuclei, found, pair)
    image_of = partners("image", image, found, pair)
    return [Pair(stem, found[stem], truth[stem], nuclei_of.get(stem), image_of.get(stem)) for stem in sorted(found)]


def by_stem(option: str, text: str) -> dict[str, Path]:
    """Label images of FILE | DIR | GLOB by their stem without suffixes, as far as these are not needed.

    Raises:
        UserError: if there are none, or two have one stem.
    """
    files = _preferred(option, files_for(option, text))
    found: dict[str, Path] = {}
    for file, stems in zip(files, possible_stems([stem_of(file) for file in files]), strict=True):
        stem = stems[-1]
        if stem in found:
            raise _both(option, text, [found[stem], file], stem)
        found[stem] = file
    return found


def _preferred(option: str, files: list[Path]) -> list[Path]:
    """Of files with and without a suffix of labels, those that an option wants.

    Results of cellflax beside other files are taken only where results are wanted: they are no reference for
    themselves, and no images.
    """
    files = files if option in _RESULT_OPTIONS else not_results(files) or files
    labels = [file for file in files if has_label_suffix(stem_of(file)) or has_outlines(file)]
    found = set(labels)
    others = [file for file in files if file not in found]
    return others or labels if option in _IMAGE_OPTIONS else labels or others


def files_for(option: str, text: str) -> list[Path]:
    """Files of FILE | DIR | GLOB that an option may take.

    Outlines may stand for label images. Masks of what is not annotated (`x_ignore.tif`) are for the option `ignore`.

    Raises:
        UserError: as `list_files`.
    """
    labels = ("predicted", "reference", "nuclei", "reference_nuclei", "ignore")
    files = list_files(text, outlines=option in labels or option.startswith("references."))
    return [file for file in files if is_ignore_mask(file) == (option == "ignore")] or files


_IMAGE_OPTIONS = ("image", "images", "reporter")
_RESULT_OPTIONS = ("predicted", "input", "nuclei")


def partners(
    option: str,
    text: str | None,
    pairs: Mapping[str, Path],
    pair: PairBy = PairBy.names,
    all_files: str | None = None,
) -> dict[str, Path]:
    """The file of FILE | DIR | GLOB that belongs to each name; nothing if `text` is None.

    Files that belong to no name are named on the screen.

    Args:
        option: the argument's name, for errors.
        text: where to look.
        pairs: file of each name; a single name takes a single file whatever it is called.
        pair: by name, or by order.
        all_files: where the names come from, if every file must belong to one of them.

    Raises:
        UserError: if a name has no file, or several.
    """
    if text is None:
        return {}
    files = files_for(option, text)
    wanted = _preferred(option, files)
    if pair is PairBy.order:
        return _by_order(option, text, pairs, wanted)
    names = stems_of_names(pairs)
    matching = match_names(names, wanted)
    if len(matching.files) < len(names) and not (len(wanted) == len(pairs) == 1) and len(files) > len(wanted):
        whole = match_names(names, files)
        matching, wanted = (whole, files) if len(whole.files) == len(names) else (matching, wanted)
    if len(wanted) == len(pairs) == 1:
        return dict(zip(pairs, wanted, strict=True))
    for name, rivals in matching.rivals.items():
        if len({stem for file in rivals for stem in [common_of(file)]} | {name}) == 1:
            raise _both(option, text, rivals, name)
        raise UserError(
            f"{pairs[name]}: {option}={text} has {len(rivals)} files named {name}_... ({_some(rivals)}); give a "
            "pattern for one of them"
        )
    left = sorted(set(wanted) - set(matching.files.values()))
    missing = [name for name in pairs if name not in matching.files]
    if missing:
        several = f" (nor for {len(missing) - 1} others: {_some(missing[1:])})" if len(missing) > 1 else ""
        unused = f"; without a partner there: {_some(left)}" if left else ""
        hint = _order_hint(option, len(pairs), len(wanted))
        raise UserError(
            f"{pairs[missing[0]]}: {option}={text} has no file named {missing[0]}, with or without _labels, _masks, "
            f"_cells ...{several}{unused}; rename them, or give patterns that pair up{hint}"
        )
    if left and all_files is not None:
        raise UserError(
            f"{left[0]}: {all_files} has no file named {common_of(left[0])}, with or without _labels, _masks, "
            "_cells ...; rename it, or give patterns that pair up"
        )
    _say_left(option, text, left)
    return {name: matching.files[name] for name in pairs}


def some_partners(option: str, text: str, pairs: Mapping[str, Path], pair: PairBy = PairBy.names) -> dict[str, Path]:
    """As `partners`, but names may be without a file; files without a name are named on the screen.

    Raises:
        UserError: if there are no files, or several of one name.
    """
    files = list(by_stem(option, text).values())
    if pair is PairBy.order or len(files) == len(pairs) == 1:
        return _by_order(option, text, pairs, files)
    matching = match_names(stems_of_names(pairs), files)
    for name, rivals in matching.rivals.items():
        raise _both(option, text, rivals, name)
    if matching.files:
        _say_left(option, text, sorted(set(files) - set(matching.files.values())))
    return matching.files


def _by_order(option: str, text: str, pairs: Mapping[str, Path], files: Sequence[Path]) -> dict[str, Path]:
    if len(files) != len(pairs):
        raise UserError(
            f"{option}={text}: {len(files)} files for {len(pairs)} images; pair=order needs as many of both"
        )
    names = sorted(pairs, key=lambda name: natural_key(pairs[name].name))
    return dict(zip(names, sorted(files, key=lambda file: natural_key(file.name)), strict=True))


def match_frames(
    option: str,
    text: str,
    numbers: Sequence[int],
    files: Sequence[Path],
    source: str,
    pair: PairBy = PairBy.names,
    *,
    sure: bool = True,
) -> list[Path]:
    """The file of each frame of a movie, by the numbers in the files' names.

    Args:
        option: the argument's name, for errors.
        text: its value, for errors.
        numbers: number of each frame.
        files: one per frame, at least.
        source: where the frames come from, for errors.
        pair: by the numbers, or by order.
        sure: whether the frames' numbers are those of the files; else they count from 0, and files may count from
            another number.

    Raises:
        UserError: if a frame has no file, or the names do not identify the frames.
    """
    files = sorted(files, key=lambda file: natural_key(file.name))
    if pair is PairBy.order or len(files) == len(numbers) == 1:
        if len(files) != len(numbers):
            raise UserError(
                f"{option}={text}: {len(files)} files for {len(numbers)} frames of {source}; give one per frame"
            )
        return files
    found = frame_numbers(common_of(file) for file in files)
    if found is None:
        found = frame_numbers(stem_of(file) for file in files)
    if found is None:
        raise UserError(
            f"{option}={text}: the names of its files do not say which frame of {source} each is; number them, or "
            "add pair=order to take them in order"
        )
    shift = 0
    if not sure and not set(numbers) <= set(found) and len(found) == len(numbers):
        shift = found[0] - numbers[0]
        say(f"{option}={text}: its frames are numbered from {found[0]}, those of {source} from {numbers[0]}")
    of_number = {number - shift: file for number, file in zip(found, files, strict=True)}
    missing = [number for number in numbers if number not in of_number]
    left = [file for number, file in of_number.items() if number not in set(numbers)]
    if missing:
        unused = f"; without a partner: {_some(left)}" if left else ""
        order = ", or add pair=order if the order of the names is right" if len(files) == len(numbers) else ""
        raise UserError(f"{option}={text}: no file for frame {_some(missing)} of {source}{unused}; add them{order}")
    _say_left(option, text, left)
    return [of_number[number] for number in numbers]


def check_places(first: Path, second: Path) -> None:
    """Refuse two files whose names give different positions.

    Raises:
        UserError: if both have a number of the same kind (`pos1`, `pos2`) and these differ.
    """
    one, other = places(stem_of(first)), places(stem_of(second))
    for kind in one.keys() & other.keys():
        if one[kind] != other[kind]:
            raise UserError(
                f"{second}: shows another position than {first.name}, by their names; give the same position, or add "
                "pair=order if the order of the names is right"
            )


def _say_left(option: str, text: str, left: Sequence[Path]) -> None:
    if left:
        say(f"note: {option}={text}: {len(left)} files without a partner are left out ({_some(left)})")


def _some(items: Iterable[Path | str | int]) -> str:
    """The first of several, for a message."""
    words = [item.name if isinstance(item, Path) else str(item) for item in items]
    return ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")


def _order_hint(option: str, names: int, files: int) -> str:
    """The remedy pair=order, where it would work."""
    return ", or add pair=order to pair them in order" if option != "predicted" and names == files else ""


def _both(option: str, text: str, files: Sequence[Path], stem: str) -> UserError:
    last = files[1]
    return UserError(
        f"{option}={text}: {files[0]} and {last} both stand for {stem}; "
        f"give a pattern such as '*{last.stem[len(stem) :]}{last.suffix}'"
    )
