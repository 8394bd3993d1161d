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


DURING = """
try:
    signal.raise_signal({number})
finally:
    print("cleaned up")
"""
AFTER = """
pass
signal.raise_signal({number})
print("went on")
"""


@pytest.mark.parametrize(("number", "status", "line"), ENDS)
@pytest.mark.parametrize(("code", "within", "out"), [(DURING, 4, "cleaned up\n"), (AFTER, 1, "")])
def test_a_command_cleans_up_and_one_that_is_done_ends_at_once(number, status, line, code, within, out):
    """The first `within` lines of the code are the command."""
    lines = code.strip().format(number=int(number)).splitlines()
    indented = [f"    {one}" for one in lines[:within]] + lines[within:]
    head = "from cellflax.interruption import ending_in_one_line\nwith ending_in_one_line():"
    ended = run("\n".join([AS_COMMAND, head, *indented]))
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, out, line)


def test_who_ignores_a_signal_keeps_doing_so():
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    ended = run(ignore + AS_COMMAND + "signal.raise_signal(signal.SIGTERM); print('went on')")
    assert (ended.returncode, ended.stdout) == (0, "went on\n")


def test_a_program_that_imports_cellflax_is_left_alone():
    ended = run("import signal, cellflax; signal.raise_signal(signal.SIGINT)")
    assert ended.stderr.endswith("KeyboardInterrupt\n")
