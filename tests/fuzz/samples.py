"""Small valid inputs of every kind that cellflax reads."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from cellflax.io.images import write_labels
from cellflax.metrics.roc import N_BINS
from tests.conversion.keras1_files import BATCH_NORM, DROPOUT, Published

RUN = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "finished"
SHAPE = (24, 20)
_RNG = np.random.default_rng(0)
PIXELS = _RNG.integers(100, 4000, SHAPE).astype(np.uint16)
THREE = _RNG.integers(0, 255, (3, *SHAPE)).astype(np.uint16)
RGB = _RNG.integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
LABELS = np.pad(np.kron(np.arange(1, 7).reshape(3, 2), np.ones((5, 6), int)), ((4, 5), (4, 4)))


def tiff(pixels: np.ndarray, **options: Any) -> Callable[[Path], None]:
    """A maker of `image.tif`."""
    given = {"photometric": "minisblack", **options}
    return lambda folder: tifffile.imwrite(folder / "image.tif", pixels, **given)


def png(pixels: np.ndarray, mode: str | None = None) -> Callable[[Path], None]:
    """A maker of `image.png`, in a mode of Pillow."""

    def make(folder: Path) -> None:
        picture = Image.fromarray(pixels)
        (picture if mode is None else picture.quantize(16)).save(folder / "image.png")

    return make


def ics(version: int, packed: bool = False) -> Callable[[Path], None]:
    """A maker of `image.ics`, in version 1 with `image.ids`."""

    def make(folder: Path) -> None:
        header = (
            f"\t\nics_version\t{version}.0\nfilename\timage\nlayout\tparameters\t3\nlayout\torder\tbits\tx\ty\n"
            f"layout\tsizes\t16\t{SHAPE[1]}\t{SHAPE[0]}\nlayout\tsignificant_bits\t16\n"
            "representation\tformat\tinteger\nrepresentation\tsign\tunsigned\nrepresentation\tbyte_order\t1\t2\n"
            f"representation\tcompression\t{'gzip' if packed else 'uncompressed'}\n"
            "parameter\tscale\t1\t0.5\t0.5\nparameter\tunits\tbits\tum\tum\nend\n"
        )
        packer = zlib.compressobj(9, wbits=31)
        pixels = packer.compress(PIXELS.tobytes()) + packer.flush() if packed else PIXELS.tobytes()
        (folder / "image.ics").write_bytes(header.encode() + (pixels if version == 2 else b""))
        if version == 1:
            (folder / "image.ids").write_bytes(pixels)

    return make


def predicted(folder: Path) -> None:
    """What `cellflax.predict` leaves, in short."""
    write_labels(folder / "a_labels.tif", LABELS, 0.5)
    rows = "".join(f"a,{label},{label / 7:.3f},0.5,NIH3T3\n" for label in range(1, 7))
    (folder / "cells.csv").write_text(f"image,label,uncertainty,score_nih3t3,cell_type\n{rows}")
    content = {
        "cellflax": "1",
        "simulated": True,
        "files": ["a_labels.tif", "cells.csv"],
        "input": "a",
        "images": {"a": {}},
    }
    (folder / "provenance.json").write_text(json.dumps(content, indent=2))


def tracked(folder: Path) -> None:
    """What `cellflax.track` leaves, in short."""
    import pandas as pd

    labels = np.stack([np.where(7 - t > LABELS, LABELS, 0) for t in range(3)]).astype(np.int32)
    lives = [[track, 0, min(2, 6 - track), 0] for track in range(1, 7)]
    from cellflax.tracking.ctc import TrackedMovie

    table = pd.DataFrame(lives, columns=["track", "begin", "end", "parent"])
    for name, text in ctc_files(TrackedMovie(labels, table)).items():
        text(folder / name)
    rows = [(t, 60.0 * t, label) for t in range(3) for label in range(1, 7 - t)]
    (folder / "tracks.csv").write_text("frame,time_s,track\n" + "".join(f"{t},{s},{label}\n" for t, s, label in rows))
    said = {"pixel_size_um": 0.5, "first_number": 0, "number_step": 1, "missing_frames": [], "n_tracks": 6}
    (folder / "summary.json").write_text(json.dumps(said, indent=2))


def ctc_files(movie: Any, table: str = "res_track.txt", mask: str = "mask") -> dict[str, Callable[[Path], Any]]:
    """Writers of the files of a Cell Tracking Challenge folder, by name."""
    text = "".join(f"{' '.join(map(str, row))}\n" for row in movie.tracks.itertuples(index=False))
    masks = {
        f"{mask}{t:03}.tif": lambda path, labels=labels: tifffile.imwrite(path, labels.astype(np.uint16))
        for t, labels in enumerate(movie.labels)
    }
    return {table: lambda path: path.write_text(text), **masks}


def truth(folder: Path) -> None:
    """What `cellflax.simulate` leaves of a movie's truth."""
    import pandas as pd

    from cellflax.tracking.ctc import TrackedMovie

    (folder / "labels").mkdir()
    table = pd.DataFrame([[track, 0, 1, 0] for track in range(1, 7)], columns=["track", "begin", "end", "parent"])
    for name, write in ctc_files(TrackedMovie(np.stack([LABELS, LABELS]), table), "man_track.txt", "man_track").items():
        write(folder / "labels" / name)
    rows = "".join(f"{t},{label},{1 + label / 10}\n" for t in range(2) for label in range(1, 7))
    (folder / "truth.csv").write_text(f"frame,track,length_um\n{rows}")


def annotated(folder: Path) -> None:
    """What `cellflax.annotate` leaves, in short."""
    for name in ("images", "labels", "nuclei"):
        (folder / name).mkdir()
    (folder / "images" / "SIMULATED.txt").write_text("simulated by cellflax\n")
    sites = {}
    for site in ("A1", "A2"):
        tifffile.imwrite(folder / "images" / f"{site}_dapi.tif", PIXELS)
        for name in ("labels", "nuclei"):
            write_labels(folder / name / f"{site}.tif", LABELS)
        sites[site] = {"images": [{"file": f"{site}_dapi.tif", "channel": "dapi", "plane": None, "z_um": None}]}
    (folder / "review.csv").write_text("site,accept,n_cells\nA1,yes,6\nA2,no,6\n")
    (folder / "provenance.json").write_text(json.dumps({"cellflax": "1", "sites": sites}, indent=2))


def finished_run(folder: Path) -> None:
    """A run directory of `cellflax.train`, with scores of a test part."""
    shutil.copytree(RUN, folder / "run")
    metrics = {"images": 1, "n_reference": 6, "n_predicted": 6, "sm": 0.5, "jaccard_index": 0.8, "cells_auc": 0.9}
    test = {
        "cellflax": "1",
        "step": 60,
        "settings": {"refine": {"kind": "threshold"}, "test_time_augmentation": 1, "sm_k": 0.6},
        "pooled": metrics,
        "data_sets": {"mine": metrics},
        "images": {"a": {"data_set": "mine", **metrics}},
    }
    (folder / "run" / "test.json").write_text(json.dumps(test, indent=2))
    counts = np.zeros(N_BINS, np.int64)
    counts[[3, N_BINS - 3]] = 7
    np.savez_compressed(folder / "run" / "test_roc.npz", cells_positive=counts, cells_negative=counts[::-1])
    (folder / "run" / "wandb_id.txt").write_text("0123456789ab\n")


def published(release: str | None) -> Callable[[Path], None]:
    """A maker of `network.h5`, as Keras 1 wrote it."""
    layers = BATCH_NORM if release else DROPOUT
    return lambda folder: Published(layers, release=release).write(folder / "network.h5") and None


def experiment(folder: Path) -> None:
    """An experiment of a user, for --config-dir."""
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n# My cells.\ndefaults:\n  - override /model: patch_net_31\n  - override /data: folder\n"
        "  - override /refine: watershed\n  - _self_\n\nname: mine\nseed: 3\ndata:\n  root: /nowhere\n"
        "model:\n  stages:\n    - {kernels: [4], filters: [8]}\n    - {kernels: [3], filters: [8]}\n  dense: [32]\n"
        "trainer:\n  steps: 100\n  max_minutes: 1.5\nrefine: {min_area_px: 20}\nlogger: {tags: [a, b]}\n"
    )
