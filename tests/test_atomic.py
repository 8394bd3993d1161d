"""Files and directories that are whole or absent, and the line for a place that cannot be used."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellflax.atomic import new_directory, output_directory, remove_leftovers, replacing, reserve
from cellflax.errors import UserError
from tests.commands import REPOSITORY


def test_the_target_is_replaced_at_the_end(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with replacing(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file(tmp_path, kind):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def interrupted():
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise kind

    with pytest.raises(kind):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_cannot_be_replaced_is_an_error(tmp_path):
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(OSError), replacing(tmp_path / "table.csv") as temporary:  # noqa: PT011 the system's own words
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_full_disk_names_the_target(tmp_path):
    """The system's error of a write names no file, and that of a rename a temporary one."""
    target = tmp_path / "table.csv"

    def write(*details: str) -> None:
        with replacing(target):
            raise OSError(errno.ENOSPC, "No space left on device", *details)

    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert caught.value.filename == str(target)
    with pytest.raises(OSError, match="No space left") as caught:
        write("another.csv")
    assert caught.value.filename == "another.csv"
    with pytest.raises(FileNotFoundError) as caught, replacing(target):
        pass  # nothing is written
    assert caught.value.filename == str(target)


def test_what_a_killed_process_left_is_removed(tmp_path):
    with replacing(tmp_path / "table.csv") as temporary:
        temporary.write_text("whole")
    temporary.write_text("half")  # as SIGKILL leaves it
    kept = {"table.csv", ".mine.tmp", ".table.csv.12.tmp.bak", "table.csv.12.tmp", ".hidden"}
    for name in kept:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_an_output_directory_is_made_or_kept(tmp_path):
    made = output_directory(f"{tmp_path}/a/b")
    assert made == tmp_path / "a/b"
    (made / "result").touch()
    assert output_directory(made) == made
    assert [path.name for path in made.iterdir()] == ["result"]


@pytest.mark.parametrize("below", ["", "/c"])
def test_a_file_is_no_output_directory(tmp_path, below):
    (tmp_path / "b").write_text("")
    with pytest.raises(UserError, match=rf"^run={tmp_path}/b{below}: cannot make this directory \(.*\); give another$"):
        output_directory(f"{tmp_path}/b{below}", key="run")


def test_a_new_directory_is_whole_or_absent(tmp_path):
    def interrupted():
        with new_directory(tmp_path / "x/out") as directory:
            (directory / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert list((tmp_path / "x").iterdir()) == []
    with new_directory(tmp_path / "x/out") as directory:
        (directory / "file").write_text("all")
        assert not (tmp_path / "x/out").exists()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["out"]
    assert (tmp_path / "x/out/file").read_text() == "all"


def test_a_new_directory_takes_an_empty_one_and_refuses_all_else(tmp_path):
    (tmp_path / "empty").mkdir()
    with new_directory(tmp_path / "empty") as directory:
        (directory / "file").touch()
    for place, reason in (
        (tmp_path / "empty", "already exists"),
        (tmp_path / "empty/file", "already exists"),
        (tmp_path / "empty/file/below", "cannot make this directory"),
    ):
        with pytest.raises(UserError, match=reason), new_directory(place):
            pass
    assert [path.name for path in Path(tmp_path / "empty").iterdir()] == ["file"]


@pytest.mark.parametrize("fallocate", [True, False])
def test_a_sparse_file_gets_its_space_and_keeps_its_content(tmp_path, monkeypatch, fallocate):
    if not fallocate:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    path = tmp_path / "maps"
    with path.open("wb") as file:
        file.write(b"header")
        file.truncate(3 << 20)
    reserve(path)
    assert path.stat().st_blocks * 512 >= 3 << 20
    assert path.read_bytes() == b"header".ljust(3 << 20, b"\0")


def test_what_a_killed_process_left_of_a_directory_is_removed(tmp_path):
    """A directory in use stays, and so does what others named so."""
    code = (
        "import os, sys; from pathlib import Path; from cellflax.atomic import new_directory\n"
        "with new_directory(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('half'); os.kill(os.getpid(), 9)"
    )
    target = tmp_path / "out[1]"
    subprocess.run([sys.executable, "-c", code, str(target)], cwd=REPOSITORY, check=False)
    (left,) = tmp_path.iterdir()
    (tmp_path / ".out[1].mine.unfinished").write_text("mine")
    with new_directory(target) as used:
        assert not left.exists()
        with pytest.raises(KeyboardInterrupt), new_directory(target):
            raise KeyboardInterrupt
        assert used.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out[1].mine.unfinished", "out[1]"]
