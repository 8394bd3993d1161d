"""The training that goes on from a network with the corrections, as words of the command line."""

import re
from collections.abc import Mapping
from pathlib import Path

from cellflax.overrides import quoted


def train_words(folder: Path, training: Mapping[str, str | list[str]], name: str = "corrected") -> list[str]:
    """Words after `cellflax train`.

    Args:
        folder: the corrections.
        training: options of the training (`CorrectionFolder.training`); with `data.root`, the corrections are taken
            along with that folder, else they are all there is.
        name: name of the experiment.
    """
    words = ["data=folder"]
    if "data.root" in training:
        words.append(f"data.more=[{_element(str(folder))}]")
    else:
        words.append(f"data.root={folder}")
    for key, value in training.items():
        words.append(f"{key}={value if isinstance(value, str) else f'[{",".join(map(_element, value))}]'}")
    return [*words, f"name={name}"]


def _element(text: str) -> str:
    """A text as an element of a list on the command line, in quotes where it needs them."""
    return text if re.fullmatch(r"[\w./+-]+", text) else quoted(text)
