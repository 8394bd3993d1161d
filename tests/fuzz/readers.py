"""Readers of damaged inputs: each gets the folder of a sample and reads it as the commands do.

A reader returns nothing, or the reason why a command would leave the input out.
"""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from cellflax.errors import UserError
from tests.fuzz import samples

Read = Callable[[Path], str | None]

_MOST_FRAMES = 8


def image(name: str) -> Read:
    """As `predict` reads an image or a movie."""

    def read(folder: Path) -> None:
        from cellflax.io.files import group_channels, list_files
        from cellflax.io.frames import open_frames

        for files in group_channels(list_files(folder / name)):
            with open_frames(files) as frames:
                for t in range(min(frames.count, _MOST_FRAMES)):
                    frames.read(t)

    return read


def labels(name: str) -> Read:
    """As `evaluate` and `train` read labels."""

    def read(folder: Path) -> None:
        from cellflax.io.images import read_labels

        read_labels(folder / name)

    return read


def outlines(name: str) -> Read:
    """As `train` and `evaluate` read outlines."""

    def read(folder: Path) -> None:
        from cellflax.io.images import read_labels

        read_labels(folder / name, samples.SHAPE)

    return read


def label_movie(folder: Path) -> None:
    """As `track` reads labels."""
    from cellflax.io.movies import read_label_movie

    read_label_movie(str(folder / "image.tif"))


def predicted(folder: Path) -> None:
    """As `quantify` and `evaluate` read what `predict` wrote."""
    from cellflax.io.predictions import find_predictions, from_simulated_training
    from cellflax.quantification.recording import predicted_recording

    from_simulated_training(folder)
    for prediction in find_predictions(str(folder)).values():
        prediction.read_labels()
    recording = predicted_recording(str(folder), None)
    for i in range(len(recording.frames)):
        recording.labels(i)


def earlier_results(folder: Path) -> None:
    """As every command reads the provenance of an earlier run."""
    from cellflax.io.result_set import result_set, without_results

    with contextlib.suppress(UserError):
        without_results("input", [folder / "a_labels.tif"])
    with result_set(folder, overwrite=True):
        pass


def tracked(folder: Path) -> None:
    from cellflax.quantification.tracks import read_tracks

    recording = read_tracks(folder, None, None)
    for i in range(len(recording.frames)):
        recording.labels(i)


def truth(folder: Path) -> None:
    from cellflax.quantification.truth import read_truth

    read_truth(str(folder), "length_um")


def annotated(folder: Path) -> None:
    from cellflax.annotation.accepted import copy_accepted

    copy_accepted(folder / "review.csv", folder / "accepted")


def summarized(folder: Path) -> str | None:
    from cellflax.evaluation.part_scores import read_roc
    from cellflax.summary.markdown import markdown
    from cellflax.summary.part_tables import part_notes, part_table, pooled_roc
    from cellflax.summary.runs import SkippedRun, find_runs, read_run
    from cellflax.summary.tables import group_runs, run_table, setting_table

    run = read_run(find_runs([str(folder)])[0])
    if isinstance(run, SkippedRun):
        return f"{run.directory}: {run.reason}"
    read_roc(run.directory)
    summary = group_runs([run], [])
    setting_table(summary), run_table(summary), markdown(summary), part_table(summary), list(part_notes(summary))
    for counts in pooled_roc(summary).values():
        _ = counts.auc
    return None


def resumed(folder: Path) -> None:
    """As `train` reads the directory of a run before it loads the data."""
    from cellflax import train
    from cellflax.config import from_json, to_json
    from cellflax.home import expand_home_in
    from cellflax.training import runlog
    from cellflax.training.config import TrainConfig

    run = folder / "run"
    now = to_json(from_json(TrainConfig, expand_home_in(json.loads((samples.RUN / "config.json").read_text()))))
    train._check_same_run(run, train._read_config(run / "config.json"), now)
    log = runlog.RunLog(run, runlog.LoggerConfig(wandb=runlog.WandbMode.disabled), {})
    log.truncate(40)
    runlog._wandb_id(run)


def checkpoint(folder: Path) -> None:
    from cellflax.prediction.trained import load_model

    load_model(folder / "run", "last")
    load_model(folder / "run")


def checkpoints(folder: Path) -> None:
    """As `train` opens the checkpoints of a run that it resumes."""
    from cellflax.training.checkpoint import Checkpoints

    Checkpoints(folder / "run").latest()


def network(folder: Path) -> None:
    from cellflax.conversion.keras1 import read_published, to_module

    to_module(read_published(folder / "network.h5"))


def experiment(folder: Path) -> str | None:
    """As every command composes its configuration."""
    from cellflax.config import entry
    from cellflax.training.config import TrainConfig

    def nothing(config: TrainConfig) -> None:
        pass

    words = ["train", "--config-dir", str(folder), "+experiment=mine", "hydra.mode=RUN", f"run={folder / 'out'}"]
    err = io.StringIO()
    with mock.patch.object(sys, "argv", words), contextlib.redirect_stderr(err):
        try:
            entry("train", TrainConfig)(nothing)()
        except SystemExit as stop:
            if stop.code == 1:
                return err.getvalue().removesuffix("\n")
            raise RuntimeError(f"exit status {stop.code}") from stop
    return None
