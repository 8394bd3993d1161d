"""Predicted and reference label images that belong together by name, and their arrays."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.files import list_files
from cellflax.io.images import label_plane, read_labels
from cellflax.io.movie_file import is_movie, open_label_movie
from cellflax.labels import is_mask

_LABEL_SUFFIX = re.compile(
    r"(?<=.)[-_. ](labels?|masks?|cells?|nuclei|nucleus|cp|seg|gt|instances?|annotations?|interior)$",
    re.IGNORECASE,
)
_IMAGE_SUFFIX = re.compile(r"(?<=.)[-_. ](images?|img)$", re.IGNORECASE)


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


def common_stem(path: Path) -> str:
    """The file's name without its extension and without suffixes such as `_labels`, `_cp_masks` or `_img`."""
    stem = _IMAGE_SUFFIX.sub("", path.stem)
    while (shorter := _LABEL_SUFFIX.sub("", stem)) != stem:
        stem = shorter
    return stem


def pair_files(predicted: str, reference: str, nuclei: str | None = None, image: str | None = None) -> list[Pair]:
    """Pair the files of FILE | DIR | GLOB arguments by common stem.

    One predicted against one reference file needs no common name. If some files of a folder carry a
    suffix such as `_labels`, only these are taken for labels, and only the others for images.

    Raises:
        UserError: if a predicted or reference file has no partner, two files have one stem, or nuclei or
            images are missing for a pair.
    """
    found = by_stem("predicted", predicted)
    truth = by_stem("reference", reference)
    if len(found) == len(truth) == 1:
        name = next(iter(found))
        truth = {name: next(iter(truth.values()))}
    for option, text, here, other in (
        ("reference", reference, found, truth),
        ("predicted", predicted, truth, found),
    ):
        for stem in sorted(here.keys() - other.keys()):
            raise UserError(
                f"{here[stem]}: {option}={text} has no file named {stem}, with or without _labels, _masks, "
                "_cells ...; rename it, or give patterns that pair up"
            )
    nuclei_of = partners("nuclei", nuclei, found)
    image_of = partners("image", image, found)
    return [Pair(stem, found[stem], truth[stem], nuclei_of.get(stem), image_of.get(stem)) for stem in sorted(found)]


def by_stem(option: str, text: str) -> dict[str, Path]:
    """Label images (with option "image": images) of FILE | DIR | GLOB by their common stem.

    Raises:
        UserError: if there are none, or two have one stem.
    """
    files = list_files(text)
    labels = [file for file in files if _LABEL_SUFFIX.search(file.stem)]
    others = [file for file in files if not _LABEL_SUFFIX.search(file.stem)]
    preferred = others or labels if option == "image" else labels or others
    found: dict[str, Path] = {}
    for file in preferred:
        stem = common_stem(file)
        if stem in found:
            raise UserError(
                f"{option}={text}: {found[stem]} and {file} both stand for {stem}; "
                f"give a pattern such as '*{file.stem.removeprefix(stem)}{file.suffix}'"
            )
        found[stem] = file
    return found


def partners(option: str, text: str | None, pairs: dict[str, Path]) -> dict[str, Path]:
    """The file of FILE | DIR | GLOB that belongs to each name; nothing if `text` is None.

    Args:
        option: the argument's name, for errors.
        text: where to look.
        pairs: file of each name, for errors; a single name takes a single file whatever it is called.

    Raises:
        UserError: if a name has no file, or several.
    """
    if text is None:
        return {}
    files = by_stem(option, text)
    if len(files) == len(pairs) == 1:
        return dict(zip(pairs, files.values(), strict=True))
    return {stem: _partner(option, text, files, pairs[stem], stem) for stem in pairs}


def _partner(option: str, text: str, files: dict[str, Path], predicted: Path, stem: str) -> Path:
    """The file of the same stem, or the one file whose stem continues it (`a_phase` for `a`)."""
    if stem in files:
        return files[stem]
    longer = [file for other, file in files.items() if re.match(re.escape(stem) + "[-_. ]", other)]
    if len(longer) != 1:
        problem = f"has {len(longer)} files named {stem}_..." if longer else f"has no file named {stem}"
        raise UserError(f"{predicted}: {option}={text} {problem}; rename them, or give a pattern")
    return longer[0]


def _read_frame(path: Path, t: int | None) -> np.ndarray:
    """A label image, or a frame of a label movie, (H, W) int32."""
    if t is None or not is_movie(path):
        return read_labels(path)
    with open_label_movie(path) as movie:
        return label_plane(movie.frame(t), f"{path}, frame {t}")


@dataclass(frozen=True)
class PairArrays:
    """What the files of one pair hold.

    Attributes:
        predicted: (H, W) int32 labels, or a bool mask.
        reference: (H, W) int32 labels, or a bool mask.
        nuclei: (H, W) int32, not zero inside nuclei.
        masks: which of "predicted" and "reference" are masks.
    """

    predicted: np.ndarray
    reference: np.ndarray
    nuclei: np.ndarray | None
    masks: tuple[str, ...]


def read_pair(pair: Pair) -> PairArrays:
    """Read the label images of a pair; one with a single non-zero value is taken for a mask.

    Raises:
        UserError: for unreadable files, files that are not label images, and different shapes.
    """
    predicted, reference = (_read_frame(path, pair.frame) for path in (pair.predicted, pair.reference))
    nuclei = _read_frame(pair.nuclei, pair.frame) if pair.nuclei else None
    for path, labels in ((pair.reference, reference), (pair.nuclei, nuclei)):
        if labels is not None and labels.shape != predicted.shape:
            raise UserError(
                f"{path}: shape {labels.shape} differs from {predicted.shape} of {pair.predicted}; "
                "both must show the same field at the same scale"
            )
    masks = []
    if is_mask(predicted):
        predicted = predicted > 0
        masks.append("predicted")
    if is_mask(reference):
        reference = reference > 0
        masks.append("reference")
    return PairArrays(predicted, reference, nuclei, tuple(masks))
