"""The configuration mechanism on a toy command: composing, one-line mistakes, sweeps."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellflax import config
from cellflax.errors import UserError
from tests import toy_command
from tests.toy_command import Padding, PatchNet, Toy, Trainer, UNet

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return toy_command.write_files(tmp_path_factory.mktemp("conf"))


@pytest.fixture
def run(files, toy_groups, monkeypatch, tmp_path, capsys):
    """Run the toy command in this process; returns exit status, standard output and error."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # restored afterwards
    monkeypatch.delenv("CELLFLAX_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "config_directory", lambda: files)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["toy", *arguments])
        status = 0
        try:
            toy_command.main()
        except SystemExit as stop:
            status = stop.code
        return (status, *capsys.readouterr())

    return run


def subprocess_run(directory: Path, files: Path, *arguments: str, **environment: str):
    """Run the toy command as a user does, from a directory that knows nothing of the repository."""
    return subprocess.run(
        [sys.executable, "-m", "tests.toy_command", "--config-path", str(files), *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_function_receives_the_typed_configuration(run):
    status, out, err = run(
        "input=a.tif", "model.padding=valid", "model.filters=[8]", "model.dropout=0.5", "trainer.steps=3"
    )
    expected = Toy(model=PatchNet(61, [8], Padding.valid, 0.5), trainer=Trainer(steps=3), input="a.tif")
    assert (status, out, err) == (0, f"{expected}\n", "")


def test_experiment_overrides_group_and_values(run):
    _, out, _ = run("+experiment=big", "input=a")
    assert out == f"{Toy(model=UNet(4, 2.0), trainer=Trainer(steps=99), input='a')}\n"


def test_experiment_from_a_users_own_directory(run, tmp_path):
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/colony.yaml").write_text("# @package _global_\nmodel: {width: 31}\n")
    status, out, _ = run("--config-dir", "mine", "+experiment=colony", "input=a")
    assert status == 0
    assert "width=31" in out


def test_run_leaves_no_files(run, tmp_path):
    run("input=a")
    assert list(tmp_path.iterdir()) == []


BAD_ARGUMENTS = [
    # unknown keys
    (
        ["model.widht=1"],
        "unknown key model.widht: did you mean model.width? allowed in model: dropout",
    ),
    (["modle.width=1"], "unknown key modle: did you mean model? allowed: fail_with, input, model, output,"),
    (["+model.foo=1"], "unknown key model.foo: allowed in model: dropout, filters, padding, width"),
    (["+foo=1"], "unknown key foo: allowed: fail_with, input"),
    (["+trainer={stpes: 1}"], "unknown key trainer.stpes: did you mean trainer.steps?"),
    (
        ["trainer.weights.edge=2"],
        "unknown key trainer.weights.edge: write +trainer.weights.edge=VALUE",
    ),
    (["+experiment=typo"], "in experiment/typo: unknown key model.widht: did you mean model.width?"),
    (["+model._target_=os.system"], "unknown key model._target_"),
    # unknown options: the schemas are not shown
    (
        ["model=patchnet"],
        "patchnet: did you mean patch_net? available: bare, patch_net, unet\n",
    ),
    (["+experiment=huge"], "unknown experiment huge: available: big, syntax, type, typo"),
    (["experiment=big"], "use +experiment=big"),
    # wrong types
    (["model.width=wide"], "model.width must be a whole number; got 'wide'"),
    (["trainer.steps=1.5"], "trainer.steps must be a whole number; got 1.5"),
    (["trainer.steps=null"], "trainer.steps must be a whole number; got None"),
    (["model.dropout=x"], "model.dropout must be a number or null; got 'x'"),
    (["model.filters=3"], "model.filters must be a list, each a whole number; got 3"),
    (["model.filters=[8,x]"], "model.filters[1] must be a whole number; got 'x'"),
    (["+trainer.weights.edge=x"], "trainer.weights.edge must be a number; got 'x'"),
    (["trainer=3"], "trainer must be a group of keys: steps, resume, weights; got 3"),
    (["model.padding=reflect"], "model.padding must be one of same, valid; got 'reflect'"),
    (["+experiment=type"], "in experiment/type: model.width must be a whole number; got 'wide'"),
    (["model=bare"], "its file must begin with the defaults [patch_net_schema or unet_schema, _self_]"),
    (["model=null"], "must be a string or a list"),
    # values
    (["model.width=0"], "model.width must be positive, got 0"),
    (["model.width=???"], "no value for model.width: add model.width=..."),
    (["~model"], "no value for model: add model=..."),
    (["output=${nowhere}"], "output: Interpolation key 'nowhere' not found"),
    # unreadable
    (["model.width"], "cannot read 'model.width': an override is written key=value"),
    (["model.filters=[8 (1)]"], "needs quotes inside the shell's, as in model.filters='\"[8 (1)]\"'"),
    (["model.width=1,2"], "To sweep over it, add --multirun"),
    (["+experiment=syntax"], "experiment/syntax.yaml, line 3: expected ',' or '}'"),
    (["--config-dir=/no/such"], "directory '/no/such' not found"),
    (["--experimental-rerun=x.pkl"], "--experimental-rerun is not available: it would run code from a file"),
    # inside the command
    (["fail_with=UserError"], "cannot read a: it is empty"),
    (["fail_with=OSError"], "No such file or directory: /no/such/directory"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_mistake_is_one_line(run, arguments, message):
    status, out, err = run("input=a", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_missing_values_are_named(run):
    assert run() == (1, "", "error: no value for input: add input=...\n")


@pytest.mark.parametrize("arguments", [["model.width=0"], ["model.widht=1"], ["fail_with=UserError"]])
def test_debug_raises(run, arguments, monkeypatch):
    with pytest.raises(Exception, match=r"model\.width|model\.widht|cannot read"):
        run("input=a", "debug=true", *arguments)
    monkeypatch.setenv("CELLFLAX_DEBUG", "1")
    with pytest.raises(Exception, match=r"model\.width|model\.widht|cannot read"):
        run("input=a", *arguments)
    status, *_ = run("input=a", "debug=false", *arguments)
    assert status == 1


def test_debug_group_is_apart_from_the_debug_flag(run):
    _, out, _ = run("input=a", "debug=true", "+debug=quick")
    assert "steps=1," in out


def test_bugs_keep_their_traceback(run):
    with pytest.raises(RuntimeError, match="a bug"):
        run("input=a", "fail_with=RuntimeError")


def test_sweep_hands_values_on(run, returned):
    status, out, err = run("input=a", "-m", "trainer.steps=4,6")
    assert (status, err) == (0, "")
    assert out.count("Toy(") == 2
    assert returned == [2.0, 3.0]


def test_sweep_names_the_failed_job_and_goes_on(run, returned):
    status, out, err = run("--multirun", "input=a", "model.width=0,5")
    assert status == 1
    assert err == "error: job input=a model.width=0: model.width must be positive, got 0\n"
    assert "width=5" in out
    assert math.isnan(returned[0])
    assert returned[1] == 5.0


def test_sweep_with_a_typo_runs_no_job(run):
    status, out, err = run("-m", "input=a", "model=patch_net,unet", "model.depth=3")
    assert (status, out) == (1, "")
    assert err == "error: unknown key model.depth: allowed in model: dropout, filters, padding, width\n"


def test_command_from_any_directory_without_jax(tmp_path, files):
    result = subprocess_run(tmp_path, files, "input=a", "trainer.steps=7")
    assert (result.returncode, result.stderr) == (0, "")
    assert "steps=7" in result.stdout
    assert "jax imported: False" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "err"),
    [
        (["model.width=0"], 1, "error: model.width must be positive, got 0\n"),
        (
            ["-m", "model.width=0,1"],
            1,
            "error: job input=a model.width=0: model.width must be positive, got 0\n",
        ),
        (["fail_with=interrupt"], 130, "error: interrupted\n"),
        (["fail_with=terminate"], 143, "error: ended by SIGTERM\n"),
        (["-m", "fail_with=terminate,interrupt"], 143, "error: ended by SIGTERM\n"),
    ],
)
def test_exit_status(tmp_path, files, arguments, status, err):
    result = subprocess_run(tmp_path, files, "input=a", *arguments)
    assert (result.returncode, result.stderr) == (status, err)


def test_debug_variable_shows_the_traceback(tmp_path, files):
    result = subprocess_run(tmp_path, files, "input=a", "model.width=0", CELLFLAX_DEBUG="1")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_config_directory_prefers_the_package(monkeypatch, tmp_path):
    (tmp_path / "cellflax").mkdir()
    monkeypatch.setattr(config, "__file__", str(tmp_path / "cellflax/config.py"))
    with pytest.raises(UserError, match="no conf directory in"):
        config.config_directory()
    (tmp_path / "conf").mkdir()
    assert config.config_directory() == tmp_path / "conf"
    (tmp_path / "cellflax/conf").mkdir()
    assert config.config_directory() == tmp_path / "cellflax/conf"
