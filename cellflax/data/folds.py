"""Images kept for the final scores: one part of a cross-validation, or whole data sets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from cellflax.checks import at_least, check
from cellflax.data.example import Example, Region
from cellflax.data.split import Split, SplitOptions, split_examples, whole
from cellflax.errors import UserError

_LEAST_FOLDS = 3  # one part to test, one to validate, one to train on


@dataclass
class PartOptions(SplitOptions):
    """Settings of the split with a test part; by default there is none.

    Attributes:
        folds: number of parts of a cross-validation (Al-Kofahi 2018, P3: 10). Images are dealt to the parts data set
            by data set, in an order that `split_seed` chooses. `validation_fraction` then has no effect, because
            one part is for validation.
        fold: the part to test on, 0 ... folds - 1; the next part is for validation, the others for training.
        test_sets: data sets to test on, instead of folds; the other data sets are for training and validation.
    """

    folds: int | None = None
    fold: int | None = None
    test_sets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "data", at_least(_LEAST_FOLDS), "folds")
        check(self, "data", at_least(0), "fold")
        if self.folds is not None:
            self._check_folds(self.folds)
        elif self.fold is not None:
            raise UserError(f"data.fold={self.fold} needs the number of parts as well; add data.folds=10")

    def _check_folds(self, folds: int) -> None:
        if self.fold is None:
            raise UserError(
                f"data.folds={folds} needs the part to test; add data.fold=0, or -m 'data.fold=range({folds})' for all"
            )
        if self.fold >= folds:
            raise UserError(f"data.fold must be below data.folds={folds}, got {self.fold}")
        if self.split is not Split.image:
            raise UserError(f"data.folds={folds} divides images; leave data.split=image, got {self.split.name}")
        if self.test_sets:
            raise UserError(f"data.folds={folds} and data.test_sets={self.test_sets}: give one of them")


@dataclass(frozen=True)
class Parts:
    """Examples by their use; no image is in two parts, unless `split=region` divides it.

    Attributes:
        train: examples to train on.
        validation: regions to choose a checkpoint by.
        test: whole images for the final scores.
    """

    train: tuple[Example, ...]
    validation: tuple[Region, ...]
    test: tuple[Example, ...] = ()


def divide(examples: Sequence[Example], options: PartOptions) -> Parts:
    """Divide the images of a source, which has one data set or several (`Example.data_set`).

    Raises:
        UserError: if a part would be empty, or a data set to test does not exist.
    """
    if options.folds is not None and options.fold is not None:
        return _by_fold(examples, options.folds, options.fold, options.split_seed)
    names = list(dict.fromkeys(example.data_set for example in examples))
    for name in options.test_sets:
        if name not in names:
            raise UserError(f"data.test_sets: there is no data set {name}; there are {', '.join(names)}")
    rest = [example for example in examples if example.data_set not in options.test_sets]
    if not rest:
        raise UserError(f"data.test_sets={options.test_sets} leaves no data set to train on; name fewer")
    test = tuple(example for example in examples if example.data_set in options.test_sets)
    return Parts(*split_examples(rest, options), test)


def _by_fold(examples: Sequence[Example], folds: int, fold: int, seed: int) -> Parts:
    if len(examples) < folds:
        raise UserError(f"data.folds={folds} needs as many images, there are {len(examples)}; lower it or add images")
    dealt: list[list[Example]] = [[] for _ in range(folds)]
    # Images without a cell are dealt last, so that every part has images with cells if there are enough.
    with_cells = [bool(example.annotated_cells.any()) for example in examples]
    parts = deal([example.data_set for example in examples], folds, seed, last=[not cells for cells in with_cells])
    for part, example in zip(parts, examples, strict=True):
        dealt[part].append(example)
    validating = (fold + 1) % folds
    for part in (fold, validating):
        if not any(example.annotated_cells.any() for example in dealt[part]):
            raise UserError(
                f"data.folds={folds} needs as many images with cells, there are {sum(with_cells)}; lower it or add "
                "images"
            )
    return Parts(
        train=tuple(chain.from_iterable(part for i, part in enumerate(dealt) if i not in (fold, validating))),
        validation=tuple(whole(example) for example in dealt[validating]),
        test=tuple(dealt[fold]),
    )


def deal(data_sets: Sequence[str], folds: int, seed: int, last: Sequence[bool] | None = None) -> list[int]:
    """Deal images to parts, one data set after the other, so that parts differ by at most one image of each.

    Args:
        data_sets: name of the data set of each of N images.
        folds: number of parts.
        seed: seed of the order within the data sets.
        last: of each image, whether it is dealt after the others; None for none.

    Returns:
        Number of each image's part.
    """
    rng, names = np.random.default_rng(seed), np.array(data_sets)
    order = np.concatenate([rng.permutation(np.flatnonzero(names == name)) for name in dict.fromkeys(data_sets)])
    if last is not None:
        order = order[np.argsort(np.array(last, bool)[order], kind="stable")]
    part = np.empty(len(order), int)
    part[order] = np.arange(len(order)) % folds
    return part.tolist()
