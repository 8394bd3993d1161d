"""Write what the networks that come with cellflax are trained on.

python -m experiments.networks.fields OUTPUT nuclei|bacteria|cytoplasm

nuclei     OUTPUT/train: the 177 fields of dsb2018 (CC0) that are not in its test part, as links, and 60 simulated
           fields at a half, one and two times the size; OUTPUT/dsb2018 and OUTPUT/simulated: fields to measure on.
           Needs CELLFLAX_DATA, the folder with dsb2018/.
bacteria   OUTPUT/train and OUTPUT/simulated: frames of simulated colonies in phase contrast.
cytoplasm  OUTPUT/train and OUTPUT/simulated: simulated fields with one cytoplasmic stain, of every kind.

Simulated folders have a note SIMULATED.txt, so that training, checkpoint and results say so.
"""

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cellflax.data.example import SIMULATED_NOTE
from cellflax.errors import UserError
from cellflax.io.images import write_image, write_labels
from cellflax.simulation import (
    ColonyConfig,
    CytoplasmFieldConfig,
    CytoplasmStain,
    NucleiFieldConfig,
    SimulatedMovie,
    simulate_colony,
    simulate_cytoplasm_field,
    simulate_nuclei_field,
)

# The split of experiments/own: 40 of the 217 fields, drawn by this rule, are never trained on.
DSB2018_FIELDS, DSB2018_TEST, DSB2018_SEED = 217, 40, 0
SIZES_UM = {"half": 1.3, "one": 0.65, "double": 0.325}  # pixel sizes, by the size of a nucleus in pixels
HELD_OUT_SEED = 100_000

Field = tuple[str, np.ndarray, np.ndarray, float]  # name, (H, W) pixels, (H, W) labels, pixel size in um


def main() -> None:
    """Write the fields of one network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("network", choices=("nuclei", "bacteria", "cytoplasm"))
    parser.add_argument(
        "--fields", type=int, default=20, help="simulated fields of each kind; a quarter more to measure on"
    )
    options = parser.parse_args()
    output, count = options.output, options.fields
    held_out = max(1, count // 4)
    if options.network == "nuclei":
        dsb2018(output)
        for name, size_um in SIZES_UM.items():
            write(output / "train" / f"simulated_{name}", nuclei(size_um, count, 0), "nuclear")
            write(output / "simulated" / name, nuclei(size_um, held_out, HELD_OUT_SEED), "nuclear")
    elif options.network == "bacteria":
        write(output / "train", colonies(count, 0), "phase")
        write(output / "simulated", colonies(held_out, HELD_OUT_SEED), "phase")
    else:
        write(output / "train", cytoplasms(count, 0), "cytoplasm")
        write(output / "simulated", cytoplasms(held_out, HELD_OUT_SEED), "cytoplasm")


def dsb2018(output: Path) -> None:
    """Link the fields of dsb2018: those to train on, and those to measure on."""
    if "CELLFLAX_DATA" not in os.environ:
        sys.exit("set CELLFLAX_DATA to the folder that contains dsb2018/")
    source = Path(os.environ["CELLFLAX_DATA"]).expanduser().resolve() / "dsb2018"
    names = sorted(path.stem for path in (source / "images").iterdir())
    if len(names) != DSB2018_FIELDS:
        sys.exit(f"{source}: {len(names)} fields, not the {DSB2018_FIELDS} that the split is made for")
    chosen = np.random.default_rng(DSB2018_SEED).permutation(len(names))[:DSB2018_TEST]
    test = {names[k] for k in chosen}
    for name in names:
        part = output / "dsb2018" if name in test else output / "train" / "dsb2018"
        for kind, file in (("images", f"{name}_nuclear.png"), ("labels", f"{name}.png")):
            path = part / kind / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(source / kind / f"{name}.png")


def nuclei(pixel_size_um: float, count: int, seed: int) -> Iterator[Field]:
    """Fields of nuclei: sparse to crowded, even and uneven light, clean and with debris, bright and dim."""
    for number in range(seed, seed + count):
        rng = np.random.default_rng((number, round(1000 * pixel_size_um)))
        crowd = rng.uniform()
        config = NucleiFieldConfig(
            height=256,
            width=320,
            pixel_size_um=pixel_size_um,
            nuclei_per_mm2=float(np.exp(rng.uniform(np.log(300), np.log(3500)))),
            nucleus_area_um2=float(np.exp(rng.uniform(np.log(90), np.log(320)))),
            max_aspect=float(rng.uniform(1.3, 2.4)),
            touching_fraction=float(0.2 + 0.75 * crowd),
            overlap=float(rng.uniform(0.0, 0.3)),
            debris_per_mm2=float(rng.uniform(0, 500)),
            haze=float(rng.uniform(0.05, 0.4)),
            background=float(np.exp(rng.uniform(np.log(0.01), np.log(0.6)))),
            illumination_variation=float(rng.uniform(0, 0.7)),
            nuclear_electrons=float(np.exp(rng.uniform(np.log(60), np.log(3000)))),
        )
        field = simulate_nuclei_field(config, 2 * number + 1)
        yield f"field_{number:06d}", field.image[..., 0], field.cells, field.pixel_size_um


def colonies(count: int, seed: int) -> Iterator[Field]:
    """Frames of simulated colonies, at pixels from 0.05 to 0.11 um."""
    for number in range(seed, seed + max(1, count // 4)):
        rng = np.random.default_rng(number)
        config = ColonyConfig(
            pixel_size_um=float(rng.choice([0.05, 0.065, 0.08, 0.11])),
            founders=int(rng.integers(1, 6)),
            cell_width_um=float(rng.uniform(0.7, 1.1)),
            division_length_um=float(rng.uniform(3.0, 5.5)),
            index_difference=float(rng.uniform(0.02, 0.05)),
            illumination_variation=float(rng.uniform(0.0, 0.3)),
        )
        movie = _colony(config, number)
        last = len(movie.images) - 1
        for frame in (last // 3, last // 2, 3 * last // 4, last):
            yield f"colony_{number:06d}_{frame}", movie.images[frame][..., 0], movie.tracks[frame], movie.pixel_size_um


def _colony(config: ColonyConfig, seed: int) -> SimulatedMovie:
    """The longest of a few movies whose colony stays in the field."""
    for frames in (40, 34, 28, 22):
        with contextlib.suppress(UserError):
            return simulate_colony(dataclasses.replace(config, frames=frames), seed)
    return simulate_colony(dataclasses.replace(config, frames=16), seed)


def cytoplasms(count: int, seed: int) -> Iterator[Field]:
    """Fields with one cytoplasmic stain, at 10x and 20x."""
    for number in range(seed, seed + count):
        rng = np.random.default_rng(number)
        for stain in CytoplasmStain:
            config = CytoplasmFieldConfig(
                height=320,
                width=320,
                pixel_size_um=float(rng.choice([0.325, 0.65])),
                stain=stain,
                cells_per_mm2=float(rng.uniform(100, 600)),
                cell_area_um2=float(rng.uniform(700, 2200)),
                max_aspect=float(rng.uniform(1.5, 4.0)),
                touching_fraction=float(rng.uniform(0.3, 0.95)),
                illumination_variation=float(rng.uniform(0.0, 0.5)),
                cytoplasm_electrons=float(np.exp(rng.uniform(np.log(150), np.log(3000)))),
            )
            field = simulate_cytoplasm_field(config, number)
            yield f"{stain.name}_{number:06d}", field.image[..., 0], field.cells, field.pixel_size_um


def write(folder: Path, fields: Iterator[Field], channel: str) -> None:
    """Write fields with the note that they are simulated."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        (folder / kind / SIMULATED_NOTE).write_text("Simulated by python -m experiments.networks.fields\n")
    for name, pixels, labels, size_um in fields:
        write_image(folder / "images" / f"{name}_{channel}.tif", pixels.astype(np.uint16), size_um)
        write_labels(folder / "labels" / f"{name}.tif", labels, size_um)
    print(f"{folder}: {len(list((folder / 'labels').glob('*.tif')))} simulated fields")


if __name__ == "__main__":
    main()
