"""Draw the pictures of the gallery from simulated data: python docs/draw_gallery.py

Writes small PNG files to docs/pictures/, with outlines or tracks of the exact truth. The seeds are fixed.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from cellflax.pictures.overlay import Panel, outline_overlay
from cellflax.pictures.tracks import track_movie
from cellflax.simulation import (
    BrightfieldConfig,
    ColonyConfig,
    CytoplasmFieldConfig,
    HelaFieldConfig,
    MigrationConfig,
    NucleiFieldConfig,
    simulate_brightfield_site,
    simulate_colony,
    simulate_cytoplasm_field,
    simulate_hela_field,
    simulate_migration,
    simulate_nuclei_field,
)
from cellflax.simulation.wells import Well

PICTURES = Path(__file__).parent / "pictures"
SIDE_PX = 256


def draw() -> dict[str, np.ndarray]:
    """All pictures by name, (H, W, 3) in [0, 1]."""
    size = {"height": SIDE_PX, "width": SIDE_PX}
    fields = {
        "hela": simulate_hela_field(HelaFieldConfig(**size), 1),
        "brightfield": simulate_brightfield_site(BrightfieldConfig(**size), Well.well1, 1),
        "cytoplasm": simulate_cytoplasm_field(CytoplasmFieldConfig(**size), 1),
        "nuclei": simulate_nuclei_field(NucleiFieldConfig(**size), 1),
    }
    drawn = {name: _outlined(field.cells, field.image[..., 0]) for name, field in fields.items()}
    movies = {
        "colony": simulate_colony(ColonyConfig(**size, frames=19, frame_interval_s=300.0), 1),
        "migration": simulate_migration(MigrationConfig(**size, frames=8), 1),
    }
    for name, movie in movies.items():
        drawn[name] = list(track_movie(movie.tracks, movie.images[..., 0]))[-1]
    return drawn


def _outlined(cells: np.ndarray, image: np.ndarray) -> np.ndarray:
    return outline_overlay(Panel("", cells, image=image), SIDE_PX)


def main() -> None:
    """Write the pictures."""
    PICTURES.mkdir(exist_ok=True)
    for name, picture in draw().items():
        pixels = picture if picture.dtype == np.uint8 else np.rint(255 * picture).astype(np.uint8)
        Image.fromarray(pixels).resize((2 * SIDE_PX, 2 * SIDE_PX), Image.Resampling.NEAREST).quantize(128).save(
            PICTURES / f"{name}.png", optimize=True
        )
        print(PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
