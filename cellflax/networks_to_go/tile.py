"""What a network to go computes: the outputs of a tile from its raw intensities, as one function of JAX."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from cellflax.data.normalize import box_px
from cellflax.errors import UserError
from cellflax.losses import output_activation
from cellflax.networks_to_go.intensities import tile_scale
from cellflax.training.weights import TrainedWeights

_USUAL_TILE, _LEAST_CORE, _STEP = 512, 256, 64


class Scale(Enum):
    """Where the offset and divisor of the intensities come from; in `predict`, they are those of the whole image."""

    given = "given"  # inputs of the function; NaN stands for those of the tile
    tile = "tile"
    applied = "applied"  # the intensities have been divided already


@dataclass(frozen=True)
class Tile:
    """The square that a network to go takes, and what it returns of it.

    Attributes:
        px: edge in pixels.
        context_px: pixels on each side that the network sees but cannot judge unless the image ends there: inside of
            them, outputs of a tile are those of the whole image. A multiple of the pixels that share one at the
            network's bottom, so that tiles that overlap by 2 `context_px` fall on the same poolings.
        mirrored: whether the function mirrors the tile at its edges, as `predict` does with an image, so that the
            outputs of a whole image are right up to its edge. If not, `context_px` pixels on each side are 0.
    """

    px: int
    context_px: int
    mirrored: bool


def tile_for(weights: TrainedWeights, px: int | None, mirrored: bool) -> Tile:
    """The tile that suits a network.

    Args:
        weights: the network.
        px: its edge, None for the usual one.
        mirrored: as in `Tile`.

    Raises:
        UserError: if the edge does not suit the network; it names one that does.
    """
    geometry, box = weights.geometry, _box(weights)
    multiple = geometry.multiple
    context = -(-(geometry.border + (box or 0) // 2) // multiple) * multiple
    if px is None:
        step = int(np.lcm(_STEP, multiple))
        px = -(-max(_USUAL_TILE, 2 * context + _LEAST_CORE) // step) * step
    least = multiple if mirrored else 2 * context + multiple
    if px % multiple or px < least:
        suitable = max(-(-px // multiple) * multiple, -(-max(least, 64) // multiple) * multiple)
        raise UserError(
            f"tile={px}: this network needs a multiple of {multiple}"
            f"{'' if mirrored else f' that is larger than its context of {context} pixels on each side'}; "
            f"take tile={suitable}"
        )
    return Tile(px, context, mirrored)


def tile_function(weights: TrainedWeights, tile: Tile, transforms: int, scale: Scale) -> Callable[..., jax.Array]:
    """The function of a tile: raw intensities (N, C, H, W) to outputs (N, K, H, W), float32.

    With `Scale.given` it takes an offset and a divisor, (C,) each, as further arguments. The outputs of an image of
    which a channel cannot be divided (its median or range is 0) are NaN.

    Args:
        weights: an ensemble, whose outputs are averaged.
        tile: height and width, and what is done at its edges.
        transforms: rotations and reflections averaged, 1, 4 or 8.
        scale: where the intensities' scale comes from.
    """
    config, geometry, box = weights.config, weights.geometry, _box(weights)
    activation = output_activation(config.loss, weights.outputs)
    members = [
        nnx.merge(weights.graph, *jax.tree.map(lambda leaf, i=i: leaf[i], (weights.params, weights.stats)))
        for i in range(config.trainer.ensemble)
    ]

    def network(x: jax.Array) -> jax.Array:
        """Normalised (N, h + 2 border, w + 2 border, C) to (N, h, w, K)."""
        predicted = [activation(member(x)) for member in members]
        return sum(predicted[1:], predicted[0]) / len(members)

    def outputs(x: jax.Array) -> jax.Array:
        """Normalised (N, H, W, C) of the tile to (N, H, W, K), averaged over the transforms."""
        border, context = geometry.border, tile.context_px
        if tile.mirrored:
            edges = [(0, 0), (border, border), (border, border), (0, 0)]
            x = jnp.pad(x, edges, mode="reflect")
        else:
            x = _inner(x, context - border)
        turned = [_turn(x, k) for k in range(transforms)]
        each = [_turn_back(network(part), k) for k, part in enumerate(turned)]
        mean = sum(each[1:], each[0]) / transforms
        edges = [(0, 0), (context, context), (context, context), (0, 0)]
        return mean if tile.mirrored else jnp.pad(mean, edges)

    def function(image: jax.Array, *given: jax.Array) -> jax.Array:
        x, usable = image, None
        if scale is not Scale.applied:
            offset, divisor = tile_scale(image, config.normalize)
            if scale is Scale.given:
                offset, divisor = (
                    jnp.where(jnp.isnan(value)[None], computed, value[None])
                    for value, computed in zip(given, (offset, divisor), strict=True)
                )
            channels = jnp.sum(jnp.where(divisor > 0, 1.0, 0.0), axis=1)
            usable = (channels == image.shape[1])[:, None, None, None]
            x = (image - offset[:, :, None, None]) / divisor[:, :, None, None]
        x = x.transpose(0, 2, 3, 1)
        if box is not None:
            x = x - _box_mean(x, box)
        y = outputs(x)
        if usable is not None:
            y = jnp.where(usable, y, jnp.nan)
        return y.transpose(0, 3, 1, 2)

    return function


def _box(weights: TrainedWeights) -> int | None:
    return box_px(weights.config.normalize, weights.geometry.receptive_field)


def _box_mean(x: jax.Array, box: int) -> jax.Array:
    """Mean over a square around each pixel, first along columns, then along rows; the image is mirrored."""
    reach = box // 2
    x = jnp.pad(x, [(0, 0), (reach, reach), (reach, reach), (0, 0)], mode="symmetric")
    for window in ((1, box, 1, 1), (1, 1, box, 1)):
        x = lax.reduce_window(x, 0.0, lax.add, window, (1, 1, 1, 1), "VALID") / box
    return x


def _inner(x: jax.Array, margin: int) -> jax.Array:
    for axis in (1, 2):
        x = lax.slice_in_dim(x, margin, x.shape[axis] - margin, axis=axis)
    return x


def _turn(x: jax.Array, k: int) -> jax.Array:
    """The k-th quarter turn of (N, H, W, C), reflected from the fourth on, as `inference.dense.predict_transforms`."""
    x = jnp.rot90(x, k % 4, axes=(1, 2))
    return lax.rev(x, (2,)) if k >= 4 else x


def _turn_back(x: jax.Array, k: int) -> jax.Array:
    x = lax.rev(x, (2,)) if k >= 4 else x
    return jnp.rot90(x, -(k % 4), axes=(1, 2))
