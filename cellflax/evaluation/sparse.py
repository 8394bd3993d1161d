"""References of `evaluate` that are annotated in parts."""

from collections.abc import Sequence
from pathlib import Path

from cellflax.ignored import SparseLabels
from cellflax.io.files import images_in
from cellflax.io.name_matching import common_of, match_names
from cellflax.io.names import is_ignore_mask, shorter_stems, stem_of
from cellflax.io.notices import warn
from cellflax.io.pair_arrays import SparseReference
from cellflax.io.pairs import Pair, PairBy, some_partners


def sparse_reference(
    pairs: Sequence[Pair], values: SparseLabels, ignore: str | None, pair_by: PairBy
) -> SparseReference:
    """What of the references is not annotated.

    Args:
        pairs: predictions with their references.
        values: values of the label images that are not labels of cells.
        ignore: masks, FILE | DIR | GLOB; None takes `x_ignore.tif` beside the references.
        pair_by: whether given masks belong to the pairs by name or by order.

    Raises:
        UserError: if there are no masks where some are given, or several belong to one pair.
    """
    if ignore is None:
        return SparseReference(values, _masks_beside(pairs))
    stems = {pair.name: pair.name if pair.frame is None else common_of(pair.predicted) for pair in pairs}
    files = some_partners("ignore", ignore, {stems[pair.name]: pair.predicted for pair in pairs}, pair_by)
    return SparseReference(values, {name: files[stem] for name, stem in stems.items() if stem in files})


def _masks_beside(pairs: Sequence[Pair]) -> dict[str, Path]:
    """Masks by the name of the pair; those that belong to no reference are named on the screen."""
    masks: dict[str, Path] = {}
    for folder in {pair.reference.parent for pair in pairs}:
        found = [file for file in images_in(folder, outlines=True) if is_ignore_mask(file)]
        here = [pair for pair in pairs if pair.reference.parent == folder]
        # Frames of a movie share the mask of the movie.
        files = {str(pair.reference): shorter_stems(stem_of(pair.reference)) for pair in here}
        matched = match_names(files, found).files
        masks |= {pair.name: matched[str(pair.reference)] for pair in here if str(pair.reference) in matched}
        for file in sorted(set(found) - set(matched.values())):
            warn(f"{file}: no reference of this name is compared, so the mask is not used")
    return masks


def sparse_notes(sparse: SparseReference) -> list[str]:
    """That only a part of the references counts, where that is so."""
    notes = []
    if sparse.values.ignore_label is not None:
        notes.append(f"ignore_label={sparse.values.ignore_label}: pixels of this value are not annotated")
    if sparse.masks:
        notes.append(f"{len(sparse.masks)} references have a mask of what is not annotated, such as {_first(sparse)}")
    return notes


def _first(sparse: SparseReference) -> str:
    return next(iter(sparse.masks.values())).name
