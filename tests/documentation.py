"""The command lines of the documentation, as a reader would type them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.commands import REPOSITORY

_BLOCK = re.compile(r"^```(?P<kind>bash|\{code-cell\}[^\n]*)\n(?P<text>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"^(?P<line>[^\n]*)<<'(?P<end>\w+)'\n(?P<text>.*?)^(?P=end)\s*$", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Line:
    """A call of cellflax.

    Attributes:
        page: file, relative to the repository.
        command: name of the command; "" for `cellflax --help` and its like.
        words: its arguments.
        runs: whether it stands in a cell of a tutorial, which is run.
        variables: of the environment, `NAME=value`, before the call.
        block: number of the block in the page; lines of one block follow each other.
    """

    page: str
    command: str
    words: tuple[str, ...]
    runs: bool
    variables: tuple[str, ...] = ()
    block: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.page}: cellflax {self.command} {shlex.join(self.words)}"


def pages() -> list[Path]:
    """README and the pages of docs/, without those that a build makes."""
    made = REPOSITORY / "docs/generated", REPOSITORY / "docs/_build"
    found = [path for path in (REPOSITORY / "docs").rglob("*.md") if not any(map(path.is_relative_to, made))]
    return [REPOSITORY / "README.md", *sorted(found)]


def lines_of(page: Path) -> list[Line]:
    """All calls of cellflax in the shell blocks and shell cells of a page."""
    name = str(page.relative_to(REPOSITORY))
    return [
        line
        for block, (kind, text) in enumerate(_blocks(page))
        for line in _calls(name, _HEREDOC.sub("", text), kind != "bash", block)
    ]


def files_of(page: Path) -> dict[str, str]:
    """The files that a page writes with `cat > FILE <<'END'`."""
    found = {}
    for _, text in _blocks(page):
        for match in _HEREDOC.finditer(text):
            found[match["line"].partition(">")[2].strip()] = match["text"]
    return found


def _blocks(page: Path) -> Iterator[tuple[str, str]]:
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if match["kind"] == "bash":
            yield "bash", match["text"]
        elif match["text"].startswith("%%bash"):
            yield "cell", match["text"].partition("\n")[2]


def _calls(page: str, text: str, runs: bool, block: int) -> Iterator[Line]:
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|;", line):
            words = shlex.split(part, comments=True)
            variables = []
            while words and _ASSIGNMENT.fullmatch(words[0]):
                variables.append(words.pop(0))
            if words[:1] == ["srun"]:
                words = words[next((i for i, word in enumerate(words) if i and word[0] != "-"), len(words)) :]
            if words and Path(words[0]).name.startswith("python") and words[1:2] == ["-m"]:
                module, *words = words[2:]
                if module == "cellflax":
                    words = ["cellflax", *words]
                elif module.startswith("cellflax."):
                    words = ["cellflax", module.removeprefix("cellflax."), *words]
            if words[:1] == ["cellflax"]:
                command, *arguments = words[1:]
                options = command.startswith("--")
                arguments = words[1:] if options else arguments
                yield Line(page, "" if options else command, tuple(arguments), runs, tuple(variables), block)
