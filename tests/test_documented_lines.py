"""Every command line of the documentation runs, on the small images of a reader (`tests/reader.py`).

The tutorials run as notebooks, by tests/test_documentation.py, which also composes every line, in seconds.
"""

import contextlib
import importlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from cellflax import train
from cellflax.commands import module_of
from tests import reader
from tests.commands import REPOSITORY, TINY_UNET, Result, finish_command, run_command, start_command
from tests.documentation import Line, files_of, lines_of
from tests.planning.discs import discs, write_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    # bioimageio.spec leaves files to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

# Words of a line -> the package that it needs.
NEEDS = {
    "rois": "roifile",
    "anndata": "anndata",
    "geff": "geff",
    "format=onnx": "onnxruntime",
    "format=bioimageio": "onnxruntime",
    "hydra/launcher=joblib": "hydra_plugins.hydra_joblib_launcher",
    "hydra/launcher=submitit": "hydra_plugins.hydra_submitit_launcher",
    "hydra/launcher=lab": "hydra_plugins.hydra_submitit_launcher",
    "optuna": "hydra_plugins.hydra_optuna_sweeper",
    "+sweep=learning_rate": "hydra_plugins.hydra_optuna_sweeper",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A training on images of the reader's own."""
    folder = tmp_path_factory.mktemp("reader")
    write_folder(folder / "mine", {f"a{i}": discs(14, 4, 4, 24) for i in range(6)})
    words = ("data=folder", f"data.root={folder / 'mine'}", "trainer.steps=300", "trainer.validate_every=100")
    settings = ("optimizer.warmup_steps=5", "logger.wandb=disabled", "trainer.devices=1", "guide=false", *TINY_UNET)
    result = run_command(train.main, *words, *settings, f"run={folder / 'run'}")
    assert result.status == 0, result.err
    return folder / "run"


@pytest.fixture
def public(monkeypatch) -> Path | None:
    """Folder of the public data sets, which no line sees unless it says so."""
    place = os.environ.get("CELLFLAX_DATA")
    monkeypatch.delenv("CELLFLAX_DATA", raising=False)
    return None if place is None else Path(place).resolve()


def missing(line: Line, public: Path | None) -> str | None:
    """What this machine lacks for a line."""
    for words, package in NEEDS.items():
        if any(words in word for word in line.words):
            with contextlib.suppress(ModuleNotFoundError):  # of the folder of plugins
                if importlib.util.find_spec(package):
                    continue
            return package
    needs_data = line.variables or line.words[:1] == ("get",) or "data.on_missing=download" in line.words
    return "the public data sets (CELLFLAX_DATA)" if needs_data and public is None else None


@pytest.mark.parametrize("page", reader.PAGES)
def test_every_command_line_runs(page, run, public, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader.lay_out(page, tmp_path, run)
    for name, text in files_of(REPOSITORY / page).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done, lacking = 0, set()
    lines = [line for line in lines_of(REPOSITORY / page) if line.command and not line.runs]
    for _, block in groupby(lines, key=lambda line: line.block):
        can_run = []
        for line in block:
            lacks = missing(line, public)
            lacking |= {lacks} - {None}
            can_run += [] if lacks else [line]
        for line in can_run:  # blocks are alternatives: each begins without the results of those before it
            for place in reader.places_of(line, tmp_path):
                shutil.rmtree(place, ignore_errors=True)
        for line, result in results_of(can_run, tmp_path, public, monkeypatch):
            assert result.status == 0, f"{line}\n{result.out}\n{result.err}"
            assert "Traceback" not in result.err, f"{line}\n{result.err}"
            for place in reader.places_of(line, tmp_path):
                assert any(place.iterdir()), line
            done += 1
    if lacking and not done:
        pytest.skip(f"needs {', '.join(sorted(lacking))}")
    for lacks in sorted(lacking):
        print(f"{page}: some lines need {lacks}")


def results_of(block: list[Line], folder: Path, public: Path | None, monkeypatch) -> Iterator[tuple[Line, Result]]:
    """Type the lines of a block, one after the other; processes of one training at once."""
    processes, address = [], reader.free_address()
    for line in block:
        reader.before(line, folder)
        words = reader.typed(line, folder, public)
        with monkeypatch.context() as patch:
            for name, value in reader.surroundings(line, folder).items():
                patch.setenv(name, value)
            if any(word.startswith("trainer.coordinator=") for word in words):
                words = [f"trainer.coordinator={address}" if "coordinator" in word else word for word in words]
                patch.setenv("JAX_NUM_CPU_DEVICES", "1")
                processes.append((line, start_command("cellflax", line.command, *words, cwd=folder)))
            elif any(word.startswith(("hydra/launcher=", "hydra/sweeper=", "+sweep=learning_rate")) for word in words):
                # Processes of their own, also because Optuna 2 has many warnings.
                patch.setenv("JAX_NUM_CPU_DEVICES", "1")
                yield line, finish_command(start_command("cellflax", line.command, *words, cwd=folder), 900)
            else:
                main = importlib.import_module(module_of(line.command)).main
                for others in reader.others_of_the_plate(words):
                    yield line, run_command(main, *others)
                yield line, run_command(main, *words)
    for line, process in processes:
        yield line, finish_command(process, 900)
