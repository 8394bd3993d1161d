"""What is composed once is what Hydra would compose a second time, and errors are those of Hydra."""

from dataclasses import dataclass

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from cellflax import config
from cellflax.composed_once import KeepingLoader
from tests.test_config import files, run  # noqa: F401 (fixtures)


@dataclass
class ModelA:
    width: int = 1


@dataclass
class ModelB:
    depth: int = 2


@pytest.fixture
def composed(monkeypatch):
    """Modes of all compositions, in order."""
    modes = []
    compose = ConfigLoaderImpl.load_configuration

    def counted(self, name, overrides, mode, *more, **named):
        modes.append(mode.name)
        return compose(self, name, overrides, mode, *more, **named)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", counted)
    return modes


@pytest.fixture
def jobs(monkeypatch):
    """Configurations of all jobs, in order: the command's, and Hydra's own."""
    seen = []
    do = config._Command._job

    def recorded(self, composed):
        hydra = HydraConfig.instance().cfg
        seen.append([OmegaConf.to_container(node, resolve=False) for node in (composed, hydra)])
        return do(self, composed)

    monkeypatch.setattr(config._Command, "_job", recorded)
    return seen


@pytest.mark.parametrize(
    ("words", "modes"),
    [
        ((), ["MULTIRUN"]),
        (("hydra.mode=RUN",), ["MULTIRUN"]),
        (("+experiment=big", "trainer.steps=3"), ["MULTIRUN"]),
        (("model=unet", "hydra.job.name=x", "hydra.job.chdir=false"), ["MULTIRUN"]),
        (("hydra.mode=MULTIRUN", "trainer.steps=1,2"), ["MULTIRUN", *["RUN"] * 4]),
        (("-m", "trainer.steps=1"), ["MULTIRUN", "RUN", "RUN"]),
    ],
)
def test_the_job_is_what_hydra_composes_again(run, composed, jobs, monkeypatch, words, modes):  # noqa: F811
    status, out, err = run("input=a", *words)
    assert (status, err) == (0, "")
    once, of_once = list(composed), list(jobs)
    monkeypatch.setattr(KeepingLoader, "keep", lambda *_: None)
    assert run("input=a", *words) == (0, out, "")
    assert jobs[len(of_once) :] == of_once
    second = "MULTIRUN" if len(modes) > 1 else "RUN"  # the sweeper then composes each job
    assert (once, composed[len(once) :]) == (modes, [modes[0], second, *modes[1:]])


@pytest.mark.parametrize("words", [("trainer.steps=1,2",), ("model=???",), ("+experiment=gap",), ("+experiment=typo",)])
def test_what_is_wrong_is_told_as_before(run, monkeypatch, files, words):  # noqa: F811
    (files / "experiment/gap.yaml").write_text("# @package _global_\ndefaults: [/refine: ???]\n")
    status, out, err = run("input=a", *words)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    monkeypatch.setattr(KeepingLoader, "keep", lambda *_: None)
    assert run("input=a", *words) == (1, "", err)


def test_a_composition_does_not_copy_all_schemas(run, monkeypatch):  # noqa: F811
    def fail(*_):
        raise AssertionError("all schemas are copied")

    monkeypatch.setattr(ConfigStore, "__deepcopy__", fail, raising=False)
    assert run("input=a", "model=unet")[::2] == (0, "")


def test_other_places_are_those_of_one_composition(tmp_path):
    path = ConfigSearchPathImpl()
    path.append("main", f"file://{tmp_path}")
    loader = KeepingLoader(path)
    before = list(loader.get_sources())
    other = CachingConfigRepository(loader.repository)
    path.append("more", f"file://{tmp_path / 'more'}")
    other.initialize_sources(path)
    assert [source.provider for source in other.get_sources()] == ["main", "more"]
    assert loader.get_sources() == before


def test_a_schema_is_stored_once_and_again_where_it_differs():
    store = ConfigStore.instance()
    config._store("test_composed_once", ModelA, "model")
    first = store.repo["model"]["test_composed_once_schema.yaml"]
    config._store("test_composed_once", ModelA, "model")
    assert store.repo["model"]["test_composed_once_schema.yaml"] is first
    config._store("test_composed_once", ModelB, "model")
    try:
        assert store.load("model/test_composed_once_schema.yaml").node == {"depth": 2}
    finally:
        del store.repo["model"]["test_composed_once_schema.yaml"]
