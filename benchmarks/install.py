"""A new environment with cellflax and no extra: how many packages, how large; and the name of every extra.

python -m benchmarks.install [--against CHECKOUT] [--extras docs,rois]

Installs this checkout, and another one if it is given, each into an environment of its own, with constraints.txt. With
--extras, it also says what each of these adds to the environment. Needs a package index.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from benchmarks.timing import print_table

REPOSITORY = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of cellflax")
    parser.add_argument("--extras", default="", help="extras to add, one after the other")
    options = parser.parse_args()
    rows = []
    for checkout in filter(None, (REPOSITORY, options.against)):
        with tempfile.TemporaryDirectory() as folder:
            environment = Path(folder)
            run(sys.executable, "-m", "venv", environment)
            bare = size_mb(environment)
            seconds = install(environment, checkout, "")
            rows.append([str(checkout), *measured(environment, bare), seconds])
            for extra in filter(None, options.extras.split(",")) if checkout == REPOSITORY else ():
                seconds = install(environment, checkout, f"[{extra}]")
                rows.append([f"and [{extra}]", *measured(environment, bare), seconds])
    print_table(["environment", "packages", "MB", "seconds"], rows)
    print()
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    print_table(["extra", "adds"], [[name, ", ".join(names(packages))] for name, packages in extras.items()])


def install(environment: Path, checkout: Path, extra: str) -> str:
    """Install a checkout as README does; the seconds that it took."""
    start = time.monotonic()
    pip = [environment / "bin/pip", "install", "-q", "-c", checkout / "constraints.txt", f"{checkout}{extra}"]
    run(*pip)
    return f"{time.monotonic() - start:.0f}"


def measured(environment: Path, bare_mb: float) -> list[str]:
    """Number of packages besides pip, and megabytes beyond those of an empty environment."""
    listed = run(environment / "bin/python", "-m", "pip", "list", "--format=json")
    packages = {package["name"] for package in json.loads(listed)} - {"pip", "setuptools", "wheel"}
    return [str(len(packages)), f"{size_mb(environment) - bare_mb:.0f}"]


def size_mb(folder: Path) -> float:
    """Megabytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def names(requirements: list[str]) -> list[str]:
    """Requirements without their versions."""
    return [re.split(r"[<>=! ]", requirement)[0] for requirement in requirements]


def run(*command: object) -> str:
    """What a program prints; it must succeed."""
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
