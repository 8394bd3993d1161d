"""What a reader of the scores of `evaluate` must know about the files that were compared."""

from collections.abc import Iterable, Sequence

from cellflax.data.example import SIMULATED_NOTE
from cellflax.io.pairs import Pair
from cellflax.io.predictions import simulation_notes
from cellflax.io.size_remarks import size_remark


def pair_notes(pairs: Sequence[Pair]) -> list[str]:
    """Which of the images, or of those that the network learnt from, are simulated; and whose scales differ."""
    notes = simulation_notes(pair.predicted.parent for pair in pairs)
    for folder in sorted({pair.reference.parent for pair in pairs}):
        if (folder / SIMULATED_NOTE).exists():
            notes.append(f"simulated: the reference in {folder} comes from simulated images")
    files = dict.fromkeys((pair.predicted, pair.reference) for pair in pairs)  # frames of a movie share theirs
    return notes + [remark for one, other in files if (remark := size_remark(one, other)) is not None]


def mask_notes(masks: Iterable[str]) -> list[str]:
    """On which sides, "predicted" or "reference", masks were split into cells."""
    return [
        f"{side}: images with a single non-zero value were taken as masks; their connected components "
        "(4-neighbours) are the cells"
        for side in sorted(masks)
    ]
