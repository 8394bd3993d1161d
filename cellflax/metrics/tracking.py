"""TRA, DET and SEG as the Cell Tracking Challenge defines them.

Matula et al. 2015 (PLoS ONE 10(12):e0144959): the least weighted number of operations that turn the predicted graph
of cells and links into the reference one (AOGM), divided by that of building the reference from nothing.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.frame_sequence import FrameSequence
from cellflax.labels import overlap_table
from cellflax.tracking.ctc import TrackedMovie
from cellflax.tracking.lookup import Lookup

# Weights of the operations, as the challenge sets them.
SPLIT_CELL, FALSE_NEGATIVE, FALSE_POSITIVE = 5.0, 10.0, 1.0
REDUNDANT_LINK, MISSING_LINK, WRONG_LINK = 1.0, 1.5, 1.0


@dataclass(frozen=True)
class Cells:
    """Cells of a movie.

    Attributes:
        frame: (N,) frame of each cell.
        track: (N,) track of each cell.
    """

    frame: np.ndarray
    track: np.ndarray

    def find(self, frame: np.ndarray, track: np.ndarray) -> np.ndarray:
        """Positions of cells, -1 for those that do not exist."""
        width = int(max(self.track.max(initial=0), track.max(initial=0))) + 1
        return Lookup(self.frame * width + self.track).find(frame * width + track)


@dataclass(frozen=True)
class Matches:
    """Which predicted cell stands for which reference cell, frame by frame.

    Attributes:
        reference: N cells.
        predicted: M cells.
        matched: (N,) the predicted track that covers more than half of each reference cell, 0 if none does.
        jaccard: (N,) Jaccard index of that match, else 0.
        n_matched: (M,) number of reference cells that each predicted cell is matched to.
    """

    reference: Cells
    predicted: Cells
    matched: np.ndarray
    jaccard: np.ndarray
    n_matched: np.ndarray

    def uniquely_matched(self) -> np.ndarray:
        """(N,) as `matched`, but 0 where the predicted cell also stands for other reference cells."""
        found = self.predicted.find(self.reference.frame, self.matched)
        alone = np.append(self.n_matched == 1, False)[found]
        return np.where(alone, self.matched, 0)

    def reference_of_predicted(self) -> np.ndarray:
        """(M,) the one reference cell that each predicted cell stands for, -1 if there is none or more than one."""
        matched = self.uniquely_matched()
        (cells,) = np.nonzero(matched)
        found = np.full(len(self.n_matched), -1)
        found[self.predicted.find(self.reference.frame[cells], matched[cells])] = cells
        return found


@dataclass(frozen=True)
class GraphErrors:
    """Operations that turn the predicted graph into the reference.

    Attributes:
        n_cells: cells of the reference, over all frames.
        n_links: links of the reference: within tracks, and from parents to daughters.
        n_predicted_links: links of the prediction.
        splits: splits of predicted cells, one for each reference cell beyond the first in each.
        false_negatives: reference cells to add.
        false_positives: predicted cells to delete.
        redundant_links: links to delete.
        missing_links: links to add.
        wrong_links: links between the right cells, but within a track instead of parent to daughter, or the reverse.
    """

    n_cells: int
    n_links: int
    n_predicted_links: int
    splits: int
    false_negatives: int
    false_positives: int
    redundant_links: int
    missing_links: int
    wrong_links: int

    @property
    def detection_cost(self) -> float:
        """AOGM-D: cost of correcting the cells."""
        return SPLIT_CELL * self.splits + FALSE_NEGATIVE * self.false_negatives + FALSE_POSITIVE * self.false_positives

    @property
    def cost(self) -> float:
        """AOGM: cost of correcting cells and links."""
        links = (
            REDUNDANT_LINK * self.redundant_links + MISSING_LINK * self.missing_links + WRONG_LINK * self.wrong_links
        )
        return self.detection_cost + links

    @property
    def det(self) -> float:
        """DET in [0, 1]; NaN without a reference cell."""
        return _normalised(self.detection_cost, FALSE_NEGATIVE * self.n_cells)

    @property
    def tra(self) -> float:
        """TRA in [0, 1]; NaN without a reference cell."""
        return _normalised(self.cost, FALSE_NEGATIVE * self.n_cells + MISSING_LINK * self.n_links)

    @property
    def link_recall(self) -> float:
        """Share of the reference links that were found with the right kind."""
        return (self.n_links - self.missing_links - self.wrong_links) / self.n_links if self.n_links else float("nan")

    @property
    def link_precision(self) -> float:
        """Share of the predicted links that are in the reference with the same kind."""
        right = self.n_links - self.missing_links - self.wrong_links
        return right / self.n_predicted_links if self.n_predicted_links else float("nan")


def _normalised(cost: float, from_nothing: float) -> float:
    return 1 - min(cost, from_nothing) / from_nothing if from_nothing else float("nan")


def match_cells(reference: FrameSequence, predicted: FrameSequence) -> Matches:
    """Match cells: a predicted one stands for a reference one if it covers more than half of it.

    Args:
        reference: (T, H, W) integer labels; markers of the cells are enough.
        predicted: (T, H, W) integer labels.

    Raises:
        UserError: if the movies differ in shape.
    """
    if reference.shape != predicted.shape:
        raise UserError(
            f"the reference has shape {reference.shape} (frames, height, width), the prediction {predicted.shape}; "
            "both must be the same movie"
        )
    frames = [_match_frame(*pair) for pair in zip(reference, predicted, strict=True)]
    track, matched, jaccard, predicted_track, n_matched = (np.concatenate(parts) for parts in zip(*frames, strict=True))
    numbers = np.arange(len(frames))
    return Matches(
        Cells(np.repeat(numbers, [len(frame[0]) for frame in frames]), track),
        Cells(np.repeat(numbers, [len(frame[3]) for frame in frames]), predicted_track),
        matched,
        jaccard,
        n_matched,
    )


def _match_frame(reference: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, ...]:
    """Reference labels, with predicted label and Jaccard index; predicted labels, with their number of matches."""
    table = overlap_table(reference, predicted)
    joint = table.intersection.tocoo()
    rows, columns = joint.coords
    covered = 2 * joint.data > table.reference_area[rows]
    rows, columns, common = rows[covered], columns[covered], joint.data[covered]
    matched, jaccard = np.zeros(len(table.reference_labels), np.int64), np.zeros(len(table.reference_labels))
    matched[rows] = table.predicted_labels[columns]
    jaccard[rows] = common / (table.reference_area[rows] + table.predicted_area[columns] - common)
    n_matched = np.bincount(columns, minlength=len(table.predicted_labels))
    return table.reference_labels.astype(np.int64), matched, jaccard, table.predicted_labels.astype(np.int64), n_matched


def count_errors(reference: TrackedMovie, predicted: TrackedMovie, matches: Matches) -> GraphErrors:
    """Compare two graphs of cells and links; `matches` is `match_cells` of their labels."""
    links, is_parent = _links(matches.reference, reference.tracks)
    predicted_links, predicted_is_parent = _links(matches.predicted, predicted.tracks)
    # Links between predicted cells that each stand for one reference cell, as links between these.
    mapped = matches.reference_of_predicted()[predicted_links]
    known = (mapped >= 0).all(axis=1)
    n = len(matches.matched)
    at = Lookup(links[:, 0] * n + links[:, 1]).find(mapped[known, 0] * n + mapped[known, 1])
    right = at >= 0
    return GraphErrors(
        n_cells=n,
        n_links=len(links),
        n_predicted_links=len(predicted_links),
        splits=int(np.maximum(matches.n_matched - 1, 0).sum()),
        false_negatives=int(np.sum(matches.matched == 0)),
        false_positives=int(np.sum(matches.n_matched == 0)),
        redundant_links=int(np.sum(~right)),
        missing_links=len(links) - int(right.sum()),
        wrong_links=int(np.sum(is_parent[at[right]] != predicted_is_parent[known][right])),
    )


def _links(cells: Cells, tracks: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Links between cells, (L, 2), and (L,) bool, True from a parent's last cell to a daughter's first."""
    following = cells.find(cells.frame + 1, cells.track)
    within = np.column_stack([np.arange(len(following)), following])[following >= 0]
    track, begin, end, parent = (tracks[name].to_numpy() for name in ("track", "begin", "end", "parent"))
    born = np.flatnonzero(parent != 0)
    end_of_parent = end[Lookup(track).find(parent[born])]
    between = np.column_stack([cells.find(end_of_parent, parent[born]), cells.find(begin[born], track[born])])
    return np.concatenate([within, between]), np.repeat([False, True], [len(within), len(between)])


def segmentation_score(reference: dict[int, np.ndarray], predicted: FrameSequence) -> float:
    """SEG: mean Jaccard index of the reference cells, 0 for those that no predicted cell covers by more than half.

    Args:
        reference: (H, W) labels of the segmented frames, by frame.
        predicted: (T, H, W) labels.

    Raises:
        UserError: for a frame that the prediction does not have.
    """
    frames = sorted(reference)
    if frames and frames[-1] >= len(predicted):
        raise UserError(f"the reference segments frame {frames[-1]}, but the prediction has {len(predicted)} frames")
    if not frames:
        return float("nan")
    both = (np.stack([movie[frame] for frame in frames]) for movie in (reference, predicted))
    matches = match_cells(*both)
    return float(matches.jaccard.mean()) if len(matches.jaccard) else float("nan")
