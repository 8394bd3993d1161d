"""A network to go as a package of the BioImage Model Zoo: `rdf.yaml` (format 0.5) beside an ONNX file."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from cellflax.data.normalize import Intensity, NormalizeConfig, intensity_scale
from cellflax.errors import UserError
from cellflax.networks_to_go.documentation import documentation
from cellflax.networks_to_go.metadata import IMAGE, ONNX, OUTPUTS
from cellflax.networks_to_go.settings import NetworkExport
from cellflax.pictures.cover import network_cover
from cellflax.prediction.trained import TrainedModel
from cellflax.schemas import kind_of

RDF, COVER, DOCUMENTATION = "rdf.yaml", "cover.png", "documentation.md"

_FORMAT = "0.5.3"  # has all that is needed here; programs read older formats than their own
_EPSILON = 1e-9  # of scale_range, which must have one
_UNKNOWN = "unknown"

_VAN_VALEN = (
    "Van Valen et al. 2016, Deep learning automates the quantitative analysis of individual cells in live-cell imaging "
    "experiments, PLoS Comput Biol 12:e1005177",
    "10.1371/journal.pcbi.1005177",
)
_SADANANDAN = (
    "Sadanandan et al. 2017, Automated training of deep convolutional neural networks for cell segmentation, "
    "Sci Rep 7:7860",
    "10.1038/s41598-017-07599-6",
)
_AL_KOFAHI = (
    "Al-Kofahi et al. 2018, A deep learning-based algorithm for 2-D cell segmentation in microscopy images, "
    "BMC Bioinformatics 19:365",
    "10.1186/s12859-018-2375-z",
)
_RONNEBERGER = (
    "Ronneberger et al. 2015, U-Net: convolutional networks for biomedical image segmentation, MICCAI 2015",
    "10.1007/978-3-319-24574-4_28",
)
_CITATIONS = {"patch_net": [_VAN_VALEN], "skip_fcn": [_SADANANDAN], "unet": [_RONNEBERGER, _AL_KOFAHI]}


def applies_scale(config: NormalizeConfig) -> bool:
    """Whether rdf.yaml can state the scale of the intensities, so that it is that of the whole image."""
    return config.intensity is Intensity.percentile


def scale_applied(tiles: np.ndarray, config: NormalizeConfig) -> np.ndarray:
    """What the preprocessing of rdf.yaml makes of (N, C, H, W) raw intensities, each an image of its own."""
    scaled = []
    for image in tiles.transpose(0, 2, 3, 1):
        offset, divisor = intensity_scale(image, config)
        scaled.append(((image - offset) / (divisor + _EPSILON)).transpose(2, 0, 1))
    return np.stack(scaled).astype(np.float32)


def write_package(
    folder: Path,
    model: TrainedModel,
    metadata: dict[str, Any],
    tensors: dict[str, str],
    cover: tuple[np.ndarray, np.ndarray],
    settings: NetworkExport,
) -> str:
    """Complete a folder with the ONNX file and the test tensors to a package, and validate it where the validator is.

    Args:
        folder: the folder.
        model: the network.
        metadata: result of `metadata.network_metadata`, with the measured difference.
        tensors: file of the test tensor of the input and of the output, by name.
        cover: a raw image (C, H, W), and the network's outputs for all of it (K, H, W).
        settings: who made the network, and its licence.

    Returns:
        what the validator says, in one line.

    Raises:
        UserError: if the validator refuses the package, as for a licence that does not exist.
    """
    image, outputs = (planes.transpose(1, 2, 0) for planes in cover)
    shown = np.delete(outputs, len(model.class_names) - 1, axis=-1)  # the background is the last class
    Image.fromarray(network_cover(image, shown)).save(folder / COVER)
    (folder / DOCUMENTATION).write_text(documentation(metadata), encoding="utf-8")
    described = _description(folder, model, metadata, tensors)
    described["authors"] = [{"name": name} for name in settings.authors or [_UNKNOWN]]
    if settings.license is not None:
        described["license"] = settings.license
    text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=120)
    (folder / RDF).write_text(text, encoding="utf-8")
    return validate_package(folder)


def validate_package(folder: Path) -> str:
    """Ask bioimageio.spec about a package.

    Returns:
        one line: the version that finds it valid, or that it is not installed.

    Raises:
        UserError: if it is not valid.
    """
    try:
        from bioimageio import spec
    except ImportError:
        return "rdf.yaml was not validated: that needs bioimageio.spec (pip install 'cellflax[bioimageio]')"
    found = spec.load_description(folder / RDF)
    if isinstance(found, spec.InvalidDescr):
        errors = [error for detail in found.validation_summary.details for error in detail.errors]
        first = f"{'.'.join(map(str, errors[0].loc))}: {errors[0].msg}" if errors else found.validation_summary.status
        raise UserError(f"bioimageio.spec {spec.__version__} refuses rdf.yaml ({first}); nothing is written")
    return f"rdf.yaml: {found.validation_summary.status} by bioimageio.spec {spec.__version__}"


def _description(folder: Path, model: TrainedModel, metadata: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
    """The content of rdf.yaml."""
    px, context = metadata["tiles"]["px"], metadata["tiles"]["context_px"]
    size = metadata["input"]["pixel_size_um"]
    # The validator multiplies and divides by the size, and refuses what is not whole then: 40 bits leave no rest.
    physical = {} if size is None else {"unit": "micrometer", "scale": round(size * 2**40) / 2**40}
    inputs: list[dict[str, Any]] = [{"type": "batch"}, _channels(model.channels)]
    outputs: list[dict[str, Any]] = [{"type": "batch"}, _channels(model.outputs.names)]
    for axis in "yx":
        space = {"type": "space", "id": axis, **physical}
        inputs.append({**space, "size": px})
        outputs.append({**space, "size": {"tensor_id": IMAGE, "axis_id": axis}, "halo": context})
    preprocessing: list[dict[str, Any]] = [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]
    normalize = model.config.normalize
    if applies_scale(normalize):
        kwargs = {
            "axes": ["y", "x"],
            "min_percentile": normalize.low_percentile,
            "max_percentile": normalize.high_percentile,
            "eps": _EPSILON,
        }
        preprocessing.append({"id": "scale_range", "kwargs": kwargs})
    return {
        "format_version": _FORMAT,
        "type": "model",
        "name": _plain(f"cellflax {model.config.name}", r"[^\w ()+-]")[:128],
        "description": _summary(model),
        "cite": [{"text": text, "doi": doi} for text, doi in _CITATIONS[kind_of("model", model.config.model)]],
        "tags": ["cellflax", "microscopy", "segmentation", "cells", "2d"],
        "covers": [COVER],
        "documentation": DOCUMENTATION,
        "inputs": [
            {
                "id": IMAGE,
                "description": "Raw intensities of one tile, channels in this order.",
                "axes": inputs,
                "test_tensor": _file(folder, files[IMAGE]),
                "data": {"type": "float32"},
                "preprocessing": preprocessing,
            }
        ],
        "outputs": [
            {
                "id": OUTPUTS,
                "description": "Probabilities of the classes"
                + (", then distances within cells" if model.outputs.map_names else ""),
                "axes": outputs,
                "test_tensor": _file(folder, files[OUTPUTS]),
                "data": {"type": "float32", "range": [0.0, 1.0]},
            }
        ],
        "weights": {"onnx": {**_file(folder, ONNX), "opset_version": metadata["versions"]["opset"]}},
        "config": {"cellflax": metadata},
    }


def _channels(names: Sequence[str]) -> dict[str, Any]:
    """The axis; names there have letters, digits and underscores, all of them are in `config.cellflax`."""
    plain = [_plain(name, r"\W") for name in names]
    if len(set(plain)) < len(plain) or not all(name.isidentifier() for name in plain):
        plain = [f"c{i}_{name}" for i, name in enumerate(plain)]
    return {"type": "channel", "channel_names": plain}


def _plain(text: str, other: str) -> str:
    return re.sub(other, "_", text, flags=re.ASCII)


def _summary(model: TrainedModel) -> str:
    simulated = "SIMULATED DATA: trained on simulated images. " if model.simulated else ""
    names = ", ".join(model.outputs.names)
    return f"{simulated}Finds {names} in {', '.join(model.channels)} images; a network of cellflax."


def _file(folder: Path, name: str) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
