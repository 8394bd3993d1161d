"""Train a network on images with annotated cells.

    cellflax train +experiment=quickstart
    cellflax train data=folder data.root=FOLDER name=mine
    cellflax train -m +experiment=hela_cyto optimizer.learning_rate=0.001,0.002

Your own images (data=folder, or +experiment=own) are measured first, and what is not given is planned from them:
`plan/experiment/planned.yaml` in the run directory; see `cellflax plan`.

Reads the data set of `conf/data`, trains the network of `conf/model`, validates on held-out regions, and writes
`config.json`, `metrics.jsonl`, `checkpoints/`, `summary.json` and `report.html` to the run directory. Running again
in the same directory (`run=DIR`) resumes where the last checkpoint was.

For your own images (`data=folder`), the settings of the refinement are then chosen on the held-out regions and kept in
the best checkpoint (`tune`, `tuner`); `tuning.csv` lists what was tried. The probability that a cell is right is learnt
there, too (`calibrate`).

Where the data set has a test part (data.folds and data.fold, or data.test_sets), the best checkpoint is scored on it
at the end: `test.json` and, for the ROC curves, `test_roc.npz`. A cross-validation is a sweep:

    cellflax train -m +experiment=whole_cell data.root=FIELDS data.folds=10 'data.fold=range(10)'
"""

import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

import cellflax
from cellflax.atomic import output_directory
from cellflax.calibration.run import calibrate_run
from cellflax.config import directory_is_given, entry, from_json, job_directory, job_overrides, to_json
from cellflax.data.datasets import load_dataset
from cellflax.data.resample import dataset_to_scale
from cellflax.data.with_target import with_target
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.evaluation.test_part import score_test
from cellflax.evaluation.validation_report import part_charts, part_score_tables
from cellflax.guidance.after import after_training
from cellflax.guidance.learning_curve import part_of
from cellflax.home import expand_home_in
from cellflax.io import results
from cellflax.jsonfile import differences, read_json, write_json
from cellflax.metrics.table import metrics_line
from cellflax.overrides import asks_for_sweep
from cellflax.planning.planned import sizes_are_known, with_plan
from cellflax.prediction.held_out_maps import HeldOutMaps
from cellflax.prediction.nuclei import nuclei_finder
from cellflax.prediction.trained import load_model
from cellflax.progress import say
from cellflax.training.checkpoint import Checkpoints
from cellflax.training.config import TrainConfig
from cellflax.training.described import announce_data, describe_data
from cellflax.training.loop import Loop
from cellflax.training.preparation import prepare
from cellflax.training.processes import ALONE, Processes, joined
from cellflax.training.record import has_checkpoint
from cellflax.training.report import TrainingReport, tuning_table
from cellflax.training.resuming import check_same_images, restored_tally
from cellflax.training.run_directory import claim_run_directory, holding_run
from cellflax.training.runlog import RunLog, SilentLog
from cellflax.training.seen import SEEN, seen_in_training
from cellflax.training.starting import SIZES, STARTED_FROM, started
from cellflax.training.stopping import Clock, SignalWatch, Tally
from cellflax.tuning.run import tune_run
from cellflax.wholefile import is_blank

# Settings that may change when a run is resumed: they do not change its result.
_MAY_CHANGE = (
    *("run", "plan", "logger", "trainer.max_minutes", "trainer.devices", "trainer.log_every", "sampler.store"),
    *("trainer.distributed", "trainer.coordinator", "trainer.process_count", "trainer.process_id"),
    "trainer.steps_per_dispatch",
    *("tune", "tuner", "calibrate"),  # of a checkpoint that was tuned, the settings stay
    *("guide", "learning_curve"),
)

# How conf/train.yaml ends the name of a run directory, or of the folder of a sweep's.
_TIME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(/|$)")


@entry("train", TrainConfig)
def main(config: TrainConfig) -> float:
    """Train in the directory that Hydra chose; a sweep gets the best validation score (larger is better)."""
    run = job_directory()
    with joined(config.trainer, job_overrides(), asks_for_sweep(sys.argv[1:])) as processes:
        if not processes.leads:
            return _follow(processes)
        if not directory_is_given("run") and _TIME.search(str(run)):  # an experiment may set another name
            run = claim_run_directory(run)
        try:
            with holding_run(run, "train"):
                planned = with_plan(config, run)
                sizes = SIZES if config.start_from is not None and sizes_are_known(config, run) else ()
                config = started(planned, run, [*job_overrides(), *sizes])
                processes.agree((str(run.resolve()), to_json(config)))
                summary = train(config, run, processes=processes)
        finally:
            jax.clear_caches()  # the jobs of a sweep share one process
    print(f"run: {run}", flush=True)
    return summary["score"]


def _follow(processes: Processes) -> float:
    """Train as one of several processes, with the run directory and the configuration of the first."""
    run, config = processes.agree(("", {}))
    if job_directory() != Path(run):
        with suppress(OSError):  # Hydra made it
            job_directory().rmdir()
    return train(from_json(TrainConfig, config), Path(run), processes=processes)["score"]


def train(config: TrainConfig, run: Path, images: int | None = None, processes: Processes = ALONE) -> dict[str, Any]:
    """Train one network.

    Args:
        config: what to do.
        run: directory to write to; a run that is there already, with the same configuration, is resumed.
        images: number of the training images to train with; None for all.
        processes: those that train together; the first alone goes on after the training.

    Returns:
        The contents of summary.json.

    Raises:
        UserError: if data or configuration cannot be used, or the cost stops being a number.
        SystemExit: after SIGTERM or Ctrl-C, with a checkpoint saved.
    """
    # 1. Say what will happen, where, and on which data.
    if config.learning_curve and processes.count > 1:
        raise UserError("learning_curve trains again, by one process; start it with trainer.distributed=off")
    clock = Clock()
    device = set_up_jax(config.trainer.precision.name)
    say(device)
    loaded = load_dataset(config.data)
    if images is not None:
        loaded = part_of(loaded, images, config.seed)
    dataset = with_target(dataset_to_scale(loaded, config.scale), config.target)
    announce_data(dataset)
    assert config.normalize.intensity is not None, "TrainConfig resolves it"
    say(f"intensities: normalize.intensity={config.normalize.intensity.name}")
    stored = _stored_config(config)
    output_directory(run, key="run")
    if (run / results.CONFIG).exists() and not is_blank(run / results.CONFIG):
        _check_same_run(run, _read_config(run / results.CONFIG), stored)

    # 2. Build the network and everything around it; nothing here depends on a checkpoint.
    if getattr(config.sampler, "store", None) is not None:
        say(f"crops: {config.sampler.stored_crops} for each network, kept in {config.sampler.store}")
    job = prepare(
        config, dataset, nuclei_finder(config), resumes=processes.agree(has_checkpoint(run)), processes=processes
    )
    networks = f"{config.trainer.ensemble} network{'s' * (config.trainer.ensemble > 1)}"
    of_processes = f" of {processes.count} processes" if processes.count > 1 else ""
    say(f"training {networks} on {job.devices} of {jax.device_count()} devices{of_processes}")
    record = {
        "config": stored,
        "data": describe_data(dataset),
        "cellflax": cellflax.__version__,
        "device": device,
        SEEN: seen_in_training(dataset, config.normalize),
    } | ({STARTED_FROM: job.started_from} if job.started_from else {})

    # 3. Resume, if there is anything to resume.
    checkpoints = processes.first(lambda: Checkpoints(run))
    writing = RunLog(run, config.logger, stored) if processes.leads else SilentLog()
    with writing as log, SignalWatch(shared=processes.count > 1) as signals:
        state, tally = job.state, Tally()
        if checkpoints.latest() is not None:
            state, restored = checkpoints.restore(state)
            _check_same_run(run, restored["config"], stored)  # config.json may be gone
            check_same_images(run, restored["data"], record["data"])
            tally = restored_tally(run, restored)
            record |= {key: restored[key] for key in (STARTED_FROM,) if key in restored}
            of_all = "" if config.trainer.steps is None else f" of {config.trainer.steps}"
            say(f"resuming at step {int(state.step)}{of_all}")
        log.truncate(int(state.step))
        if processes.leads:
            write_json(run / results.CONFIG, stored)

        # 4. Train, validate and save until the last step or a reason to stop.
        page = TrainingReport(run, config.name, record, config.trainer.steps)
        parts = (job.step, job.source.feed, job.validator, job.graph, checkpoints, log, record, clock)
        show = page.validated if processes.leads else None
        try:
            tally = Loop(config, *parts, show, job.together, processes).run(state, tally, signals)
        except Exception as error:
            if processes.leads:
                page.ended(tally, f"ended by an error: {error}", warns=True)
            raise
        processes.part()

    # 5. Sum up.
    summary = _summary(run, record, config, tally)
    if not processes.leads:
        sys.exit(0 if signals.received is None else 128 + signals.received)
    write_json(run / results.SUMMARY, summary)
    if signals.received is not None:
        page.ended(tally, f"stopped by {signals.received.name}; to resume it, run it again with run={run}", warns=True)
        say(f"stopped by {signals.received.name} and saved; the same command with run={run} resumes from here")
        sys.exit(128 + signals.received)
    say(
        f"{tally.reason}: best validation {config.trainer.monitor.name} {abs(tally.score or 0):.3f} at step "
        f"{tally.best_step}, {tally.elapsed_s / 60:.1f} minutes ({100 * tally.validation_share:.0f} % validation)"
    )
    ended = f"{tally.reason}; the best checkpoint is of step {tally.best_step}"
    page.ended(tally, ended)

    # 6. Choose the settings of the refinement on the held-out regions, and learn there when cells are right; once.
    if config.tune or config.calibrate:
        maps = HeldOutMaps(load_model(run), job.validator, config.test_time_augmentation)
        if config.tune:
            summary["tuning"] = tune_run(maps, config)
        if config.calibrate:
            summary["calibration"] = calibrate_run(maps, dataset)
        write_json(run / results.SUMMARY, summary)
        del maps  # which can be large
        page.tables += tuning_table(run)

    # 7. Score the best checkpoint on images that were used neither to train it nor to choose it.
    if dataset.test:
        model = load_model(run)
        scores = score_test(model, dataset.test, model.config.refine, config.test_time_augmentation, run)
        say(f"test: {metrics_line(scores.pooled())}")
        page.curves, page.tables = (*page.curves, *part_charts(scores)), (*page.tables, *part_score_tables(scores))

    # 8. Say what a person should know: doubtful annotations, odd images, whether more images would help.
    page.guidance = after_training(config, loaded, run, train)
    page.ended(tally, ended)
    say(f"report: {page.path}")
    return summary


def _stored_config(config: TrainConfig) -> dict[str, Any]:
    """The configuration as a checkpoint keeps it: without the place where it happens to run."""
    return {key: value for key, value in to_json(config).items() if key != "run"}


def _read_config(path: Path) -> dict[str, Any]:
    """The configuration that a run was started with."""
    try:
        return read_json(path, "train again")
    except UserError as error:
        raise UserError(f"{path} cannot be read; remove it, or give another directory as run=... ({error})") from error


def _check_same_run(run: Path, before: dict[str, Any], config: dict[str, Any]) -> None:
    """Refuse to resume a run with a configuration that would change its result."""
    try:
        # An older version did not have every key, and kept `~` in paths.
        before = _stored_config(from_json(TrainConfig, expand_home_in(before)))
    except UserError as error:
        raise UserError(
            f"{run} holds a run of another version of cellflax ({error}); give another directory"
        ) from error
    budgets = [settings["trainer"]["max_minutes"] for settings in (before, config)]
    # With a time budget, validations are a matter of time anyway.
    may_change = _MAY_CHANGE if budgets == [None, None] else (*_MAY_CHANGE, "trainer.validate_every")
    for key, (old, new) in differences(before, config).items():
        if not any(key == name or key.startswith(f"{name}.") for name in may_change):
            raise UserError(
                f"{run} holds a run with {key}={old}, not {new}; give the same value to resume it, or another "
                "directory as run=..."
            )


def _summary(run: Path, record: dict[str, Any], config: TrainConfig, tally: Tally) -> dict[str, Any]:
    return {
        "name": config.name,
        "run": str(run),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **{key: record[key] for key in ("cellflax", "device", "data", STARTED_FROM) if key in record},
        "training": tally.to_json(),
        "monitor": config.trainer.monitor.name,
        "score": tally.score,
        "tuning": None,
        "calibration": None,
    }


if __name__ == "__main__":
    main()
