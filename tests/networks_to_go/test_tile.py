"""The function of a tile against `predict`, which normalises, mirrors and cuts in NumPy."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from cellflax.data.normalize import Intensity, NormalizeConfig, intensity_scale
from cellflax.errors import UserError
from cellflax.inference.settings import Inference
from cellflax.io.images import Image
from cellflax.models import Geometry
from cellflax.models.patch_net import PatchNetConfig, Stage
from cellflax.models.skip_fcn import SkipFcnConfig
from cellflax.models.unet import UNetConfig, UpLevel
from cellflax.networks_to_go.intensities import tile_scale
from cellflax.networks_to_go.reference import sample_tiles
from cellflax.networks_to_go.tile import Scale, tile_for, tile_function
from cellflax.prediction.segment import segment
from cellflax.prediction.trained import load_model
from cellflax.refine.threshold import ThresholdConfig
from cellflax.targets.distances import ClassesDistancesTarget
from cellflax.training.weights import read_weights
from tests.random_checkpoints import random_checkpoint

PATCH = PatchNetConfig(stages=[Stage([4], [6]), Stage([3], [6])], dense=[8])
MULTI = replace(PATCH, stages=[Stage([4], [4]), Stage([3, 3], [4, 4]), Stage([3, 3], [4, 4])], side_filters=[4])
SKIP = SkipFcnConfig(filters=[4, 6], residual_blocks=[0, 1], context_px=4)
UNET = UNetConfig(down=[[4]], bottom=[6], up=[UpLevel(4, [4])], context_px=4)


def segmented(path, image: np.ndarray, transforms: int = 1) -> np.ndarray:
    """The outputs of `predict` for (C, H, W) raw intensities, from the function that the command calls."""
    model = load_model(path)
    parts = np.empty((*image.shape[1:], len(model.outputs.names)), np.float32)

    def keep(window, outputs, uncertainty):
        parts[window] = outputs

    pixels = Image(image.transpose(1, 2, 0), model.channels, 0.65, path)
    segment(model, pixels, None, ThresholdConfig(), Inference(transforms=transforms), keep)
    return parts.transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("model", "settings", "transforms"),
    [
        (PATCH, {"normalize": NormalizeConfig()}, 8),
        (MULTI, {"normalize": NormalizeConfig(Intensity.range, subtract_local_mean=False)}, 1),
        (SKIP, {"normalize": NormalizeConfig(Intensity.percentile, window_px=9), "members": 2}, 1),
        (UNET, {"normalize": NormalizeConfig(Intensity.maximum), "target": ClassesDistancesTarget()}, 1),
    ],
    ids=["patch_net", "large kernels", "skip_fcn", "unet"],
)
def test_the_outputs_of_a_tile_are_those_of_predict(model, settings, transforms, tmp_path):
    path = random_checkpoint(tmp_path / "run", model, **settings)
    weights, tiles = read_weights(path), sample_tiles(("phase", "nuclear"), 64)
    expected = np.stack([segmented(path, tile, transforms) for tile in tiles])
    assert expected.std() > 0.02
    unknown = np.full(2, np.nan, np.float32)
    for mirrored in (True, False):
        tile = tile_for(weights, 64, mirrored)
        got = jax.jit(tile_function(weights, tile, transforms, Scale.given))(tiles, unknown, unknown)
        edge = 0 if mirrored else tile.context_px
        inner = np.s_[..., edge : 64 - edge, edge : 64 - edge]
        np.testing.assert_allclose(np.asarray(got)[inner], expected[inner], rtol=0, atol=2e-5)
        if not mirrored:
            assert np.count_nonzero(got) <= np.prod(got[inner].shape)


def test_tiles_of_a_larger_image_join(tmp_path):
    """With the scale of the image, tiles that overlap as the metadata say give what `predict` gives for all of it."""
    path = random_checkpoint(tmp_path / "run", SKIP, normalize=NormalizeConfig(window_px=9))
    weights, px = read_weights(path), 64
    image = sample_tiles(("phase", "nuclear"), 192)[0]
    expected = segmented(path, image)
    scale = intensity_scale(image.transpose(1, 2, 0), weights.config.normalize)
    tile = tile_for(weights, px, mirrored=True)
    function = jax.jit(tile_function(weights, tile, 1, Scale.given))
    got, context = np.full_like(expected, np.nan), tile.context_px
    starts = [*range(0, 192 - px, px - 2 * context), 192 - px]
    assert len(starts) > 3
    for y in starts:
        for x in starts:
            window = image[None, :, y : y + px, x : x + px]
            part = np.asarray(function(window, *(value.astype(np.float32) for value in scale)))[0]
            top, left = (context if at else 0 for at in (y, x))
            low, right = (px - context if at + px < 192 else px for at in (y, x))
            got[:, y + top : y + low, x + left : x + right] = part[:, top:low, left:right]
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)
    of_the_tile = np.asarray(function(image[None, :, :px, :px], *np.full((2, 2), np.nan, np.float32)))[0]
    assert np.abs(of_the_tile - expected[:, :px, :px])[:, :-context, :-context].max() > 1e-3


@pytest.mark.parametrize("intensity", list(Intensity))
def test_the_scale_of_a_tile(intensity):
    config = NormalizeConfig(intensity, low_percentile=3.3, high_percentile=91)
    rng = np.random.default_rng(0)
    few_bright_pixels = np.full((3, 8, 9), 5) + 70 * (np.arange(72) == 7).reshape(8, 9)
    for image in (rng.integers(90, 40000, (3, 8, 7)), few_bright_pixels):
        expected = intensity_scale(image.transpose(1, 2, 0), config)
        got = tile_scale(image[None].astype(np.float32), config)
        np.testing.assert_allclose(np.concatenate(got), np.stack(expected), rtol=1e-6)


def test_an_image_that_cannot_be_divided_has_no_outputs(tmp_path):
    weights = read_weights(random_checkpoint(tmp_path / "run", PATCH, normalize=NormalizeConfig()))
    tiles = sample_tiles(("phase", "nuclear"), 64)
    tiles[1, 1] = 0
    got = np.asarray(jax.jit(tile_function(weights, tile_for(weights, 64, True), 1, Scale.tile))(tiles))
    assert np.isfinite(got[0]).all()
    assert np.isnan(got[1]).all()


def test_a_tile_that_does_not_suit_the_network_is_refused_with_one_that_does(tmp_path):
    weights = read_weights(random_checkpoint(tmp_path / "run", UNET, normalize=NormalizeConfig(window_px=215)))
    wide = replace(weights, geometry=Geometry(receptive_field=215, border=112, multiple=16))  # of model=unet
    with pytest.raises(UserError, match=r"tile=100: this network needs a multiple of 16; take tile=112"):
        tile_for(wide, 100, mirrored=True)
    with pytest.raises(UserError, match=r"larger than its context of 224 pixels on each side; take tile=464"):
        tile_for(wide, 128, mirrored=False)
    assert tile_for(wide, 464, mirrored=False).px == 464
    assert tile_for(wide, 112, mirrored=True).px == 112
    assert [tile_for(each, None, mirrored=False).px for each in (wide, weights)] == [704, 512]
