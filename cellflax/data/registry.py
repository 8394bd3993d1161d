"""The public DeepCell files: where they are, their SHA-256, and how to fetch them into a cache."""

import json
import os
import re
import shutil
import textwrap
from collections.abc import Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pooch
from tqdm import tqdm

from cellflax.device import cache_directory
from cellflax.errors import UserError

_RETRIES = 2


def deepcell_registry() -> dict:
    """Content of deepcell_files.json: `base_url`, `commit` and `files` (path -> "sha256:...")."""
    return json.loads(resources.files("cellflax.data").joinpath("deepcell_files.json").read_text("utf-8"))


def fetch_deepcell(folder: str, mirror: str | None = None) -> Path:
    """Fetch the files of one folder of the DeepCell repository; those already fetched are only checked.

    Args:
        folder: such as "training_data/HeLa_joint".
        mirror: URL, file:// URL or local folder that has the repository's files; default CELLFLAX_MIRROR,
            else the public repository at a fixed commit.

    Returns:
        The root in the cache, which contains `folder`.

    Raises:
        UserError: if no file below `folder` is known, a file cannot be fetched, or its hash differs.
    """
    registry = deepcell_registry()
    files = _files_below(folder, registry)
    if not files:
        parents = {str(PurePosixPath(path).parent) for path in registry["files"]}
        known = sorted({re.sub(r"/set\d+$", "", parent) for parent in parents})
        raise UserError(f"data.folder={folder} has no known public files; known are {', '.join(known)}")
    base = _base_url(mirror or os.environ.get("CELLFLAX_MIRROR") or registry["base_url"])
    fetch(files, registry["files"], base, cache_directory() / "deepcell", folder)
    return cache_directory() / "deepcell"


def fetched_deepcell(folder: str) -> Path | None:
    """`folder` in the cache, if all of its files have been fetched."""
    files = _files_below(folder, deepcell_registry())
    root = cache_directory() / "deepcell"
    return root / folder if files and all((root / file).is_file() for file in files) else None


def _files_below(folder: str, registry: dict) -> list[str]:
    prefix = folder.strip("/") + "/"
    return [path for path in registry["files"] if path.startswith(prefix)]


def fetch(files: Sequence[str], hashes: dict[str, str], base_url: str, directory: Path, title: str) -> None:
    """Fetch `files` below `base_url` into `directory`, file by file, with a progress bar.

    Each file gets its name only when it is complete and its hash is right, so an interrupted fetch resumes where
    it stopped.
    """
    local = urlsplit(base_url).scheme == "file"
    source = pooch.create(directory, base_url, registry=hashes, retry_if_failed=0 if local else _RETRIES)
    downloader: Any = _copy if local else pooch.HTTPDownloader(timeout=30)
    logger = pooch.get_logger()  # one line per file would break up the progress bar
    level = logger.level
    logger.setLevel("ERROR")
    try:
        for file in tqdm(files, desc=f"fetching {title}", unit="file", disable=None):
            try:
                source.fetch(file, downloader=downloader)
            except OSError as error:
                reason = textwrap.shorten(error.strerror or str(error), 100, placeholder=" ...")
                raise UserError(
                    f"{base_url}{file}: cannot be fetched ({reason}); check the network, or set data.mirror "
                    "or data.root to a copy"
                ) from error
            except ValueError as error:  # pooch's hash mismatch
                raise UserError(
                    f"{base_url}{file}: SHA-256 is not {hashes[file].removeprefix('sha256:')}; the file is "
                    "damaged or was changed, use another data.mirror"
                ) from error
    finally:
        logger.setLevel(level)


def _base_url(mirror: str) -> str:
    """A URL that ends in a slash; a local path becomes a file:// URL."""
    if "://" not in mirror:
        folder = Path(mirror).expanduser()
        if not folder.is_dir():
            raise UserError(f"data.mirror={mirror}: no such folder")
        mirror = folder.resolve().as_uri()
    return mirror.rstrip("/") + "/"


def _copy(url: str, output_file: str, _: pooch.Pooch) -> None:
    """Pooch downloader for file:// URLs."""
    shutil.copyfile(url2pathname(urlsplit(url).path), output_file)
