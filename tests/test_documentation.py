"""Every command line of the documentation composes as far as its configuration, and the tutorials run.

The lines run by tests/test_documented_lines.py.
"""

import ast
import importlib
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from cellflax import config
from cellflax.command_help import command_help
from cellflax.commands import COMMANDS, module_of
from cellflax.config import config_directory, typed_config
from cellflax.launching import results
from cellflax.schema_source import read_schema
from tests import reader
from tests.commands import REPOSITORY, Result, run_command
from tests.documentation import Line, files_of, lines_of, pages
from tests.test_launchers import is_installed

IN_CI = "reporter"  # it needs no training

# Files that a reader has by then.
FILES = {
    "my_plan/experiment/planned.yaml": "# @package _global_\nname: planned\n",
    "my_experiments/experiment/mine.yaml": "# @package _global_\nname: mine\n",
}
PAGES = [page for page in pages() if lines_of(page)]
UNIQUE = {
    (line.command, line.words): line for page in reversed(PAGES) for line in reversed(lines_of(page)) if line.command
}
_split = BasicSweeper.split_arguments


@pytest.fixture
def compose(monkeypatch, tmp_path):
    """Run a line up to its checked configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        config._Command, "_job", lambda self, composed: 0.0 if typed_config(composed, self.schema) else 1
    )
    # Composing is all of the time: the first job of a sweep is enough.
    monkeypatch.setattr(BasicSweeper, "split_arguments", lambda *a: [_split(*a)[0][:1]])
    # No launcher starts another process.
    monkeypatch.setattr(results, "_instantiate", lambda self, **known: basic_launcher(**known))
    monkeypatch.setattr(results, "_Launcher", lambda launcher, config, failed: launcher)

    def compose(line: Line) -> Result:
        main = importlib.import_module(module_of(line.command)).main
        if not is_search(line):
            return run_command(main, *line.words)
        with warnings.catch_warnings(action="ignore"):  # Optuna 2 has many
            result = run_command(main, *line.words, "hydra.sweeper.n_trials=1")
        return result if result.status else Result(0, result.out, "")  # it greets on standard error

    return compose


def basic_launcher(**known: Any) -> BasicLauncher:
    launcher = BasicLauncher()
    launcher.setup(**known)
    return launcher


def is_search(line: Line) -> bool:
    return any("optuna" in word or word == "+sweep=learning_rate" for word in line.words)


def write(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_line_composes(compose, page, tmp_path):
    write(FILES | files_of(page), tmp_path)
    for line in UNIQUE.values():
        can_run = is_installed("optuna", "sweeper") or not is_search(line)
        if line.page == str(page.relative_to(REPOSITORY)) and can_run:
            assert line.command in COMMANDS, line
            result = compose(line)
            assert (result.status, result.err) == (0, ""), f"{line}\n{result.err}"


def test_every_page_has_a_reader():
    """What stands in a cell runs with its tutorial, and the other lines by tests/test_documented_lines.py."""
    typed = {line.page for page in PAGES for line in lines_of(page) if line.command and not line.runs}
    assert typed == set(reader.PAGES)
    assert sum(line.runs for page in PAGES for line in lines_of(page)) > 20


@pytest.mark.parametrize(
    "words", [["predict", "chekpoint=x"], ["train", "+experiment=helacyto"], ["train", "-m", "trainer.step=1,2"]]
)
def test_a_typo_in_a_command_line_fails(compose, words):
    assert compose(Line("page", words[0], tuple(words[1:]), False)).status == 1


def test_lines_are_read_as_a_shell_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.documentation.REPOSITORY", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\nA=1 cellflax predict 'channels=[a,b]' \\\n    input=x  # why\n"
        ".venv/bin/python -m cellflax.train && ls\nsrun --ntasks=2 cellflax train run=y\nsrun\n"
        "cat > f.yaml <<'END'\ncellflax no\nEND\n```\n```{code-cell} ipython3\n%%bash\ncellflax --help\n```\n"
        "```python\ncellflax no\n```\n"
    )
    assert lines_of(page) == [
        Line("page.md", "predict", ("channels=[a,b]", "input=x"), False, ("A=1",)),
        Line("page.md", "train", (), False),
        Line("page.md", "train", ("run=y",), False),
        Line("page.md", "", ("--help",), True),
    ]
    assert files_of(page) == {"f.yaml": "cellflax no\n"}


def test_python_cells_are_python():
    for page in (REPOSITORY / "docs/tutorials").glob("*.md"):
        for cell in re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            if not cell.startswith("%%"):
                ast.parse(cell)


# Only the tutorial without a training is quick enough for every run of the tests.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(page.stem, marks=() if page.stem == IN_CI else pytest.mark.slow)
        for page in sorted((REPOSITORY / "docs/tutorials").glob("*.md"))
        if page.stem != "index"
    ],
)
def test_a_tutorial_runs(name):
    pytest.importorskip("myst_nb")
    command = [sys.executable, REPOSITORY / "docs/execute.py", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


# Pages that a build makes.


@pytest.fixture
def extension(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "docs/_ext")
    return importlib.import_module


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_a_command_has_every_key_option_and_default(extension, command):
    text = command_help(command, read_schema(COMMANDS[command]), config_directory())
    page = extension("command_page").command_page(command, text)
    settings = text.partition("\nkeys:\n")[2].partition("\nhow to override:\n")[0]
    keys = re.findall(r"^ +([\w.\[\]]+) = .*  \(.*\)$", settings, re.MULTILINE)
    assert keys
    for key in keys:
        assert f"\n`{key}` = `" in page, key
    for group in re.findall(r"^ *(\+?\w+)=OPTION", settings, re.MULTILINE):
        assert f"\n### `{group}=OPTION`\n" in page
    words = {word for word in re.findall(r"[A-Za-z]{3,}", settings) if word not in ("keys", "default", "adds", "whole")}
    assert not words - set(re.findall(r"[A-Za-z]{3,}", page))


def test_links_to_the_repository_lead_to_pages_or_to_text(extension):
    pytest.importorskip("sphinx")
    linked, page = extension("repository_pages").linked, REPOSITORY / "docs/howto/x.md"
    text = (
        "[a](../../experiments/own/README.md#the-sets) [b](train.md) [c](../../benchmarks/dense_inference.py) [d](#e)"
    )
    assert linked(text, page, page) == (
        "[a](../generated/experiments/own/README.md#the-sets) [b](train.md) c (`benchmarks/dense_inference.py`) [d](#e)"
    )
    readme = REPOSITORY / "experiments/README.md"
    made = REPOSITORY / "docs/generated/experiments/README.md"
    assert linked("[x](own/README.md) [y](../README.md)", readme, made) == "[x](own/README.md) y (`README.md`)"


@pytest.mark.slow
def test_it_builds_without_a_warning_and_needs_no_network(tmp_path):
    pytest.importorskip("myst_nb")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-b", "html", REPOSITORY / "docs", tmp_path / "html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for file in (tmp_path / "html").rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img)[^>]*>", file.read_text()):
            assert not re.search(r'(?:src|href)="(?:https?:)?//', tag) or 'rel="canonical"' in tag, (file, tag)


def test_pictures_are_small():
    files = list((REPOSITORY / "docs/pictures").glob("*.png"))
    assert len(files) > 5
    assert sum(file.stat().st_size for file in files) < 1_000_000
