"""Fetch a public set: every file is whole or absent, its checksum is right or known to be unknown."""

import os
import shutil
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

import pooch
from tqdm import tqdm

from cellflax.atomic import output_directory
from cellflax.catalogue.sets import PublicFile, PublicSet
from cellflax.catalogue.unpacking import unpack
from cellflax.errors import UserError
from cellflax.jsonfile import write_json

_RETRIES = 2
_TIMEOUT_S = 30


def fetch_set(found: PublicSet, output: Path, mirror: str | None = None) -> Path:
    """Fetch what is not there yet, unpack archives, and write a record of what came from where.

    Args:
        found: the set.
        output: directory; the files come into a folder of it, so that it can serve as CELLFLAX_DATA.
        mirror: URL or folder that has the set's files under the same paths; default: the public source.

    Returns:
        The record, `output/<name>.source.json`.

    Raises:
        UserError: if the set cannot be fetched without a person, a file cannot be fetched, or is not the one that is
            known.
    """
    if not found.files:
        raise UserError(f"{found.name} cannot be fetched: {found.by_hand} (from {found.source}, commit {found.commit})")
    folder = output_directory(output / found.folder)
    if found.bytes is not None and found.bytes > shutil.disk_usage(folder).free:
        raise UserError(f"output={output}: has no room for {size_in_words(found.bytes)}; give another directory")
    base = None if mirror is None else _base_url(mirror)
    records = []
    for file in tqdm(found.files, desc=f"fetching {found.name}", unit="file", disable=None):
        records.append(_fetch(found, file, folder, file.url if base is None else base + quote(file.path)))
    record = output / f"{found.name}.source.json"
    described = {key: getattr(found, key) for key in ("name", "title", "truth", "licence", "terms", "source", "commit")}
    write_json(record, {**described, "cite": found.cite, "folder": found.folder, "files": records})
    return record


def size_in_words(size: int | None) -> str:
    """A number of bytes as people read it; None is unknown."""
    return "unknown" if size is None else f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _fetch(found: PublicSet, file: PublicFile, folder: Path, url: str) -> dict[str, Any]:
    """Fetch one file, and say what is there now."""
    target = folder / file.path
    unpacked = target.with_suffix("")
    described: dict[str, Any] = {"path": file.path, "url": url, "sha256_known": file.sha256 is not None}
    if file.unpack and unpacked.is_dir():
        return {**described, "unpacked": sum(path.is_file() for path in unpacked.rglob("*"))}
    is_local = urlsplit(url).scheme == "file"
    known = None if file.sha256 is None else f"sha256:{file.sha256}"
    retries = 0 if is_local else _RETRIES
    source = pooch.create(folder, "", registry={file.path: known}, urls={file.path: url}, retry_if_failed=retries)
    downloader: Any = _copy if is_local else pooch.HTTPDownloader(timeout=_TIMEOUT_S)
    logger = pooch.get_logger()  # one line per file would break up the progress bar
    level = logger.level
    logger.setLevel("ERROR")
    try:
        source.fetch(file.path, downloader=downloader)
    except OSError as error:
        reason = textwrap.shorten(error.strerror or str(error), 100, placeholder=" ...")
        raise UserError(
            f"{url}: cannot be fetched ({reason}); check the network, give mirror=URL|FOLDER, or put the file of "
            f"{found.source} at {target} and repeat the command"
        ) from error
    except ValueError as error:  # pooch's mismatch of hashes
        raise UserError(
            f"{url}: its SHA-256 is not {file.sha256}; it is damaged or was changed at its source: give another "
            f"mirror=URL|FOLDER, or put the file of {found.source} at {target} and repeat the command"
        ) from error
    finally:
        logger.setLevel(level)
    described |= {"bytes": target.stat().st_size, "sha256": pooch.file_hash(str(target))}
    if file.unpack:
        described["unpacked"] = len(unpack(target, unpacked))
        target.unlink()
    return described


def _base_url(mirror: str) -> str:
    """A URL that ends in a slash; a local path becomes a file:// URL."""
    if "://" not in mirror:
        folder = Path(mirror).expanduser()
        if not folder.is_dir():
            raise UserError(f"mirror={mirror}: no such folder; give a URL or a folder with the set's files")
        mirror = folder.resolve().as_uri()
    return os.fspath(mirror).rstrip("/") + "/"


def _copy(url: str, output_file: str, _: pooch.Pooch) -> None:
    """Pooch downloader for file:// URLs."""
    shutil.copyfile(url2pathname(urlsplit(url).path), output_file)
