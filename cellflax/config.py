"""Command-line entries: compose `conf/`, check it into a dataclass, run, and report mistakes in one line.

Every command is one function of one typed configuration:

    @entry("train", TrainConfig)
    def main(config: TrainConfig) -> float: ...

`--help` prints the keys of this command alone (`cellflax.command_help`); the other options are Hydra's.

Hydra composes `conf/train.yaml`, whose defaults list begins with `train_schema`; group members are listed in
`cellflax.schemas.GROUPS` and begin with `<kind>_schema`.
"""

import functools
import math
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from cellflax.command_help import asks_for_help, command_help
from cellflax.composition import check_all_compositions
from cellflax.config_errors import error_line
from cellflax.errors import UserError
from cellflax.home import expand_home
from cellflax.interruption import ending_in_one_line
from cellflax.launching.own_process import run_in_own_process
from cellflax.launching.results import JOBLIB, watch_jobs
from cellflax.overrides import as_typed, asks_for_sweep, is_override, name_positional
from cellflax.progress import closing_pipe_ends, end_if_pipe_closed
from cellflax.schemas import GROUPS, SCHEMA_SUFFIX, field_types, from_json, group_types, to_json, unknown_key

__all__ = [
    "GROUPS",
    "config_directory",
    "directory_is_given",
    "entry",
    "from_json",
    "job_directory",
    "job_overrides",
    "to_json",
    "typed_config",
]


# Options of Hydra that name files or folders, by all their spellings.
_FILE_OPTIONS = {
    f"{dashes}{name}": f"--{long}"
    for long, short in (("config-dir", "cd"), ("config-path", "cp"), ("config-name", "cn"))
    for dashes, name in (("--", long), ("-", short))
}


def config_directory() -> Path:
    """Where the YAML files are: inside an installed package, else beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    for directory in (package / "conf", package.parent / "conf"):
        if directory.is_dir():
            return directory
    raise UserError(f"no conf directory in {package} or {package.parent}; install cellflax again")


def entry[T](
    name: str, schema: type[T], positional: str | None = None
) -> Callable[[Callable[[T], float | None]], Callable[[], None]]:
    """Make a function of a typed configuration into a command.

    The command takes its arguments from `sys.argv`. A user's mistake prints `error: ...` in one line and
    exits with status 1; `debug=true` or CELLFLAX_DEBUG=1 shows the traceback instead. What the function
    returns goes to Hydra's sweeper (`-m`); there, a failed job prints its line with its overrides and counts
    as NaN, the sweep continues, and the exit status is 1.

    Args:
        name: the command's configuration, `conf/<name>.yaml`.
        schema: dataclass of the whole configuration.
        positional: key of a list whose values may stand on the command line without it.
    """

    def decorate(function: Callable[[T], float | None]) -> Callable[[], None]:
        @functools.wraps(function)
        def main() -> None:
            with closing_pipe_ends(), ending_in_one_line():
                if asks_for_help(sys.argv[1:]):
                    docstring = sys.modules[function.__module__].__doc__ or ""
                    print(command_help(name, schema, config_directory(), pkgutil.resolve_name, docstring), end="")
                else:
                    _Command(name, schema, function, debug=_take_debug_flag(), positional=positional).run()

        return main

    return decorate


def job_directory() -> Path:
    """The output directory that Hydra chose for the running job (in a sweep, one per job)."""
    return Path(HydraConfig.get().runtime.output_dir)


def directory_is_given(key: str) -> bool:
    """Whether the command line names the directory of the running job, by `key` or by Hydra's own keys.

    Args:
        key: the command's key for it.
    """
    overrides = HydraConfig.get().overrides
    names = {override.lstrip("+").partition("=")[0] for override in (*overrides.task, *overrides.hydra)}
    return bool(names & {key, "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"})


def job_overrides() -> list[str]:
    """The overrides of the running job (in a sweep, with the values of this one)."""
    return list(HydraConfig.get().overrides.task)


@dataclass
class _Command[T]:
    """One run of the command line: a job, or the jobs of a sweep."""

    name: str
    schema: type[T]
    function: Callable[[T], float | None]
    debug: bool
    positional: str | None = None
    failed_jobs: int = 0
    crashed: bool = False
    elsewhere: bool = False  # whether this is the copy that a launcher took to another process

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"elsewhere": True}

    def run(self) -> None:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then lets exceptions through to us
        try:
            if self.positional is not None:
                sys.argv[1:] = name_positional(sys.argv[1:], self.positional)
            _check_arguments()
            self._store_schemas()
            sweep = asks_for_sweep(sys.argv[1:])
            sys.argv[1:] = [as_typed(argument, self.schema, sweep) for argument in sys.argv[1:]]
            check_all_compositions()
            watch_jobs(self._failed_elsewhere)

            def job(config: DictConfig) -> float | None:
                return self._job(config)

            job.__module__ = f"cellflax.{self.name}"  # Hydra names the job after it
            hydra.main(version_base="1.3", config_path=str(config_directory()), config_name=self.name)(job)()
        except Exception as error:
            end_if_pipe_closed(error)
            # Before a job starts, Hydra raises plain ValueError for some unusable arguments.
            line = error_line(error)
            if line is None and isinstance(error, ValueError):
                line = " ".join(str(error).split())
            if self.debug or self.crashed or line is None:
                raise
            _exit(line)
        if self.failed_jobs:
            sys.exit(1)

    def _store_schemas(self) -> None:
        # A configuration that builds on another command's file (conf/plan.yaml) stands for that command's schema.
        for name in (self.name, *getattr(self.schema, "builds_on", ())):
            _store(name, self.schema)
        for group in _groups_of(self.schema):
            for kind, schema in group_types(group).items():
                _store(kind, schema, group)

    def _job(self, config: DictConfig) -> float | None:
        try:
            typed = typed_config(config, self.schema)
            if self.elsewhere and str(HydraConfig.get().launcher._target_).startswith(JOBLIB):
                return run_in_own_process(functools.partial(self.function, typed))
            return self.function(typed)
        except Exception as error:
            end_if_pipe_closed(error)
            if self.elsewhere:
                error.add_note(traceback.format_exc())  # a traceback itself does not pass between processes
                raise  # only an exception reaches the sweep
            job = HydraConfig.get()
            line = error_line(error)
            if not self.debug and line is not None and job.mode is not RunMode.MULTIRUN:
                _exit(line)  # if raised further, Hydra would print a line of its own
            if not self._report(job.overrides.task, line):
                raise
            return math.nan

    def _failed_elsewhere(self, overrides: Sequence[str], error: BaseException) -> bool:
        return self._report(overrides, error_line(error))

    def _report(self, overrides: Sequence[str], line: str | None) -> bool:
        """Print the line of a job of a sweep that failed; false if it has none, or a traceback is wanted."""
        if self.debug or line is None:
            self.crashed = True
            return False
        print(f"error: job {' '.join(overrides)}: {line}", file=sys.stderr)
        self.failed_jobs += 1
        return True


def typed_config[T](config: DictConfig, schema: type[T]) -> T:
    """Turn a composed configuration into its dataclass, running the range checks."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"no value for {', '.join(missing)}: add {' '.join(f'{key}=...' for key in missing)}")
    _check_node(config, "")
    typed = OmegaConf.to_object(config)
    if not isinstance(typed, schema):
        raise TypeError(f"the defaults list must begin with a {schema.__name__} schema")
    return typed


def _check_node(node: Any, key: str) -> None:
    """Refuse what OmegaConf lets through: keys added with `+`, group members without their schema.

    `to_object` would drop such keys without a word.
    """
    if isinstance(node, ListConfig):
        for i in range(len(node)):
            if not OmegaConf.is_interpolation(node, i):
                _check_node(node[i], f"{key}[{i}]")
    elif isinstance(node, DictConfig) and is_dataclass(schema := OmegaConf.get_type(node)):
        hints = field_types(schema)
        for name in map(str, node):
            full_key = f"{key}.{name}" if key else name
            if name not in hints:
                raise UserError(unknown_key(full_key, hints))
            if OmegaConf.is_interpolation(node, name):
                continue
            if hints[name] is Any and node[name] is not None:
                _check_member(node, name, full_key)
            _check_node(node[name], full_key)


def _check_member(node: DictConfig, group: str, key: str) -> None:
    kinds = group_types(group)
    if OmegaConf.get_type(node, group) not in kinds.values():
        options = " or ".join(kind + SCHEMA_SUFFIX for kind in kinds)
        raise UserError(f"{key} has no schema: its file must begin with the defaults [{options}, _self_]")


def _store(name: str, schema: type, group: str | None = None) -> None:
    """Give Hydra a schema, unless a command of this process has done it: to take it apart takes a while."""
    store = ConfigStore.instance()
    options = store.repo if group is None else store.repo.get(group, {})
    kept = options.get(f"{name}{SCHEMA_SUFFIX}.yaml")
    if kept is None or OmegaConf.get_type(kept.node) is not schema:
        store.store(name + SCHEMA_SUFFIX, schema, group)


def _groups_of(schema: type) -> list[str]:
    """Names of the groups that a schema has anywhere inside."""
    groups = []
    for name, hint in field_types(schema).items():
        if hint is Any:
            groups.append(name)
        elif is_dataclass(hint) and isinstance(hint, type):
            groups += _groups_of(hint)
    return groups


def _take_debug_flag() -> bool:
    """Take `debug=true` off the command line: it must hold even where composing fails."""
    flags = [argument for argument in sys.argv[1:] if argument.lower() in ("debug=true", "debug=false")]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument not in flags]
    if flags:
        return flags[-1].lower() == "debug=true"
    return os.environ.get("CELLFLAX_DEBUG") == "1"


def _check_arguments() -> None:
    """Refuse an unsafe option, and let options stand anywhere (argparse wants all overrides together)."""
    # Hydra's hidden --experimental-rerun unpickles a file; argparse takes any prefix of it.
    if any(argument.startswith("--e") for argument in sys.argv[1:]):
        raise UserError("--experimental-rerun is not available: it would run code from a file")
    arguments, option = [], ""
    for argument in sys.argv[1:]:
        if option:  # joined to its option, a folder may be called a=b
            arguments.append(f"{option}={expand_home(argument)}")
            option = ""
        elif argument in _FILE_OPTIONS:
            option = _FILE_OPTIONS[argument]
        else:
            arguments.append(argument)
    sys.argv[1:] = sorted([*arguments, option] if option else arguments, key=is_override)


def _exit(line: str) -> NoReturn:
    print(f"error: {line}", file=sys.stderr)
    sys.exit(1)
