"""What `cellflax.annotate` writes for every site."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.data.example import SIMULATED_NOTE
from cellflax.io import results
from cellflax.io.images import write_image, write_labels
from cellflax.io.site_images import SiteImages
from cellflax.labeling.result import Labels
from cellflax.wholefile import read_utf8

_MOST_NOTE_BYTES = 1 << 16


def write_site(
    folder: Path, name: str, site: SiteImages, images: Sequence[str], labels: Labels, save_illumination: bool
) -> list[dict[str, Any]]:
    """Write images, labels and nuclei of a site, and the fitted backgrounds if requested.

    Args:
        folder: target folder.
        name: name of the site.
        site: its pixels.
        images: channels to copy unchanged: a network must learn from images like those that it is used on.
        labels: the annotation.
        save_illumination: whether to write the backgrounds.

    Returns:
        A record of every image file: file, channel, plane and focus position (null if unknown).
    """
    records = []
    name = results.safe_name(name, "site")
    parts = results.safe_names((channel for channel in images if channel), "channel") | {"": ""}
    for channel in images:
        content = site.channels[channel]
        positions = content.z_um or (None,) * len(content.planes)
        for pixels, plane, z_um in zip(content.pixels, content.planes, positions, strict=True):
            part_of_plane = plane and results.safe_name(plane, "plane")
            file = "_".join(part for part in (name, parts[channel], part_of_plane) if part) + ".tif"
            write_image(folder / results.IMAGE_FOLDER / file, pixels, site.pixel_size_um, z_um)
            records.append({"file": file, "channel": channel, "plane": plane or None, "z_um": z_um})
    write_labels(folder / results.LABEL_FOLDER / f"{name}.tif", labels.cells, site.pixel_size_um)
    write_labels(folder / results.NUCLEUS_FOLDER / f"{name}.tif", labels.nuclei, site.pixel_size_um)
    if save_illumination:
        for stain, backgrounds in labels.backgrounds.items():
            _write_backgrounds(
                folder / results.ILLUMINATION,
                f"{name}_{results.safe_name(stain, 'stain')}",
                backgrounds,
                site.pixel_size_um,
            )
    return records


def _write_backgrounds(folder: Path, name: str, backgrounds: np.ndarray, pixel_size_um: float | None) -> None:
    for plane, background in enumerate(backgrounds):
        suffix = f"_z{plane}" if len(backgrounds) > 1 else ""
        write_image(folder / f"{name}{suffix}.tif", background, pixel_size_um)


def simulation_note(folders: Iterable[Path]) -> str | None:
    """Text of the note in folders of simulated images, the first of several; None if there is none."""
    for folder in sorted(folders):
        if (folder / SIMULATED_NOTE).is_file():
            return read_utf8(folder / SIMULATED_NOTE, "write it again as text", _MOST_NOTE_BYTES)
    return None


def write_simulation_note(folder: Path, note: str) -> None:
    """Copy a note about simulated images into the folders of training data made from them."""
    for name in results.TRAINING_FOLDERS:
        (folder / name / SIMULATED_NOTE).write_text(note, encoding="utf-8")
