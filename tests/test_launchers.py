"""Sweeps by Hydra's launchers: scores of all jobs, a job that fails, one that is killed, and the sweep run again."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cellflax import train
from cellflax.config import config_directory
from cellflax.errors import UserError
from cellflax.launching.results import _prepare_submitit
from tests import fake_slurm, launched_command
from tests.commands import REPOSITORY, TINY_NETWORK, Result, finish_command, run_command, start_command

# What each file of conf/hydra/launcher/ gives a job, by the name of its plugin.
LAUNCHERS = {
    "joblib_cpu": ("joblib", {"n_jobs": 2}),
    "joblib_gpu": ("joblib", {"n_jobs": 8}),
    "submitit_local_cpu": ("submitit", {"gpus_per_node": None, "timeout_min": 1440}),
    "submitit_local_gpu": ("submitit", {"gpus_per_node": 1, "timeout_min": 1440}),
    "submitit_slurm_cpu": ("submitit", {"gpus_per_node": None, "tasks_per_node": 1, "cpus_per_task": 4, "mem_gb": 16}),
    "submitit_slurm_gpu": ("submitit", {"gpus_per_node": 1, "tasks_per_node": 1, "cpus_per_task": 4, "mem_gb": 32}),
    "ray_cpu": ("ray", {"ray": {"init": {"address": None}, "remote": {"num_cpus": 2}}}),
    "ray_gpu": ("ray", {"ray": {"init": {"address": None}, "remote": {"num_cpus": 4, "num_gpus": 1}}}),
}


def is_installed(plugin: str, kind: str = "launcher") -> bool:
    name = f"hydra_plugins.hydra_{plugin}_{kind}"
    return importlib.util.find_spec("hydra_plugins") is not None and importlib.util.find_spec(name) is not None


def needs(name: str) -> pytest.MarkDecorator:
    plugin, _ = LAUNCHERS[name]
    return pytest.mark.skipif(not is_installed(plugin), reason=f"hydra-{plugin}-launcher is not installed")


def each(*names: str) -> list:
    return [
        pytest.param(name, marks=[needs(name), pytest.mark.slow] if "ray" in name else needs(name)) for name in names
    ]


def test_every_file_is_tested():
    assert {file.stem for file in (config_directory() / "hydra/launcher").glob("*.yaml")} == LAUNCHERS.keys()


@pytest.mark.parametrize("name", each(*LAUNCHERS))
def test_what_a_job_gets(name):
    result = run_command(train.main, f"hydra/launcher={name}", "--cfg", "hydra", "-p", "hydra.launcher")
    assert result.status == 0, result.err
    plugin, expected = LAUNCHERS[name]
    composed = yaml.safe_load(result.out)
    assert composed["_target_"].startswith(f"hydra_plugins.hydra_{plugin}_launcher.")
    assert {key: composed[key] for key in expected} == expected


@pytest.mark.parametrize(("group", "option", "extra"), [("launcher", "ray", "ray"), ("sweeper", "optuna", "optuna")])
def test_a_plugin_that_is_not_installed(group, option, extra):
    if is_installed(option, group):
        pytest.skip(f"{option} is installed")
    file = {"launcher": "ray_cpu", "sweeper": "optuna_maximize"}[group]
    result = run_command(train.main, "-m", f"hydra/{group}={file}")
    assert result.error == f"hydra/{group}/{option} is a plugin that is not installed: pip install 'cellflax[{extra}]'"


# Jobs that take no time.


@pytest.fixture
def sweep(tmp_path):
    """Run a sweep of three jobs by a launcher, of which the second fails and the third kills itself, once."""
    (tmp_path / "conf").mkdir()
    launched_command.write_files(tmp_path / "conf")

    def sweep(*words: str, **environment: str) -> Result:
        base = ("--config-path", str(tmp_path / "conf"), "-m", "value=1,2,3", "fails=2", "dies=3", "run=out")
        done = subprocess.run(
            [sys.executable, "-m", "tests.launched_command", *base, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return sweep


def jobs_of(folder: Path) -> dict[str, tuple[int, float | None]]:
    """By directory: how often each job was started, and its score."""
    jobs = {}
    for starts in folder.glob("*/starts"):
        score = starts.with_name("score")
        done = float.fromhex(score.read_text()) if score.exists() else None
        jobs[starts.parent.name] = (len(starts.read_text().split()), done)
    return jobs


# submitit notices a killed job after a while.
_SUBMITIT = pytest.param("submitit_local_cpu", marks=[needs("submitit_local_cpu"), pytest.mark.slow])


@pytest.mark.parametrize("name", [*each("joblib_cpu", "ray_cpu"), _SUBMITIT])
def test_a_killed_job_leaves_the_others_and_the_sweep_resumes(sweep, tmp_path, name):
    result = sweep(f"hydra/launcher={name}")
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert lines[0] == "error: job value=2 fails=2 dies=3 run=out: value 2.0 cannot be used"
    assert (result.status, "Traceback" in result.err) == (1, False)
    if name == "ray_cpu":  # Ray starts a killed job again by itself
        assert (len(lines), jobs_of(tmp_path / "out")["2"]) == (1, (2, 1.0))
    else:
        assert re.fullmatch(r"error: job value=3 .*: its process ended .*the same run=DIR resumes it", lines[1])
        assert (len(lines), jobs_of(tmp_path / "out")["2"]) == (2, (1, None))
    assert jobs_of(tmp_path / "out")["0"] == (1, 1 / 3)

    # The launcher without other processes finds the same directories, so that each stands for the others.
    assert sweep().status == 0
    assert jobs_of(tmp_path / "out") == {"0": (1, 1 / 3), "1": (2, 2 / 3), "2": (2, 3 / 3)}


@needs("submitit_slurm_gpu")
def test_slurm(sweep, tmp_path):
    """Jobs as submitit hands them to Slurm, on a stand-in for it."""
    fake_slurm.write_programs(tmp_path / "slurm")
    here = {"PATH": f"{tmp_path / 'slurm'}:{os.environ['PATH']}", "FAKE_SLURM": str(tmp_path / "slurm")}
    words = ("hydra/launcher=submitit_slurm_gpu", "hydra.launcher.partition=gpu", "hydra.launcher.account=lab")
    result = sweep(*words, "dies=null", **here)
    assert result.error.endswith(": value 2.0 cannot be used")
    assert (result.status, jobs_of(tmp_path / "out")) == (1, {"0": (1, 1 / 3), "1": (1, None), "2": (1, 3 / 3)})
    given = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", (tmp_path / "slurm/script").read_text(), re.MULTILINE))
    one_gpu = {"gpus-per-node": "1", "ntasks-per-node": "1", "nodes": "1", "cpus-per-task": "4", "mem": "32GB"}
    asked = {"partition": "gpu", "account": "lab", "time": "1440", "array": "0-2%3"}
    assert given.items() >= (one_gpu | asked).items()
    assert str(tmp_path / "out/.submitit") in given["output"]


@needs("submitit_slurm_gpu")
def test_a_machine_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    result = run_command(train.main, "-m", "hydra/launcher=submitit_slurm_cpu", "seed=0,1", f"run={tmp_path}")
    assert "needs Slurm's sbatch and srun" in result.error


def test_jobs_that_would_share_a_directory_are_refused(tmp_path):
    subdir = "hydra.sweep.subdir=rate_${optimizer.learning_rate}"
    result = run_command(train.main, "-m", "seed=0,1", subdir, f"run={tmp_path}")
    assert "several jobs of the sweep could write to one directory; put ${hydra.job.num} into it" in result.error


def test_a_line_break_reaches_no_script_of_slurm():
    params = {"submitit_folder": "x", "partition": "gpu\ntouch pwned #"}
    with pytest.raises(UserError, match=r"hydra\.launcher\.partition has a line break"):
        _prepare_submitit(params, "out")
    with pytest.raises(UserError, match=r"hydra\.launcher\.submitit_folder has a line break"):
        _prepare_submitit({}, "out\ntouch pwned #")
    with pytest.raises(UserError, match=r"hydra\.launcher\.additional_parameters has a line break"):
        _prepare_submitit({"additional_parameters": {"x": ["a\nb"]}}, "out")


def test_messages_of_submitit_have_a_folder_that_nobody_foresaw():
    folders = []
    for _ in range(2):
        params = {"submitit_folder": "out/.submitit/%j", "setup": ["a", "b\nc"]}
        _prepare_submitit(params, "out")
        folders.append(params["submitit_folder"])
    assert all(re.fullmatch(r"out/\.submitit/[\d_-]{19}_[0-9a-f]{16}/%j", str(folder)) for folder in folders)
    assert folders[0] != folders[1]


@pytest.mark.skipif(not is_installed("optuna", "sweeper"), reason="hydra-optuna-sweeper is not installed")
def test_optuna_finds_the_best_and_resumes(sweep, tmp_path):
    words = ("hydra/sweeper=optuna_maximize", "hydra.sweeper.n_trials=6", "value=interval(0.0,1.0)", "dies=null")
    first = sweep(*words)
    assert first.status == 0, first.err
    found = yaml.safe_load((tmp_path / "out/optimization_results.yaml").read_text())
    jobs = jobs_of(tmp_path / "out")
    assert len(jobs) == 6
    assert found["best_value"] == max(score for _, score in jobs.values() if score is not None)
    assert found["best_params"]["value"] / 3 == found["best_value"]
    assert sweep(*words).status == 0
    assert jobs_of(tmp_path / "out") == jobs  # none was started again
    assert yaml.safe_load((tmp_path / "out/optimization_results.yaml").read_text()) == found


# Real trainings.

SHORT = (*TINY_NETWORK, "trainer.devices=1", "trainer.steps=40", "trainer.validate_every=4", "seed=0,1")


def processes_with(folder: Path) -> set[int]:
    """Processes that have a file below a folder open."""
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if descriptor.readlink().is_relative_to(folder):
                found.add(int(descriptor.parts[2]))
    return found


def scores_of(folder: Path) -> dict[str, str]:
    """By directory, the score of each run, exactly."""
    return {
        summary.parent.name: json.loads(summary.read_text())["score"].hex() for summary in folder.glob("*/summary.json")
    }


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """The scores of a sweep without a launcher."""
    directory = tmp_path_factory.mktemp("basic")
    result = finish_command(start_command("cellflax", "train", "-m", *SHORT, "run=runs", cwd=directory), 900)
    assert result.status == 0, result.err
    return scores_of(directory / "runs")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for a process in /proc")
@pytest.mark.parametrize("name", each("joblib_cpu", "submitit_local_cpu", "ray_cpu"))
def test_trainings_score_as_without_a_launcher_also_after_a_kill(scores, tmp_path, name):
    words = ("train", "-m", *SHORT, "run=runs", f"hydra/launcher={name}")
    sweep = start_command("cellflax", *words, cwd=tmp_path)
    runs, killed = tmp_path / "runs", set()
    while sweep.poll() is None and not killed:
        time.sleep(0.05)
        killed = processes_with(runs / "1") if any(runs.glob("1/checkpoints/[0-9]*")) else set()
    for process in killed:
        os.kill(process, signal.SIGKILL)
    result = finish_command(sweep, 900)
    assert killed
    assert scores_of(runs)["0"] == scores["0"]
    if name != "ray_cpu":  # Ray starts it again by itself
        assert (result.status, set(scores_of(runs))) == (1, {"0"})
        assert "seed=1 run=runs: its process ended before the job did" in result.err  # beside warnings of Python
        assert finish_command(start_command("cellflax", *words, cwd=tmp_path), 900).status == 0
    assert scores_of(runs) == scores
    summary = finish_command(start_command("cellflax", "summarize", "runs", "output=summary", cwd=tmp_path))
    assert "2 runs in 1 settings, 0 not counted" in summary.out
