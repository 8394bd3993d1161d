"""Options of `cellflax.quantify`."""

from dataclasses import dataclass, field
from enum import Enum

from cellflax.checks import above, check
from cellflax.errors import UserError
from cellflax.exporting.formats import check_formats
from cellflax.io.pairs import PairBy
from cellflax.io.reading import ReadingOptions
from cellflax.measure.growth import GrowthConfig
from cellflax.measure.ktr import KtrConfig
from cellflax.quantification.cell_type import CellTypeConfig
from cellflax.refine.seeds import NucleiSeedsConfig


class QuantifyMethod(Enum):
    """What is quantified; the settings of each method are under the key of its name."""

    cells = "cells"
    growth = "growth"
    ktr = "ktr"
    cell_type = "cell_type"


@dataclass
class QuantifyConfig(ReadingOptions):
    """Options of `cellflax.quantify`; FILE | DIR | GLOB wherever files are named, paired by name.

    Attributes:
        method: what is quantified.
        predicted: label images, beside the `cells.csv` that came with them.
        tracks: folder of tracked label images; for method=ktr without nuclei, these labels are the nuclei.
        image: images whose intensity is measured, for method=cells.
        reporter: images of the reporter, for method=ktr.
        nuclei: nucleus labels or masks.
        nuclear: images of a nuclear marker in which nuclei are found, instead of `nuclei`.
        image_channel: name or number of the channel of `image`, where its files have several.
        reporter_channel: the same of `reporter`.
        nuclear_channel: the same of `nuclear`.
        pair: names pairs files by their names, those of a movie's frames by the numbers in them; order takes them in
            the order of their names.
        truth: folder of a simulated movie, whose growth rates or ratios are compared with the measured ones.
        pixel_size_um: edge of a pixel; overrides the files.
        frame_interval_s: time between frames; overrides `tracks`.
        seeds: how nuclei are found.
        growth: settings of method=growth.
        ktr: settings of method=ktr.
        cell_type: settings of method=cell_type.
        output: directory for the results.
        overwrite: whether to replace the results of an earlier quantification in `output`; other files there stay. With
            false they are refused; null replaces those of the same method, and refuses others.
        export: formats in which the tables are also written: parquet, anndata.
    """

    method: QuantifyMethod = QuantifyMethod.cell_type
    predicted: str | None = None
    tracks: str | None = None
    image: str | None = None
    reporter: str | None = None
    nuclei: str | None = None
    nuclear: str | None = None
    image_channel: str | None = None
    reporter_channel: str | None = None
    nuclear_channel: str | None = None
    pair: PairBy = PairBy.names
    truth: str | None = None
    pixel_size_um: float | None = None
    frame_interval_s: float | None = None
    seeds: NucleiSeedsConfig = field(default_factory=NucleiSeedsConfig)
    growth: GrowthConfig = field(default_factory=GrowthConfig)
    ktr: KtrConfig = field(default_factory=KtrConfig)
    cell_type: CellTypeConfig = field(default_factory=CellTypeConfig)
    output: str = "quantities"
    overwrite: bool | None = None
    export: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "", above(0), "pixel_size_um", "frame_interval_s")
        check_formats("export", self.export, ("tables",))
        if self.nuclei is not None and self.nuclear is not None:
            raise UserError(f"nuclei={self.nuclei} and nuclear={self.nuclear}: give one of them")
