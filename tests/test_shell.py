"""The door for shells: the list of commands, help of one command, closed pipes."""

import ast
import dataclasses
import functools
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import cellflax
from cellflax.__main__ import main
from cellflax.command_help import command_help, meanings
from cellflax.commands import COMMANDS, module_of, summary
from cellflax.config import config_directory
from cellflax.errors import UserError
from cellflax.progress import end_if_pipe_closed
from cellflax.schema_source import UNREAD, UnreadableError, read_schema
from cellflax.schemas import GROUPS, field_types
from tests.commands import REPOSITORY, Result, run_command
from tests.test_configs import COMMANDS as SCHEMAS
from tests.test_configs import composed


def shell(*arguments: str) -> Result:
    """`cellflax ...` in this process."""
    return run_command(main, *arguments)


def process(*arguments: str, code: str = "from cellflax.__main__ import main; main()") -> tuple[str, set[str]]:
    """`cellflax ...` in a process of its own: what it prints, and the top packages that it imports."""
    code = f"import sys; sys.argv[1:] = {list(arguments)!r}; {code}; print(sorted(sys.modules), file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return run.stdout, {name.split(".")[0] for name in ast.literal_eval(run.stderr)}


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_alone_it_lists_the_commands(arguments):
    result = shell(*arguments)
    assert (result.status, result.err) == (0, "")
    listed = dict(re.findall(r"^  (\w+) +(\S.*)$", result.out, re.MULTILINE))
    texts = [path.read_text() for path in Path(cellflax.__file__).parent.glob("*.py") if path.stem != "config"]
    entries = {match for text in texts for match in re.findall(r'^@entry\("(\w+)"', text, re.MULTILINE)}
    assert set(listed) == entries == set(COMMANDS) == set(SCHEMAS)
    for name, line in listed.items():
        assert line == summary(name)
        assert line.endswith(".")


def test_the_list_imports_next_to_nothing():
    out, imported = process()
    assert "  predict " in out
    assert not {"jax", "numpy", "pandas", "hydra", "omegaconf", "skimage"} & imported


def test_version():
    assert shell("--version") == Result(0, f"cellflax {cellflax.__version__}\n", "")


@pytest.mark.parametrize(
    ("name", "nearest"), [("predit", "predict"), ("evalute", "evaluate"), ("summarise", "summarize")]
)
def test_an_unknown_command_is_one_line(name, nearest):
    result = shell(name, "a=b")
    assert result.status == 1
    assert result.error.startswith(f"unknown command {name}: did you mean {nearest}? available: inspect, plan, train, ")


def test_an_unknown_command_like_no_other():
    assert shell("x").error.startswith("unknown command x: available: inspect, plan, train,")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs_by_its_name(command):
    """To its first mistake, which names the key."""
    result = shell(command, "no_such_key=1")
    assert result.status == 1
    assert "unknown key no_such_key: " in result.error


def test_hydras_own_options_still_work(tmp_path):
    (tmp_path / "refine").mkdir()
    (tmp_path / "refine" / "mine.yaml").write_text("defaults: [threshold, _self_]\ninterior: 0.7\n")
    out, _ = process("predict", "--cfg", "job", f"--config-dir={tmp_path}", "refine=mine", "tile=99")
    assert "tile: 99\n" in out
    assert "interior: 0.7\n" in out
    # Hydra's own help ends the process.
    command = [sys.executable, "-m", "cellflax", "predict", "--hydra-help"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "--multirun" in run.stdout


# Help of a command.


@functools.cache
def help_of(command: str) -> str:
    result = shell(command, "--help")
    assert (result.status, result.err) == (0, "")
    return result.out


def reachable(schema: type, prefix: str = "") -> list[tuple[str, type, str]]:
    """Every key below a configuration with its dataclass and field; also in members of groups and elements of lists."""
    found = []
    for name, hint in field_types(schema).items():
        key = prefix + name
        found.append((key, schema, name))
        inside = list(map(pkgutil.resolve_name, GROUPS[name].values())) if hint is Any else [hint]
        for member in inside:
            if dataclasses.is_dataclass(member):
                found += reachable(member, f"{key}.")
            for element in get_args(member):
                if dataclasses.is_dataclass(element):
                    found += reachable(element, f"{key}[].")
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_key_with_a_meaning(command):
    text = help_of(command)
    flat = " ".join(text.split())
    shown = set(re.findall(r"^ +([\w.\[\]]+)(?: = |  \(|: |=OPTION)", text, re.MULTILINE))
    # A dataclass in several places is described in the first of them.
    alias = dict(re.findall(r"^ +(\S+)\.\*: as (\S+)\.\*", text, re.MULTILINE))
    for key, schema, name in reachable(SCHEMAS[command]):
        meaning = meanings(schema).get(name, "")
        assert len(meaning) > 3, f"{schema.__name__}.{name} has no meaning in its docstring"
        assert " ".join(meaning.split()) in flat, key
        while key not in shown:
            parents = [place for place in alias if key.startswith(f"{place}.")]
            assert parents, key
            parent = max(parents, key=len)
            key = alias[parent] + key.removeprefix(parent)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_the_defaults_that_hold(command):
    """By what Hydra composes, an answer of its own."""
    typed, text = composed(command), help_of(command)
    for name, hint in field_types(SCHEMAS[command]).items():
        value = getattr(typed, name)
        if hint in (bool, int, float, str) and name != "run":
            written = str(value).lower() if hint is bool else value if value != "" else '""'
            assert re.search(rf"^  {name} = {re.escape(str(written))}  \(", text, re.MULTILINE), name
        if isinstance(value, list | dict) and not value:
            assert re.search(rf"^  {name} = (\[\]|{{}})  \(", text, re.MULTILINE), name


def test_help_of_nested_defaults():
    text = help_of("train")
    assert "      optimizer.learning_rate = 0.002  (a number)\n" in text
    assert "model=OPTION, default patch_net_61: " in text
    text = help_of("simulate")
    assert "    brightfield.wells = [well1, well2, well3]  (a list, each one of well1, well2, well3)\n" in text
    assert "brightfield.well2.*: as brightfield.well1.*, except {cells_per_mm2: 520.0, cell_area_um2: 850.0, " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_no_group_of_another_command(command):
    text = help_of(command)
    own = {name for name, hint in field_types(SCHEMAS[command]).items() if hint is Any}
    assert set(re.findall(r"^  (\w+)=OPTION", text, re.MULTILINE)) == own
    whole = set(re.findall(r"^\+(\w+)=OPTION", text, re.MULTILINE))
    assert whole == ({"experiment", "sweep", "debug"} if command == "train" else set())
    for group in own | whole:
        for file in (config_directory() / group).glob("*.yaml"):
            assert re.search(rf"^    {file.stem}  +\S", text, re.MULTILINE), file
    assert "== Configuration groups ==" not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_two_examples_and_the_ways_to_override(command):
    text = help_of(command)
    assert len(re.findall(rf"^    cellflax {command} \S", text, re.MULTILINE)) >= 2
    for way in ("key=value", "key=[a,b]", "group=OPTION", "-m key=a,b", "--config-dir DIR", "--cfg job"):
        assert f"\n    {way}  " in text


def test_help_names_the_papers_that_it_cites():
    assert help_of("predict").splitlines()[-1].startswith("papers: P1 is Van Valen et al. 2016, P2 is Sadanandan")
    assert "P1" not in help_of("summarize")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_from_the_sources_is_that_of_the_classes(command):
    """The dataclasses that `cellflax COMMAND --help` reads from their sources are those that Python imports."""
    module = pkgutil.resolve_name(module_of(command))
    imported = command_help(command, SCHEMAS[command], config_directory(), pkgutil.resolve_name, module.__doc__)
    assert help_of(command) == imported
    assert run_command(module.main, "--help").out == imported


def test_help_needs_no_jax():
    out, imported = process("predict", "--help")
    assert "keys:" in out
    assert not {"jax", "numpy", "pandas", "skimage"} & imported


CLASSES = sorted({path for kinds in GROUPS.values() for path in kinds.values()} | set(COMMANDS.values()))


@pytest.mark.parametrize("path", CLASSES)
def test_dataclasses_read_from_their_source(path):
    rebuilt, real = read_schema(path), pkgutil.resolve_name(path)
    assert inspect.cleandoc(rebuilt.__doc__ or "") == inspect.cleandoc(real.__doc__)
    assert field_types(rebuilt).keys() == field_types(real).keys()
    for ours, theirs in zip(dataclasses.fields(rebuilt), dataclasses.fields(real), strict=True):
        if ours.default is UNREAD or ours.default is dataclasses.MISSING:
            assert (ours.default is UNREAD) or (theirs.default is dataclasses.MISSING)
        else:
            assert getattr(ours.default, "name", ours.default) == getattr(theirs.default, "name", theirs.default)


@pytest.mark.parametrize(
    "path", ["cellflax.nowhere:A", "cellflax.errors:A", "cellflax.errors:UserError", "cellflax.labels:components"]
)
def test_what_cannot_be_read_is_an_error(path):
    with pytest.raises(UnreadableError):
        read_schema(path)


def test_meanings_of_a_base_class_and_over_several_lines():
    class Base:
        """A base.

        Attributes:
            first: what it
                means: two things.
            second: another.

        More text: not an attribute.
        """

    class Derived(Base):
        """Derived.

        Attributes:
            second: by now.
        """

    assert meanings(Derived) == {"first": "what it means: two things.", "second": "by now."}


# Pipes.


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "cellflax"],
        ["-m", "cellflax", "train", "--help"],
        ["-m", "cellflax.summarize", "--help"],
        ["-m", "cellflax", "simulate", "--cfg", "job"],
        ["-m", "cellflax", "evaluate", "--hydra-help"],
        ["-m", "cellflax", "summarize", "nowhere"],
    ],
)
def test_a_reader_that_stops_ends_it_quietly(arguments):
    read, write = os.pipe()
    os.close(read)  # as `| head` is after its last line
    try:
        error = write if arguments[-1] == "nowhere" else subprocess.PIPE  # that line goes to standard error
        command = [sys.executable, *arguments]
        run = subprocess.run(command, cwd=REPOSITORY, stdout=write, stderr=error, check=False)
    finally:
        os.close(write)
    assert run.returncode == 141
    assert not run.stderr


def test_a_reader_of_three_lines():
    command = f"{sys.executable} -m cellflax predict --help | head -3; echo ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[0] == "Segment images with a trained network."
    assert len(run.stdout.splitlines()) == 4
    assert run.stdout.splitlines()[3] in ("0", "141")
    assert run.stderr == ""


def test_other_errors_stay():
    end_if_pipe_closed(UserError("a mistake"))
    end_if_pipe_closed(BrokenPipeError("of something else than the output"))
