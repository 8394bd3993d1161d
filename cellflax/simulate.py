"""Simulate images and movies with exact truth.

    cellflax simulate output=DIR specimen=hela fields=4 seed=1
    cellflax simulate output=DIR specimen=colony fields=1 seed=1

Writes `images/<name>_<channel>.tif`, `labels/<name>.tif` (cells) and `nuclei/<name>.tif`. Train on the folder with
`data=folder data.channels=[...]`, or evaluate against its truth. The settings of a specimen are under the key of its
name:

    hela        phase, nuclear                              field_0001
    brightfield brightfield, nuclear, cytoplasm, each in    well1_0001, ...: `fields` sites of every well, files
                planes z0, z1, z2                           `<well>_<site>_<channel>_z<plane>.tif`
    cytoplasm   cytoplasm, nuclear                          field_0001
    nuclei      nuclear: touching, overlapping, with debris field_0001; labels are the nuclei
    colony      phase: growing E. coli                      movie_0001/: see below
    migration   phase, nuclear, reporter: crawling cells    movie_0001/

A movie has its own folder with `images/t000_<channel>.tif`, `labels/man_track000.tif` (numbered by track) and
`labels/man_track.txt` in the format of the Cell Tracking Challenge, `nuclei/t000.tif`, and `truth.csv`. That table has
one row per cell and frame with its track, its parent, and its growth rate or reporter ratio.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np

import cellflax
from cellflax.checks import at_least, check
from cellflax.config import entry, to_json
from cellflax.data.example import SIMULATED_NOTE
from cellflax.io import results
from cellflax.io.images import write_image, write_labels
from cellflax.io.records import files_below
from cellflax.io.result_set import result_set
from cellflax.io.tables import write_table
from cellflax.simulation import (
    BrightfieldConfig,
    ColonyConfig,
    CytoplasmFieldConfig,
    HelaFieldConfig,
    MigrationConfig,
    NucleiFieldConfig,
    SimulatedField,
    SimulatedMovie,
    man_track,
    simulate_brightfield_site,
    simulate_colony,
    simulate_cytoplasm_field,
    simulate_hela_field,
    simulate_migration,
    simulate_nuclei_field,
)


class Specimen(Enum):
    """What is simulated."""

    hela = "hela"
    brightfield = "brightfield"
    cytoplasm = "cytoplasm"
    nuclei = "nuclei"
    colony = "colony"
    migration = "migration"


@dataclass
class SimulateConfig:
    """Options of `cellflax.simulate`.

    Attributes:
        output: directory to write to.
        overwrite: whether to replace what an earlier simulation wrote to `output`, which is refused otherwise; other
            files there stay.
        specimen: what to simulate, one of the keys below.
        fields: number of fields, of sites in every well (brightfield), or of movies.
        seed: seed of the first field; it rises by 1 from field to field.
        hela: cells and microscope of every field of HeLa cells.
        brightfield: wells, cells and microscope of every site.
        cytoplasm: cells, stain and microscope of every single-channel field.
        nuclei: nuclei and microscope of every field of nuclei alone.
        colony: cells and microscope of every movie of bacteria.
        migration: cells, reporter and microscope of every movie of crawling cells.
    """

    output: str = "simulated"
    overwrite: bool = False
    specimen: Specimen = Specimen.hela
    fields: int = 4
    seed: int = 1
    hela: HelaFieldConfig = field(default_factory=HelaFieldConfig)
    brightfield: BrightfieldConfig = field(default_factory=BrightfieldConfig)
    cytoplasm: CytoplasmFieldConfig = field(default_factory=CytoplasmFieldConfig)
    nuclei: NucleiFieldConfig = field(default_factory=NucleiFieldConfig)
    colony: ColonyConfig = field(default_factory=ColonyConfig)
    migration: MigrationConfig = field(default_factory=MigrationConfig)

    def __post_init__(self):
        check(self, "", at_least(1), "fields")
        check(self, "", at_least(0), "seed")


@entry("simulate", SimulateConfig)
def main(config: SimulateConfig) -> None:
    """Simulate fields or movies and write them."""
    with result_set(config.output, config.overwrite, _in_the_way(config), command="simulate") as found:
        if config.specimen in (Specimen.colony, Specimen.migration):
            _simulate_movies(found.folder, config)
        else:
            _simulate_fields(found.folder, config)
        found.publish({"cellflax": cellflax.__version__, "simulated": True, "settings": to_json(config)})
    print(f"SIMULATED DATA in {config.output}", file=sys.stderr)


def _in_the_way(config: SimulateConfig) -> list[str]:
    """Files in the folders that will be written: a stranger among them would be taken for a simulated image."""
    names = list(results.TRAINING_FOLDERS)
    if config.specimen in (Specimen.colony, Specimen.migration):
        names = [f"movie_{seed:04d}" for seed in range(config.seed, config.seed + config.fields)]
    return [file for name in names for file in files_below(Path(config.output), name)]


def _simulate_fields(output: Path, config: SimulateConfig) -> None:
    for folder in results.TRAINING_FOLDERS:
        _write_note(output / folder, config)
    for name, simulated in _fields(config):
        _write_field(output, name, simulated)
        print(f"{name}: {simulated.cells.max()} cells", file=sys.stderr, flush=True)


def _fields(config: SimulateConfig) -> Iterator[tuple[str, SimulatedField]]:
    """Simulate one field after the other, with the names of their files."""
    for seed in range(config.seed, config.seed + config.fields):
        if config.specimen is Specimen.hela:
            yield f"field_{seed:04d}", simulate_hela_field(config.hela, seed)
        elif config.specimen is Specimen.cytoplasm:
            yield f"field_{seed:04d}", simulate_cytoplasm_field(config.cytoplasm, seed)
        elif config.specimen is Specimen.nuclei:
            yield f"field_{seed:04d}", simulate_nuclei_field(config.nuclei, seed)
        else:
            for well in config.brightfield.wells:
                yield f"{well.name}_{seed:04d}", simulate_brightfield_site(config.brightfield, well, seed)


def _simulate_movies(output: Path, config: SimulateConfig) -> None:
    for seed in range(config.seed, config.seed + config.fields):
        if config.specimen is Specimen.colony:
            movie = simulate_colony(config.colony, seed)
        else:
            movie = simulate_migration(config.migration, seed)
        directory = output / f"movie_{seed:04d}"
        for folder in results.TRAINING_FOLDERS if movie.nuclei is not None else results.TRAINING_FOLDERS[:2]:
            _write_note(directory / folder, config)
        _write_movie(directory, movie)
        n_tracks = movie.truth["track"].nunique()
        print(f"{directory.name}: {len(movie.images)} frames, {n_tracks} tracks", file=sys.stderr, flush=True)


def _write_note(folder: Path, config: SimulateConfig) -> None:
    folder.mkdir(parents=True)
    settings = f"specimen={config.specimen.name} fields={config.fields} seed={config.seed}"
    (folder / SIMULATED_NOTE).write_text(f"Simulated by python -m cellflax.simulate {settings}\n")


def _write_field(output: Path, name: str, simulated: SimulatedField) -> None:
    size_um, name = simulated.pixel_size_um, results.safe_name(name, "field")
    for channel, pixels in zip(
        results.safe_names(simulated.channels, "channel").values(), np.moveaxis(simulated.image, -1, 0), strict=True
    ):
        write_image(output / results.IMAGE_FOLDER / f"{name}_{channel}.tif", pixels.astype(np.uint16), size_um)
    write_labels(output / results.LABEL_FOLDER / f"{name}.tif", simulated.cells, size_um)
    write_labels(output / results.NUCLEUS_FOLDER / f"{name}.tif", simulated.nuclei, size_um)


def _write_movie(directory: Path, movie: SimulatedMovie) -> None:
    size_um = movie.pixel_size_um
    channels = results.safe_names(movie.channels, "channel").values()
    for frame, image in enumerate(movie.images):
        for channel, pixels in zip(channels, np.moveaxis(image, -1, 0), strict=True):
            write_image(
                directory / results.IMAGE_FOLDER / f"t{frame:03d}_{channel}.tif", pixels.astype(np.uint16), size_um
            )
        write_labels(directory / results.LABEL_FOLDER / f"man_track{frame:03d}.tif", movie.tracks[frame], size_um)
        if movie.nuclei is not None:
            write_labels(directory / results.NUCLEUS_FOLDER / f"t{frame:03d}.tif", movie.nuclei[frame], size_um)
    np.savetxt(directory / results.LABEL_FOLDER / results.CTC_TRUE_TRACKS, man_track(movie.truth), fmt="%d")
    write_table(directory / results.TRUTH, movie.truth)


if __name__ == "__main__":
    main()
