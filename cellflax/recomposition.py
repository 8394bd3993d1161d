"""The configuration of a running job: what the user gave, and the whole composed again over a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import ConfigDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import OmegaConf, flag_override

from cellflax.config import typed_config
from cellflax.jsonfile import differences
from cellflax.overrides import quoted
from cellflax.schemas import to_json

# Groups whose options add to a whole configuration: +experiment=NAME.
ADDITIONS = ("experiment", "sweep", "debug")
# Keys on where a command writes and whether it plans, not on what a training does.
_NOT_GIVEN = ("run", "output", "overwrite", "plan")
_SEARCH_PATH = "hydra.searchpath"


@dataclass(frozen=True)
class Given:
    """What a user gave of a job's configuration: on the command line, in an experiment, or in other files.

    Attributes:
        values: values by dotted key, as JSON types; lists count as one value.
        choices: options of groups that they chose.
        options: options of all groups.
    """

    values: dict[str, Any]
    choices: dict[str, str]
    options: dict[str, str]


def experiment_of_job() -> str | None:
    """The running job's experiment, if there is one."""
    return HydraConfig.get().runtime.choices.get("experiment")


def given_in_job(config: Any) -> Given:
    """What the user gave of the running job's configuration.

    Args:
        config: the configuration, a dataclass.
    """
    hydra = HydraConfig.get()
    groups = {g: o for g, o in hydra.runtime.choices.items() if not g.startswith("hydra/") and g not in ADDITIONS}
    plain = dict(_loader().load_configuration(hydra.job.config_name, [], RunMode.RUN).hydra.runtime.choices)
    parsed = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    named = {key for override in parsed if not override.is_delete() for key in _keys(override)}
    choices = {g: o for g, o in groups.items() if o is not None and (g in (*named, "data") or o != plain.get(g))}
    members = [f"{group}={quoted(option)}" for group, option in choices.items()]
    without = to_json(_compose(members, type(config)))
    content = to_json(config)
    values = {key: new for key, (_, new) in differences(without, content).items()}
    for group in ADDITIONS:
        if option := hydra.runtime.choices.get(group):
            named |= _keys_in_file(f"{group}/{option}")
    for key in named - set(groups) - set(ADDITIONS):
        values |= _leaves(key, content)
    values = {key: value for key, value in values.items() if key.partition(".")[0] not in _NOT_GIVEN}
    options = {group: option for group, option in groups.items() if option is not None}
    return Given(values, choices, options)


def compose_over[T](folder: Path, experiment: str, schema: type[T]) -> T:
    """The running job's configuration, with an experiment in place of the user's, below everything else they gave.

    Args:
        folder: directory with `experiment/<experiment>.yaml`, like one of `--config-dir`.
        experiment: its name.
        schema: dataclass of the configuration.

    Raises:
        UserError: as for files of `--config-dir`.
    """
    hydra = HydraConfig.get()
    place = quoted(f"file://{folder.resolve()}")
    others = [text for text in hydra.overrides.hydra if not text.startswith(f"{_SEARCH_PATH}=")]
    paths = [text.partition("=")[2].strip("[]") for text in hydra.overrides.hydra if text not in others]
    search = f"{_SEARCH_PATH}=[{','.join([*filter(None, paths), place])}]"
    task = [text for text in hydra.overrides.task if text.lstrip("+").partition("=")[0] != "experiment"]
    return _compose([*others, search, f"+experiment={experiment}", *task], schema)


def _compose[T](overrides: list[str], schema: type[T]) -> T:
    job = HydraConfig.get().job
    # As one job: commas of a sweep have been taken apart.
    config = _loader().load_configuration(job.config_name, overrides, RunMode.MULTIRUN, validate_sweep_overrides=False)
    with flag_override(config, ["readonly", "struct"], False):
        del config["hydra"]
    return typed_config(config, schema)


def _keys(override: Override) -> set[str]:
    """The key of an override; where its value is a group of keys, these."""
    value = override.value()
    return set(_flat(override.key_or_group, value)) if isinstance(value, dict) else {override.key_or_group}


def _keys_in_file(path: str) -> set[str]:
    """The keys that an experiment or the like sets, also those that have the default's value."""
    found = _loader().repository.load_config(path)
    if found is None:
        return set()
    content = OmegaConf.to_container(found.config, resolve=False)
    assert isinstance(content, dict)
    keys = {key for name, value in content.items() if name != "hydra" for key in _flat(str(name), value)}
    for default in found.defaults_list or []:
        if isinstance(default, ConfigDefault) and default.path not in (None, "_self_"):
            keys |= _keys_in_file(f"{path.rpartition('/')[0]}/{default.path}")
    return keys


def _flat(key: str, value: Any) -> Iterator[str]:
    """Dotted keys of the values in a group of keys."""
    if not isinstance(value, dict):
        yield key
        return
    for name in value:
        yield from _flat(f"{key}.{name}", value[name])


def _loader() -> ConfigLoaderImpl:
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    return loader


def _leaves(key: str, content: dict[str, Any]) -> dict[str, Any]:
    """The values at a dotted key and below it; none where the key is no part of the configuration."""
    node: Any = content
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return {}
        node = node[part]
    if not isinstance(node, dict):
        return {key: node}
    found: dict[str, Any] = {}
    for name in node:
        found |= _leaves(f"{key}.{name}", content)
    return found
