"""Predicted and reference label movies that belong together, as pairs of frames."""

from dataclasses import replace
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.failures import Failures
from cellflax.io.frames import is_movie, open_label_movie
from cellflax.io.movies import frame_files
from cellflax.io.pairs import Pair, PairBy, files_for, match_frames, pair_files


def pair_frames(
    predicted: str,
    reference: str,
    failures: Failures,
    nuclei: str | None = None,
    image: str | None = None,
    pair: PairBy = PairBy.names,
) -> list[Pair]:
    """Pair the files of FILE | DIR | GLOB arguments as `pair_files`, and the frames of movies in order.

    One side may be a movie in one file and the other one file per frame. A pair whose files cannot be opened, or are
    movies of different lengths, is noted in `failures` and left out.

    Returns:
        A pair for every image, and for every frame of a movie; the frame's name is `<name>_<frame>`.

    Raises:
        UserError: as `pair_files`, and if a single movie and the files of its frames do not fit.
    """
    split = _movie_and_files(predicted, reference, nuclei, image, pair)
    pairs = pair_files(predicted, reference, nuclei, image, pair) if split is None else split
    found: list[Pair] = []
    for one in pairs:
        with failures.of(one.name):
            found += [one] if one.frame is not None else _frames(one)
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name} is the name of an image and of a frame of a movie; rename the image")
    return found


def _frames(pair: Pair) -> list[Pair]:
    """A pair of images as it is, and a pair of movies frame by frame."""
    files = [path for path in (pair.predicted, pair.reference, pair.nuclei, pair.image) if path is not None]
    movies = [path for path in files if is_movie(path)]
    if not movies:
        return [pair]
    counts = {path: _count(path) if path in movies else 1 for path in files}
    for path, count in counts.items():
        if count != counts[pair.predicted]:
            raise UserError(
                f"{path}: {count} frames, but {pair.predicted} has {counts[pair.predicted]}; give the same frames of "
                "both"
            )
    return [replace(pair, name=f"{pair.name}_{t}", frame=t) for t in range(counts[pair.predicted])]


def _count(path: Path) -> int:
    with open_label_movie(path) as movie:
        return movie.n_frames


def _movie_and_files(
    predicted: str, reference: str, nuclei: str | None, image: str | None, pair: PairBy
) -> list[Pair] | None:
    """Frames of one movie file against one file per frame, in the order of their numbers; None for anything else."""
    sides = {"predicted": predicted, "reference": reference}
    found = {option: files_for(option, text) for option, text in sides.items()}
    movie = [option for option, files in found.items() if len(files) == 1 and is_movie(files[0])]
    if len(movie) != 1 or nuclei is not None or image is not None:
        return None
    (whole,) = frame_files(sides[movie[0]], movie[0])
    other = "reference" if movie[0] == "predicted" else "predicted"
    files = frame_files(sides[other], other)
    if len(files) == 1:
        return None
    files = match_frames(other, sides[other], range(_count(whole)), files, str(whole), pair, sure=False)
    return [
        Pair(f"{whole.stem}_{t}", *((whole, file) if other == "reference" else (file, whole)), None, None, t)
        for t, file in enumerate(files)
    ]
