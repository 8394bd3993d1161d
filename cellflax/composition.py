"""What Hydra composes from files: values alone, nothing that runs code.

Hydra itself builds objects from its own node of a configuration: callbacks, launchers, handlers of logging. Here its
loader is given a check of each file that is not part of an installed package, and of the composed result.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra._internal.hydra as hydra_internals
import yaml
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException
from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser
from omegaconf.grammar_parser import parse

from cellflax.composed_once import KeepingLoader, compose_once
from cellflax.errors import UserError
from cellflax.home import expand_home
from cellflax.launching.settings import (
    LAUNCHER_SETTINGS,
    SWEEPER_SETTINGS,
    check_setting,
    check_sweeper,
    check_target,
)
from cellflax.quick_yaml import PARSER, read_quickly
from cellflax.wholefile import read_utf8

# What a file may say to Hydra: where a job writes, what a sweep varies, and how much a job of it may use.
_OF_LAUNCHING = LAUNCHER_SETTINGS | SWEEPER_SETTINGS
_SETTINGS = {
    "mode",
    "run.dir",
    "sweep.dir",
    "sweep.subdir",
    "sweeper.params",
    "sweeper.max_batch_size",
    "output_subdir",
}
# What `${name:...}` may call in a file. `oc.env` would put a secret of the environment into results and logs, and
# `oc.decode` and `oc.create` would make what no check has seen.
_RESOLVERS = {"now", "hydra", "oc.select"}
_GROUPS_OF_SETTINGS = {"run", "sweep", "sweeper"}
_NESTED_SETTINGS = {"launcher", "sweeper.sampler"}
_MOST_BYTES = 1 << 17
_HEADER = 512  # characters in which Hydra looks for `# @package`
_DEEPEST = 32
_MOST_ALIASES = 8
# What `config_errors` turns into one line that names the key or the file.
_IN_ONE_LINE = (UserError, HydraException, OmegaConfBaseException, yaml.MarkedYAMLError)


def check_all_compositions() -> None:
    """Let Hydra read configurations by the loader that checks them, from now on in this process."""
    compose_once()
    setattr(hydra_internals, "ConfigLoaderImpl", _CheckedLoader)  # noqa: B010 (Hydra has no other way to set it)
    Plugins.instance()  # registers Hydra's own reader of files, which is then replaced
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = _CheckedFiles


class _CheckedFiles(FileConfigSource):
    """Hydra's reader of YAML files, which refuses in one line what cannot be such a file."""

    def load_config(self, config_path: str) -> ConfigResult:
        path = Path(self.path, self._normalize_file_name(config_path))
        if not path.exists():
            return super().load_config(config_path)  # which reports it
        text = read_utf8(path, "save it as text", _MOST_BYTES)
        _check_yaml(path, text)
        try:
            content = None
            with contextlib.suppress(yaml.YAMLError):
                content = read_quickly(text)
            if not isinstance(content, dict):
                return super().load_config(config_path)  # which reports what is wrong, and where
            header = self._get_header_dict(text[:_HEADER])
            return ConfigResult(self.provider, f"{self.scheme()}://{self.path}", OmegaConf.create(content), header)
        except _IN_ONE_LINE:
            raise
        except Exception as error:  # YAML's constructors raise anything
            raise UserError(f"{path}: cannot be read as YAML ({_reason(error)}); correct it") from error


# By these names Hydra compares readers, where a launcher has started a process.
_CheckedFiles.__name__ = FileConfigSource.__name__


def _check_yaml(path: Path, text: str) -> None:
    """Refuse a text that nests or repeats without end; other faults are for the parser to report."""
    depth = aliases = 0
    with contextlib.suppress(yaml.YAMLError):
        for event in yaml.parse(text, PARSER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            if depth > _DEEPEST or aliases > _MOST_ALIASES:
                what = f"{_DEEPEST} levels" if depth > _DEEPEST else f"{_MOST_ALIASES} aliases (*name)"
                line = event.start_mark.line + 1
                raise UserError(f"{path}: line {line}: more than {what} are not read; write it more plainly")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class _CheckedLoader(KeepingLoader):
    """Hydra's loader, which refuses what could run code and expands `~`."""

    def load_configuration(self, *arguments: Any, **named: Any) -> DictConfig:
        try:
            config = super().load_configuration(*arguments, **named)
            _check_hydra(config)
            _expand(config)
        except _IN_ONE_LINE:
            raise
        except Exception as error:  # a file can give Hydra's own keys values of any kind
            places = [
                str(place.path) for place in self.config_search_path.get_path() if place.provider == "command-line"
            ]
            if not places:
                raise
            raise UserError(
                f"{places[0].removeprefix('file://')}: files of it cannot be composed ({_reason(error)}); correct them"
            ) from error
        return config

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        result = super()._load_single_config(default, repo)
        if result.path.startswith("file://"):
            _check_file(f"{result.path.removeprefix('file://')}/{default.config_path}", result.config)
        return result

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: list[Override], repo: CachingConfigRepository
    ) -> None:
        loaded = None if config_name is None else repo.load_config(config_path=config_name)
        if loaded is not None and OmegaConf.is_dict(loaded.config) and "hydra" in loaded.config:
            _check_file(f"{loaded.path.removeprefix('file://')}/{config_name}", loaded.config)
        super()._process_config_searchpath(config_name, parsed_overrides, repo)


def _check_file(file: str, config: Any) -> None:
    """Refuse what a user's file must not contain."""
    name = file if file.endswith((".yaml", ".yml")) else f"{file}.yaml"
    content = OmegaConf.to_container(config, resolve=False)
    for key in _keys(content):
        if key.rpartition(".")[2] == "_target_":
            raise UserError(f"{name}: {key} would run code, which no file may; remove it")
    for text in _texts(content):
        for called in _calls(text):
            if called not in _RESOLVERS:
                line = f"{name}: ${{{called}:...}} is not available in a file; write the value, or give it as KEY=VALUE"
                raise UserError(line)
    if not isinstance(content, dict) or "hydra" not in content:
        return
    for key, value in _settings(content["hydra"]):
        if key in _OF_LAUNCHING:
            check_setting(name, key, value)
        elif key not in _SETTINGS:
            allowed = ", ".join(f"hydra.{setting}" for setting in sorted(_SETTINGS))
            named = f"hydra.{key}" if key else "hydra"
            raise UserError(f"{name}: {named} could run code, which no file may; remove it (allowed: {allowed})")
        if key != "sweeper.params":
            continue
        names = list(value) if isinstance(value, dict) else [] if value is None else [str(value)]
        for parameter in names:
            varied = str(value[parameter]) if isinstance(value, dict) else "$"
            if "hydra" in str(parameter) or "$" in varied:  # a reference is read as a word of the command line
                raise UserError(f"{name}: hydra.sweeper.params must not vary {parameter}; remove it")


def _texts(node: Any) -> Iterator[str]:
    """All texts in plain dicts and lists."""
    if isinstance(node, str):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _texts(value)


def _calls(text: str) -> Iterator[str]:
    """The names before the colon of each `${name:...}` in a text; OmegaConf reports what is none."""
    if "${" not in text:
        return
    with contextlib.suppress(GrammarParseError):
        nodes: list[Any] = [parse(text)]
        while nodes:
            node = nodes.pop()
            if isinstance(node, OmegaConfGrammarParser.InterpolationResolverContext):
                yield str(node.resolverName().getText())  # pyright: ignore[reportOptionalMemberAccess] (a call has one)
            nodes += getattr(node, "children", None) or []


def _settings(node: Any) -> Iterator[tuple[str, Any]]:
    """Hydra's settings in a file by key, `run.dir` and the like; "" if the node is no group of keys."""
    if node is None:
        return
    if not isinstance(node, dict):
        yield "", node
        return
    for key, value in node.items():
        if key in _GROUPS_OF_SETTINGS and isinstance(value, dict):
            for name, item in value.items():
                yield from _leaves(f"{key}.{name}", item)
        elif key in _NESTED_SETTINGS and isinstance(value, dict):
            yield from _leaves(str(key), value)
        elif key not in _GROUPS_OF_SETTINGS or value is not None:
            yield str(key), value


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The settings in a group of a launcher or sampler by dotted key; of others, the group as one."""
    if isinstance(value, dict) and any(key == group or key.startswith(f"{group}.") for group in _NESTED_SETTINGS):
        for name, item in value.items():
            yield from _leaves(f"{key}.{name}", item)
    else:
        yield key, value


def _check_hydra(config: DictConfig) -> None:
    """Refuse a composed configuration in which Hydra would build more than its launcher and its sweeper."""
    if OmegaConf.select(config, "hydra.callbacks"):
        raise UserError("hydra.callbacks could run code and is not available; remove it")
    content = OmegaConf.to_container(config.hydra, resolve=False)
    for key in _keys(content):
        if key.rpartition(".")[2] == "_target_":
            check_target(key, str(OmegaConf.select(config.hydra, key)))
    check_sweeper(content.get("sweeper") if isinstance(content, dict) else None)


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    """All dotted keys in plain dicts and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield f"{prefix}{key}"
        yield from _keys(value, f"{prefix}{key}.")


def _expand(node: Any) -> None:
    """Replace `~` at the beginning of every text in a configuration, in place."""
    if not isinstance(node, DictConfig | ListConfig) or node._is_none() or node._is_missing():
        return
    if node._is_interpolation():
        return
    for key in list(node.keys()) if isinstance(node, DictConfig) else range(len(node)):
        child: Any = node._get_node(key)  # pyright: ignore[reportArgumentType] (a node: interpolations stay)
        if isinstance(child, DictConfig | ListConfig):
            _expand(child)
        elif child is not None and isinstance(value := child._value(), str) and expand_home(value) != value:
            child._set_value(expand_home(value))
