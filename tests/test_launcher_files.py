"""Files of a user, read by --config-dir, choose a launcher and say how much a job may use; they run no code by it."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cellflax.composition import _check_file
from cellflax.errors import UserError
from tests.test_config import files, run  # noqa: F401 (fixtures)
from tests.test_launchers import needs

# Hydra warns that it may one day not merge a file of the name of a plugin's option with that option.
pytestmark = [needs("submitit_slurm_gpu"), pytest.mark.filterwarnings("ignore::UserWarning")]

SLURM = "defaults: [override /hydra/launcher: submitit_slurm]\n"
TOUCH = "[touch pwned]"
HOSTILE = {
    "commands before the job": f"hydra: {{launcher: {{setup: {TOUCH}}}}}",
    "folder of scripts": "hydra: {launcher: {submitit_folder: /tmp/elsewhere}}",
    "options of sbatch": "hydra: {launcher: {additional_parameters: {wrap: touch pwned}}}",
    "a line break": 'hydra: {launcher: {partition: "gpu\\ntouch pwned #"}}',
    "a line break in a number's place": 'hydra: {launcher: {nodes: "1\\ntouch pwned #"}}',
    "a quote": 'hydra: {launcher: {account: "a\'b"}}',
    "a reference": "hydra: {launcher: {account: '${oc.env:HOME}'}}",
    "a list": "hydra: {launcher: {partition: [gpu]}}",
    "address of a cluster": "hydra: {launcher: {ray: {init: {address: 192.0.2.1}}}}",
    "environment of a cluster": "hydra: {launcher: {ray: {init: {runtime_env: {py_executable: evil}}}}}",
    "the whole launcher by reference": "x: {}\nhydra: {launcher: '${x}'}",
    "dotted key": f"hydra: {{launcher.setup: {TOUCH}}}",
    "a function of Optuna's": "hydra: {sweeper: {custom_search_space: os.mkdir}}",
    "a data base of Optuna's": "hydra: {sweeper: {storage: 'redis://192.0.2.1'}}",
    "a sampler of Optuna's": "hydra: {sweeper: {sampler: {_target_: os.mkdir}}}",
    "a sampler by reference": "x: {}\nhydra: {sweeper: {sampler: '${x}'}}",
}
# Files in places that Hydra reads by itself or by a word of the command line.
PLACES = {
    "a launcher of one's own": (f"defaults: [submitit_slurm]\nsetup: {TOUCH}\n", "hydra/launcher/lab"),
    "in place of Hydra's": (f"defaults: [submitit_slurm]\nsetup: {TOUCH}\n", "hydra/launcher/basic"),
    "in place of a plugin's": (f"setup: {TOUCH}\n", "hydra/launcher/submitit_slurm"),
    "a package": (f"# @package hydra.launcher\nsetup: {TOUCH}\n", "experiment/pack"),
    "a sweeper": ("custom_search_space: os.mkdir\n", "hydra/sweeper/basic"),
}


@pytest.fixture
def mine(tmp_path):
    for group in ("experiment", "hydra/launcher", "hydra/sweeper"):
        (tmp_path / "mine" / group).mkdir(parents=True)
    return tmp_path / "mine"


def experiment(mine: Path, text: str) -> None:
    (mine / "experiment/mine.yaml").write_text(f"# @package _global_\n{text}\n")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_gives_a_launcher_nothing_that_runs(kind):
    refused = r"^mine\.yaml: (hydra\S* .*(could|would) run code|.*must be a number or one word|\$\{oc.env:...\} is not)"
    with pytest.raises(UserError, match=refused):
        _check_file("mine", OmegaConf.create(HOSTILE[kind]))


def test_an_experiment_with_commands_is_refused_before_a_job(run, mine):  # noqa: F811
    experiment(mine, SLURM + HOSTILE["commands before the job"])
    status, out, err = run("--config-dir", "mine", "+experiment=mine", "input=a", "-m")
    assert (status, out) == (1, "")
    assert re.fullmatch(r"error: .*mine\.yaml: hydra\.launcher\.setup could run code.*\n", err), err
    assert not Path("pwned").exists()


@pytest.mark.parametrize("kind", PLACES)
def test_no_place_of_a_file_gives_more(run, mine, kind):  # noqa: F811
    text, name = PLACES[kind]
    (mine / f"{name}.yaml").write_text(text)
    group, _, option = name.rpartition("/")
    words = {"experiment": ["hydra/launcher=submitit_slurm", f"+{name.replace('/', '=')}"]}
    status, out, err = run("--config-dir", "mine", "input=a", "-m", *words.get(group, [f"{group}={option}"]))
    assert (status, out) == (1, "")
    assert re.fullmatch(r"error: .*(setup|_target_|custom_search_space).*\n", err), err
    assert not Path("pwned").exists()


def test_a_file_in_place_of_hydras_own_launcher_is_read_unasked(run, mine):  # noqa: F811
    (mine / "hydra/launcher/basic.yaml").write_text(f"setup: {TOUCH}\n")
    status, out, err = run("--config-dir", "mine", "input=a", "-m")
    assert (status, out) == (1, "")
    assert re.fullmatch(r"error: unknown key setup.*\n", err), err


def test_a_file_says_how_much_a_job_may_use(run, mine):  # noqa: F811
    amounts = "partition: gpu-a100\naccount: lab_1\ngres: 'gpu:1'\nmem_per_gpu: 32GB\ntimeout_min: 600\n"
    (mine / "hydra/launcher/lab.yaml").write_text(f"defaults: [submitit_slurm]\n{amounts}")
    status, out, err = run("--config-dir", "mine", "input=a", "hydra/launcher=lab", "--cfg", "hydra")
    assert (status, err) == (0, "")
    for line in ("partition: gpu-a100", "account: lab_1", "gres: gpu:1", "mem_per_gpu: 32GB", "timeout_min: 600"):
        assert f"  {line}\n" in out


def test_an_experiment_says_it_too(run, mine):  # noqa: F811
    experiment(mine, SLURM + "hydra: {launcher: {gpus_per_node: 2, qos: high}}")
    status, out, err = run("--config-dir", "mine", "+experiment=mine", "input=a", "--cfg", "hydra")
    assert (status, err) == (0, "")
    assert "SlurmLauncher" in out
    assert "gpus_per_node: 2\n" in out
    assert "qos: high\n" in out
