"""A review sheet of annotated sites: pictures, `review.html` to look at and `review.csv` to decide in."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

import imagecodecs
import numpy as np
import pandas as pd

from cellflax.io import results
from cellflax.io.tables import write_table
from cellflax.labeling.quality import SiteQuality
from cellflax.labeling.result import CELL, NUCLEAR, Labels
from cellflax.pictures.overlay import Panel, outline_overlay
from cellflax.pictures.palette import PREDICTED_COLOUR, REFERENCE_COLOUR

_GAP_PX = 8

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Review: {title}</title>
<style>
body {{ font-family: sans-serif; margin: 2em; }}
section {{ border-top: 1px solid #999; padding: 1em 0; }}
img {{ max-width: 100%; }}
.flags {{ color: #b00; font-weight: bold; }}
td, th {{ padding: 0.1em 0.8em; text-align: right; }}
td:first-child, th:first-child, td:last-child, th:last-child {{ text-align: left; }}
</style>
</head>
<body>
<h1>{title}</h1>
{banner}<p>{summary} Outlines of <span style="color:{cell_colour}">cells</span> and
<span style="color:{nucleus_colour}">nuclei</span>. Set <code>accept</code> to yes or no in
<code>{table_file}</code>, then copy the accepted sites:
<code>python -m cellflax.annotate review={table_file} output=ACCEPTED</code></p>
{failed}{table}
{sections}
</body>
</html>
"""


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


def write_picture(folder: Path, name: str, labels: Labels, images: Mapping[str, np.ndarray]) -> None:
    """Write `review/<name>.png`: every stain and image of a site side by side, with outlines.

    Args:
        folder: folder of the annotation.
        name: name of the site.
        labels: the annotation.
        images: (H, W) pictures to show after the stains, by name.
    """
    whole_cells = CELL in labels.projections
    backgrounds = [labels.projections[stain] for stain in (NUCLEAR, CELL) if stain in labels.projections]
    panels = []
    for image in [*backgrounds, *images.values()]:
        # The first outline of a panel is drawn last: nuclei over cells.
        panel = Panel("", labels.cells, labels.nuclei if whole_cells else None, image)
        panels.append(outline_overlay(panel))
    gap = np.ones((panels[0].shape[0], _GAP_PX, 3), np.float32)
    row = np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)
    (folder / results.REVIEW_PICTURES).mkdir(exist_ok=True)
    picture = folder / results.REVIEW_PICTURES / f"{results.safe_name(name, 'site')}.png"
    picture.write_bytes(imagecodecs.png_encode((255 * row).astype(np.uint8)))


def write_review(folder: Path, title: str, table: pd.DataFrame, failed: Mapping[str, str], simulated: bool) -> None:
    """Write `review.csv` and `review.html`, which shows the pictures by relative links.

    Args:
        folder: folder of the annotation.
        title: its name.
        table: a row per site.
        failed: by site that could not be annotated, what is wrong with it.
        simulated: whether the images are.
    """
    write_table(folder / results.REVIEW_TABLE, table, float_format="%.6g")
    shown = table.to_html(index=False, border=0, float_format=lambda value: f"{value:.3g}")
    page = _PAGE.format(
        title=html.escape(title),
        banner="<p class='flags'>SIMULATED DATA</p>\n" if simulated else "",
        summary=f"{review_line(table)}.",
        failed="".join(
            f"<p class='flags'>Not annotated: {html.escape(f'{site}: {reason}')}</p>\n"
            for site, reason in failed.items()
        ),
        cell_colour=PREDICTED_COLOUR,
        nucleus_colour=REFERENCE_COLOUR,
        table_file=results.REVIEW_TABLE,
        table=shown,
        sections="\n".join(_section(row) for row in table.to_dict("records")),
    )
    (folder / results.REVIEW_PAGE).write_text(page, encoding="utf-8")


def _section(row: dict) -> str:
    name = html.escape(row["site"])
    flags = f"<span class='flags'>{html.escape(row['flags'])}</span>" if row["flags"] else "no flags"
    picture = quote(f"{results.REVIEW_PICTURES}/{results.safe_name(row['site'], 'site')}.png")
    return (
        f"<section id='{name}'>\n<h2>{name}</h2>\n"
        f"<p>{row['cells']} cells, {100 * row['coverage']:.0f} % covered; {flags}; accept: {row['accept']}</p>\n"
        f"<img src='{picture}' alt='{name} with outlines' loading='lazy'>\n</section>"
    )
