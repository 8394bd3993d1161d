"""The built wheel, alone in an environment of its own, run from a directory that knows nothing of the checkout.

And the sdist, from which the same wheel is built and its own tests run.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SIZE = ("hela.height=128", "hela.width=128", "hela.pixel_size_um=1.3")

pytestmark = pytest.mark.slow


def check(*command: object, cwd: Path) -> str:
    """Run a program and return what it printed to standard output."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "CELLFLAX_DATA")}
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    check(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, REPOSITORY, cwd=directory)
    (path,) = directory.glob("cellflax-*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a fresh environment that has the wheel, and borrows this one's dependencies."""
    environment = tmp_path_factory.mktemp("environment")
    check(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    python = environment / "bin" / "python"
    check(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel,
        cwd=environment,
    )  # fmt: skip
    packages = check(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=environment)
    # A path in a .pth file is not searched for .pth files: the checkout, installed editably there, stays unseen.
    (Path(packages.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    conf = {f"cellflax/conf/{path.relative_to(REPOSITORY / 'conf')}" for path in (REPOSITORY / "conf").rglob("*.yaml")}
    modules = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "cellflax").rglob("*.py")}
    shipped = [path for path in (REPOSITORY / "cellflax" / "networks").iterdir() if path.suffix in (".npz", ".md")]
    networks = {f"cellflax/networks/{path.name}" for path in shipped}
    assert (
        conf
        | modules
        | networks
        | {"cellflax/data/deepcell_files.json", "cellflax/catalogue/sets.json", "cellflax/py.typed"}
        <= names
    )
    assert not [name for name in names if not name.startswith(("cellflax/", "cellflax-"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The sdist, unpacked."""
    directory = tmp_path_factory.mktemp("sdist")
    check(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", directory, REPOSITORY, cwd=directory)
    (path,) = directory.glob("cellflax-*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(directory, filter="data")
    return directory / path.name.removesuffix(".tar.gz")


def test_contents_of_the_sdist(source):
    """Every file of the repository, except what only serves git and the checks of every change."""
    tracked = check("git", "ls-files", cwd=REPOSITORY).splitlines()
    expected = {name for name in tracked if not name.startswith(".ci/") and name != ".python-version"}
    found = {file.relative_to(source).as_posix() for file in source.rglob("*") if file.is_file()}
    assert found - {"PKG-INFO"} == expected


def test_the_sdist_makes_the_same_wheel(source, wheel, tmp_path):
    check(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source, cwd=tmp_path)
    (path,) = tmp_path.glob("cellflax-*.whl")
    with zipfile.ZipFile(path) as made, zipfile.ZipFile(wheel) as expected:
        assert sorted((m.filename, m.CRC) for m in made.infolist()) == sorted(
            (m.filename, m.CRC) for m in expected.infolist()
        )


def test_the_tests_of_the_sdist_can_be_collected(source):
    """Each file of tests finds what it imports and reads, in the sdist alone."""
    code = f"import sys; sys.path.insert(0, {str(source)!r}); import cellflax, pytest; print(cellflax.__file__); "
    code += "sys.exit(pytest.main(['--collect-only', '-q', '-q', '-n', '0', '-p', 'no:cacheprovider', 'tests']))"
    out = check(sys.executable, "-c", code, cwd=source)
    assert Path(out.splitlines()[0]).is_relative_to(source)
    assert "tests/test_peers.py" in out  # which imports benchmarks/


def test_commands_from_another_directory(python, tmp_path):
    """Train, simulate, predict, evaluate and sweep, as README does."""
    location = check(python, "-c", "import cellflax; print(cellflax.__file__)", cwd=tmp_path)
    assert Path(location.strip()).is_relative_to(python.parents[1])

    out = check(python, "-m", "cellflax.train", "+debug=quick", "run=first", cwd=tmp_path)
    assert out == f"run: {tmp_path / 'first'}\n"
    check(python, "-m", "cellflax.simulate", "output=held_out", "fields=1", "seed=1000", *SIZE, cwd=tmp_path)
    check(
        python, "-m", "cellflax.predict", "checkpoint=first", "input=held_out/images",
        "channels=[phase,nuclear]", "output=predictions", cwd=tmp_path,
    )  # fmt: skip
    out = check(
        python, "-m", "cellflax.evaluate", "predicted=predictions", "reference=held_out/labels",
        "output=evaluation", cwd=tmp_path,
    )  # fmt: skip
    assert "note: simulated" in out
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert metrics["pooled"]["jaccard_index"] > 0.3

    short = ("trainer.steps=6", "optimizer.warmup_steps=1", "run=sweep")
    out = check(python.parent / "cellflax", "train", "-m", "+debug=quick", *short, "seed=0,1", cwd=tmp_path)
    assert out.splitlines()[-1] == f"run: {tmp_path / 'sweep' / '1'}"
    for seed in (0, 1):
        assert json.loads((tmp_path / "sweep" / str(seed) / "config.json").read_text())["seed"] == seed
