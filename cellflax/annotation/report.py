"""The report of `annotate`: every site with its labels, flagged ones first, to be accepted or rejected."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cellflax.annotation.review import review_line
from cellflax.io import results
from cellflax.labeling.result import CELL, NUCLEAR
from cellflax.pictures.layers import Layers
from cellflax.pictures.palette import PREDICTED_COLOUR, REFERENCE_COLOUR
from cellflax.report.cells import picture_of
from cellflax.report.model import Fact, Gallery, Notice, Report, Table, Weight
from cellflax.report.origin import SIMULATED, facts_of, failed_notices, settings_table

_ACCEPT = "cellflax annotate review={} output=ACCEPTED"


def annotation_report(
    name: str, folder: str, table: pd.DataFrame, sheets: Mapping[str, Layers], record: Mapping[str, Any]
) -> Report:
    """The page of an annotation.

    Args:
        name: of the annotation.
        folder: where it will be.
        table: a row per site, as `review_table`.
        sheets: picture of each site.
        record: content of `provenance.json`.
    """
    command = _ACCEPT.format(f"{folder}/{results.REVIEW_TABLE}")
    how = (
        f"Look at the pictures, set accept to yes or no in {results.REVIEW_TABLE}, and correct label images by hand "
        f"where you want to. Then copy the accepted sites: {command}"
    )
    flagged = sum(bool(flags) for flags in table["flags"])
    whole_cells = CELL in record["stains"]
    legend = ((PREDICTED_COLOUR, "cells" if whole_cells else "nuclei"),)
    legend += ((REFERENCE_COLOUR, "nuclei"),) if whole_cells else ()
    # Flagged ones first: those are to be looked at, and no picture of them is left out where there are too many.
    rows = sorted(table.to_dict("records"), key=lambda row: not row["flags"])
    pictures = [
        picture_of(
            f"{row['site']}: {row['cells']} cells, {100 * row['coverage']:.0f} % covered; "
            f"{row['flags'] or 'no flags'}; accept: {row['accept']}",
            f"Site {row['site']}: each stain and image side by side, with the outlines of {row['cells']} cells.",
            sheets[row["site"]],
            f"{results.REVIEW_PICTURES}/{results.safe_name(row['site'], 'site')}.png",
            warns=bool(row["flags"]),
        )
        for row in rows
    ]
    note = "Every stain and image of a site side by side; flagged sites come first."
    return Report(
        command="annotate",
        title=f"Review of {name}",
        subtitle=f"{review_line(table)}.",
        notices=(*_simulated(record), Notice(how), *failed_notices(record["failed"])),
        headline=(("sites", str(len(table))), ("cells", str(table["cells"].sum())), ("flagged", str(flagged))),
        galleries=(Gallery("Sites", tuple(pictures), note, legend, wide=True),),
        tables=(
            Table.of("Sites", table, results.REVIEW_TABLE, whole=results.REVIEW_TABLE),
            settings_table(record["settings"]),
        ),
        facts=(
            Fact("copy what is accepted", command, is_code=True),
            *facts_of("annotate", simulated=True if record["simulated"] else None, data=_data(record)),
        ),
    )


def accepted_report(review: str, record: Mapping[str, Any], accepted: int, sites: int) -> Report:
    """The page of a copy of accepted sites.

    Args:
        review: the table that chose them.
        record: content of `provenance.json`.
        accepted: number of accepted sites.
        sites: number of all.
    """
    images = [
        (site, image["file"], image.get("channel"), image.get("z_um"))
        for site, content in record["sites"].items()
        for image in content["images"]
    ]
    frame = pd.DataFrame(images, columns=["site", "file", "channel", "z_um"])
    return Report(
        command="annotate",
        title=f"Accepted sites of {review}",
        subtitle=f"{accepted} of {sites} sites are accepted.",
        notices=tuple(_simulated(record)),
        tables=(Table.of("Images", frame, "images.csv", whole=results.PROVENANCE),),
        facts=facts_of("annotate", simulated=True if record.get("simulated") else None, data=_data(record)),
    )


def _simulated(record: Mapping[str, Any]) -> list[Notice]:
    return [Notice(SIMULATED.text, Weight.simulated)] if record.get("simulated") else []


def _data(record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    settings, stains = record.get("settings", {}), record.get("stains", {})
    return [
        ("images", settings.get("input")),
        ("pattern", settings.get("pattern")),
        ("method", settings.get("method")),
        ("nuclear stain", stains.get(NUCLEAR)),
        ("cell stain", stains.get(CELL)),
    ]
