"""What a prediction is about to do: its images, the files it may write, and what its results depend on."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import cellflax
from cellflax.config import to_json
from cellflax.exporting.formats import expected_exports
from cellflax.io import results
from cellflax.io.images import find_images, list_files
from cellflax.io.pairs import partners
from cellflax.io.result_set import without_results
from cellflax.prediction.batch import Source
from cellflax.prediction.files import expected_files
from cellflax.prediction.inputs import channel_parts
from cellflax.prediction.networks import Networks


def all_sources(config: Any, networks: Networks) -> dict[str, Source]:
    """All images of the input by name, in the order of their paths.

    Args:
        config: options of `cellflax.predict`.
        networks: what will segment them.

    Raises:
        UserError: if there are none, or files do not go together.
    """
    model = networks.model
    files = list_files(config.input)
    if len(files) > 1 or not Path(config.input).expanduser().is_file():
        files = without_results(f"input={config.input}", files)  # of an earlier run beside the images
    images = find_images(files, channel_parts(config.channels, model.channels), config.reading(model.focal_planes))
    nuclei = partners("nuclei", config.nuclei, {image.name: image.paths[0] for image in images}, config.pair)
    return {image.name: Source(image, nuclei.get(image.name)) for image in images}


def all_files(config: Any, networks: Networks, images: Collection[str], *, exports: bool) -> list[str]:
    """Files that a prediction may write.

    Args:
        config: options of `cellflax.predict`.
        networks: what segments the images.
        images: their names.
        exports: whether it writes those in further formats.
    """
    found = expected_files(images, maps=config.save_probability, uncertainty=networks.has_uncertainty)
    if exports:
        tables = [Path(results.CELLS).stem]
        found += expected_exports(config.export, config.ome_zarr_version, images=images, tables=tables)
    return found


def run_of(config: Any, networks: Networks) -> dict[str, Any]:
    """What the result of an image depends on besides its files, as JSON.

    Where files are does not count: images are known by size and time, networks by their weights.

    Args:
        config: options of `cellflax.predict`.
        networks: what segments the images.
    """
    places = {"checkpoint", "step", "nuclei_checkpoint", "input", "output", "overwrite", "resume", "shard", "shards"}
    places |= {"export", "ome_zarr_version"}  # made at the end, of all images
    settings = {key: value for key, value in to_json(config).items() if key not in places}
    settings["nuclei"] = None if config.nuclei is None else "given"
    return {"cellflax": cellflax.__version__, **networks.identity(), "settings": settings}
