"""Trained networks that come with cellflax, one file each, and how a checkpoint is named by a word.

`predict checkpoint=nuclei` takes `nuclei.npz` of this folder. `nuclei.md` beside it says what the network was trained
on, under which licence, how good it is and where it fails. experiments/networks/ makes them again.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
SUFFIX = ".npz"


def shipped_networks() -> dict[str, Path]:
    """Files of the networks that come with cellflax, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob(f"*{SUFFIX}"))}


def shipped_network(name: str) -> Path | None:
    """File of the network of this name; None if there is none, or the name is a path rather than a word."""
    return shipped_networks().get(name)


def among_networks() -> str:
    """What can be given in place of a path, in words that follow "give a run directory"; empty if there is nothing."""
    names = ", ".join(shipped_networks())
    return f", or one of the networks that come with cellflax: {names}" if names else ""
