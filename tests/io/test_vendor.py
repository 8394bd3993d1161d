"""Without the extras, cellflax works; with them, their libraries are imported for their own files only."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cellflax.io.vendor import BoundedFile, bounded

ROOT = Path(__file__).parents[2]
LIBRARIES = ("czifile", "nd2", "liffile")


@pytest.mark.parametrize("absent", [True, False])
def test_cellflax_imports_none_of_them(absent, tmp_path):
    code = f"""
import sys
if {absent}:
    sys.modules.update(dict.fromkeys({LIBRARIES}))
import numpy, tifffile
import cellflax.predict, cellflax.quantify
from cellflax.io.files import list_files
from cellflax.io.images import read_image
tifffile.imwrite("a.tif", numpy.eye(9, dtype="u1"))
for name in ("a.CZI", "a.nd2", "a.lif"):
    open(name, "wb").write(bytes(30))
print(read_image("a.tif").pixels.sum(), len(list_files(".")), [n for n in {LIBRARIES} if sys.modules.get(n)])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert result.stdout == "9 4 []\n", result.stderr


def test_the_extras_are_declared_and_their_versions_constrained():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "cellflax[formats]" in extras["dev"]
    constrained = (ROOT / "constraints.txt").read_text()
    for extra, name in zip(("czi", "nd2", "lif"), LIBRARIES, strict=True):
        assert extra in extras["formats"][0]
        assert extras[extra][0].startswith(name)
        assert f"\n{name}==" in constrained


def test_a_file_claims_no_more_memory_than_it_has(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    with bounded(tmp_path / "a") as file:
        assert isinstance(file, BoundedFile)
        file.seek(4)
        assert file.read(2**62) == b"456789"
        assert file.read(5) == b""
        file.seek(20)
        assert file.read() == b""
    assert file.closed
