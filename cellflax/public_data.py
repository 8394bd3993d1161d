"""List public image sets, and fetch one of them.

    cellflax data list
    cellflax data list hela
    cellflax data get hela output=public

`list` prints the sets that cellflax knows: what they show, their truth, size, licence, and the experiments that use
them. With names it prints all that is known of these sets. `get` fetches sets into `output`, file by file, checks their
SHA-256 where it is known, unpacks archives, and writes `<name>.source.json`: what came from where. Files that are there
already are only checked, so that an interrupted command goes on. Nothing else of cellflax uses the network without
being asked. Experiments find what was fetched by `CELLFLAX_DATA=public`.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cellflax.catalogue.fetching import fetch_set, size_in_words
from cellflax.catalogue.sets import PublicSet, public_set, public_sets
from cellflax.config import entry
from cellflax.errors import UserError

_WIDTH = 110


@dataclass
class PublicDataConfig:
    """Options of `cellflax.data`.

    Attributes:
        words: `list`, `list NAME ...` or `get NAME ...`; on the command line, `words=` may be omitted.
        output: directory to fetch to; `get` needs it.
        mirror: URL or folder that has the files of the set under the same paths; null is the public source.
    """

    words: list[str] = field(default_factory=list)
    output: str = ""
    mirror: str | None = None


@entry("data", PublicDataConfig, positional="words")
def main(config: PublicDataConfig) -> None:
    """List the sets, or fetch some."""
    what, *names = config.words or ["list"]
    if what == "list":
        lines = _table(public_sets()) if not names else [line for name in names for line in _page(public_set(name))]
        print("\n".join(lines))
    elif what == "get":
        _get([public_set(name) for name in names], config)
    else:
        raise UserError(f"cannot {what}: write cellflax data list, or cellflax data get NAME output=DIR")


def _get(sets: list[PublicSet], config: PublicDataConfig) -> None:
    if not sets:
        raise UserError("no set is named; cellflax data list names them")
    if not config.output:
        raise UserError(f"output is not given; write cellflax data get {sets[0].name} output=DIR")
    for found in sets:
        print("\n".join(_page(found)))
        record = fetch_set(found, Path(config.output), config.mirror)
        if not found.is_verified:
            print("note: the publisher's checksum is unknown, so that the files were not compared with it")
        if found.use:
            print(f"use: {found.use.format(output=config.output)}")
        print(f"results: {Path(config.output) / found.folder}, {record}")


def _table(sets: dict[str, PublicSet]) -> Iterator[str]:
    width = max(map(len, sets))
    for found in sets.values():
        size = "by hand" if not found.files else size_in_words(found.bytes)
        yield f"{found.name:{width}}  {size:>8}  {found.title}"
    yield ""
    yield "unknown: the publisher's server says the size while it is fetched. by hand: there is no address."
    yield "cellflax data list NAME prints licence, truth, source and checksums."
    yield "cellflax data get NAME output=DIR fetches a set."


def _page(found: PublicSet) -> Iterator[str]:
    count = len(found.files)
    checked = sum(file.sha256 is not None for file in found.files)
    lines = {
        "shows": found.title,
        "truth": found.truth,
        "licence": found.licence or "unknown; read it at the source",
        "terms": found.terms,
        "source": found.source + (f", commit {found.commit}" if found.commit else ""),
        "cite": f"https://doi.org/{found.cite}" if found.cite else "unknown",
        "size": size_in_words(found.bytes) if count else None,
        "checksums": f"SHA-256 of {checked} of {count} file{'s' * (count > 1)} known" if count else None,
        "used by": ", ".join(found.used_by) or "no experiment of cellflax",
        "by hand": found.by_hand,
    }
    yield f"{found.name}"
    for name, text in lines.items():
        if text is not None:
            yield textwrap.fill(text, _WIDTH, initial_indent=f"  {name:9}  ", subsequent_indent=" " * 13)


if __name__ == "__main__":
    main()
