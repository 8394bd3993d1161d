"""A directory has one writer; its lock ends with the process, however that ends."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cellflax.directory_lock import directory_lock
from cellflax.errors import UserError
from cellflax.locks import Lock, LockedError

HOLDING = """
import sys
from pathlib import Path
from cellflax.directory_lock import directory_lock
with directory_lock(Path(sys.argv[1]), "train", "run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.stdin.close()
    process.stdout.close()
    process.wait()


def test_the_second_process_hears_of_the_first(tmp_path, holder):
    with pytest.raises(UserError) as refused, directory_lock(tmp_path, "train", "run"):
        pass
    assert str(refused.value) == (
        f"run={tmp_path}: cellflax train, process {holder.pid} on {socket.gethostname()} is writing there; wait until "
        "it has ended, or give another directory"
    )
    with directory_lock(tmp_path, "predict", name="predict"):  # another lock
        assert {path.name for path in tmp_path.iterdir()} == {".cellflax.lock", ".predict.lock"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_process_holds_nothing(tmp_path, holder, number):
    holder.send_signal(number)
    holder.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".cellflax.lock"]
    with directory_lock(tmp_path, "train", "run"):
        assert f"process {os.getpid()} on" in (tmp_path / ".cellflax.lock").read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_given_back_can_be_taken(tmp_path, holder):
    holder.communicate("", timeout=60)
    assert list(tmp_path.iterdir()) == []
    for _ in range(2):
        with directory_lock(tmp_path, "train", "run"):
            pass


def test_it_is_given_back_after_an_exception(tmp_path):
    with pytest.raises(KeyboardInterrupt), directory_lock(tmp_path, "train"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_have_it_in_turn(tmp_path):
    """Each removes the file as it goes, so that others find a file that is there no more."""
    inside, most, turns = 0, 0, 0
    counter = threading.Lock()

    def worker():
        nonlocal inside, most, turns
        done = 0
        while done < 20:
            try:
                with Lock.take(tmp_path / "lock", "test"):
                    with counter:
                        inside += 1
                        most = max(most, inside)
                    with counter:
                        inside -= 1
                        turns += 1
                    done += 1
            except LockedError:
                continue

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, 80)


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, capsys):
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with directory_lock(tmp_path, "train"), directory_lock(tmp_path, "train"):
        pass
    line = capsys.readouterr().err.splitlines()[0]
    assert line == (
        f"note: {tmp_path} is on a file system without locks; start no other cellflax train there before this one has "
        "ended"
    )


@pytest.mark.parametrize("kind", ["folder", "link", "no directory", "read-only"])
def test_what_cannot_be_locked_is_one_line(tmp_path, monkeypatch, kind):
    path = tmp_path / ".cellflax.lock"
    directory = tmp_path
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "no directory":
        directory = tmp_path / "none"
    else:
        monkeypatch.setattr(os, "open", _refuse)
    line = r"^output=\S+: cannot be written to \(.*\); give another$"
    with pytest.raises(UserError, match=line), directory_lock(directory, "train"):
        pass
    assert not Path(tmp_path / "elsewhere").exists()


def _refuse(*_: object) -> int:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_damaged_file_is_taken_over_and_not_repeated(tmp_path):
    path = tmp_path / ".cellflax.lock"
    path.write_bytes(b"\x1b[31m\xff\0" * 1000)
    with Lock.take(path, "train"):
        with pytest.raises(LockedError, match=r"^cellflax train, process"), Lock.take(path, "train"):
            pass
        path.write_bytes(b"\x1b[31mred\n" * 1000)
        with pytest.raises(LockedError, match=r"^\[31mred$"), Lock.take(path, "train"):
            pass
        path.write_bytes(b"")
        with pytest.raises(LockedError, match=r"^another process$"), Lock.take(path, "train"):
            pass
