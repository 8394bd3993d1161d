"""Write a trained network in a format of other programs, if it computes there what it computes here."""

from pathlib import Path

import numpy as np

from cellflax.atomic import new_directory
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.jsonfile import write_json
from cellflax.networks_to_go.metadata import IMAGE, OUTPUTS, describe
from cellflax.networks_to_go.reference import LARGEST_DIFFERENCE, largest_difference, predicted, sample_tiles
from cellflax.networks_to_go.settings import NetworkExport, NetworkFormat
from cellflax.networks_to_go.tile import Scale, tile_for, tile_function
from cellflax.prediction.inputs import warn_of_simulation
from cellflax.prediction.trained import load_model
from cellflax.progress import say
from cellflax.training.weights import read_weights

METADATA, TEST_INPUT, TEST_OUTPUT = "network.json", "test_input.npy", "test_output.npy"
FILES = {NetworkFormat.onnx: "network.onnx", NetworkFormat.stablehlo: "network.stablehlo"}


def export_network(settings: NetworkExport, format: NetworkFormat, output: str) -> None:
    """Write the network, its metadata and a test; print how far it is from `predict`.

    Args:
        settings: which network, and how.
        format: what to write.
        output: the new directory.

    Raises:
        UserError: if the checkpoint or the directory cannot be used, a package is missing, the network computes what
            the format does not have, or its outputs differ from those of `predict`. Nothing is left then.
    """
    if not settings.checkpoint:
        raise UserError("checkpoint is not given; add checkpoint=...")
    _require_packages(format)
    say(set_up_jax())  # in float32, whatever the training had: what is compared must be exact
    model = load_model(settings.checkpoint, settings.step)
    warn_of_simulation(model)
    packaged, normalize = format is NetworkFormat.bioimageio, model.config.normalize
    weights = read_weights(settings.checkpoint, settings.step)
    tile = tile_for(weights, settings.tile, mirrored=not packaged)
    transforms = settings.test_time_augmentation or model.config.test_time_augmentation
    scale = Scale.given
    if packaged:
        from cellflax.networks_to_go.bioimageio import applies_scale, scale_applied

        scale = Scale.applied if applies_scale(normalize) else Scale.tile
    function = tile_function(weights, tile, transforms, scale)
    metadata = {"format": format.name, **describe(model, tile, scale, transforms)}
    channels = len(model.channels)
    raw = sample_tiles(model.channels, tile.px)
    expected = predicted(model, raw, transforms)

    with new_directory(Path(output)) as folder:
        if format is NetworkFormat.stablehlo:
            from cellflax.networks_to_go.stablehlo_file import stablehlo_versions, write_stablehlo

            file = folder / FILES[format]
            run = write_stablehlo(file, function, channels, tile.px)
            metadata["versions"] = stablehlo_versions(file)
        else:
            from cellflax.networks_to_go.onnx_file import OPSET, onnx_versions, write_onnx

            metadata["versions"] = {"opset": OPSET, **onnx_versions()}
            file, given = folder / FILES[NetworkFormat.onnx], scale is Scale.given
            run = write_onnx(file, function, channels, tile.px, given=given, metadata=metadata)
        outputs = run(scale_applied(raw, normalize) if scale is Scale.applied else raw)
        difference = largest_difference(outputs, expected, tile)
        metadata["difference"] = {
            "from": "cellflax predict",
            "largest": difference,
            "allowed": LARGEST_DIFFERENCE,
            "on": f"{len(raw)} simulated tiles of {tile.px} x {tile.px} pixels",
        }
        np.save(folder / TEST_INPUT, raw[:1])
        np.save(folder / TEST_OUTPUT, outputs[:1])
        write_json(folder / METADATA, metadata)
        said = None
        if packaged:
            from cellflax.networks_to_go.bioimageio import write_package

            said = write_package(
                folder,
                model,
                metadata,
                {IMAGE: TEST_INPUT, OUTPUTS: TEST_OUTPUT},
                (raw[0], expected[0]),
                opset=metadata["versions"]["opset"],
                authors=settings.authors,
                license=settings.license,
            )
    say(f"difference from predict: {difference:.1e} at most, on {metadata['difference']['on']}")
    say(metadata["normalize"]["exact"])
    if said is not None:
        say(said)
    say(f"results: {output}")


def _require_packages(format: NetworkFormat) -> None:
    if format is NetworkFormat.stablehlo:
        return
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"format={format.name} needs the packages onnx and onnxruntime; install them with: "
            "pip install 'cellflax[onnx]'"
        ) from error
