"""A configuration is composed once, and without a copy of all schemas.

Hydra itself composes it to see whether it is a sweep, and again to run it. Each time it copies all that it could read.
"""

import copy
from typing import Any, Self, override

import hydra._internal.hydra as hydra_internals
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig


def compose_once() -> None:
    """Let Hydra use the configuration that told it the mode, from now on in this process."""
    setattr(hydra_internals, "Hydra", _Application)  # noqa: B010 (Hydra has no other way to set it)


class _Repository(ConfigRepository):
    """Hydra's files and schemas. Hydra copies it to set other places in the copy, which gets a new list of them."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return copy.copy(self)


class KeepingLoader(ConfigLoaderImpl):
    """Hydra's loader, which can give a configuration out again, for the same words."""

    _kept: tuple[str | None, list[str], DictConfig] | None = None
    _complete = False  # whether every group of the last composition had its choice: only sweeps may lack some

    def __init__(self, config_search_path: ConfigSearchPath):
        super().__init__(config_search_path)
        self.repository = _Repository(config_search_path)

    def keep(self, config_name: str | None, overrides: list[str], config: DictConfig) -> None:
        """Keep the configuration that was composed last, to be used once."""
        self._kept = (config_name, list(overrides), config)

    @override
    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        kept, self._kept = self._kept, None
        if kept is not None and config_name == kept[0] and (self._complete or run_mode is RunMode.MULTIRUN):
            words, config = kept[1:]
            # Hydra appends the mode where neither a file nor a word sets it.
            if overrides in (words, [*words, f"hydra.mode={run_mode.name}"]):
                self.validate_sweep_overrides_legal(
                    OverridesParser.create().parse_overrides(overrides), run_mode, from_shell
                )
                for word in overrides[len(words) :]:
                    config.hydra.overrides.hydra.append(word)
                    config.hydra.mode = run_mode
                return config
        return super().load_configuration(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)

    @override
    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: CachingConfigRepository
    ) -> DictConfig:
        choices = (choice for file in repo.cache.values() if file is not None for choice in file.defaults_list or ())
        self._complete = all(getattr(choice, "value", None) != "???" for choice in choices)
        return super()._compose_config_from_defaults_list(defaults, repo)


class _Application(hydra_internals.Hydra):
    """Hydra's application, which keeps what it composed to see the mode."""

    @override
    def get_mode(self, config_name: str | None, overrides: list[str]) -> Any:
        try:
            config = self.compose_config(config_name, overrides, RunMode.MULTIRUN, validate_sweep_overrides=False)
        except Exception:  # composing it for the job will report it
            return None
        if isinstance(self.config_loader, KeepingLoader) and not any("???" in word for word in overrides):
            self.config_loader.keep(config_name, overrides, config)
        return config.hydra.mode
