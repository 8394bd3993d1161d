"""Label cells automatically by their stains, to train on unstained images.

    cellflax annotate input=DIR pattern='{well}_{site}_{channel}_z{plane}.tif' nuclear=dapi cell=actin \\
        images=[brightfield] output=DIR

writes `images/<site>_<channel>[_z<plane>].tif`, `labels/<site>.tif` and `nuclei/<site>.tif`: a folder that
`data=folder` trains on. Look at `report.html` first, which shows every site with its labels, counts and flags, and
correct the column `accept` of `review.csv`; then

    cellflax annotate review=DIR/review.csv output=ACCEPTED

copies the accepted sites, with labels that were corrected by hand.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import cellflax
from cellflax.annotation.accepted import annotation_set, copy_accepted
from cellflax.annotation.config import AnnotateConfig, AnnotationMethod
from cellflax.annotation.files import write_simulation_note, write_site
from cellflax.annotation.inputs import find_inputs
from cellflax.annotation.report import annotation_report
from cellflax.annotation.review import review_line, review_table, site_panels, write_picture
from cellflax.config import entry, to_json
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.failures import Failures, refuse_failed
from cellflax.io.tables import write_table
from cellflax.labeling.alkofahi import label_two_channels
from cellflax.labeling.quality import flag_sites, measure_quality
from cellflax.labeling.result import CELL, NUCLEAR, Labels, Stains
from cellflax.labeling.sadanandan import annotate_sadanandan
from cellflax.pictures.layers import row_layers, sheet_side_px
from cellflax.progress import each, say
from cellflax.report.page import save_report


@entry("annotate", AnnotateConfig)
def _command(config: AnnotateConfig) -> None:
    failed: dict[str, str] = {}
    if config.review is not None:
        accepted, sites = copy_accepted(Path(config.review), Path(config.output), config.overwrite)
        print(f"{accepted} of {sites} sites accepted")
    else:
        table, failed = _annotate(config)
        print(review_line(table))
        print(f"report: {Path(config.output) / results.REPORT}")
    print(f"results: {config.output}")
    refuse_failed(failed, config.output)


def main() -> None:
    """Annotate, or copy what a review accepted.

    A pattern is quoted first: its braces would be a dictionary in Hydra's grammar.
    """
    sys.argv[1:] = [_quote(argument) if argument.startswith("pattern=") else argument for argument in sys.argv[1:]]
    _command()


def _quote(override: str) -> str:
    key, value = override.split("=", maxsplit=1)
    if value[:1] in ("'", '"'):
        return override
    escaped = value.replace("'", r"\'")
    return f"{key}='{escaped}'"


def annotate(config: AnnotateConfig) -> pd.DataFrame:
    """Annotate all sites, write the results, and return the review table.

    Raises:
        UserError: if no site can be used; then nothing is written. Also if some sites cannot be used: at the end, when
            the others are annotated and the results are written.
    """
    table, failed = _annotate(config)
    refuse_failed(failed, config.output)
    return table


def _annotate(config: AnnotateConfig) -> tuple[pd.DataFrame, dict[str, str]]:
    """The review table, and by site that could not be used, what is wrong with it."""
    inputs = find_inputs(config)
    note = inputs.simulation_note
    if note is not None:
        say("SIMULATED DATA: the images are simulated, and all labels are made from them")
    output = Path(config.output)
    failures = Failures()
    with annotation_set(output, config.overwrite) as found:
        folder = found.folder
        records, qualities, sheets = {}, [], {}
        side_px = sheet_side_px(len(inputs.sites))
        for site in each(inputs.sites, lambda site: site.name, "sites"):
            with failures.of(site.name):
                content = inputs.read(site)
                stains = inputs.stain_planes(content)
                labels = label(config, stains, content.pixel_size_um)
                quality = measure_quality(stains, labels)
                images = write_site(folder, site.name, content, inputs.images, labels, config.save_illumination)
                panels = site_panels(labels, inputs.pictures(content))
                write_picture(folder, site.name, panels)
                sheets[site.name] = row_layers(panels, side_px)
                records[site.name] = {"sources": [str(path) for path in site.paths], "images": images}
                qualities.append(quality)
                say(f"{site.name}: {quality.cells} cells")
        failures.require_some(len(records))
        if not any(quality.cells for quality in qualities):
            raise UserError(f"nuclear={inputs.stains[NUCLEAR]}: no nucleus at any site; is it the nuclear stain?")
        table = review_table(list(records), qualities, flag_sites(qualities, config.flags))
        write_table(folder / results.REVIEW_TABLE, table, float_format="%.6g")
        if note is not None:
            write_simulation_note(folder, note)
        provenance = {
            "cellflax": cellflax.__version__,
            "complete": not failures.reasons,
            "failed": failures.reasons,
            "simulated": note is not None,
            "settings": to_json(config),
            "stains": inputs.stains,
            "sites": records,
        }
        shown = (output.name, config.output, table, sheets, provenance)
        save_report(found.report(), lambda: annotation_report(*shown))
        found.publish(provenance, keep_edits=True)
    return table, failures.reasons


def label(config: AnnotateConfig, stains: Stains, pixel_size_um: float | None) -> Labels:
    """Label the cells of a site by the chosen method.

    Args:
        config: method and its settings.
        stains: (Z, H, W) intensities of each.
        pixel_size_um: edge of a pixel, if known.
    """
    match config.method:
        case AnnotationMethod.sadanandan:
            return annotate_sadanandan(config.sadanandan, stains, pixel_size_um)
        case AnnotationMethod.alkofahi:
            projections = {name: planes.mean(0, dtype=np.float32) for name, planes in stains.items()}
            pair = projections[NUCLEAR], projections[CELL]
            nuclei, cells = label_two_channels(*pair, config.alkofahi, pixel_size_um)
            return Labels(nuclei, cells, projections)


if __name__ == "__main__":
    main()
