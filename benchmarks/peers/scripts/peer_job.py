"""What the scripts of the peers share. It runs in each peer's own environment, which has no cellflax.

A script is called with the job as a JSON file, reads the images, and writes `labels/<name>.tif` and `measured.json`
into the job's output folder.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

BEGAN = time.perf_counter()
MEASURED = "measured.json"
LABELS = "labels"
# A rate of learning that is constant and then falls in the last part of the training; Cellpose's own schedule is of
# this kind, with a third.
ANNEALED_SHARE = 1 / 3


@dataclass(frozen=True)
class Part:
    """Images of one part of the data: N names, (H, W) images as the microscope wrote them, (H, W) int32 labels."""

    names: list[str]
    images: list[np.ndarray]
    labels: list[np.ndarray]


@dataclass(frozen=True)
class Job:
    """What a script has to do.

    Attributes:
        data: folder made by `benchmarks.peers.data`.
        output: folder for the results, and for the peer's own files.
        minutes: time from the start of the script to the end of training.
        seed: of everything random.
        cores: threads to use.
        gpu: whether to use the GPU.
        words: further words for the training of cellflax.
    """

    data: Path
    output: Path
    minutes: float
    seed: int
    cores: int
    gpu: bool
    words: list[str]

    @classmethod
    def read(cls) -> "Job":
        """The job that the command line names."""
        given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        return cls(Path(given.pop("data")), Path(given.pop("output")), **given)

    def part(self, name: str) -> Part:
        """The images of `train`, `validation` or `test`."""
        names = json.loads((self.data / "split.json").read_text(encoding="utf-8"))[name]
        folder = self.data / ("test" if name == "test" else "train")
        images = [tifffile.imread(folder / "images" / f"{name}.tif") for name in names]
        labels = [tifffile.imread(folder / "labels" / f"{name}.tif").astype(np.int32) for name in names]
        return Part(names, images, labels)

    def classes(self, names: Sequence[str]) -> list[np.ndarray]:
        """(H, W) uint8 classes of training images: 0 not annotated, 1 edge, 2 interior, 3 background."""
        return [tifffile.imread(self.data / "classes" / f"{name}.tif") for name in names]

    @property
    def seconds_left(self) -> float:
        """Time that is left to train."""
        return 60 * self.minutes - elapsed_s()

    def write_labels(self, name: str, labels: np.ndarray) -> None:
        """Write the cells of a test image."""
        (self.output / LABELS).mkdir(exist_ok=True)
        tifffile.imwrite(self.output / LABELS / f"{name}.tif", labels.astype(np.uint32), compression="zlib")

    def segment(self, segment: Callable[[np.ndarray], np.ndarray]) -> float:
        """Segment the test images and write their labels.

        Args:
            segment: (H, W) image -> (H, W) labels.

        Returns:
            Seconds per image. The first image is segmented once before, because programs prepare themselves then.
        """
        test = self.part("test")
        segment(test.images[0])
        seconds = 0.0
        for name, image in zip(test.names, test.images, strict=True):
            began = time.perf_counter()
            labels = segment(image)
            seconds += time.perf_counter() - began
            self.write_labels(name, labels)
        return seconds / len(test.names)

    def finish(self, packages: Sequence[str], device: str, measured: dict[str, Any]) -> None:
        """Write what was measured: the last thing that a script does."""
        versions = {package: version(package) for package in packages}
        text = json.dumps({"versions": versions, "device": device, **measured}, indent=2)
        (self.output / MEASURED).write_text(text + "\n", encoding="utf-8")


def elapsed_s() -> float:
    """Seconds since the script began."""
    return time.perf_counter() - BEGAN
