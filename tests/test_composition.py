"""Files of a user, read by --config-dir, set values and run no code."""

import os
import re
from pathlib import Path

import pytest

from tests import toy_command
from tests.test_config import files, run  # noqa: F401 (fixtures)

TOUCH = "{_target_: os.mkdir, path: pwned}"
HOSTILE = {
    "callbacks": f"hydra: {{callbacks: {{x: {TOUCH}}}}}",
    "callbacks by reference": f"evil: {{x: {TOUCH}}}\nhydra: {{callbacks: '${{evil}}'}}",
    "handlers of logging": "hydra: {job_logging: {version: 1, formatters: {x: {(): os.mkdir, path: pwned}}}}",
    "logging of hydra": "hydra: {hydra_logging: {version: 1, formatters: {x: {(): os.mkdir, path: pwned}}}}",
    "launcher": f"hydra: {{launcher: {TOUCH}}}",
    "arguments of the launcher": f"hydra: {{launcher: {{x: {TOUCH}}}}}",
    "sweeper": f"hydra: {{mode: MULTIRUN, sweeper: {TOUCH}}}",
    "parameters of the sweeper": "hydra: {mode: MULTIRUN, sweeper: {params: {+hydra.job_logging.x: 1}}}",
    "parameters by reference": "hydra: {sweeper: {params: '${x}'}}",
    "hydra by reference": "x: {}\nhydra: ${x}",
    "environment of the job": "hydra: {job: {env_set: {LD_PRELOAD: ./x.so}}}",
    "search path": "hydra: {searchpath: ['pkg://evil']}",
    "a value": f"model: {TOUCH}",
    "a value in a list": f"model: {{filters: [{TOUCH}]}}",
    "tag of python": "name: !!python/object/apply:os.mkdir [pwned]",
    "tag of python's names": "name: !!python/name:os.mkdir",
    "group of hydra": "defaults: [override /hydra/launcher: mine]",
    "environment": "name: ${oc.env:HOME}",
    "environment within another": "name: '${oc.select:x,${oc.env:HOME}}'",
    "environment by a name in parts": "x: oc\nname: '${${x}.env:HOME}'",
    "environment, decoded": "name: '${oc.decode:\"\\${oc.env:HOME}\"}'",
    "environment in the defaults": "defaults: ['/debug: ${oc.env:HOME}']",
    "environment in a sweep": "hydra: {mode: MULTIRUN, sweeper: {params: {name: '\\${oc.env:HOME}'}}}",
    "made on the way": "model: '${oc.create:{_target_:os.mkdir}}'",
    "package of hydra": "defaults: ['/debug@hydra.callbacks: mine']",
}


@pytest.fixture
def evil(tmp_path):
    """A user's folder with groups of Hydra's own, too; `pwned` appears if anything of it runs."""
    for name in ("hydra/job_logging", "hydra/launcher", "hydra/callbacks", "debug"):
        (tmp_path / f"mine/{name}").mkdir(parents=True)
        (tmp_path / f"mine/{name}/mine.yaml").write_text(f"x: {TOUCH}\n")
    (tmp_path / "mine/experiment").mkdir()
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/__init__.py").write_text("import os; os.mkdir('pwned')")
    return tmp_path / "mine"


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("mode", [(), ("-m",), ("--cfg", "job")])
def test_an_experiment_that_would_run_code_is_refused(run, evil, kind, mode):  # noqa: F811
    (evil / "experiment/mine.yaml").write_text(f"# @package _global_\n{HOSTILE[kind]}\n")
    status, out, err = run("--config-dir", "mine", "+experiment=mine", "input=a", *mode)
    assert (status, out) == (1, "")
    assert re.fullmatch(r"error: .*mine.*\n", err), err
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["hydra/job_logging=mine"],
        ["+hydra/callbacks=mine"],
        ["+debug@hydra.callbacks=mine"],
        ["+debug=mine"],
    ],
)
def test_groups_of_a_users_folder_run_nothing(run, evil, arguments):  # noqa: F811
    status, _, err = run("--config-dir", "mine", "input=a", *arguments)
    assert status == 1
    assert re.fullmatch(r"error: .*mine.*\n", err), err
    assert not Path("pwned").exists()


@pytest.mark.parametrize("node", ["searchpath: ['pkg://evil']", f"callbacks: {{x: {TOUCH}}}"])
def test_a_users_main_file_runs_nothing(run, evil, monkeypatch, node):  # noqa: F811
    monkeypatch.syspath_prepend(os.getcwd())
    text = toy_command.FILES["toy.yaml"].replace("hydra:\n", f"hydra:\n  {node}\n")
    (evil / "own.yaml").write_text(text)
    status, _, err = run("--config-dir", "mine", "--config-name", "own", "input=a")
    assert status == 1
    assert re.fullmatch(r"error: .*own\.yaml: hydra\..*\n", err), err
    assert not Path("pwned").exists()


def test_an_object_named_on_the_command_line_is_refused(run):  # noqa: F811
    status, _, err = run("input=a", "+hydra.callbacks.x._target_=os.getcwd")
    assert (status, err) == (1, "error: hydra.callbacks could run code and is not available; remove it\n")
    status, _, err = run("input=a", "+hydra.launcher.x._target_=os.getcwd")
    assert (status, err) == (1, "error: hydra.launcher.x._target_ would run code and is not available; remove it\n")


def test_a_users_sweep_is_read(run, evil):  # noqa: F811
    sweep = "{mode: MULTIRUN, sweep: {dir: ., subdir: .}, sweeper: {params: {trainer.steps: '1,2'}}}"
    (evil / "experiment/mine.yaml").write_text(f"# @package _global_\nhydra: {sweep}\n")
    status, out, err = run("--config-dir", "mine", "+experiment=mine", "input=a")
    assert (status, err) == (0, "")
    assert out.count("Toy(") == 2


def test_the_home_folder_in_words_and_files(run, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/my=confs/experiment").mkdir(parents=True)
    (tmp_path / "home/my=confs/experiment/mine.yaml").write_text("# @package _global_\noutput: ~/out\n")
    status, out, _ = run("--config-dir", "~/my=confs", "+experiment=mine", "input=~/a", "hydra.run.dir=~/job")
    assert status == 0
    assert f"input='{tmp_path}/home/a', output='{tmp_path}/home/out'" in out
    assert (tmp_path / "home/job").is_dir()
    assert not Path("~").exists()
