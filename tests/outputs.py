"""What small runs of all commands leave, for tests of all files that are written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from cellflax import (
    annotate,
    convert,
    correct,
    evaluate,
    export,
    gather,
    plan,
    predict,
    quantify,
    simulate,
    summarize,
    track,
    validate,
)
from cellflax.data.example import Example
from cellflax.evaluation.part_scores import PartScores
from cellflax.io import results
from tests.commands import run_command
from tests.conversion.keras1_files import BATCH_NORM, Published
from tests.run_directories import write_run

COMMANDS = (
    *("plan", "train", "predict", "validate", "evaluate", "track"),
    *("quantify", "annotate", "simulate", "export", "convert", "summarize", "correct"),
)


class Outputs:
    """Directories that commands wrote to, by command."""

    def __init__(self, root: Path):
        self.root = root
        self.directories: dict[str, list[Path]] = {name: [] for name in COMMANDS}

    def run(self, command: str, main: Callable[[], None], name: str, *arguments: object) -> Path:
        """Run a command in the folder `name`."""
        output = self.root / name
        result = run_command(main, f"output={output}", *arguments)
        assert result.status == 0, result.err
        self.directories[command].append(output)
        return output


def make_outputs(trained: Path, fields: Path, root: Path) -> Outputs:
    """What one command after another leaves."""
    made = Outputs(root)
    made.directories["train"] += [trained, _guided(trained, root / "guided")]
    made.directories["simulate"].append(fields)
    made.run("plan", plan.main, "plan", f"data.root={fields}", "data.channels=[phase,nuclear]")
    predicted = made.run(
        "predict", predict.main, "predicted", f"checkpoint={trained}", f"input={fields}/images",
        "channels=[phase,nuclear]", "save_probability=true", "test_time_augmentation=4", "refine=watershed",
        "refine.interior=0.3", f"nuclei_checkpoint={trained}", "export=[rois,geojson,ome_zarr,anndata]",
    )  # fmt: skip
    plate = made.run(
        "predict", predict.main, "plate", f"checkpoint={trained}", f"input={fields}/images", "channels=[phase,nuclear]",
        "-m", "shards=2", "shard=0,1",
    )  # fmt: skip
    assert run_command(gather.main, f"output={plate}").status == 0
    made.run(
        "evaluate", evaluate.main, "scores", f"predicted={predicted}/*_labels.tif", f"reference={fields}/labels",
        f"+references.manual={fields}/labels",
    )  # fmt: skip
    made.run("correct", correct.main, "corrected", f"predictions={predicted}")
    _quantify_types(made, predicted, fields)
    _follow_a_colony(made)
    _measure_a_reporter(made)
    annotated = made.run(
        "annotate", annotate.main, "annotated", f"input={fields}/images", "pattern=field_{site}_{channel}.tif",
        "nuclear=nuclear", "images=[phase]", "save_illumination=true", "pixel_size_um=1.3",
    )  # fmt: skip
    table = pd.read_csv(annotated / results.REVIEW_TABLE, dtype=str)
    table.assign(accept="yes").to_csv(annotated / results.REVIEW_TABLE, index=False)
    made.run("annotate", annotate.main, "accepted", f"review={annotated / results.REVIEW_TABLE}")
    _tested_runs(made)
    _tune(made, trained)
    published = Published(BATCH_NORM, classes=3).write(root / "published.h5")
    made.run("export", export.main, "network", f"checkpoint={trained}", "format=stablehlo", "tile=64")
    made.run("convert", convert.main, "converted", f"source={published}")
    return made


def _guided(trained: Path, run: Path) -> Path:
    """The run with guidance, as `train guide=true` leaves it."""
    shutil.copytree(trained, run)
    result = run_command(validate.main, f"checkpoint={run}", "guide=true")
    assert result.status == 0, result.err
    return run


def _quantify_types(made: Outputs, predicted: Path, fields: Path) -> None:
    """Cells of two types, with a marker for each."""
    folder = made.root / "types"
    shutil.copytree(predicted, folder)
    cells = pd.read_csv(folder / results.CELLS)
    score = np.where(cells[results.LABEL] % 2, 0.9, 0.2)
    kind = np.where(score > 0.5, "a", "b")
    cells.assign(cell_type=kind, score_a=score, score_b=1 - score).to_csv(folder / results.CELLS, index=False)
    for name in ("a", "b"):
        (made.root / f"marker_{name}").mkdir()
    for file in (fields / "nuclei").glob("*.tif"):
        nuclei = tifffile.imread(file)
        for odd, name in enumerate(("a", "b")):
            noise = np.random.default_rng(odd).normal(300, 5, nuclei.shape)
            light = noise + 2000 * ((nuclei > 0) & (nuclei % 2 == odd))
            tifffile.imwrite(made.root / f"marker_{name}/{file.stem}_{name}.tif", light.astype(np.float32))
    made.run("quantify", quantify.main, "cells", "method=cells", f"predicted={folder}/*_labels.tif",
             f"image={fields}/images/*phase.tif")  # fmt: skip
    markers = (f"+cell_type.markers.{name}={made.root}/marker_{name}" for name in ("a", "b"))
    made.run("quantify", quantify.main, "typed", "method=cell_type", f"predicted={folder}/*_labels.tif",
             f"nuclei={fields}/nuclei", *markers)  # fmt: skip


def _follow_a_colony(made: Outputs) -> None:
    size = ("colony.height=160", "colony.width=160", "colony.frames=5", "colony.frame_interval_s=360")
    colony = made.run("simulate", simulate.main, "colony", "specimen=colony", "fields=1", *size) / "movie_0001"
    tracks = made.run(
        "track", track.main, "tracks", f"input={colony}/labels", f"images={colony}/images", "frame_interval_s=360",
        f"reference={colony}/labels", "export=[rois,geojson,ome_zarr,anndata,geff,trackmate]",
    )  # fmt: skip
    made.run(
        "export", export.main, "exported", f"input={tracks}", "format=[rois,geojson,ome_zarr,anndata,geff,trackmate]"
    )
    made.run("export", export.main, "exported_cells", f"input={made.root}/predicted", "format=[geojson]")
    made.run("quantify", quantify.main, "growth", "method=growth", f"tracks={tracks}", f"truth={colony}")
    made.run("quantify", quantify.main, "growth_per_frame", "method=growth", f"tracks={colony}/labels",
             "export=[anndata]")  # fmt: skip
    made.run("quantify", quantify.main, "cells_of_tracks", "method=cells", f"tracks={tracks}")


def _measure_a_reporter(made: Outputs) -> None:
    size = ("migration.height=128", "migration.width=128", "migration.frames=3")
    movie = made.run("simulate", simulate.main, "migration", "specimen=migration", "fields=1", *size) / "movie_0001"
    images = ("method=ktr", f"nuclei={movie}/nuclei", f"reporter={movie}/images/*reporter.tif", "ktr.ring_px=[5,10]")
    tracked = (f"tracks={movie}/labels", f"truth={movie}", "frame_interval_s=300")
    made.run("quantify", quantify.main, "ktr", *images, *tracked)
    made.run("quantify", quantify.main, "ktr_of_cells", *images, f"predicted={movie}/labels")


def _tested_runs(made: Outputs) -> None:
    """Runs with a test part; `train` and `validate part=test` write it by the same class."""
    for fold in (0, 1):
        config = {"data__folds": 2, "data__fold": fold, "data__test_sets": [], "loss__l2": 0.1 * fold}
        run = write_run(made.root / "runs" / str(fold), **config)
        cells = np.zeros((8, 8), np.int32)
        cells[2:6, 2:6] = 1
        probability = np.stack([cells == 0, cells > 0], axis=-1).astype(np.float32)
        scores = PartScores(("background", "nucleus"))
        scores.add(Example(f"a{fold}", probability, cells, cells, nuclei=cells, data_set="a"), cells, probability)
        tested = made.root / "tested" / str(fold)
        tested.mkdir(parents=True)
        scores.save(tested, {"cellflax": "0", "step": 20, "settings": {"refine": {"kind": "threshold"}}})
        made.directories["validate"].append(tested)
        shutil.copytree(tested, run, dirs_exist_ok=True)
    made.run("summarize", summarize.main, "summary", made.root / "runs")


def _tune(made: Outputs, trained: Path) -> None:
    """The table that `train` and `validate` write when they tune."""
    run, alone = made.root / "to_tune", made.root / "tuning"
    shutil.copytree(trained, run)
    result = run_command(validate.main, f"checkpoint={run}", "tune=true", "tuner.evaluations=4")
    assert result.status == 0, result.err
    alone.mkdir()
    shutil.copy(run / results.TUNING, alone)
    made.directories["validate"].append(alone)
    shutil.copy(run / results.VALIDATION_REPORT, alone)
