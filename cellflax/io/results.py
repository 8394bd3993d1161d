"""Names of the files that commands write, and of the columns that several tables share.

`docs/reference/outputs.md` says what each holds.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.names import stem_of

# Files of several commands.
METRICS = "metrics.json"
OVERLAY = "overlay.png"
PROVENANCE = "provenance.json"
SUMMARY = "summary.json"
CELLS = "cells.csv"
REPORT = "report.html"
ROC_TABLE, ROC_FIGURE = "roc.csv", "roc.png"

# Of each command that writes to a directory, the record that lists its files there: commands can share a directory.
RECORDS = {"predict": PROVENANCE, "annotate": PROVENANCE} | {
    command: f"provenance.{command}.json"
    for command in ("plan", "evaluate", "track", "quantify", "simulate", "export", "convert", "summarize", "correct")
}


def report_of(command: str) -> str:
    """Name of a command's report where another command's `report.html` is, as in a run that `validate` looks at."""
    return f"report.{command}.html"


VALIDATION_REPORT = report_of("validate")  # in a run directory

# predict
PARTIAL_CELLS = "cells.partial.csv"  # of a prediction that stopped early
LABELS_ZARR = "labels.zarr"  # kind of the labels of an image that is larger than memory
LABELS, PROBABILITY, SEEDS = "labels", "probability", "seeds"  # kinds of images; so is UNCERTAINTY below

# evaluate
PER_CELL = "per_cell.csv"
F_SCORE_CURVE, F_SCORE_FIGURE = "f_score_curve.csv", "f_score.png"
UNCERTAINTY_TABLE = "uncertainty.csv"
RELIABILITY_TABLE, RELIABILITY_FIGURE = "reliability.csv", "reliability.png"

# train, validate
CONFIG = "config.json"
PLAN = "plan"  # folder of the plan in a run
METRICS_LOG = "metrics.jsonl"
WANDB_ID = "wandb_id.txt"
TEST_SCORES, TEST_ROC = "test.json", "test_roc.npz"
TUNING = "tuning.csv"
CALIBRATION_TABLE, CALIBRATION_FIGURE = "calibration.csv", "calibration.png"
# What a person should know after a training.
GUIDANCE, GUIDANCE_PAGE = "guidance.json", "guidance.md"
SUSPECTS_TABLE, SUSPECTS_FIGURE = "suspects.csv", "suspects.png"
IMAGES_TABLE = "images.csv"
LEARNING_FOLDER = "learning_curve"
LEARNING_TABLE, LEARNING_FIGURE = "learning_curve.csv", "learning_curve.png"

# summarize
SETTINGS_TABLE, SETTINGS_PAGE, SETTINGS_FIGURE = "summary.csv", "summary.md", "summary.png"
RUNS_TABLE = "runs.csv"
TESTED_TABLE = "tested.csv"

# track
TRACKS, NODES, EDGES = "tracks.csv", "nodes.csv", "edges.csv"
CTC_TRACKS, CTC_TRUE_TRACKS = "res_track.txt", "man_track.txt"  # names of the Cell Tracking Challenge
TREE = "tree.png"

# Folders of exports in further formats.
EXPORT_FOLDERS = ROIS_FOLDER, GEOJSON_FOLDER, OME_ZARR_FOLDER = "rois", "geojson", "ome_zarr"

# quantify
CELLS_FIGURE = "cells.png"
GROWTH, GROWTH_TRACKS = "growth.csv", "growth_tracks.csv"
GROWTH_FIGURE, RATE_MAP = "growth.png", "rate_map.png"
KTR, KTR_FIGURE, RADIUS_FIGURE = "ktr.csv", "ktr.png", "ring_radius.png"
CELL_TYPES, SCORES_FIGURE = "cell_types.csv", "scores.png"

# annotate
REVIEW_TABLE, REVIEW_PICTURES = "review.csv", "review"
ILLUMINATION = "illumination"

# correct
CORRECTION_TABLE, UNCERTAIN_CELLS = "to_correct.csv", "uncertain_cells.csv"

# annotate, correct, simulate: folders to train on
TRAINING_FOLDERS = IMAGE_FOLDER, LABEL_FOLDER, NUCLEUS_FOLDER = "images", "labels", "nuclei"
TRUTH = "truth.csv"

# Columns.
IMAGE = "image"
FRAME = "frame"
TIME_S = "time_s"
LABEL = "label"
TRACK = "track"
PARENT = "parent"
GENERATION = "generation"
CELL_TYPE = "cell_type"
SCORE_PREFIX = "score_"  # followed by a cell type
UNCERTAINTY = "uncertainty"
# Probability that a cell is right, which means that it has a partner among the true cells at this IoU; in rising order.
RIGHT = {"probability_iou50": 0.5, "probability_iou80": 0.8}


_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_MAX_BYTES = 200  # of 255 that a file system takes: the rest is for other parts of the name and its suffix


def safe_name(name: str, what: str) -> str:
    """A name from a file or a pattern as part of a file name, so that it never becomes a path.

    Separators and characters that a file system refuses become `_`: `DAPI/405` is `DAPI_405`. Every name of a
    channel, well, site, plane or scene goes through here before it becomes part of a path.

    Args:
        name: as the file has it.
        what: what it names, for the error: `channel`.

    Raises:
        UserError: if nothing that names a file is left, or it is too long for one.
    """
    safe = _UNSAFE.sub("_", name).strip()
    if not safe.strip("._ "):
        raise UserError(f"{what} {name!r}: cannot be part of a file name; rename it")
    if len(safe.encode("utf-8", "replace")) > _MAX_BYTES:
        raise UserError(f"{what} {safe[:40]}...: too long for a file name; give it at most {_MAX_BYTES} characters")
    return safe


def safe_names(names: Iterable[str], what: str) -> dict[str, str]:
    """`safe_name` of each name.

    Raises:
        UserError: as `safe_name`, and if two names become one.
    """
    safe: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        safe[name] = safe_name(name, what)
        other = taken.setdefault(safe[name].casefold(), name)
        if other != name:
            raise UserError(f"{what}s {other!r} and {name!r}: files of both would be named {safe[name]}; rename one")
    return safe


def result_file(name: str, kind: str) -> str:
    """Name of the image that `predict` writes for an input: `<name>_labels.tif` for the kind `LABELS`.

    Raises:
        UserError: if the name is a path. It is not made safe here, because `cells.csv` has the same name.
    """
    if "/" in name or "\0" in name:  # names are made of files' names, or by `safe_name`
        raise UserError(f"image {name!r}: cannot be part of a file name; rename it")
    return f"{name}_{kind}.tif"


def input_name(path: Path, kind: str = LABELS) -> str:
    """Name of the input that an image of `predict` belongs to; for any other image, the stem of its file."""
    return stem_of(path).removesuffix(f"_{kind}")
