"""From a job's configuration to its plan, and to the configuration with the plan in it."""

from pathlib import Path

from cellflax.atomic import output_directory, replacing
from cellflax.data.folder import FolderData
from cellflax.device import devices_of_jax
from cellflax.io import results
from cellflax.jsonfile import write_json
from cellflax.planning.measure import measure_data
from cellflax.planning.plan import Plan, make_plan
from cellflax.planning.plan_file import EXPERIMENT, MEASUREMENTS_FILE, PLAN_FILE, plan_text, train_command
from cellflax.planning.plan_table import table_lines
from cellflax.planning.source import source_of
from cellflax.progress import say
from cellflax.recomposition import compose_over, experiment_of_job, given_in_job
from cellflax.training.config import TrainConfig
from cellflax.training.starting import SIZES
from cellflax.wholefile import is_blank


def with_plan(config: TrainConfig, run: Path) -> TrainConfig:
    """The configuration of a training with everything planned that was not given.

    A run that has begun keeps its plan, or goes on without one. A plan that a power cut has emptied is made again.
    A new plan is written to the run.

    Args:
        config: what the user gave, and defaults.
        run: directory of the run.

    Raises:
        UserError: if the data cannot be used, or the plan of a run that has begun cannot be read.
    """
    if not _wants_plan(config):
        return config
    folder = run / results.PLAN
    if (run / results.CONFIG).exists() and not is_blank(folder / PLAN_FILE):
        if not (folder / PLAN_FILE).exists():
            return config
        say(f"the plan of this run is {folder / PLAN_FILE}")
    else:
        plan = plan_of_job(config)
        for line in table_lines(plan):
            say(line)
        write_plan(plan, output_directory(folder, key="run"), folder)
        say(f"plan: {folder / PLAN_FILE}; to change it: {train_command(folder)}")
    return compose_over(folder, EXPERIMENT, TrainConfig)


def plan_of_job(config: TrainConfig) -> Plan:
    """Measure the data of the running job, and plan what was not given.

    Raises:
        UserError: if the data cannot be used.
    """
    given = given_in_job(config)
    multiple = getattr(config.model, "multiple", 1)
    say("the images and their labels are measured")
    accelerator = devices_of_jax()[0].platform != "cpu"
    source = None if config.start_from is None else source_of(config.start_from)
    measured = measure_data(config.data)
    return make_plan(measured, given.values, given.choices, given.options, multiple, accelerator, source)


def sizes_are_known(config: TrainConfig, run: Path) -> bool:
    """Whether the size of cells in the network is planned or given, so that `start_from` does not set it.

    Args:
        config: the configuration of the job as composed, or with its plan.
        run: directory of the run.
    """
    return (run / results.PLAN / PLAN_FILE).exists() or any(key in given_in_job(config).values for key in SIZES)


def write_plan(plan: Plan, folder: Path, final: Path) -> None:
    """Write a plan into a directory for --config-dir.

    Args:
        plan: the plan.
        folder: the directory.
        final: where the directory will be, for the command in the file.
    """
    file = folder / PLAN_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        temporary.write_text(plan_text(plan, final), encoding="utf-8")
    write_json(folder / MEASUREMENTS_FILE, plan.to_json())


def _wants_plan(config: TrainConfig) -> bool:
    if config.plan is not None:
        return config.plan
    return isinstance(config.data, FolderData) and experiment_of_job() is None
