"""Memory in pages of 2 MB instead of 4 KB, where Linux gives them to those who ask.

XLA takes the memory of a training step anew at every step, and returns it to the system. In small pages that costs tens
of thousands of page faults and misses of the address cache. glibc asks for huge pages only if a variable of the
environment told it so when the process began, so a command starts itself again. `GLIBC_TUNABLES=glibc.malloc.hugetlb=0`
prevents it.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

TUNABLES = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb"
# Number of the process that has asked. Where something takes the tunables away at every start, it asks once.
_ASKED = "CELLFLAX_ASKED_FOR_HUGE_PAGES"
_SINCE = (2, 35)  # version of glibc
_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def start_again_with_huge_pages(package: str = "cellflax") -> None:
    """Replace this process by the same with huge pages, if a command of ours runs and can have them.

    Returns where it has them already, where they cannot be had, and in a process that others started, such as tests.
    The process keeps its number.

    Args:
        package: where the modules are that may be started so.
    """
    if not sys.executable or not starts_a_command(sys.orig_argv, package) or not _to_be_had():
        return
    environment, process = asking_for_huge_pages(os.environ), str(os.getpid())
    if environment is not None and os.environ.get(_ASKED) != process:
        try:
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**environment, _ASKED: process})
        except OSError:  # the interpreter may be gone or arguments too long; small pages do, too
            return


def starts_a_command(words: Sequence[str], package: str) -> bool:
    """Whether the words that started this process, the interpreter first, name the package or a module of it."""
    for position, word in enumerate(words[1:], start=1):
        if word == "-m":
            return any(module.partition(".")[0] == package for module in words[position + 1 : position + 2])
        if not word.startswith("-"):
            return PurePath(word).name == package
    return False


def asking_for_huge_pages(environment: Mapping[str, str]) -> dict[str, str] | None:
    """The environment that asks for huge pages; None where it says already whether they are wanted."""
    given = environment.get(TUNABLES, "")
    if _HUGE_PAGES in given:
        return None
    return {**environment, TUNABLES: ":".join(filter(None, [given, f"{_HUGE_PAGES}=1"]))}


def _to_be_had() -> bool:
    """Whether glibc can ask for them, and Linux gives them to those who ask, and not to all or to none."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        new_enough = name == "glibc" and tuple(map(int, version.split(".")[:2])) >= _SINCE
        return new_enough and "[madvise]" in _MODE.read_text()
    except (AttributeError, OSError, ValueError):  # another system or library
        return False
