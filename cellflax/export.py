"""Write a trained network in a format that other programs run: ONNX, StableHLO, BioImage.IO.

    cellflax export checkpoint=runs/hela_cyto/2026-01-01 format=onnx output=hela_onnx
    cellflax export checkpoint=RUN format=bioimageio output=hela_package authors='[Jane Doe]' license=CC-BY-4.0

The file takes raw intensities of a tile and returns the probabilities of `predict`. The command runs it and compares;
if a probability differs by 1e-4 or more, nothing is written.
"""

from dataclasses import dataclass

from cellflax.config import entry
from cellflax.errors import UserError
from cellflax.networks_to_go.export import export_network
from cellflax.networks_to_go.settings import NetworkExport, NetworkFormat


@dataclass
class ExportConfig(NetworkExport):
    """Options of `cellflax.export`.

    Attributes:
        format: what to write.
        output: the new directory.
    """

    format: NetworkFormat = NetworkFormat.onnx
    output: str = ""


@entry("export", ExportConfig)
def main(config: ExportConfig) -> None:
    """Write the network."""
    if not config.output:
        raise UserError("output is not given; add output=...")
    export_network(config, config.format, config.output)


if __name__ == "__main__":
    main()
