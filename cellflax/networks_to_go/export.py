"""Write a trained network in a format of other programs, if it computes there what it computes here."""

from pathlib import Path
from typing import Any

import numpy as np

from cellflax.atomic import new_directory
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.jsonfile import write_json
from cellflax.networks_to_go.metadata import IMAGE, OUTPUTS, network_metadata
from cellflax.networks_to_go.package import applies_scale, scale_applied, write_package
from cellflax.networks_to_go.reference import LARGEST_DIFFERENCE, Runner, largest_difference, predicted, sample_tiles
from cellflax.networks_to_go.settings import NetworkExport, NetworkFormat
from cellflax.networks_to_go.tile import Scale, tile_for, tile_function
from cellflax.prediction.inputs import warn_of_simulation
from cellflax.prediction.trained import load_model
from cellflax.progress import say
from cellflax.training.config import Precision
from cellflax.training.weights import read_weights

METADATA, TEST_INPUT, TEST_OUTPUT = "network.json", "test_input.npy", "test_output.npy"


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
    with new_directory(Path(output)) as folder:
        lines = _export(settings, settings.checkpoint, format, folder)
    for line in (*lines, f"results: {output}"):
        say(line)


def _export(settings: NetworkExport, checkpoint: str, format: NetworkFormat, folder: Path) -> list[str]:
    """Fill the folder.

    Returns:
        what to say of it.
    """
    model = load_model(checkpoint, settings.step, Precision.float32)
    warn_of_simulation(model)
    weights = read_weights(checkpoint, settings.step)
    normalize, packaged = model.config.normalize, format is NetworkFormat.bioimageio
    scale = Scale.given
    if packaged:  # most programs that read packages know networks of one input
        scale = Scale.applied if applies_scale(normalize) else Scale.tile
    tile = tile_for(weights, settings.tile, mirrored=not packaged)
    transforms = settings.test_time_augmentation or model.config.test_time_augmentation
    function = tile_function(weights, tile, transforms, scale)
    metadata = {"format": format.name, **network_metadata(model, tile, scale, transforms)}
    run = _write(folder, function, format, metadata, given=scale is Scale.given)

    raw = sample_tiles(model.channels, tile.px)
    outputs = run(scale_applied(raw, normalize) if scale is Scale.applied else raw)
    expected = predicted(model, raw, transforms)
    difference = largest_difference(outputs, expected, tile)
    on = f"{len(raw)} simulated tiles of {tile.px} x {tile.px} pixels"
    metadata["difference"] = {"from": "predict", "largest": difference, "allowed": LARGEST_DIFFERENCE, "on": on}
    np.save(folder / TEST_INPUT, raw[:1])
    np.save(folder / TEST_OUTPUT, outputs[:1])
    write_json(folder / METADATA, metadata)
    lines = [f"difference from predict: {difference:.1e} at most, on {on}", metadata["normalize"]["exact"]]
    if packaged:
        files = {IMAGE: TEST_INPUT, OUTPUTS: TEST_OUTPUT}
        lines.append(write_package(folder, model, metadata, files, (raw[0], expected[0]), settings))
    return lines


def _write(folder: Path, function: Any, format: NetworkFormat, metadata: dict[str, Any], *, given: bool) -> Runner:
    """Write the file of the network, and add to the metadata what it was made with."""
    channels, px = len(metadata["input"]["channels"]), metadata["tiles"]["px"]
    if format is NetworkFormat.stablehlo:
        from cellflax.networks_to_go.stablehlo_file import STABLEHLO, write_stablehlo

        run, metadata["versions"] = write_stablehlo(folder / STABLEHLO, function, channels, px)
        return run
    from cellflax.networks_to_go.onnx_file import ONNX, onnx_versions, write_onnx

    metadata["versions"] = onnx_versions()
    return write_onnx(folder / ONNX, function, channels, px, given=given, metadata=metadata)


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
