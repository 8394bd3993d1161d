"""Simulated samples with exact truth, to try the tool on."""

import pandas as pd
from skimage import measure

from cellflax.io import results
from cellflax.napari_plugin.layers import LayerData, image_layers, label_layer, track_layer
from cellflax.simulation.colony import simulate_colony
from cellflax.simulation.colony_config import ColonyConfig
from cellflax.simulation.field import SimulatedField
from cellflax.simulation.hela import HelaFieldConfig, simulate_hela_field
from cellflax.simulation.movie import SimulatedMovie
from cellflax.simulation.nuclei import NucleiFieldConfig, simulate_nuclei_field

_SEED = 1


def nuclei() -> list[LayerData]:
    """A field of touching nuclei with its true labels."""
    return _field("simulated nuclei", simulate_nuclei_field(NucleiFieldConfig(), _SEED))


def hela() -> list[LayerData]:
    """A field of HeLa cells in phase contrast with nuclei, and its true labels."""
    return _field("simulated HeLa", simulate_hela_field(HelaFieldConfig(), _SEED))


def colony(frames: int = 30) -> list[LayerData]:
    """A movie of a growing colony of bacteria with its true tracks."""
    movie = simulate_colony(ColonyConfig(frames=frames), _SEED)
    name, size = "simulated colony", movie.pixel_size_um
    return [
        *image_layers(name, movie.images, movie.channels, size),
        label_layer(f"{name} truth", movie.tracks, size),
        track_layer(f"{name} tracks", _tracks(movie), size),
    ]


def _tracks(movie: SimulatedMovie) -> pd.DataFrame:
    """Centroids of all cells in all frames, with the track that each comes from."""
    frames = []
    for t, labels in enumerate(movie.tracks):
        found = pd.DataFrame(measure.regionprops_table(labels, properties=("label", "centroid")))
        names = {"label": results.TRACK, "centroid-0": "centroid-0_px", "centroid-1": "centroid-1_px"}
        frames.append(found.rename(columns=names).assign(**{results.FRAME: t}))
    parents = movie.truth.drop_duplicates(results.TRACK)[[results.TRACK, results.PARENT]]
    return pd.concat(frames, ignore_index=True).merge(parents, on=results.TRACK)


def _field(name: str, field: SimulatedField) -> list[LayerData]:
    images = image_layers(name, field.image, field.channels, field.pixel_size_um)
    return [*images, label_layer(f"{name} truth", field.cells, field.pixel_size_um)]
