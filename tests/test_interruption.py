"""Ctrl-C and SIGTERM before a command has begun: Python imports for seconds then."""

import signal
import subprocess
import sys

import pytest

AS_COMMAND = (
    "import signal, sys; sys.argv = ['-m']; import cellflax; "  # as it is while `python -m cellflax.train` imports
)
ENDS = [
    (signal.SIGINT, 130, "error: interrupted\n"),
    (signal.SIGTERM, 143, "error: ended by SIGTERM\n"),
]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("number", "status", "line"), ENDS)
def test_imports_of_a_command_end_in_one_line(number, status, line):
    ended = run(AS_COMMAND + f"signal.raise_signal({int(number)}); print('went on')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", line)


@pytest.mark.parametrize(("number", "status", "line"), ENDS)
def test_a_command_that_has_begun_cleans_up(number, status, line):
    command = (
        "from cellflax.interruption import ending_in_one_line\n"
        "with ending_in_one_line():\n"
        "    try:\n"
        f"        signal.raise_signal({int(number)})\n"
        "    finally:\n"
        "        print('cleaned up')\n"
    )
    ended = run(f"{AS_COMMAND}\n{command}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "cleaned up\n", line)


@pytest.mark.parametrize(("number", "status", "line"), ENDS)
def test_a_command_that_is_done_ends_in_one_line_too(number, status, line):
    command = (
        "from cellflax.interruption import ending_in_one_line\n"
        "with ending_in_one_line():\n"
        "    pass\n"
        f"signal.raise_signal({int(number)}); print('went on')"
    )
    ended = run(f"{AS_COMMAND}\n{command}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", line)


def test_who_ignores_a_signal_keeps_doing_so():
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    ended = run(ignore + AS_COMMAND + "signal.raise_signal(signal.SIGTERM); print('went on')")
    assert (ended.returncode, ended.stdout) == (0, "went on\n")


def test_a_program_that_imports_cellflax_is_left_alone():
    ended = run("import signal, cellflax; signal.raise_signal(signal.SIGINT)")
    assert ended.stderr.endswith("KeyboardInterrupt\n")
