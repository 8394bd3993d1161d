"""Convert published networks into a checkpoint.

    cellflax convert source='trained_networks/HeLa/*.h5' output=published_hela
    cellflax convert source='trained_networks/Nuclear/*.h5' refine=nuclei output=published_nuclei

Reads the Keras-1 weight files of Van Valen 2016 (P1; github CovertLab/DeepCell, `trained_networks`); several
files of one architecture become one ensemble. The result is used like a run: predict checkpoint=DIR.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cellflax
from cellflax.checks import check
from cellflax.config import entry, to_json
from cellflax.conversion.keras1 import PublishedNetwork, read_published, to_module
from cellflax.data.example import CLASS_NAMES
from cellflax.device import devices_of_jax
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.glob_paths import glob_paths
from cellflax.io.records import files_below
from cellflax.io.result_set import result_set
from cellflax.models.ensemble import stack_members
from cellflax.training.checkpoint import save_model
from cellflax.training.config import TRANSFORM_COUNTS, TrainConfig, TrainerConfig
from cellflax.training.record import DIRECTORY

_CO_CULTURE = ("edge", "interior_nih3t3", "interior_mcf10a", "background")


@dataclass
class ConvertConfig:
    """Options of `cellflax.convert`.

    Attributes:
        source: weight files, FILE | DIR | GLOB (a folder stands for its *.h5).
        output: directory of the new checkpoint; it must not hold one.
        overwrite: whether to replace the checkpoint that an earlier conversion wrote to `output`.
        channels: names of the image channels, in the networks' order. If empty, two channels are phase and
            nuclear (P1's cytoplasm); one channel is phase for receptive fields up to 31 (bacteria) and nuclear for
            larger ones (nuclei).
        class_names: names of the classes. If empty, the three of P1 or the four of its co-culture.
        test_time_augmentation: rotations and reflections averaged in prediction, 1, 4 or 8; P1: 1.
        refine: the step from probabilities to cells (group refine).
    """

    source: str = ""
    output: str = ""
    overwrite: bool = False
    channels: list[str] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    test_time_augmentation: int = 1
    refine: Any = None

    def __post_init__(self):
        check(self, "", TRANSFORM_COUNTS, "test_time_augmentation")


@entry("convert", ConvertConfig)
def main(config: ConvertConfig) -> None:
    """Convert and say where the checkpoint is."""
    path = convert(config)
    print(f"checkpoint: {path}")


def convert(config: ConvertConfig) -> Path:
    """Read the weight files and write one checkpoint.

    Returns:
        the checkpoint's directory, `config.output`.

    Raises:
        UserError: if a file is not understood (the message names the layer), or the networks differ.
    """
    for key in ("source", "output"):
        if not getattr(config, key):
            raise UserError(f"{key} is not given; add {key}=...")
    devices_of_jax()
    files = _files(config.source)
    networks = [read_published(file) for file in files]
    first = networks[0]
    for file, network in zip(files, networks, strict=True):
        if (network.config, network.channels, network.classes) != (first.config, first.channels, first.classes):
            raise UserError(f"{file}: its architecture differs from that of {files[0].name}; convert them one by one")
    channels = _names("channels", config.channels, first.channels, _usual_channels(first))
    class_names = _names("class_names", config.class_names, first.classes, _usual_classes(first))
    stored = TrainConfig(
        name=f"published_{files[0].parent.name}",
        model=first.config,
        refine=config.refine,
        seed_channel="nuclear" if config.refine.takes_seeds and "nuclear" in channels else None,
        test_time_augmentation=config.test_time_augmentation,
        trainer=TrainerConfig(ensemble=len(networks)),
    )
    _, params, stats = stack_members([to_module(network) for network in networks])
    record = {
        "config": {key: value for key, value in to_json(stored).items() if key != "run"},
        "data": {
            "source": f"published weights {', '.join(file.name for file in files)}",
            "simulated": False,
            "channels": list(channels),
            "class_names": list(class_names),
            "pixel_size_um": None,
            "train": [],
            "validation": [],
        },
        "cellflax": cellflax.__version__,
    }
    output = Path(config.output)
    there = files_below(output, DIRECTORY)
    if there and not (output / results.RECORDS["convert"]).is_file():
        raise UserError(f"output={output}: holds a checkpoint already; give another directory")
    with result_set(output, config.overwrite, there, command="convert") as found:
        save_model(found.folder, params, stats, record)
        found.publish({"cellflax": cellflax.__version__, "settings": to_json(config)})
    names = f"channels {', '.join(channels)}; classes {', '.join(class_names)}"
    edge = first.config.receptive_field
    networks_of = f"{len(networks)} network{'s' * (len(networks) > 1)} of {edge} x {edge} pixels"
    print(f"{networks_of}; {names}", file=sys.stderr)
    return output


def _files(source: str) -> list[Path]:
    folder = Path(source)
    files = sorted(folder.glob("*.h5")) if folder.is_dir() else glob_paths(source)
    if not files:
        raise UserError(f"source={source}: no such file; give .h5 files of github CovertLab/DeepCell, trained_networks")
    return files


def _usual_channels(network: PublishedNetwork) -> tuple[str, ...]:
    """The channels of P1's networks that have this many."""
    if network.channels == 1:
        return ("phase",) if network.config.receptive_field <= 31 else ("nuclear",)
    return ("phase", "nuclear") if network.channels == 2 else ()


def _usual_classes(network: PublishedNetwork) -> tuple[str, ...]:
    return {3: CLASS_NAMES, 4: _CO_CULTURE}.get(network.classes, ())


def _names(key: str, given: list[str], count: int, usual: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(given) or usual
    if len(names) != count or len(set(names)) != count:
        raise UserError(f"{key} must be {count} different names for these networks, got [{', '.join(names)}]")
    return names


if __name__ == "__main__":
    main()
