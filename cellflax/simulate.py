"""Write simulated fields with exact truth: python -m cellflax.simulate output=DIR fields=4 seed=1.

Writes `images/<name>_phase.tif`, `images/<name>_nuclear.tif`, `labels/<name>.tif` and `nuclei/<name>.tif`: a
folder that `data=folder data.channels=[phase,nuclear]` trains on, and truth to evaluate against.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cellflax.config import entry
from cellflax.data.example import SIMULATED_NOTE
from cellflax.data.images import write_image, write_labels
from cellflax.data.simulation import HelaFieldConfig, simulate_hela_field
from cellflax.errors import UserError


@dataclass
class SimulateConfig:
    """Options of `cellflax.simulate`.

    Attributes:
        output: directory to write to.
        fields: number of fields.
        seed: of the first field; the others count up from it.
        field: cells and microscope of every field.
    """

    output: str = "simulated"
    fields: int = 4
    seed: int = 1
    field: HelaFieldConfig = field(default_factory=HelaFieldConfig)

    def __post_init__(self):
        if self.fields < 1:
            raise UserError(f"fields must be 1 or more, got {self.fields}")
        if self.seed < 0:
            raise UserError(f"seed must be 0 or more, got {self.seed}")


@entry("simulate", SimulateConfig)
def main(config: SimulateConfig) -> None:
    """Simulate fields and write them."""
    output = Path(config.output)
    for folder in ("images", "labels", "nuclei"):
        (output / folder).mkdir(parents=True, exist_ok=True)
        (output / folder / SIMULATED_NOTE).write_text(
            f"Simulated by python -m cellflax.simulate fields={config.fields} seed={config.seed}\n"
        )
    for seed in range(config.seed, config.seed + config.fields):
        simulated = simulate_hela_field(config.field, seed)
        name, size = f"field_{seed:04d}", simulated.pixel_size_um
        for channel, pixels in zip(simulated.channels, np.moveaxis(simulated.image, -1, 0), strict=True):
            write_image(output / "images" / f"{name}_{channel}.tif", pixels.astype(np.uint16), size)
        write_labels(output / "labels" / f"{name}.tif", simulated.cells, size)
        write_labels(output / "nuclei" / f"{name}.tif", simulated.nuclei, size)
        print(f"{name}: {simulated.cells.max()} cells", file=sys.stderr, flush=True)
    print(f"SIMULATED DATA in {output}", file=sys.stderr)


if __name__ == "__main__":
    main()
