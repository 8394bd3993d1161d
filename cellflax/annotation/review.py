"""What a person reviews of annotated sites: a picture of each, and `review.csv` to decide in."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd

from cellflax.io import results
from cellflax.labeling.quality import SiteQuality
from cellflax.labeling.result import CELL, NUCLEAR, Labels
from cellflax.pictures.overlay import Panel, outline_overlay

_GAP_PX = 8


def review_table(
    names: Sequence[str], qualities: Sequence[SiteQuality], flags: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """One row per site: what was measured, what is wrong, and whether to accept it (a suggestion)."""
    return pd.DataFrame(
        [
            {"site": name, **asdict(quality), "flags": ", ".join(found), "accept": "no" if found else "yes"}
            for name, quality, found in zip(names, qualities, flags, strict=True)
        ]
    )


def review_line(table: pd.DataFrame) -> str:
    """Say in one line what a review table holds."""
    return f"{len(table)} sites, {table['cells'].sum()} cells, {(table['flags'] != '').sum()} sites flagged"


def site_panels(labels: Labels, images: Mapping[str, np.ndarray]) -> list[Panel]:
    """Every stain and image of a site, to be drawn side by side.

    Args:
        labels: the annotation.
        images: (H, W) pictures to show after the stains, by name.
    """
    whole_cells = CELL in labels.projections
    backgrounds = [labels.projections[stain] for stain in (NUCLEAR, CELL) if stain in labels.projections]
    # The first outline of a panel is drawn last: nuclei over cells.
    return [
        Panel("", labels.cells, labels.nuclei if whole_cells else None, image)
        for image in [*backgrounds, *images.values()]
    ]


def write_picture(folder: Path, name: str, panels: Sequence[Panel]) -> None:
    """Write `review/<name>.png`: the panels of a site side by side, with outlines.

    Args:
        folder: folder of the annotation.
        name: name of the site.
        panels: as `site_panels`.
    """
    drawn = [outline_overlay(panel) for panel in panels]
    gap = np.ones((drawn[0].shape[0], _GAP_PX, 3), np.float32)
    row = np.concatenate([part for panel in drawn for part in (panel, gap)][:-1], axis=1)
    (folder / results.REVIEW_PICTURES).mkdir(exist_ok=True)
    picture = folder / results.REVIEW_PICTURES / f"{results.safe_name(name, 'site')}.png"
    picture.write_bytes(imagecodecs.png_encode((255 * row).astype(np.uint8)))
