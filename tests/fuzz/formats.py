"""The table of what cellflax reads: a valid sample of each, which of its files are damaged and how, and its readers.

To add a format, add a line to `FORMATS`. Its sample is made in a folder of its own; its readers get this folder and
read it as the commands do. A reader returns nothing, or the reason why a command would leave the input out.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.fuzz import mutate, pictures, samples, texts, vendors
from tests.fuzz.hdf5 import HDF5
from tests.fuzz.mutate import BYTES, PLACES, Mutation
from tests.fuzz.readers import (
    Read,
    annotated,
    checkpoint,
    checkpoints,
    earlier_results,
    experiment,
    image,
    label_movie,
    labels,
    network,
    outlines,
    predicted,
    resumed,
    summarized,
    tracked,
    truth,
)


@dataclass(frozen=True)
class Format:
    """One kind of input.

    Attributes:
        name: for the table of results.
        make: writes a valid sample into a folder.
        damaged: patterns of its files, one of which is damaged at a time.
        read: the readers; each must end well or in one line.
        mutations: that know the structure of the files. Bytes are damaged in all formats.
        by_key: whether an error may name a key of the file instead of the file.
    """

    name: str
    make: Callable[[Path], None]
    damaged: tuple[str, ...]
    read: tuple[Read, ...]
    mutations: tuple[Mutation, ...] = ()
    by_key: bool = False

    def damage(self, rng: random.Random, folder: Path) -> tuple[Path, str]:
        """Damage one file of a sample, once or twice; returns the file, and what was done."""
        files = sorted({path for pattern in self.damaged for path in folder.glob(pattern) if path.is_file()})
        path = rng.choice(files)
        said = []
        for _ in range(rng.choice((1, 1, 1, 2))):
            kind = rng.random()
            group = PLACES if kind > 0.95 else BYTES if kind > 0.6 or not self.mutations else self.mutations
            try:
                said.append(rng.choice(group)(rng, path))
            except Exception as error:  # the first damage can leave nothing that the second understands
                said.append(f"no further damage ({type(error).__name__})")
            if group is PLACES:
                break
        return path, "; ".join(said)


def _images(name: str) -> tuple[Read, ...]:
    return image(name), labels(name)


_SEVERAL = (image("image.tif"),)
_MOVIE = (image("image.tif"), label_movie)
_MOVIE_PIXELS = np.stack([samples.PIXELS + t for t in range(4)])
_OME = {"ome": True, "resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
_UM = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
_MOVIE_OME = {"axes": "TYX", "TimeIncrement": 60.0, "TimeIncrementUnit": "s", "Plane": {"DeltaT": [0.0, 1.0, 2.0, 3.0]}}
_CHANNELS_OME = {"axes": "CYX", "Channel": {"Name": ["dapi", "phase", "gfp"]}, **_UM}
_IMAGEJ = {"axes": "CYX", "unit": "um", "spacing": 1.0, "Labels": ["a", "b", "c"]}
_Z_OME = {"axes": "ZYX", "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm", **_UM}


def _tiff(name: str, pixels: np.ndarray, read: tuple[Read, ...] = _images("image.tif"), **options: object) -> Format:
    make = samples.tiff(pixels, **options)
    return Format(f"TIFF, {name}", make, ("image.tif",), read, pictures.TIFF)


def _png(name: str, make: Callable[[Path], None], read: tuple[Read, ...] = _images("image.png")) -> Format:
    return Format(f"PNG, {name}", make, ("image.png",), read, pictures.PNG)


def _ics(name: str, make: Callable[[Path], None]) -> Format:
    return Format(f"ICS, {name}", make, ("image.ics", "image.ics", "image.id?"), _images("image.ics"), _ICS)


def _header(mutation: Mutation) -> Mutation:
    """A mutation of text for the header of an ICS file, which other bytes may follow."""

    def change(rng: random.Random, path: Path) -> str:
        content = path.read_bytes()
        header, end, pixels = content.partition(b"\nend\n")
        if not end:
            return mutate.flip_bits(rng, path)
        path.write_bytes(header)
        said = mutation(rng, path)
        path.write_bytes(path.read_bytes() + end + pixels)
        return said

    return change


_ICS = tuple(_header(one) for one in (texts.number, texts.number, texts.junk, texts.lines))
_RECORDS = (*texts.JSON, mutate.gigabytes)
_TABLES = (*texts.TABLE, mutate.gigabytes)
_TEXTS = (*texts.TEXT, mutate.gigabytes)
_YAMLS = (*texts.YAML, mutate.gigabytes)
_NPZ = (mutate.gigabytes, *BYTES)
_STORED = ("run/checkpoints/*/_CHECKPOINT_METADATA", "run/checkpoints/*/state/**/*")

# One line for each format: add new ones here.
_ZARR_JSON = ("image.zarr/zarr.json", "image.zarr/.zattrs", "image.zarr/0/zarr.json", "image.zarr/0/.zarray")
FORMATS: tuple[Format, ...] = (
    _tiff("grey", samples.PIXELS),
    _tiff("big-endian", samples.PIXELS, byteorder=">"),
    _tiff("colours", samples.RGB, _SEVERAL, photometric="rgb"),
    _tiff("float", samples.PIXELS.astype(np.float32), compression="zlib", predictor=3),
    _tiff("labels", samples.LABELS.astype(np.uint16), compression="zlib"),
    _tiff("tiles", samples.PIXELS, tile=(16, 16), compression="zlib"),
    _tiff("LZW", samples.PIXELS, compression="lzw", rowsperstrip=8, predictor=2),
    _tiff("PackBits", samples.PIXELS, compression="packbits"),
    _tiff("JPEG", samples.RGB, _SEVERAL, compression="jpeg", photometric="rgb"),
    _tiff("BigTIFF", samples.PIXELS, bigtiff=True),
    _tiff("ImageJ", samples.THREE, _SEVERAL, imagej=True, metadata=_IMAGEJ, resolution=(2, 2)),
    _tiff("ImageJ movie", _MOVIE_PIXELS, _MOVIE, imagej=True, metadata={"axes": "TYX", "finterval": 60.0}),
    _tiff("OME", samples.THREE, _SEVERAL, **_OME, metadata=_CHANNELS_OME),
    _tiff("OME stack", samples.THREE, _SEVERAL, **_OME, metadata=_Z_OME),
    _tiff("OME movie", _MOVIE_PIXELS, _MOVIE, **_OME, metadata=_MOVIE_OME, compression="zlib"),
    _tiff("movie", _MOVIE_PIXELS, _MOVIE, metadata={"axes": "TYX"}),
    _png("grey", samples.png(samples.PIXELS.astype(np.uint8))),
    _png("16 bits", samples.png(samples.PIXELS)),
    _png("colours", samples.png(samples.RGB), (image("image.png"),)),
    _png("indexed", samples.png(samples.RGB, "P")),
    _ics("version 1", samples.ics(1)),
    _ics("version 2", samples.ics(2)),
    _ics("gzip", samples.ics(2, packed=True)),
    Format("NPY, grey", samples.npy(samples.PIXELS), ("image.npy",), _images("image.npy")),
    Format("NPY, movie", samples.npy(_MOVIE_PIXELS), ("image.npy",), (image("image.npy"),)),
    Format("JPEG, grey", samples.jpeg(samples.PIXELS.astype(np.uint8)), ("image.jpg",), (image("image.jpg"),)),
    Format("JPEG, colours", samples.jpeg(samples.RGB, progressive=True), ("image.jpg",), (image("image.jpg"),)),
    Format("OME-Zarr 0.4, metadata", samples.ome_zarr("0.4"), _ZARR_JSON, (image("image.zarr"),), _RECORDS),
    Format("OME-Zarr 0.5, metadata", samples.ome_zarr("0.5"), _ZARR_JSON, (image("image.zarr"),), _RECORDS),
    Format("OME-Zarr 0.4, chunks", samples.ome_zarr("0.4"), ("image.zarr/0/[0-9]*",), (image("image.zarr"),)),
    Format("OME-Zarr 0.5, chunks", samples.ome_zarr("0.5"), ("image.zarr/0/c/*/*/*",), (image("image.zarr"),)),
    Format("CZI", vendors.czi, ("image.czi",), (image("image.czi"),)),
    Format("ND2", vendors.nd2, ("image.nd2",), (image("image.nd2"),)),
    Format("LIF", vendors.lif, ("image.lif",), (image("image.lif"),)),
    Format("STK", vendors.stk, ("image.stk",), (image("image.stk"),), pictures.TIFF),
    Format("LSM", vendors.lsm, ("image.lsm",), (image("image.lsm"),), pictures.TIFF),
    Format("ROI zip", vendors.rois, ("outlines.zip",), (outlines("outlines.zip"),)),
    Format("ROI", vendors.roi, ("outline.roi",), (outlines("outline.roi"),)),
    Format("GeoJSON", vendors.geojson, ("outlines.geojson",), (outlines("outlines.geojson"),), _RECORDS),
    Format("table of cells", samples.predicted, ("cells.csv",), (predicted,), _TABLES),
    Format("record of predictions", samples.predicted, ("provenance.json",), (predicted, earlier_results), _RECORDS),
    Format("table of tracks", samples.tracked, ("tracks.csv",), (tracked,), _TABLES),
    Format("summary of tracks", samples.tracked, ("summary.json",), (tracked,), _RECORDS),
    Format("res_track.txt", samples.tracked, ("res_track.txt",), (tracked,), _TEXTS),
    Format("masks of tracks", samples.tracked, ("mask00?.tif",), (tracked,), pictures.TIFF),
    Format("table of truth", samples.truth, ("truth.csv",), (truth,), _TABLES),
    Format("man_track.txt", samples.truth, ("labels/man_track.txt",), (truth,), _TEXTS),
    Format("table of a review", samples.annotated, ("review.csv",), (annotated,), _TABLES),
    Format("record of annotation", samples.annotated, ("provenance.json",), (annotated,), _RECORDS),
    Format("note on simulation", samples.annotated, ("images/SIMULATED.txt",), (annotated,), _TEXTS),
    Format("config.json", samples.finished_run, ("run/config.json",), (summarized, resumed), _RECORDS),
    Format("metrics.jsonl", samples.finished_run, ("run/metrics.jsonl",), (summarized, resumed), _RECORDS),
    Format("summary.json", samples.finished_run, ("run/summary.json",), (summarized,), _RECORDS),
    Format("test.json", samples.finished_run, ("run/test.json",), (summarized,), _RECORDS),
    Format("test_roc.npz", samples.finished_run, ("run/test_roc.npz",), (summarized,), _NPZ),
    Format("wandb_id.txt", samples.finished_run, ("run/wandb_id.txt",), (resumed,), _TEXTS),
    Format("checkpoint record", samples.finished_run, _STORED[:1], (checkpoint, checkpoints), _RECORDS),
    Format("checkpoint arrays", samples.finished_run, _STORED[1:], (checkpoint,), _NPZ),
    Format("Keras weights", samples.published(None), ("network.h5",), (network,), HDF5),
    Format("Keras model", samples.published("1.2.2"), ("network.h5",), (network,), HDF5),
    Format("experiment", samples.experiment, ("experiment/mine.yaml",), (experiment,), _YAMLS, by_key=True),
)  # fmt: skip
BY_NAME = {one.name: one for one in FORMATS}
