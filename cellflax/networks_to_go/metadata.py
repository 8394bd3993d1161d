"""What a network to go says about itself, as JSON beside it and inside it."""

from typing import Any

import jax

import cellflax
from cellflax.data.normalize import Intensity, box_px
from cellflax.losses import activation_of
from cellflax.networks_to_go.tile import Scale, Tile
from cellflax.prediction.trained import TrainedModel
from cellflax.schemas import kind_of, to_json
from cellflax.training.starting import learned_from_simulation, weights_checksum

ONNX = "network.onnx"  # file of the network, also in a package

# Names of the inputs and of the output, the same in every format.
IMAGE, OFFSET, DIVISOR, OUTPUTS = "image", "offset", "divisor", "outputs"

_SCALE = {
    Intensity.percentile: (
        "offset = the {config.low_percentile:g}th percentile, divisor = the {config.high_percentile:g}th minus that"
    ),
    Intensity.median: "offset = 0, divisor = the median",
    Intensity.maximum: "offset = 0, divisor = the maximum",
    Intensity.range: "offset = the median, divisor = the maximum minus the minimum",
    Intensity.none: "offset = 0, divisor = 1",
}
_EXACT = {
    Scale.given: (
        "Offset and divisor are inputs, one number for each channel. Give those of the whole image: then every tile "
        "of it has the outputs of cellflax predict. NaN, the default, stands for those of the tile: exact if the tile "
        "is the whole image, else each tile has a scale of its own."
    ),
    Scale.tile: (
        "Offset and divisor are those of the tile: exact if the tile is the whole image. In larger images, cellflax "
        "predict takes them from the whole image, and each tile here has a scale of its own."
    ),
    Scale.applied: (
        "Offset and divisor are applied before the network, by the preprocessing that rdf.yaml states (scale_range): "
        "exact for tiles of any image, if the program takes the percentiles of the whole image."
    ),
}
_NO_SCALE = "Intensities have no scale of their own: exact for tiles of any image."


def network_metadata(model: TrainedModel, tile: Tile, scale: Scale, transforms: int) -> dict[str, Any]:
    """The metadata of a network to go, without what its format adds.

    Args:
        model: the network.
        tile: what it takes and returns.
        scale: where the intensities' scale comes from.
        transforms: rotations and reflections averaged.
    """
    config, record = model.config, model.record
    size = config.scale.pixel_size_after(record["data"].get("pixel_size_um"))
    return {
        "cellflax": cellflax.__version__,
        "jax": jax.__version__,
        "checkpoint": {
            "name": config.name,
            "step": model.step,
            "weights": weights_checksum(record) if "crc32" in record else None,
            "data": record["data"]["source"],
            "simulated": model.simulated,
            "started_from_simulated": learned_from_simulation(model.started_from),
        },
        "input": {
            "name": IMAGE,
            "axes": "NCHW",
            "type": "float32",
            "channels": list(model.channels),
            "height": tile.px,
            "width": tile.px,
            "intensities": "raw camera counts"
            if scale is not Scale.applied
            else "scaled by the preprocessing in rdf.yaml",
            "pixel_size_um": size,
        },
        "before": {  # what `predict` does before it cuts tiles; it is not in the graph
            "scale": to_json(config.scale),
            "does_nothing": config.scale.changes_nothing,
        },
        "output": {
            "name": OUTPUTS,
            "axes": "NCHW",
            "type": "float32",
            "names": list(model.outputs.names),
            "class_names": list(model.class_names),
            "map_names": list(model.outputs.map_names),
            "class_activation": activation_of(config.loss).name,
            "map_activation": "sigmoid" if model.outputs.map_names else None,
        },
        "tiles": {
            "px": tile.px,
            "context_px": tile.context_px,
            "multiple": model.geometry.multiple,
            "receptive_field_px": model.geometry.receptive_field,
            "edges": _edges(tile),
        },
        "normalize": {
            **to_json(config.normalize),
            "box_px": box_px(config.normalize, model.geometry.receptive_field),
            "scale": _SCALE[config.normalize.intensity or Intensity.none].format(config=config.normalize),
            "exact": _NO_SCALE if config.normalize.intensity is Intensity.none else _EXACT[scale],
        },
        "members": model.members,
        "test_time_augmentation": transforms,
        "refine": {"kind": kind_of("refine", config.refine), **to_json(config.refine)},
    }


def _edges(tile: Tile) -> str:
    context = tile.context_px
    if tile.mirrored:
        return (
            "mirrored within the network, so that outputs are right up to the edge of an image; tiles of a larger "
            f"image overlap by {2 * context} pixels, and {context} pixels along every edge inside the image are left "
            "out"
        )
    return (
        f"context: {context} pixels along every edge are seen, and their outputs are 0; tiles overlap by {2 * context} "
        f"pixels, and the image is mirrored by {context} pixels first"
    )
