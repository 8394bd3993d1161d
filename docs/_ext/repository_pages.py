"""Pages that are made from the repository at every build, so that they are never older than what they describe.

- `generated/commands/<command>.md`: the keys of each command, from the same dataclasses and YAML files as `--help`.
- `generated/public_sets.md`: the catalogue of `cellflax data list`.
- `generated/<path>.md`: Markdown pages of the repository outside of docs/ (experiments, benchmarks, ARCHITECTURE, ...).

A link from any page to a file outside of docs/ leads to its page here, or becomes plain text where it has none.
"""

import os
import re
import tomllib
from pathlib import Path, PurePosixPath

from command_page import command_page
from sphinx.application import Sphinx

from cellflax.catalogue.fetching import size_in_words
from cellflax.catalogue.sets import public_sets
from cellflax.command_help import command_help
from cellflax.commands import COMMANDS
from cellflax.config import config_directory
from cellflax.schema_source import read_schema

DOCS = Path(__file__).resolve().parents[1]
REPOSITORY = DOCS.parent
GENERATED = DOCS / "generated"
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def repository_pages() -> dict[Path, Path]:
    """Markdown files outside of docs/, by their path in the repository; and the pages that they become."""
    files = [REPOSITORY / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
    files += sorted(path for folder in ("experiments", "benchmarks") for path in (REPOSITORY / folder).rglob("*.md"))
    return {file: GENERATED / file.relative_to(REPOSITORY) for file in files}


def linked(text: str, source: Path, page: Path) -> str:
    """The text of a file with its links as they are from the page that it becomes.

    Args:
        text: Markdown.
        source: the file.
        page: the page; the file itself, if it is below docs/.
    """
    pages = repository_pages()

    def replace(match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", target) or not target:
            return match[0]
        path = Path(os.path.normpath(source.parent / target))
        if path.is_dir() and (path / "README.md") in pages:
            path /= "README.md"
        if path.is_relative_to(DOCS) or match["image"]:
            found = path
        elif path in pages:
            found = pages[path]
        elif path.exists():  # a script or a folder: it has no page
            name = f"`{path.relative_to(REPOSITORY)}`"
            return match["text"] if f"`{match['text'].strip('`')}`" == name else f"{match['text']} ({name})"
        else:
            return match[0]  # Sphinx says that it is missing
        relative = PurePosixPath(os.path.relpath(found, page.parent))
        return f"{match['image']}[{match['text']}]({relative}{'#' + anchor if anchor else ''})"

    parts = re.split(r"(^```.*?^```[^\n]*$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(replace, part) for part in parts)


def write_pages() -> None:
    """Write all pages; one whose content is the same keeps its time, so that Sphinx does not read it again."""
    wanted = {GENERATED / "commands" / f"{name}.md": _command(name) for name in COMMANDS}
    wanted[GENERATED / "public_sets.md"] = _catalogue()
    wanted[GENERATED / "extras.md"] = _extras()
    for file, page in repository_pages().items():
        wanted[page] = linked(file.read_text(encoding="utf-8"), file, page)
    for page, text in wanted.items():
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
    for old in set(GENERATED.rglob("*.md")) - wanted.keys():
        old.unlink()


def _command(name: str) -> str:
    return command_page(name, command_help(name, read_schema(COMMANDS[name]), config_directory()))


def _catalogue() -> str:
    lines = [
        "# Public image sets",
        "",
        "`cellflax data list` prints this catalogue, and `cellflax data get NAME output=DIR` fetches a set:",
        "[how](../howto/data.md). What is not known is said to be unknown.",
        "",
    ]
    for name, found in public_sets().items():
        known = sum(file.sha256 is not None for file in found.files)
        size = size_in_words(found.bytes) if found.files else "unknown"
        rows = {
            "truth": found.truth,
            "licence": found.licence or "unknown; read it at the source",
            "terms": found.terms,
            "source": f"<{found.source}>" + (f", commit `{found.commit[:12]}`" if found.commit else ""),
            "paper": f"<https://doi.org/{found.cite}>" if found.cite else None,
            "size": size,
            "SHA-256": f"known of {known} of {len(found.files)} files" if found.files else None,
            "used by": ", ".join(f"`{used}`" for used in found.used_by) or "no experiment",
            "by hand": found.by_hand and found.by_hand.replace("*", r"\*").replace("<", r"\<"),
        }
        lines += [f"## `{name}`", "", found.title, "", "| | |", "|---|---|"]
        lines += [f"| {key} | {text} |" for key, text in rows.items() if text] + [""]
    return "\n".join(lines)


def _extras() -> str:
    """The extras of pyproject.toml, each with the packages that it adds and the comment beside it."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    lines = ["| extra | adds | for |", "|---|---|---|"]
    for name, packages in tomllib.loads(text)["project"]["optional-dependencies"].items():
        match = re.search(rf"^{name} = .*\](?:  # (.*))?$", text, re.MULTILINE)
        purpose = _PURPOSES.get(name) or (match[1] if match else None) or ""
        names = ", ".join(f"`{re.split(r'[<>=! ]', package)[0]}`" for package in packages)
        lines.append(f"| `{name}` | {names} | {purpose} |")
    return "\n".join(lines) + "\n"


_PURPOSES = {
    "cuda": "NVIDIA GPUs; nothing else changes",
    "czi": "files of Zeiss",
    "nd2": "files of Nikon",
    "lif": "files of Leica",
    "formats": "all of these",
    "dev": "tests",
    "docs": "this documentation",
}


def _rewrite_links(app: Sphinx, name: str, content: list[str]) -> None:
    if not name.startswith("generated/"):
        file = Path(app.srcdir) / f"{name}.md"
        content[0] = linked(content[0], file, file)
    if name == "howto/index":  # Sphinx warns of a pattern that no page matches
        content[0] = re.sub(r"^/(\S+)$", lambda m: m[0] if any(DOCS.glob(f"{m[1]}.md")) else "", content[0], flags=re.M)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", lambda _: write_pages())
    app.connect("source-read", _rewrite_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
