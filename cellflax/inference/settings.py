"""Settings of inference on whole images: tiles, rotations and reflections, blocks."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from cellflax.inference.blended import predict_blended
from cellflax.inference.blocks import Block, split_blocks
from cellflax.inference.dense import predict_tiles
from cellflax.models import Geometry


class Tiling(Enum):
    """How tiles are joined."""

    seamless = "seamless"  # tiles see their neighbours: the result is that of the whole image
    gaussian = "gaussian"  # P2: tiles see only themselves; two passes, half a tile apart, blended


_SEAMLESS_TILE, _GAUSSIAN_TILE = 512, 240
# Around a tile, the network computes its border as well: of 96 px (P3), it is 0.9 of a tile of 512 px.
_WIDE_BORDER, _TILE_OF_WIDE_BORDER = 64, 1024


@dataclass(frozen=True)
class Inference:
    """Settings of inference. Tile and blocks do not change the result, as long as no cell exceeds `largest_cell_px`.

    There are two exceptions: gaussian tiles, and refinements that take levels from their whole input.

    Attributes:
        tiling: how tiles are joined.
        tile: largest edge of a tile in pixels; None for 512, or 1024 where the network's border is wider than 64 px
            (seamless), or 240 (gaussian, P2).
        transforms: rotations and reflections averaged, 1, 4 or 8.
        block: largest edge in pixels of what is segmented at once; it bounds the memory beyond the image's own.
        largest_cell_px: length of the largest cell in pixels; each block is given this much context on every side.
    """

    tiling: Tiling = Tiling.seamless
    tile: int | None = None
    transforms: int = 1
    block: int = 2048
    largest_cell_px: int = 200

    def tile_px(self, geometry: Geometry) -> int:
        """`tile`, or its default for a network."""
        if self.tile is not None:
            return self.tile
        if self.tiling is Tiling.gaussian:
            return _GAUSSIAN_TILE
        wide = geometry.border > _WIDE_BORDER and self.block >= _TILE_OF_WIDE_BORDER
        return _TILE_OF_WIDE_BORDER if wide else _SEAMLESS_TILE

    @property
    def predict(self) -> Callable[..., np.ndarray]:
        """The function that predicts an image tile by tile."""
        return predict_tiles if self.tiling is Tiling.seamless else predict_blended

    def blocks(self, shape: tuple[int, int], geometry: Geometry) -> list[Block]:
        """Cut an image of a height and width into blocks for a network; see `split_blocks`."""
        margin, multiple = geometry.border, geometry.multiple
        if self.tiling is Tiling.gaussian:  # then a pixel depends on all of the tiles that it is in
            multiple = margin = max(self.tile_px(geometry) // multiple, 1) * multiple
        return split_blocks(shape, block=self.block, halo=self.largest_cell_px, margin=margin, multiple=multiple)
