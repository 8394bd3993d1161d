"""A command that may have huge pages starts itself again with them, once; other processes never do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellflax import huge_pages
from cellflax.huge_pages import TUNABLES, asking_for_huge_pages, start_again_with_huge_pages, starts_a_command

STARTED = """
import os
print("started", os.getpid(), os.environ.get("GLIBC_TUNABLES"), flush=True)
"""


@pytest.fixture
def tells_its_starts(tmp_path):
    """An environment in which each start of Python prints its number and its tunables."""
    (tmp_path / "sitecustomize.py").write_text(STARTED)
    environment = {name: value for name, value in os.environ.items() if name != TUNABLES}
    return {**environment, "PYTHONPATH": str(tmp_path)}


def starts(words, environment):
    """What `STARTED` printed, and the exit status."""
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    lines = [line.split()[1:] for line in ended.stdout.splitlines() if line.startswith("started ")]
    return lines, ended.returncode


def can_have_them():
    mode = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    try:
        version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()[1]
    except (AttributeError, IndexError, OSError, ValueError):
        return False
    return mode.exists() and "[madvise]" in mode.read_text() and tuple(map(int, version.split("."))) >= (2, 35)


SCRIPT = str(Path(sys.executable).with_name("cellflax"))


@pytest.mark.skipif(not can_have_them(), reason="Linux gives no huge pages here, or gives them to all")
@pytest.mark.parametrize(
    "words",
    [
        [sys.executable, "-m", "cellflax.commands"],  # as a command, but without its imports
        [sys.executable, "-m", "cellflax", "--version"],
        [SCRIPT, "convert", "no_such_key=1"],
    ],
)
def test_a_command_starts_again_once_in_the_same_process(words, tells_its_starts):
    found, status = starts(words, tells_its_starts)
    (first, before), (second, after) = found
    assert first == second
    assert (before, after) == ("None", "glibc.malloc.hugetlb=1")
    assert status == ("no_such_key=1" in words)  # the words came along, and so does the exit status


@pytest.mark.skipif(not can_have_them(), reason="Linux gives no huge pages here, or gives them to all")
def test_a_command_that_loses_its_tunables_asks_once(tells_its_starts, tmp_path):
    """As the loader takes them from programs with privileges."""
    (tmp_path / "sitecustomize.py").write_text(f'{STARTED}\nos.environ.pop("GLIBC_TUNABLES", None)')
    found, _ = starts([sys.executable, "-m", "cellflax", "--version"], tells_its_starts)
    assert [tunables for _, tunables in found] == ["None", "glibc.malloc.hugetlb=1"]


@pytest.mark.parametrize("value", ["glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=2:glibc.malloc.arena_max=1"])
def test_what_the_user_chose_stays(value, tells_its_starts):
    found, _ = starts([sys.executable, "-m", "cellflax", "--version"], {**tells_its_starts, TUNABLES: value})
    assert [tunables for _, tunables in found] == [value]


@pytest.mark.parametrize(
    "code",
    [
        "import cellflax",
        "import sys; sys.argv = ['-m']; import cellflax",
        "import sys; sys.argv = ['cellflax', '--version']; from cellflax.__main__ import main; main()",
        "import sys; sys.argv = ['cellflax', 'convert', 'no_key=1']; from cellflax.__main__ import main; main()",
    ],
)
def test_programs_of_others_are_not_started_again(code, tells_its_starts):
    assert len(starts([sys.executable, "-c", code], tells_its_starts)[0]) == 1


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["python", "-m", "cellflax.train", "run=x"], True),
        (["python", "-u", "-m", "cellflax", "train"], True),
        (["python", "/venv/bin/cellflax", "train"], True),
        (["python", "-m", "cellflax_tools"], False),
        (["python", "-m", "pytest", "cellflax"], False),
        (["python", "-m"], False),
        (["python", "script.py", "-m", "cellflax.train"], False),
        (["python", "-c", "import cellflax"], False),
        (["python"], False),
        ([], False),
    ],
)
def test_which_words_start_a_command(words, answer):
    assert starts_a_command(words, "cellflax") is answer


def test_other_tunables_are_kept():
    environment = {"HOME": "/root", TUNABLES: "glibc.malloc.arena_max=2"}
    assert asking_for_huge_pages(environment) == {
        "HOME": "/root",
        TUNABLES: "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1",
    }


@pytest.mark.parametrize(
    ("library", "mode"),
    [
        ("glibc 2.34", "always [madvise] never"),
        ("glibc 2.36", "always madvise [never]"),
        ("glibc 2.36", "[always] madvise never"),
        ("musl 1.2", "always [madvise] never"),
        (None, "always [madvise] never"),
        ("glibc 2.36", None),
    ],
)
def test_where_they_cannot_be_had_nothing_is_started(library, mode, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "execve", lambda *words: pytest.fail("started again"))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "cellflax.train"])
    monkeypatch.setattr(os, "confstr", lambda name: library)
    monkeypatch.setattr(huge_pages, "_MODE", tmp_path / "enabled")
    if mode is not None:
        (tmp_path / "enabled").write_text(mode)
    start_again_with_huge_pages()


def test_an_interpreter_that_is_gone_does_not_end_the_command(tmp_path, monkeypatch):
    (tmp_path / "enabled").write_text("always [madvise] never")
    monkeypatch.setattr(huge_pages, "_MODE", tmp_path / "enabled")
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36")
    monkeypatch.delenv(TUNABLES, raising=False)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "cellflax.train"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    start_again_with_huge_pages()
