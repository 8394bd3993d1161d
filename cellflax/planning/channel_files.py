"""Channels of images that are stored as one file per channel, by the words of the files' names."""

from pathlib import Path

from cellflax.data.folder import FolderData
from cellflax.data.folder_files import find_data_sets
from cellflax.errors import UserError
from cellflax.inspection.folders import LABEL_WORDS, channel_words
from cellflax.io.files import images_in
from cellflax.io.names import stem_of


def channels_in_names(config: FolderData) -> list[str]:
    """Words of the file names that are channels; none if files pair with labels as they are, or by no words.

    Args:
        config: a folder whose channels were not given.
    """
    root = Path(config.root or "").expanduser()
    if config.channels or config.root is None or not root.is_dir() or _pairs(config, []):
        return []
    folders = [root, *sorted(path for depth in ("*/", "*/*/") for path in root.glob(depth))]
    for folder in folders:
        files = [file for file in images_in(folder) if not _is_label(file)]
        for words in channel_words(files):
            if _pairs(config, words):
                return words
    return []


def _pairs(config: FolderData, channels: list[str]) -> bool:
    """Whether images of these channels pair with label images."""
    try:
        find_data_sets(Path(config.root or "").expanduser(), channels, config.reading())
    except UserError:
        return False
    return True


def _is_label(file: Path) -> bool:
    return any(stem_of(file).lower().endswith(f"{sign}{word}") for word in LABEL_WORDS for sign in "-_. ")
