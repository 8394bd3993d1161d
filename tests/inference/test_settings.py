"""How large the tiles are that a network sees at once."""

import pytest

from cellflax.inference.settings import Inference, Tiling
from cellflax.models import Geometry


@pytest.mark.parametrize(
    ("border", "options", "tile"),
    [
        (30, {}, 512),
        (64, {}, 512),
        (96, {}, 1024),  # P3: else the border is nearly all of the work
        (96, {"block": 1000}, 512),  # a tile is no larger than a block
        (96, {"tile": 128}, 128),
        (96, {"tiling": Tiling.gaussian}, 240),
        (30, {"tiling": Tiling.gaussian, "tile": 96}, 96),
    ],
)
def test_tile(border, options, tile):
    assert Inference(**options).tile_px(Geometry(receptive_field=2 * border + 1, border=border)) == tile
