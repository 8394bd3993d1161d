"""Options of `cellflax.annotate`."""

from dataclasses import dataclass, field
from enum import Enum

from cellflax.checks import above, check
from cellflax.errors import UserError
from cellflax.labeling.alkofahi import AlkofahiConfig
from cellflax.labeling.quality import FlagsConfig
from cellflax.labeling.sadanandan import SadanandanConfig


class AnnotationMethod(Enum):
    """How labels are made; the settings of each method are in the key of its name."""

    sadanandan = "sadanandan"
    alkofahi = "alkofahi"


@dataclass
class AnnotateConfig:
    """Options of `cellflax.annotate`.

    Attributes:
        method: how labels are made.
        input: folder of the images.
        pattern: what the parts of the file names mean: `{well}`, `{site}`, `{channel}`, `{plane}` or `{z_um}` (a
            focus position in micrometres), `*` for any text, `/` for folders, `|` between several patterns. A file may
            hold several planes, and without `{channel}` several channels.
        nuclear: channel of the nuclear stain; null if there is only one channel.
        cell: channel of the stain of whole cells or cytoplasm; null labels only nuclei.
        images: channels that a network will learn from, with all their planes; empty means all except the stains, or
            the nuclear stain if there is nothing else.
        scene: name or number (from 0) of the position or scene to read of files with several.
        output: new directory for the results.
        overwrite: whether to replace what an earlier annotation wrote to `output`, which is refused otherwise. What was
            corrected by hand since is never replaced.
        pixel_size_um: edge of a pixel of all images, if the files do not say.
        save_illumination: also write the fitted background of every plane, `illumination/<site>_<stain>[_z<n>].tif`.
        review: instead of annotating, copy to `output` the sites that this `review.csv` accepts.
        flags: when a site is flagged.
        sadanandan: settings of method=sadanandan.
        alkofahi: settings of method=alkofahi, which needs a cell stain and the pixel size.
    """

    method: AnnotationMethod = AnnotationMethod.sadanandan
    input: str = ""
    pattern: str = ""
    nuclear: str | None = None
    cell: str | None = None
    images: list[str] = field(default_factory=list)
    scene: str | None = None
    output: str = "annotated"
    overwrite: bool = False
    pixel_size_um: float | None = None
    save_illumination: bool = False
    review: str | None = None
    flags: FlagsConfig = field(default_factory=FlagsConfig)
    sadanandan: SadanandanConfig = field(default_factory=SadanandanConfig)
    alkofahi: AlkofahiConfig = field(default_factory=AlkofahiConfig)

    def __post_init__(self):
        check(self, "", above(0), "pixel_size_um")
        if self.method is AnnotationMethod.alkofahi and self.cell is None and self.review is None:
            raise UserError("method=alkofahi needs a stain of whole cells; add cell=...")
        if self.cell is not None and self.cell == self.nuclear:
            raise UserError(f"nuclear={self.nuclear} and cell={self.cell}: must be different channels")
        if len(set(self.images)) < len(self.images):
            raise UserError(f"images={self.images}: name each channel once")
