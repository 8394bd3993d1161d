"""Which files belong to which image: FILE | DIR | GLOB, and channels kept in separate files."""

import glob
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cellflax.errors import UserError
from cellflax.home import expand_home
from cellflax.io.glob_paths import glob_paths
from cellflax.io.names import stem_of
from cellflax.io.outlines import counts_in_folders
from cellflax.io.readers import format_names, is_image, is_image_folder, scene_names
from cellflax.io.reading import Reading
from cellflax.io.records import not_results
from cellflax.io.results import safe_names


@dataclass(frozen=True)
class ImageFiles:
    """The files of one image.

    Attributes:
        name: unique among the images found together; outputs are named after it.
        paths: one file with all channels, or one file per channel.
        channels: name of each file's channel; empty if one file holds all channels.
        within: names or indices of the channels to take from a file that holds several; empty for all.
        reading: how to read the files.
    """

    name: str
    paths: tuple[Path, ...]
    channels: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    reading: Reading = field(default_factory=Reading)


def list_files(text: str | Path, *, outlines: bool = False) -> list[Path]:
    """Image files that FILE | DIR | GLOB stands for, sorted; `**` in a GLOB searches sub-folders.

    Files are recognised by the suffixes in `readers.READERS`; a single FILE may have any suffix. Figures that cellflax
    wrote (`overlay.png`) are left out, unless they are named as FILE.

    Args:
        text: where to look.
        outlines: whether files of outlines count as well, as they do for labels.

    Raises:
        UserError: if there are none.
    """
    path = Path(expand_home(str(text)))
    if path.is_file() or (path.is_dir() and is_image(path)):
        return [path]
    in_place = path.is_dir()
    images = images_in(path, outlines=outlines) if in_place else _images(glob_paths(path, is_image_folder), outlines)
    if images:
        return images
    if path.is_dir():
        raise UserError(f"{path}: no {format_names()} images in this folder; for its sub-folders give '{path}/**'")
    raise UserError(f"{path}: no such {format_names()} file, folder or pattern")


def images_in(folder: Path, *, outlines: bool = False) -> list[Path]:
    """Image files directly in a folder, sorted, without hidden ones and pictures of results; may be empty.

    Args:
        folder: where to look.
        outlines: as in `list_files`.
    """
    return _images(map(Path, glob.glob(os.path.join(glob.escape(str(folder)), "*"))), outlines)


def _images(matches: Iterable[Path], outlines: bool) -> list[Path]:
    """The images among files, without the figures that cellflax drew: no command takes those for an image."""
    files = [
        file for file in sorted(matches) if is_image(file) or (outlines and counts_in_folders(file) and file.is_file())
    ]
    figures = {file for file in files if file.suffix == ".png"}
    figures -= set(not_results(figures))
    return [file for file in files if file not in figures]


def group_channels(files: Sequence[Path], channels: Sequence[str] = ()) -> list[ImageFiles]:
    """Gather files into images.

    Without `channels`, every file is an image. With them, each is a part of a file name (upper or lower
    case; `c1` does not match `c10`), and files of one folder that agree in the rest of the name are one
    image: `a_phase.tif` and `a_nuclear.tif` are "a"; `set1/phase.png` and `set1/nuclear.png` are "set1".
    Files that match no channel are left out. Where no file's name has any of the parts, every file is an image, and
    the parts are names or indices of channels within it. Indices alone mean files only if every file's name has one.

    Raises:
        UserError: if an image lacks a channel, a file fits two channels, or a channel of an image has two
            files.
    """
    if len({channel.lower() for channel in channels}) != len(channels) or not all(channels):
        raise UserError(f"channels={list(channels)}: each must be a different, non-empty part of a file name")
    if not channels:
        return _unique_names([ImageFiles(stem_of(file), (file,)) for file in files])
    named = [file for file in files if any(_part(channel).search(stem_of(file)) for channel in channels)]
    words = [channel for channel in channels if not channel.isdecimal()]
    by_word = any(_part(word).search(stem_of(file)) for word in words for file in files)
    if not by_word if words else len(named) < len(files):
        return _unique_names([ImageFiles(stem_of(file), (file,), within=tuple(channels)) for file in files])
    groups: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    for file in files:
        matched = [channel for channel in channels if _part(channel).search(stem_of(file))]
        if len(matched) > 1:
            both = " and ".join(matched)
            raise UserError(f"{file}: fits the channels {both}; give longer parts in channels=")
        if matched:
            rest = _part(matched[0]).sub("", stem_of(file), count=1)
            group = groups[file.parent, re.sub(r"([-_ .])[-_ .]+", r"\1", rest).strip("-_ .")]
            if matched[0] in group:
                raise UserError(
                    f"{file}: {group[matched[0]].name} is also channel {matched[0]} of this image; keep one"
                )
            group[matched[0]] = file
    images = []
    for (folder, name), group in groups.items():
        missing = [channel for channel in channels if channel not in group]
        if missing:
            present = next(iter(group.values()))
            raise UserError(f"{present}: no file for channel {missing[0]} of the same image in {folder}")
        images.append(ImageFiles(name or folder.resolve().name, tuple(group[c] for c in channels), tuple(channels)))
    return _unique_names(images)


def find_images(
    files: Sequence[Path], channels: Sequence[str] = (), reading: Reading | None = None
) -> list[ImageFiles]:
    """Gather files into images as `group_channels`; each position or scene of a file is an image of its own.

    The images of a file that holds several are named after the file and the scene: `a_B2`, `a_B3`.

    Args:
        files: the files. One that cannot be opened counts as one image, so that reading it reports why.
        channels: as for `group_channels`.
        reading: how to read them; its `scene` picks one image of such a file.

    Raises:
        UserError: as `group_channels`, and if two images have one name.
    """
    reading = reading or Reading()
    images = []
    for image in group_channels(files, channels):
        names = safe_names(scene_names(image.paths[0]), "scene")
        if reading.scene and names:
            wanted = reading.scene
            if wanted not in names and wanted.isdecimal() and int(wanted) < len(names):
                wanted = list(names)[int(wanted)]
            names = {wanted: names.get(wanted, wanted)}
        if not names:
            images.append(replace(image, reading=replace(reading, scene="")))
        for scene, safe in names.items():
            images.append(replace(image, name=f"{image.name}_{safe}", reading=replace(reading, scene=scene)))
    clash = [name for name, count in Counter(image.name for image in images).items() if count > 1]
    if clash:
        same = [image.paths[0].name for image in images if image.name == clash[0]]
        raise UserError(f"{' and '.join(same)}: both would be named {clash[0]}; rename one of them")
    return images


def _part(channel: str) -> re.Pattern[str]:
    before = r"(?<!\d)" if channel[0].isdigit() else ""
    after = r"(?!\d)" if channel[-1].isdigit() else ""
    return re.compile(before + re.escape(channel) + after, re.IGNORECASE)


def _unique_names(images: list[ImageFiles]) -> list[ImageFiles]:
    """Images whose names clash are named after their folders too: HeLa/raw, 3T3/raw -> HeLa_raw, 3T3_raw."""
    counts = Counter(image.name for image in images)
    if max(counts.values(), default=0) <= 1:
        return images
    top = os.path.commonpath([image.paths[0].resolve().parent for image in images])
    named = []
    for image in images:
        folders = image.paths[0].resolve().parent.relative_to(top).parts
        if folders and folders[-1] == image.name:  # named after its folder already
            folders = folders[:-1]
        named.append(replace(image, name="_".join((*folders, image.name))))
    clash = [name for name, count in Counter(image.name for image in named).items() if count > 1]
    if clash:
        same = [image.paths[0].name for image in named if image.name == clash[0]]
        raise UserError(f"{' and '.join(same)}: both would be named {clash[0]}; rename one of them")
    return named
