"""One line for each way in which composing a configuration can fail.

Hydra and OmegaConf explain themselves in several lines of their own terms; here the exception chain is turned
into the key, the value and what is allowed.
"""

from collections.abc import Iterator
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Any, get_args

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    ValidationError,
)

from cellflax.errors import UserError
from cellflax.progress import printable
from cellflax.schemas import GROUPS, SCHEMA_SUFFIX, field_types, unknown_key, wrong_value

# The options of Hydra's plugins, and the extra of cellflax that installs each.
_EXTRAS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "optuna",
}
_LONGEST_LINE = 1500  # of a message; what a file holds can have megabytes


def error_line(error: BaseException) -> str | None:
    """The line to print for a user's mistake; None for anything else, which is ours to fix.

    Operating system errors are also for the user to fix: disk full, no permission, no such directory.
    """
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        return _unreadable_override(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _composition(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}" if error.filename else _flat(str(error))
    if isinstance(error, UserError):
        return _flat(str(error))
    return None


def _composition(error: HydraException | OmegaConfBaseException) -> str:
    """Name the key by the OmegaConf exception below, and the file if it came from one."""
    file = str(error).split("'")[1] if str(error).startswith("In '") else None
    for cause in _chain(error):
        if isinstance(cause, OmegaConfBaseException) and cause.full_key is not None:
            return (f"in {file}: " if file else "") + _omegaconf(cause)
    return _flat(str(error))


def _omegaconf(error: OmegaConfBaseException) -> str:
    key = str(error.full_key)
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return _unknown_key(error, key)
    if isinstance(error, InterpolationResolutionError):
        return f"{key}: {_flat(str(error))}"
    hint = _type_of(error)
    if isinstance(error, ValidationError) and hint is not None:
        return wrong_value(key, error.value, hint)
    return f"{key}: {_flat(str(error))}"


def _unknown_key(error: OmegaConfBaseException, key: str) -> str:
    group, _, name = key.partition(".")
    if name and group in GROUPS and error.object_type is dict:  # nothing was chosen of the group, as refine: null
        first, *others = GROUPS[group]
        return f"{key}: no {group} is given that it could change; add {group}={first} (or {', '.join(others)})"
    if is_dataclass(error.object_type):
        return unknown_key(key, field_types(error.object_type))
    if error.object_type is dict:
        return f"unknown key {key}: write +{key}=VALUE to add it"
    return f"unknown key {key}"


def _type_of(error: OmegaConfBaseException) -> Any | None:
    """Declared type of the value that was refused: of a field, or of the elements of a list or dict."""
    if is_dataclass(error.object_type):
        return field_types(error.object_type).get(error.key)
    return get_args(error.ref_type)[-1] if get_args(error.ref_type) else None


def _unknown_option(error: MissingConfigException) -> str:
    """Name the group, the option that is not there and those that are."""
    if extra := _EXTRAS.get(error.missing_cfg_file or ""):
        return f"{error.missing_cfg_file} is a plugin that is not installed: pip install 'cellflax[{extra}]'"
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group or error.options is None:
        return _flat(str(error))
    options = sorted(name for name in error.options if not name.endswith(SCHEMA_SUFFIX))
    close = get_close_matches(option, options, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown {group} {option}: {hint}available: {', '.join(options)}"


def _unreadable_override(error: OverrideParseException) -> str:
    if "=" not in error.override:
        return f"cannot read {error.override!r}: an override is written key=value"
    key, _, value = error.override.partition("=")
    return (
        f"cannot read {error.override!r}: a value with spaces or special characters needs quotes inside the "
        f"shell's, as in {key}='\"{value}\"'"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _flat(message: str) -> str:
    """Join the lines that say something to a user, so that any terminal shows them: files can hold what none prints."""
    noise = ("full_key:", "object_type=", "reference_type=", "See https://hydra.cc")
    lines = (line.strip() for line in message.splitlines())
    line = " ".join(line for line in lines if line and not line.startswith(noise))
    if len(line) > _LONGEST_LINE:
        line = f"{line[: _LONGEST_LINE // 2]} [...] {line[-_LONGEST_LINE // 2 :]}"
    return printable(line)
