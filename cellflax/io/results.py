"""Names of the files that commands write, and of the columns that several tables share.

`docs/outputs.md` says what each holds.
"""

from pathlib import Path

from cellflax.io.names import stem_of

# Files of several commands.
METRICS = "metrics.json"
OVERLAY = "overlay.png"
PROVENANCE = "provenance.json"
SUMMARY = "summary.json"
CELLS = "cells.csv"
ROC_TABLE, ROC_FIGURE = "roc.csv", "roc.png"

# predict
PARTIAL_CELLS = "cells.partial.csv"  # of a prediction that stopped early
LABELS, PROBABILITY, SEEDS = "labels", "probability", "seeds"  # kinds of images; so is UNCERTAINTY below

# evaluate
PER_CELL = "per_cell.csv"
F_SCORE_CURVE, F_SCORE_FIGURE = "f_score_curve.csv", "f_score.png"
UNCERTAINTY_TABLE = "uncertainty.csv"

# train, validate
CONFIG = "config.json"
METRICS_LOG = "metrics.jsonl"
TEST_SCORES, TEST_ROC = "test.json", "test_roc.npz"

# summarize
SETTINGS_TABLE, SETTINGS_PAGE, SETTINGS_FIGURE = "summary.csv", "summary.md", "summary.png"
RUNS_TABLE = "runs.csv"
TESTED_TABLE = "tested.csv"

# track
TRACKS, NODES, EDGES = "tracks.csv", "nodes.csv", "edges.csv"
CTC_TRACKS, CTC_TRUE_TRACKS = "res_track.txt", "man_track.txt"  # names of the Cell Tracking Challenge
TREE = "tree.png"

# quantify; its tables are written as CSV and as Parquet
CELLS_FIGURE = "cells.png"
GROWTH, GROWTH_TRACKS = "growth.csv", "growth_tracks.csv"
GROWTH_FIGURE, RATE_MAP = "growth.png", "rate_map.png"
KTR, KTR_FIGURE, RADIUS_FIGURE = "ktr.csv", "ktr.png", "ring_radius.png"
CELL_TYPES, SCORES_FIGURE = "cell_types.csv", "scores.png"

# annotate
REVIEW_TABLE, REVIEW_PAGE, REVIEW_PICTURES = "review.csv", "review.html", "review"
ILLUMINATION = "illumination"

# annotate, simulate: folders to train on
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


def result_file(name: str, kind: str) -> str:
    """Name of the image that `predict` writes for an input: `<name>_labels.tif` for the kind `LABELS`."""
    return f"{name}_{kind}.tif"


def input_name(path: Path, kind: str = LABELS) -> str:
    """Name of the input that an image of `predict` belongs to; for any other image, the stem of its file."""
    return stem_of(path).removesuffix(f"_{kind}")
