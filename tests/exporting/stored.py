"""Directories as `cellflax.predict` leaves them, without a training."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from cellflax.io.images import write_image, write_labels
from cellflax.io.label_movie_file import LabelMovieWriter
from cellflax.io.movie_time import TimeAxis
from cellflax.measure.cells import cell_table
from tests.exporting.drawing import hard_cells

STILL = "a b%20é#1"
MOVIE = [hard_cells() % 70_001, np.zeros((60, 80), np.int32), hard_cells()[::-1].copy() % 70_001]


def write_predicted(folder: Path) -> Path:
    """A prediction of an image of unknown pixel size and of a movie of known size and times; the images beside it."""
    images, output = folder / "images", folder / "predicted"
    images.mkdir(parents=True)
    output.mkdir()
    labels = hard_cells()
    write_image(images / f"{STILL}.tif", (labels % 251).astype(np.uint8))
    frames = np.stack([frame % 199 for frame in MOVIE]).astype(np.uint8)
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "TimeIncrement": 60.0}
    tifffile.imwrite(images / "movie.ome.tif", frames, ome=True, metadata=metadata)
    write_labels(output / f"{STILL}_labels.tif", labels)
    with LabelMovieWriter(output / "movie_labels.tif", TimeAxis(3, 60.0 * np.arange(3)), 0.5) as writer:
        for frame in MOVIE:
            writer.write(frame)
    tables = [cell_table(labels).assign(image=STILL)]
    tables += [cell_table(frame).assign(image="movie", frame=t) for t, frame in enumerate(MOVIE)]
    pd.concat([table for table in tables if len(table)]).to_csv(output / "cells.csv", index=False)
    record = {
        "cellflax": "0",
        "command": "predict",
        "complete": True,
        "simulated": True,
        "images": [STILL, "movie"],
        "files": [f"{STILL}_labels.tif", "cells.csv", "movie_labels.tif"],
        "settings": {"input": str(images), "channels": [], "scene": None, "z": None, "time_axis": "T"},
    }
    (output / "provenance.json").write_text(json.dumps(record))
    return output
