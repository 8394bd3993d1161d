"""What prediction writes beside the labels: maps, the table of cells, panels of the overlay, where it came from."""

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cellflax
from cellflax.config import to_json
from cellflax.data.images import Image
from cellflax.data.tiff_maps import MapFile
from cellflax.report import Panel
from cellflax.trained import TrainedModel

_PANEL_PX = 1600  # what report.outline_overlay shows of an image at most


def open_maps(
    stack: ExitStack, output: Path, name: str, image: Image, class_names: tuple[str, ...], *, uncertainty: bool
) -> Callable[[tuple[slice, slice], np.ndarray, np.ndarray | None], None]:
    """Open the files of an image's maps, which are complete when `stack` closes.

    Args:
        stack: closes the files.
        output: directory.
        name: of the image.
        image: (H, W, C), of which the maps are.
        class_names: of the probabilities.
        uncertainty: whether there will be any.

    Returns:
        What writes a window of them, as `segment.segment` calls it.
    """
    height, width = image.pixels.shape[:2]

    def opened(kind: str, names: tuple[str, ...]) -> MapFile:
        path = output / f"{name}_{kind}.tif"
        return stack.enter_context(MapFile(path, (height, width), names, image.pixel_size_um))

    probabilities = opened("probability", class_names)
    uncertainties = opened("uncertainty", ("uncertainty",)) if uncertainty else None

    def write(window: tuple[slice, slice], probability: np.ndarray, disagreement: np.ndarray | None) -> None:
        probabilities.write(window, probability)
        if uncertainties is not None and disagreement is not None:
            uncertainties.write(window, disagreement[..., None])

    return write


def panel(name: str, labels: np.ndarray, plane: np.ndarray) -> Panel:
    """One picture of the overlay, thinned out as far as the overlay will show it, so that no image is kept for it."""
    step = math.ceil(max(labels.shape) / _PANEL_PX)
    return Panel(name, labels[::step, ::step].copy(), image=plane[::step, ::step].copy())


def write_table(path: Path, tables: list[pd.DataFrame]) -> None:
    """Write the cells of all images, the image's name first; a reader never meets half a file."""
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "image", table.pop("image"))
    temporary = path.with_name(path.name + ".tmp")
    table.to_csv(temporary, index=False)
    os.replace(temporary, path)


def provenance(
    model: TrainedModel, nuclei_model: TrainedModel | None, config: Any, done: list[str], complete: bool
) -> dict[str, Any]:
    """What the results come from, as JSON.

    Args:
        model: that segmented the cells.
        nuclei_model: that segmented the nuclei, if there was one.
        config: of the command.
        done: names of the images.
        complete: whether those are all.
    """
    return {
        "cellflax": cellflax.__version__,
        "simulated": model.simulated or (nuclei_model is not None and nuclei_model.simulated),
        "complete": complete,
        "images": done,
        "settings": to_json(config),
        "checkpoint": _origin(model),
        "nuclei_checkpoint": None if nuclei_model is None else _origin(nuclei_model),
    }


def _origin(model: TrainedModel) -> dict[str, Any]:
    return {
        "path": str(model.path),
        "step": model.step,
        "networks": model.members,
        "data": model.record["data"],
    }
