"""Export results, or a trained network, to the formats of other programs.

    cellflax export input=RESULTS 'format=[rois,geojson]' output=DIR
    cellflax export input=TRACKS 'format=[geff,trackmate]' output=DIR
    cellflax export checkpoint=RUN format=onnx output=DIR
    cellflax export checkpoint=RUN format=bioimageio output=DIR authors='[Jane Doe]' license=CC-BY-4.0

RESULTS is a directory that `cellflax.predict`, `track` or `quantify` wrote. Formats of label images are `rois` (a zip
for ImageJ's ROI Manager), `geojson` (for QuPath) and `ome_zarr` (image and labels); of tables `parquet` and `anndata`;
of tracks `geff` and `trackmate`. `predict`, `track` and `quantify` write the same with `export=[...]`.

A network becomes a file that takes raw intensities of a tile and returns the probabilities of `predict`. The command
runs it and compares; if a probability differs by 1e-4 or more, nothing is written.
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
from cellflax.networks_to_go.export import export_network
from cellflax.networks_to_go.settings import NetworkExport, NetworkFormat

_OF_NETWORKS = tuple(form.name for form in NetworkFormat)


@dataclass
class ExportConfig(ReadingOptions, NetworkExport):
    """Options of `cellflax.export`.

    Attributes:
        input: directory with results of predict, track or quantify; or give a `checkpoint`.
        format: a format or several: rois, geojson, ome_zarr, parquet, anndata, geff, trackmate of results; one of onnx,
            stablehlo, bioimageio of a checkpoint.
        output: directory for the exports; the default is that of the results. That of a network must be new.
        overwrite: whether to replace the exports of an earlier run in `output`, which are refused otherwise; other
            files there stay. Of results only.
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
        NetworkExport.__post_init__(self)
        if self.input and self.checkpoint:
            raise UserError(f"input={self.input} and checkpoint={self.checkpoint}: give one of them")
        if self.checkpoint:
            if len(self.formats) != 1 or self.formats[0] not in _OF_NETWORKS:
                raise UserError(
                    f"format={','.join(self.formats)}: of a checkpoint, give one of {', '.join(_OF_NETWORKS)}"
                )
        elif of_networks := set(self.formats) & set(_OF_NETWORKS):
            raise UserError(f"format={of_networks.pop()} is of a network; add checkpoint=RUN")
        else:
            check_formats("format", self.formats, ("images", "tables", "tracks"), self.ome_zarr_version)

    @property
    def formats(self) -> list[str]:
        """The formats, each once."""
        return list(dict.fromkeys(self.format))


@entry("export", ExportConfig)
def main(config: ExportConfig) -> None:
    """Export the network, or the results in `input`, and say where."""
    if not config.checkpoint:
        print(f"exports: {export_results(config)}")
    elif not config.output:
        raise UserError("output is not given; add output=...")
    else:
        export_network(config, NetworkFormat[config.formats[0]], config.output)


def export_results(config: ExportConfig) -> str:
    """Write the results of other commands in other formats.

    Returns:
        the directory of the exports.

    Raises:
        UserError: if there are no such results, they have nothing that a format is of, or cannot be read; then nothing
            is written.
    """
    if not config.input:
        raise UserError("input is not given; add input=RESULTS, or checkpoint=RUN for a network")
    if not config.formats:
        raise UserError("format is not given; add format=...")
    wanted = config.formats
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
