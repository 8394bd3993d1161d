"""What a configuration file may set of Hydra's launchers and sweepers: amounts and plain words.

A launcher starts programs, so most of its settings could run code: commands before a job, folders, addresses. The
names below are those of Hydra's plugins joblib, submitit, ray and optuna. Command lines may set the others, too.
"""

import re
from typing import Any

from cellflax.errors import UserError

_BOTH_QUEUES = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes")
_SLURM = (
    *("partition", "qos", "constraint", "exclude", "gres", "account"),
    *("cpus_per_gpu", "gpus_per_task", "mem_per_gpu", "mem_per_cpu"),
    *("signal_delay_s", "max_num_timeout", "array_parallelism"),
)
_RAY = ("ray.remote.num_cpus", "ray.remote.num_gpus", "ray.remote.memory")
_OPTUNA = (
    *("direction", "n_trials", "n_jobs", "max_failure_rate"),
    *("sampler.seed", "sampler.n_startup_trials", "sampler.multivariate"),
)
LAUNCHER_SETTINGS = frozenset(f"launcher.{key}" for key in ("n_jobs", *_BOTH_QUEUES, *_SLURM, *_RAY))
SWEEPER_SETTINGS = frozenset(f"sweeper.{key}" for key in _OPTUNA)

# Slurm's scripts contain these values: a line break in one would begin a command.
_PLAIN = re.compile(r"[\w.,:+%@=-]*", re.ASCII)

# It would start machines that cost money, and run commands on them.
_REFUSED_TARGETS = ("hydra_plugins.hydra_ray_launcher.ray_aws_launcher.",)
_PLUGINS = ("hydra._internal.core_plugins.", "hydra_plugins.")
_TARGETS = {
    "launcher._target_": _PLUGINS,
    "sweeper._target_": _PLUGINS,
    "sweeper.sampler._target_": ("optuna.samplers.",),
}
# The first names a function to call; the second a data base, whose contents some of Optuna's storages unpickle.
_REFUSED_KEYS = ("sweeper.custom_search_space", "sweeper.storage")


def check_setting(file: str, key: str, value: Any) -> None:
    """Refuse a value that a file gives a launcher or sweeper, unless it is a number or a plain word.

    Args:
        file: name of the file.
        key: key below `hydra`, one of `LAUNCHER_SETTINGS` or `SWEEPER_SETTINGS`.
        value: its value, unresolved.
    """
    if value is None or isinstance(value, bool | int | float):
        return
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        raise UserError(f"{file}: hydra.{key} must be a number or one word of letters, digits and .,:+%@=-; correct it")


def check_target(key: str, target: str) -> None:
    """Refuse an object that Hydra would build, unless it is the launcher or the sweeper of a plugin.

    Args:
        key: key below `hydra` that ends in `_target_`.
        target: what it names.
    """
    if key not in _TARGETS:
        raise UserError(f"hydra.{key} would run code and is not available; remove it")
    if target.startswith(_REFUSED_TARGETS):
        raise UserError(f"hydra.{key}={target} would start machines in a cloud and is not available; remove it")
    if not target.startswith(_TARGETS[key]):
        raise UserError(f"hydra.{key}={target} is no plugin of Hydra; install one or remove it")


def check_sweeper(sweeper: Any) -> None:
    """Refuse settings of the composed sweeper that could run code, from wherever they come.

    Args:
        sweeper: plain content of `hydra.sweeper`.
    """
    for key in _REFUSED_KEYS:
        if isinstance(sweeper, dict) and sweeper.get(key.partition(".")[2]) is not None:
            raise UserError(f"hydra.{key} could run code and is not available; remove it")
