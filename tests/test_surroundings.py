"""Environment variables that other programs set, or that users expect to hold."""

import os
import subprocess
import sys

import jax
import pytest

from cellflax.commands import COMMANDS
from cellflax.device import devices_of_jax
from cellflax.errors import UserError
from tests.commands import REPOSITORY


def process(*arguments: str, cwd=REPOSITORY, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with variables of another environment."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_every_command_draws_without_the_backend_of_jupyter():
    """IPython's kernel names a module that need not be installed where it starts other programs."""
    code = (
        "; ".join(f"import cellflax.{name}" for name in COMMANDS) + "; import matplotlib as m; print(m.get_backend())"
    )
    result = process("-c", code, MPLBACKEND="module://no_such.backend")
    assert (result.stdout.lower(), result.stderr) == ("agg\n", "")


def test_import_cellflax_leaves_a_notebooks_backend():
    code = "import cellflax, os; cellflax.load; cellflax.score; print(os.environ['MPLBACKEND'])"
    assert process("-c", code, MPLBACKEND="svg").stdout == "svg\n"


@pytest.mark.parametrize(("command", "argument"), [("train", "+debug=quick"), ("predict", "checkpoint={run}")])
def test_a_platform_that_is_not_there_is_one_line(tmp_path, tiny, command, argument):
    arguments = (argument.format(run=tiny.path), "input=.") if command == "predict" else (argument,)
    result = process("-m", f"cellflax.{command}", *arguments, cwd=tmp_path, JAX_PLATFORMS="nonsense")
    assert result.returncode == 1
    assert result.stderr.startswith("error: JAX_PLATFORMS=nonsense: JAX cannot use this here (")
    assert result.stderr.endswith("or set JAX_PLATFORMS=cpu\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("Unable to initialize\nbackend"), ValueError("x")])
@pytest.mark.parametrize("asked", ["cuda", None])
def test_errors_of_jaxs_set_up_have_a_remedy(monkeypatch, error, asked):
    def devices():
        raise error

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    if asked:
        monkeypatch.setenv("JAX_PLATFORMS", asked)
    with pytest.raises(UserError, match="set JAX_PLATFORMS=cpu") as caught:
        devices_of_jax()
    assert "JAX_PLATFORMS=cuda: " in str(caught.value) or not asked
