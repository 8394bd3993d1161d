"""Which frame of a movie each file of a folder is, by the numbers in their names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.name_matching import common_of
from cellflax.io.names import frame_numbers, stem_of
from cellflax.io.pairs import PairBy
from cellflax.progress import say

_MOST_MISSING = 10  # times the frames that are there: more are no gap, but numbers that mean something else


@dataclass(frozen=True)
class FrameNumbers:
    """Which frame of a movie each file of a folder is, by the numbers in the files' names.

    Attributes:
        first: number of the first frame.
        step: difference that all numbers are a multiple of; frames that are `step` apart follow each other.
        present: place in the movie of each file, rising, from 0; other places are frames without a file.
        numbered: whether the names hold numbers. If not, the files are taken for successive frames.
    """

    first: int
    step: int
    present: tuple[int, ...]
    numbered: bool = True

    @property
    def count(self) -> int:
        """Number of frames, with those that have no file."""
        return self.present[-1] + 1

    @property
    def missing(self) -> list[int]:
        """Numbers of the frames that have no file."""
        places = set(self.present)
        return [self.first + self.step * place for place in range(self.count) if place not in places]

    @property
    def numbers(self) -> list[int]:
        """Number of each file's frame."""
        return [self.first + self.step * place for place in self.present]


def number_frames(
    option: str, text: str, files: Sequence[Path], pair: PairBy = PairBy.names
) -> tuple[list[Path], FrameNumbers]:
    """Put the files of a folder in order, and find out which frames they are.

    A gap in their numbers is a gap, which is reported on the screen.

    With `pair=order`, files are successive frames whatever their numbers.

    Raises:
        UserError: if so many frames are missing that the numbers cannot count frames.
    """
    found = None
    if pair is PairBy.names:
        found = frame_numbers(common_of(file) for file in files) or frame_numbers(stem_of(file) for file in files)
    if found is None:
        return list(files), FrameNumbers(0, 1, tuple(range(len(files))), numbered=False)
    files = [file for _, file in sorted(zip(found, files, strict=True))]
    step = math.gcd(*(number - found[0] for number in found))
    numbers = FrameNumbers(min(found), step, tuple(sorted((number - min(found)) // step for number in found)))
    gaps = numbers.count - len(files)
    if gaps > _MOST_MISSING * len(files):
        raise UserError(
            f"{option}={text}: {len(files)} files are numbered from {min(found)} to {max(found)}; if these are not "
            "numbers of frames, add pair=order to take the files as successive frames"
        )
    if gaps:
        names = ", ".join(map(str, numbers.missing[:5])) + (", ..." if gaps > 5 else "")
        say(f"note: {option}={text}: {gaps} frames are missing, by the numbers in the files' names ({names})")
    if step > 1:
        say(
            f"note: {option}={text}: numbers rise by {step}; frame_interval_s is the time of one number, so that "
            f"successive files are {step} times as far apart; with pair=order it is the time between files"
        )
    return files, numbers
