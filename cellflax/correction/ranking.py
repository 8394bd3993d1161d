"""Which images are most worth a person's correction, by the uncertainty of their cells."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd

from cellflax.io import results

UNSURE = 0.5  # a cell whose predictions agree by less than half of its area is named as one to look at


class RankBy(Enum):
    """By what images are chosen.

    `mean`: mean uncertainty of their cells. `total`: sum over their cells, which is larger where there are many.
    `spread`: by the mean, within groups of images that look alike (`correction.groups`). `random`: none, to compare
    with or to judge a network by.
    """

    mean = "mean"
    total = "total"
    spread = "spread"
    random = "random"


@dataclass(frozen=True)
class Candidate:
    """An image, or a frame of a movie, that may be corrected.

    Attributes:
        image: name of the image or movie in `cells.csv`.
        frame: frame of a movie, None for an image.
        cells: its rows of `cells.csv`, the most uncertain first.
        score: what it is ranked by; 0 where it is not.
        why: why it was chosen, in words.
    """

    image: str
    frame: int | None
    cells: pd.DataFrame
    score: float
    why: str

    @property
    def name(self) -> str:
        """Its name in the folder of the correction."""
        return self.image if self.frame is None else f"{self.image}_t{self.frame:04d}"


def ranked_candidates(cells: pd.DataFrame, by: RankBy, seed: int) -> list[Candidate]:
    """Candidates, the best first; images without a cell, or whose cells have no uncertainty, are not among them.

    Args:
        cells: rows of `cells.csv`, with `uncertainty` unless `by` is random.
        by: what to rank by; `spread` ranks by the mean here.
        seed: seed of the order of `random`.
    """
    keys = [results.IMAGE, results.FRAME] if results.FRAME in cells else [results.IMAGE]
    found = []
    for key, rows in cells.groupby(keys, sort=True, dropna=False):  # the rows of single images have no frame
        image, *frame = key if isinstance(key, tuple) else (key,)
        movie = bool(frame) and not np.isnan(frame[0])
        candidate = _candidate(str(image), int(frame[0]) if movie else None, rows, by)
        if candidate is not None:
            found.append(candidate)
    if by is RankBy.random:
        return [found[i] for i in np.random.default_rng(seed).permutation(len(found))]
    return sorted(found, key=lambda candidate: -candidate.score)  # stable: equal ones in the order of their names


def _candidate(image: str, frame: int | None, rows: pd.DataFrame, by: RankBy) -> Candidate | None:
    if by is RankBy.random:
        return Candidate(image, frame, _uncertain_first(rows), 0.0, "chosen at random")
    uncertainty = np.asarray(rows[results.UNCERTAINTY].dropna(), float)
    if not uncertainty.size:
        return None
    unsure = int((uncertainty > UNSURE).sum())
    total = by is RankBy.total
    score = float(uncertainty.sum() if total else uncertainty.mean())
    count = f"{len(rows)} cell{'s' * (len(rows) > 1)}"
    why = f"{'total' if total else 'mean'} uncertainty {score:.3g} of {count}, {unsure} above {UNSURE}"
    return Candidate(image, frame, _uncertain_first(rows), score, why)


def _uncertain_first(rows: pd.DataFrame) -> pd.DataFrame:
    if results.UNCERTAINTY not in rows:
        return rows
    return rows.sort_values(results.UNCERTAINTY, ascending=False, kind="stable")
