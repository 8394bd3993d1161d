"""Export results to the formats of other programs.

    cellflax export input=RESULTS 'format=[rois,geojson]' output=DIR
    cellflax export input=TRACKS 'format=[geff,trackmate]' output=DIR

RESULTS is a directory that `cellflax.predict`, `track` or `quantify` wrote. Formats of label images are `rois` (a zip
for ImageJ's ROI Manager), `geojson` (for QuPath) and `ome_zarr` (image and labels); of tables `parquet` and `anndata`;
of tracks `geff` and `trackmate`. `predict`, `track` and `quantify` write the same with `export=[...]`.
"""

from dataclasses import dataclass, field
from typing import Any

import cellflax
from cellflax.config import entry, to_json
from cellflax.errors import UserError
from cellflax.exporting.formats import check_formats, require_packages
from cellflax.exporting.stored import ImageSource, find_results
from cellflax.io.reading import ReadingOptions
from cellflax.io.result_set import result_set


@dataclass
class ExportConfig(ReadingOptions):
    """Options of `cellflax.export`.

    Attributes:
        input: directory with results of predict, track or quantify.
        format: formats to write: rois, geojson, ome_zarr, parquet, anndata, geff, trackmate.
        output: directory for the exports; the default is that of the results.
        overwrite: whether to replace the exports of an earlier run in `output`, which are refused otherwise; other
            files there stay.
        images: images that were segmented, which ome_zarr needs, FILE | DIR | GLOB; the default is what the record of
            the results names.
        channels: with `images`, parts of the file names, or names or indices of channels, as for predict.
        ome_zarr_version: version of OME-Zarr, 0.5 or 0.4.
    """

    input: str = ""
    format: list[str] = field(default_factory=list)
    output: str | None = None
    overwrite: bool = False
    images: str | None = None
    channels: list[str] = field(default_factory=list)
    ome_zarr_version: str = "0.5"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_formats("format", self.format, ("images", "tables", "tracks"), self.ome_zarr_version)


@entry("export", ExportConfig)
def main(config: ExportConfig) -> None:
    """Export the results in `input`, and say where."""
    print(f"exports: {export_results(config)}")


def export_results(config: ExportConfig) -> str:
    """Write the results of other commands in other formats.

    Returns:
        the directory of the exports.

    Raises:
        UserError: if there are no such results, they have nothing that a format is of, or cannot be read; then nothing
            is written.
    """
    for key in ("input", "format"):
        if not getattr(config, key):
            raise UserError(f"{key} is not given; add {key}=...")
    wanted = list(dict.fromkeys(config.format))
    require_packages("format", wanted)
    stored = find_results(config.input)
    for form in wanted:
        if not any(found.formats([form]) for found in stored):
            commands = " and ".join(found.command for found in stored)
            raise UserError(f"format=[{form}]: input={config.input} holds the results of {commands}, which have none")
    output, version = config.output or config.input, config.ome_zarr_version
    images = ImageSource(config.images, tuple(config.channels), config.reading())
    expected = [name for found in stored for name in found.expected(found.formats(wanted), version)]
    with result_set(output, config.overwrite, expected, command="export") as made:
        record: dict[str, Any] = {"cellflax": cellflax.__version__, "settings": to_json(config)}
        for found in stored:
            origin = {f"of_{found.command}": found.record}
            if found.formats(wanted):
                found.export(made.folder, found.formats(wanted), version, images, {**record, **origin})
            if found.record.get("simulated"):
                record["simulated"] = True
        made.publish(record)
    return output


if __name__ == "__main__":
    main()
