"""The licences of cellflax's dependencies, by the metadata of what is installed here.

python packaging/licences.py [--extras formats,exports] [--all]

Lists the packages that cellflax needs, and what these need, with version and licence; with --extras those of extras
too, with --all every package of the environment. A licence is permissive, weak copyleft (its own files stay under it:
MPL, LGPL), copyleft (GPL, AGPL), proprietary or unknown. Exits with status 1 for the last three, and if a package is
missing. `_KNOWN` holds what was read in the packages themselves where their metadata do not say it.
What a wheel contains of other libraries is not seen.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PERMISSIVE, WEAK, COPYLEFT, PROPRIETARY, UNKNOWN = "permissive", "weak copyleft", "copyleft", "proprietary", "unknown"
REFUSED = (COPYLEFT, PROPRIETARY, UNKNOWN)
# The first that a licence's text matches; LGPL before GPL.
_KINDS = (
    (PROPRIETARY, r"proprietary|nvidia|commercial|eula"),
    (WEAK, r"\bmpl|mozilla|lgpl|lesser general|\bepl|\bcddl"),
    (COPYLEFT, r"gpl|general public|\bosl|\bsspl|\beupl"),
    (
        PERMISSIVE,
        r"\bmit\b|\bbsd\b|0bsd|apache|\bisc\b|\bpsf|python software|zlib|unlicense|hpnd|\bcc0|public domain|cnri|bsl-1",
    ),
)
# Licences that the metadata do not give, as the package's own licence file has them.
_KNOWN = {"bioimageio-spec": "MIT", "py-ctcmetrics": "BSD-2-Clause"}


def main() -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", default="", help="extras of cellflax, with commas between them")
    parser.add_argument("--all", action="store_true", help="every package of this environment")
    options = parser.parse_args()
    if options.all:
        names, missing = sorted({canonicalize_name(found.name) for found in metadata.distributions()}), []
    else:
        names, missing = closure("cellflax", {extra for extra in options.extras.split(",") if extra})
    rows = [(name, metadata.version(name), *licence(name)) for name in names]
    for name, version, words, kind in sorted(
        rows, key=lambda row: (row[3] not in REFUSED, row[3] == PERMISSIVE, row[0])
    ):
        print(f"{name:32} {version:16} {kind:14} {words}")
    counts = Counter(kind for *_, kind in rows)
    print(f"\n{len(rows)} packages: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    for name in missing:
        print(f"not installed, so not seen: {name}")
    return int(bool(missing) or any(counts[kind] for kind in REFUSED))


def closure(root: str, extras: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """What a package needs on this machine, itself left out.

    Args:
        root: name of the package.
        extras: its extras to take along.

    Returns:
        Names of the packages that are installed, and of those that are not; each sorted.
    """
    found, missing = set[tuple[str, str]](), set[str]()
    wanted = [(root, ""), *((root, extra) for extra in extras)]
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) in found or name in missing:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            missing.add(name)
            continue
        found.add((name, extra))
        wanted += _needed(requirements, extra)
    return sorted({name for name, _ in found} - {canonicalize_name(root)}), sorted(missing)


def _needed(requirements: Iterable[str], extra: str) -> Iterator[tuple[str, str]]:
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            name = canonicalize_name(requirement.name)
            yield name, ""
            for inner in requirement.extras:
                yield name, inner


def licence(name: str) -> tuple[str, str]:
    """The licence of an installed package in its own words, and its kind."""
    about = metadata.metadata(name)
    classifiers = [
        c.rpartition("::")[2].strip() for c in about.get_all("Classifier") or [] if c.startswith("License ::")
    ]
    free_text = (about.get("License") or "").strip().splitlines()
    choices = (about.get("License-Expression"), _KNOWN.get(name), ", ".join(classifiers), *free_text[:1])
    words = next((found for found in choices if found and kind_of(found) != UNKNOWN), next(filter(None, choices), ""))
    return words[:80], kind_of(words)


def kind_of(words: str) -> str:
    """The kind of a licence: of `A OR B` the freer, which the user chooses; of `A AND B` the stricter, as both hold."""
    order = (PERMISSIVE, WEAK, COPYLEFT, PROPRIETARY, UNKNOWN)
    if len(parts := re.split(r"\s+OR\s+", words)) > 1:
        return min(map(kind_of, parts), key=order.index)
    if len(parts := re.split(r"\s+AND\s+|,\s*", words)) > 1:
        return max(map(kind_of, parts), key=order.index)
    return next((kind for kind, pattern in _KINDS if re.search(pattern, words, re.IGNORECASE)), UNKNOWN)


if __name__ == "__main__":
    sys.exit(main())
