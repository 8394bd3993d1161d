"""An environment of Python for each peer, made once from its file of requirements."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cellflax.device import cache_directory
from cellflax.errors import UserError
from cellflax.jsonfile import write_json
from cellflax.progress import say

_REQUIREMENTS = Path(__file__).parent / "requirements"
_COMPLETE = "complete.json"  # written last, with the versions of all packages


def environment(name: str, gpu: bool) -> Path:
    """The Python of a peer's environment, which is made if there is none.

    It is in the cache folder of cellflax, under a name that changes with the requirements and with Python's version.

    Args:
        name: of the peer.
        gpu: take `NAME-gpu.txt`, where there is one.

    Raises:
        UserError: if it cannot be made; the line names the log.
    """
    file = _REQUIREMENTS / f"{name}-gpu.txt"
    if not (gpu and file.is_file()):
        file = _REQUIREMENTS / f"{name}.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(f"{version}\n{file.read_text(encoding='utf-8')}".encode()).hexdigest()[:12]
    folder = cache_directory() / "peers" / f"{file.stem}-{digest}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / _COMPLETE).is_file():
        say(f"{name}: makes its environment in {folder}")
        _make(name, folder, python, file)
    return python


def _make(name: str, folder: Path, python: Path, requirements: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of an installation that was interrupted
    log = folder.with_name(f"{folder.name}.log")
    try:
        folder.mkdir(parents=True)
        with log.open("wb") as lines:
            for command in (
                [sys.executable, "-m", "venv", str(folder)],
                [str(python), "-m", "pip", "install", "--no-input", "--requirement", str(requirements)],
            ):
                subprocess.run(command, stdout=lines, stderr=subprocess.STDOUT, check=True, env=without_our_path())
        listed = subprocess.run([str(python), "-m", "pip", "freeze"], check=True, capture_output=True, text=True)
    except OSError as error:
        raise UserError(
            f"{name}: its environment {folder} cannot be made ({error.strerror}); set CELLFLAX_CACHE"
        ) from (error)
    except subprocess.CalledProcessError as error:
        raise UserError(
            f"{name}: its environment cannot be made, status {error.returncode}; see {log}, and run the command again"
        ) from error
    write_json(folder / _COMPLETE, {"packages": listed.stdout.split("\n")[:-1]})


def without_our_path() -> dict[str, str]:
    """The variables of this process, without those that let another Python import this one's packages."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
