"""Plan a training on your own images: settings that follow from the images and labels, with the reasons.

    cellflax plan data.root=mine
    cellflax plan data.root=mine output=DIR
    cellflax plan data.root=mine 'data.channels=[phase,nuclear]' model=unet_local trainer.max_minutes=60

Measures sizes and shapes of the cells, intensities, and how much is annotated, and prints a table: setting, value and
reason. What is given on the command line stays. `cellflax train data=folder data.root=mine` does the same and trains.

With `output=DIR` the plan is written as an experiment, to be edited and trained by the command that is printed:

    cellflax train --config-dir DIR +experiment=planned
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cellflax
from cellflax.config import entry, to_json
from cellflax.io.result_set import result_set
from cellflax.planning.plan import Plan
from cellflax.planning.plan_file import EXPERIMENT, MEASUREMENTS_FILE, PLAN_FILE, train_command
from cellflax.planning.plan_table import table_lines
from cellflax.planning.planned import plan_of_job, write_plan
from cellflax.progress import show
from cellflax.recomposition import compose_over
from cellflax.training.config import TrainConfig


@dataclass
class PlanConfig(TrainConfig):
    """Options of `cellflax.plan`: all keys of `cellflax.train`, and these.

    Attributes:
        output: directory that the plan is written to; null for none.
        overwrite: replace a plan that is there.
    """

    builds_on: ClassVar[tuple[str, ...]] = ("train",)

    output: str | None = None
    overwrite: bool = False


@entry("plan", PlanConfig)
def main(config: PlanConfig) -> None:
    """Print the plan, and write it if there is an output."""
    if config.output is None:
        _print(plan_of_job(config))
        return
    output = Path(config.output)
    with result_set(output, config.overwrite, [PLAN_FILE, MEASUREMENTS_FILE], command="plan") as results:
        plan = plan_of_job(config)
        _print(plan)
        write_plan(plan, results.folder, output)
        compose_over(results.folder, EXPERIMENT, PlanConfig)  # a plan that cannot be composed would be a fault of ours
        results.publish({"cellflax": cellflax.__version__, "settings": to_json(config)})
    print(train_command(output), flush=True)


def _print(plan: Plan) -> None:
    for line in table_lines(plan):
        show(line)


if __name__ == "__main__":
    main()
