"""How the files of a folder belong together: images of several files, frames of a movie, images with labels."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cellflax.data.folder_files import DataSetFiles, find_data_sets
from cellflax.errors import UserError
from cellflax.home import expand_home
from cellflax.io.files import find_images, list_files
from cellflax.io.name_matching import common_of
from cellflax.io.names import frame_numbers, stem_of
from cellflax.io.readers import is_image
from cellflax.io.reading import Reading

_MOST_SHOWN = 6
LABEL_WORDS = {"labels", "label", "masks", "mask", "gt", "seg"}  # words of files that are no channels


def files_by_folder(text: str) -> dict[Path, list[Path]]:
    """Image files of FILE | DIR | GLOB by their folder; of a DIR with its sub-folders.

    Raises:
        UserError: if there are none.
    """
    path = Path(expand_home(text))
    files = list_files(path / "**") if path.is_dir() and not is_image(path) else list_files(text)
    found: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        found[file.parent].append(file)
    return dict(sorted(found.items()))


def uses_of(files: Sequence[Path], channels: list[str], reading: Reading) -> list[str]:
    """What the files of one folder are together, one line for each way in which commands would take them."""
    lines = []
    if channels:
        try:
            images = find_images(files, channels, reading)
        except UserError as error:
            return [f"with channels=[{','.join(channels)}]: {error}"]
        shown = [f"{image.name} = {', '.join(path.name for path in image.paths)}" for image in images]
        lines.append(f"with channels=[{','.join(channels)}]: {len(images)} images: {_some(shown, '; ')}")
    elif len(found := channel_words(files)) == 1:
        (words,) = found
        images = find_images(files, words, reading)
        lines.append(
            f"as images of several files: channels=[{','.join(words)}] makes {len(images)} images of them, the first "
            f"is {', '.join(path.name for path in images[0].paths)}"
        )
    numbers = frame_numbers(map(common_of, files)) or frame_numbers(map(stem_of, files))
    if numbers is not None:
        gaps = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
        missing = f", without {_some(gaps)}" if gaps else ""
        lines.append(f"as one movie (track): {len(numbers)} frames, numbered {min(numbers)} to {max(numbers)}{missing}")
    return lines


def channel_words(files: Sequence[Path]) -> list[list[str]]:
    """Words that may be channels: those in one place of the names, each with the same rest; for each such place."""
    parts = [re.split(r"[-_. ]", stem_of(file)) for file in files]
    if len({len(row) for row in parts}) > 1 or len({file.parent for file in files}) > 1:
        return []
    columns = list(zip(*parts, strict=True))
    places = [i for i, words in enumerate(columns) if len(set(words)) > 1 and not re.search(r"\d", "".join(words))]
    found = []
    for place in places:
        rests: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for row in parts:
            rests[row[place]].add((*row[:place], *row[place + 1 :]))
        same = len({frozenset(rest) for rest in rests.values()}) == 1
        words = sorted(rests)
        if same and 2 <= len(words) <= _MOST_SHOWN and not LABEL_WORDS & {w.lower() for w in words}:
            found.append(words)
    return found


def training_uses(text: str, channels: list[str], reading: Reading) -> list[str]:
    """How a folder would be read as training data, or why it would not; nothing for files and patterns."""
    folder = Path(expand_home(text))
    if not folder.is_dir() or is_image(folder):
        return []
    try:
        data_sets = find_data_sets(folder, channels, reading)
    except UserError as error:
        return [f"not as training data (data.root): {error}"]
    return [line for name, found in data_sets.items() for line in _pairs(name, found)]


def _pairs(name: str, found: DataSetFiles) -> list[str]:
    pairs = []
    for image in found.images:
        files = [*(path.name for path in image.paths), found.labels[image.name].name]
        if image.name in found.nuclei:
            files.append(found.nuclei[image.name].name)
        if image.name in found.masks:
            files.append(found.masks[image.name].name)
        pairs.append(" + ".join(files))
    return [f"as training data (data.root), {name}: {len(pairs)} images with labels: {_some(pairs, '; ')}"]


def _some(items: Sequence[object], between: str = ", ") -> str:
    words = [str(item) for item in items]
    return between.join(words[:_MOST_SHOWN]) + (f"{between}..." if len(words) > _MOST_SHOWN else "")
