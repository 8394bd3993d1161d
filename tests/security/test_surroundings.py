"""What lies in the folder where a command is started, and what names do to a terminal."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from cellflax import inspect
from cellflax.conversion.keras1_file import read_layers
from cellflax.errors import UserError
from cellflax.progress import Progress, printable
from cellflax.training.runlog import _wandb_id
from tests.commands import run_command
from tests.io.zarr_files import change, write

# Clears the screen, sets the title, and writes to the clipboard.
HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b2J\x1b]52;c;ZXZpbA==\x07"


@pytest.mark.parametrize("module", ["h5py", "numpy", "cellflax"])
def test_a_module_in_the_current_folder_is_not_imported(tmp_path, monkeypatch, module):
    """`convert` reads a file in a process of its own first, which Python would let import from the current folder."""
    (tmp_path / f"{module}.py").write_text("open('pwned', 'w')")
    monkeypatch.chdir(tmp_path)
    with h5py.File("weights.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense_1"]
    with pytest.raises(UserError, match="layer dense_1 is listed but missing"):
        read_layers(Path("weights.h5"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_names_from_a_file_cannot_drive_the_terminal(tmp_path, version):
    image = write(tmp_path / "a.zarr", np.ones((2, 8, 8), np.uint16), "cyx", version)
    change(image, lambda group: group.update(omero={"channels": [{"label": HOSTILE}, {"label": "b"}]}))
    result = run_command(inspect.main, image)
    assert r"\x1b[2J" in result.out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.out + result.err)


def test_a_file_name_cannot_drive_the_terminal(tmp_path):
    (tmp_path / f"{HOSTILE.replace('/', '')}.tif").write_text("no image")
    result = run_command(inspect.main, tmp_path)
    assert result.status == 1
    assert r"\x1b[2J" in result.out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.out + result.err)


def test_notes_and_progress_are_printable(capsys):
    with Progress(1, unit="images", line_seconds=0) as bar:
        bar.note(HOSTILE)
        bar.done(HOSTILE)
    assert "\x1b" not in capsys.readouterr().err
    assert printable("Zelle µm²\tü\n") == "Zelle µm²\tü\n"


@pytest.mark.parametrize("identity", ["../../precious", "/tmp/x", "a/b", "..", ""])
def test_the_identity_of_a_run_is_no_path(tmp_path, capsys, identity):
    """W&B makes a folder of this name."""
    (tmp_path / "wandb_id.txt").write_text(identity)
    assert re.fullmatch("[0-9a-f]{12}", _wandb_id(tmp_path))
    assert "holds no identity of a W&B run, so that W&B begins a new run" in capsys.readouterr().err
