"""The public sets that are known, from sets.json. What that file does not say is unknown."""

import json
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from typing import Any
from urllib.parse import quote

from cellflax.data.registry import deepcell_registry
from cellflax.errors import UserError


@dataclass(frozen=True)
class PublicFile:
    """A file that can be fetched.

    Attributes:
        path: where it belongs, relative to the set's folder; at a mirror, relative to the mirror.
        url: where the public source has it.
        sha256: its SHA-256 in hexadecimal digits; None: unknown.
        bytes: its size; None: unknown.
        unpack: whether it is a ZIP archive, whose content belongs into a folder of its name.
    """

    path: str
    url: str
    sha256: str | None
    bytes: int | None
    unpack: bool


@dataclass(frozen=True)
class PublicSet:
    """A public set of images.

    Attributes:
        name: what it is called here.
        title: what it shows.
        truth: where its labels come from.
        licence: None: unknown.
        terms: what else restricts its use; None: nothing is known.
        source: page or repository of those who publish it.
        commit: version of the repository; None: it has no version.
        cite: DOI of its paper; None: unknown.
        used_by: experiments that use it: `+experiment=NAME`, or a folder of the repository.
        use: a command that uses it; `{output}` stands for the directory that it was fetched to.
        by_hand: what to do where there is no address to fetch it from.
        folder: folder of the set within that directory.
        files: what can be fetched; empty: nothing.
    """

    name: str
    title: str
    truth: str
    licence: str | None
    terms: str | None
    source: str
    commit: str | None
    cite: str | None
    used_by: tuple[str, ...]
    use: str | None
    by_hand: str | None
    folder: str
    files: tuple[PublicFile, ...]

    @property
    def bytes(self) -> int | None:
        """Size of all files; None if that of one is unknown, or there is none."""
        sizes = [file.bytes for file in self.files if file.bytes is not None]
        return sum(sizes) if sizes and len(sizes) == len(self.files) else None

    @property
    def is_verified(self) -> bool:
        """Whether the checksum of every file is known."""
        return bool(self.files) and all(file.sha256 is not None for file in self.files)


def public_sets() -> dict[str, PublicSet]:
    """All sets by name, in the order of the catalogue."""
    text = resources.files("cellflax.catalogue").joinpath("sets.json").read_text("utf-8")
    return {entry["name"]: _set(entry) for entry in json.loads(text)["sets"]}


def public_set(name: str) -> PublicSet:
    """The set of this name.

    Raises:
        UserError: if there is none.
    """
    sets = public_sets()
    if name not in sets:
        close = get_close_matches(name, sets, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(f"unknown set {name}: {hint}available: {', '.join(sets)}")
    return sets[name]


def _set(entry: dict[str, Any]) -> PublicSet:
    """An entry of the file; the checksums of the DeepCell repository's training files are in their own registry."""
    optional: dict[str, Any] = {key: entry.get(key) for key in ("licence", "terms", "commit", "cite", "use", "by_hand")}
    known: dict[str, Any] = {key: entry[key] for key in ("name", "title", "truth", "source", "folder")}
    base = entry.get("base_url")
    hashes = deepcell_registry()["files"] if entry["folder"] == "deepcell" else {}
    files = tuple(_file(file, base, hashes) for file in entry["files"])
    return PublicSet(**known, **optional, used_by=tuple(entry["used_by"]), files=files)


def _file(entry: dict[str, Any], base: str | None, hashes: dict[str, str]) -> PublicFile:
    path = entry["path"]
    listed = hashes[path].removeprefix("sha256:") if path in hashes else None
    url = entry["url"] if "url" in entry else f"{base}{quote(path)}"
    return PublicFile(path, url, entry.get("sha256", listed), entry.get("bytes"), entry.get("unpack", False))
