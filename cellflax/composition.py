"""What Hydra composes from files: values alone, nothing that runs code.

Hydra itself builds objects from its own node of a configuration: callbacks, launchers, handlers of logging. Here its
loader is given a check of each file that is not part of an installed package, and of the composed result.
"""

from collections.abc import Iterator
from typing import Any

import hydra._internal.hydra as hydra_internals
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from cellflax.errors import UserError
from cellflax.home import expand_home

# What a file may say to Hydra: where a job writes, and what a sweep varies.
_SETTINGS = {
    "mode",
    "run.dir",
    "sweep.dir",
    "sweep.subdir",
    "sweeper.params",
    "sweeper.max_batch_size",
    "output_subdir",
}
_GROUPS_OF_SETTINGS = {"run", "sweep", "sweeper"}
_PLUGINS = ("hydra._internal.core_plugins.", "hydra_plugins.")


def check_all_compositions() -> None:
    """Let Hydra read configurations by the loader that checks them, from now on in this process."""
    setattr(hydra_internals, "ConfigLoaderImpl", _CheckedLoader)  # noqa: B010 (Hydra has no other way to set it)


class _CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader, which refuses what could run code and expands `~`."""

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        config = super().load_configuration(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        _check_hydra(config)
        _expand(config)
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
    if not isinstance(content, dict) or "hydra" not in content:
        return
    for key, value in _settings(content["hydra"]):
        if key not in _SETTINGS:
            allowed = ", ".join(f"hydra.{setting}" for setting in sorted(_SETTINGS))
            named = f"hydra.{key}" if key else "hydra"
            raise UserError(f"{name}: {named} could run code, which no file may; remove it (allowed: {allowed})")
        if key != "sweeper.params":
            continue
        names = list(value) if isinstance(value, dict) else [] if value is None else [str(value)]
        for parameter in names:
            if "hydra" in str(parameter) or not isinstance(value, dict):
                raise UserError(f"{name}: hydra.sweeper.params must not vary {parameter}; remove it")


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
                yield f"{key}.{name}", item
        elif key not in _GROUPS_OF_SETTINGS or value is not None:
            yield str(key), value


def _check_hydra(config: DictConfig) -> None:
    """Refuse a composed configuration in which Hydra would build more than its launcher and its sweeper."""
    if OmegaConf.select(config, "hydra.callbacks"):
        raise UserError("hydra.callbacks could run code and is not available; remove it")
    for key in _keys(OmegaConf.to_container(config.hydra, resolve=False)):
        if key.rpartition(".")[2] != "_target_":
            continue
        if key not in ("launcher._target_", "sweeper._target_"):
            raise UserError(f"hydra.{key} would run code and is not available; remove it")
        target = str(OmegaConf.select(config.hydra, key))
        if not target.startswith(_PLUGINS):
            raise UserError(f"hydra.{key}={target} is no plugin of Hydra; install one or remove it")


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
