"""Cell lines from images of one line each, with a class per line for co-cultures (Van Valen 2016, P1) or without."""

import re
from dataclasses import dataclass, field, fields, replace

import numpy as np

from cellflax.data.datasets import DataConfig
from cellflax.data.deepcell import DeepCellData, DeepCellFiles, check_features, load_deepcell
from cellflax.data.example import IGNORE, Dataset, Example
from cellflax.data.simulated import SimulatedData
from cellflax.data.split import Split
from cellflax.errors import UserError


@dataclass
class CellLine:
    """A cell line and the training set that shows it alone.

    Attributes:
        name: the line's name in letters, digits, `-` and `_`; the class is called `interior_<name>`.
        folder: the training set, below the root.
        edge_feature: k of the file `feature_k` with edge strokes.
        interior_feature: k of the file with filled interiors.
        stand_in: simulated fields of cells that look like this line, for on_missing=simulate.
    """

    name: str
    folder: str
    edge_feature: int = 0
    interior_feature: int = 1
    stand_in: SimulatedData = field(default_factory=SimulatedData)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise UserError(f"data.lines: name must be letters, digits, - and _, got {self.name!r}")
        check_features(self, f"data.lines.{self.name}")


def _published_lines() -> list[CellLine]:
    folder = "training_data/MCF10A_3T3_semantic"
    return [
        CellLine("nih3t3", f"{folder}/3T3", edge_feature=0, interior_feature=1),
        CellLine("mcf10a", f"{folder}/MCF10A", edge_feature=0, interior_feature=2),
    ]


@dataclass
class CoCultureData(DeepCellFiles, DataConfig):
    """Training sets of several cell lines in the DeepCell layout.

    Each line is split into training and validation separately, so both contain every line. Training images of a
    line that has fewer are repeated, so that every line is drawn about equally often.

    Attributes:
        lines: two or more cell lines, P1's by default; the classes have the same order.
        typed: whether each line has its own class `interior_<line>`, so that a network distinguishes them; otherwise
            they share the class `interior`, and one network learns the shape of cells from all of them.
        split: `image` or `region`; the default is `region`, because P1's MCF10A set is a single image.
    """

    typed: bool = True
    split: Split = Split.region
    lines: list[CellLine] = field(default_factory=_published_lines)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [line.name for line in self.lines]
        if len(names) < 2:
            raise UserError(f"data.lines must name at least 2 cell lines, got {len(names)}; for one use data=hela")
        if len(set(names)) < len(names):
            raise UserError(f"data.lines must have different names, got {', '.join(names)}")

    def load(self) -> Dataset:
        """See `load_coculture`."""
        return load_coculture(self)


def load_coculture(config: CoCultureData) -> Dataset:
    """Read the cell lines; the classes are edge, one interior or one per line in their order, and background.

    Raises:
        UserError: if a line cannot be read or split, or some of them, but not all, would be simulated.
    """
    loaded = [(line, _load_line(line, config)) for line in config.lines]
    missing = [line.folder for line, dataset in loaded if dataset.simulated]
    if 0 < len(missing) < len(loaded):
        # A network would learn to distinguish simulated from real images instead of one line from the other.
        raise UserError(
            f"{missing[0]}: not found, but another cell line was; add it below data.root or CELLFLAX_DATA, or set "
            "data.on_missing=download"
        )
    train, validation, sources = [], [], []
    most = max(len(dataset.train) for _, dataset in loaded)
    interiors = tuple(f"interior_{line.name}" for line in config.lines) if config.typed else ("interior",)
    for index, (line, dataset) in enumerate(loaded):
        # Images are drawn equally often: without repeats, a line with fewer of them would seem the rarer type.
        repeats = round(most / len(dataset.train))
        interior = index if config.typed else 0
        train += [_of_line(example, line.name, interior, len(interiors)) for example in dataset.train] * repeats
        validation += [
            replace(region, example=_of_line(region.example, line.name, interior, len(interiors)))
            for region in dataset.validation
        ]
        sources.append(f"{line.name} ({dataset.source})")
    return Dataset(
        train=tuple(train),
        validation=tuple(validation),
        channels=tuple(config.channels),
        class_names=("edge", *interiors, "background"),
        source=f"{'co-culture of ' if config.typed else ''}{' and '.join(sources)}",
        simulated=bool(missing),
    )


def _load_line(line: CellLine, config: CoCultureData) -> Dataset:
    """One line as a data set of its own, with the three classes edge, interior and background."""
    shared = {item.name: getattr(config, item.name) for item in fields(DeepCellFiles)}
    own = {item.name: getattr(line, item.name) for item in fields(CellLine) if item.name != "name"}
    try:
        return load_deepcell(DeepCellData(**shared, **own))
    except UserError as error:
        raise UserError(f"cell line {line.name}: {error}") from error


def _of_line(example: Example, name: str, interior: int, interiors: int) -> Example:
    """The same example with interior class number `interior` of `interiors`, and a name that no other line has."""
    # Indexed by the classes edge, interior, background of one line; IGNORE = -1 picks the last entry.
    codes = np.array([0, 1 + interior, 1 + interiors, IGNORE], np.int8)
    return replace(example, name=f"{name}_{example.name}", classes=codes[example.classes])
