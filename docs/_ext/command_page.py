"""The text of `cellflax COMMAND --help` as a page: the same keys, defaults and meanings, laid out to be read."""

import re
from collections.abc import Iterator

_OPTION = re.compile(r"^(?P<indent> +)(?P<name>[\w.]+)  +(?P<text>\S.*)$")
_KEY = re.compile(r"^(?P<indent> +)(?P<key>[\w.\[\]]+)(?: = (?P<default>.*?))?  \((?P<type>.*)\)$")
_GROUP = re.compile(r"^(?P<indent> +)(?P<key>\w+)=OPTION, default (?P<default>\S+): (?P<text>.*)$")
_INSIDE = re.compile(r"^(?P<indent> +)(?P<key>[\w.\[\]]+): (?P<text>.*)$")
_SAME = re.compile(r"^(?P<indent> +)(?P<key>[\w.\[\]]+\.\*): (?P<text>as .*)$")
_OF_KIND = re.compile(r"^(?P<indent> +)keys of (?P<text>.*)$")
_WHOLE = re.compile(r"^\+(?P<key>\w+)=OPTION (?P<text>.*):$")


def command_page(name: str, text: str) -> str:
    """A page in MyST Markdown.

    Args:
        name: the command.
        text: what `--help` prints.
    """
    docstring, _, rest = text.partition("\nusage: ")
    usage, _, keys = rest.partition("\n")
    lines = [f"# cellflax {name}", "", *_docstring(docstring), "", "```text", usage.strip(), "```", ""]
    settings, _, how = keys.partition("\nhow to override:\n")
    lines += [*_settings(settings.strip("\n").splitlines()), "", "## How to override", "", "```text"]
    lines += [line.removeprefix("    ") for line in how.splitlines()] + ["```", ""]
    return "\n".join(lines)


def _docstring(text: str) -> Iterator[str]:
    """Paragraphs, and blocks of commands or tables, which are indented."""
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if all(line.startswith("    ") for line in block.splitlines()):
            is_shell = all(re.match(r"    +(cellflax|python|[\\|]| {4})", line) for line in block.splitlines())
            yield from ("```bash" if is_shell else "```text", *(line[4:] for line in block.splitlines()), "```", "")
        else:
            yield from (_escaped(block), "")


def _settings(lines: list[str]) -> Iterator[str]:
    """Keys, groups and their options; every line of the help is in the page."""
    items: list[tuple[str, dict[str, str], list[str]]] = []
    for line in lines:
        if line.strip() in ("", "keys:"):
            continue
        for kind, pattern in _KINDS:
            match = pattern.match(line)
            if match and not (kind == "option" and _is_continuation(items, line)):
                items.append((kind, {k: v or "" for k, v in match.groupdict().items()}, []))
                break
        else:
            items[-1][2].append(line.strip())
    yield from ("## Keys", "")
    in_options = False
    for kind, found, more in items:
        text = " ".join([found.get("text", ""), *more]).strip()
        if in_options and kind != "option":
            yield ""
        in_options = kind == "option"
        if kind == "option":
            yield f"- `{found['name']}`: {_escaped(text)}"
        elif kind == "key":
            default = f" = `{found['default']}`" if found["default"] else ""
            yield from (f"`{found['key']}`{default} ({_escaped(found['type'])})", f": {_escaped(text) or '-'}", "")
        elif kind == "group":
            yield from (f"### `{found['key']}=OPTION`", "", f"{_escaped(text)} Default: `{found['default']}`.", "")
        elif kind == "whole":
            yield from (f"### `+{found['key']}=OPTION`", "", f"{_escaped(text.rstrip(':')).capitalize()}.", "")
        elif kind == "of kind":
            yield from (f"**Keys of** {_escaped(text)}", "")
        else:
            yield from (f"`{found['key']}`", f": {_escaped(text) or '-'}", "")


_KINDS = (
    ("group", _GROUP),
    ("whole", _WHOLE),
    ("of kind", _OF_KIND),
    ("key", _KEY),
    ("same", _SAME),
    ("inside", _INSIDE),
    ("option", _OPTION),
)


def _is_continuation(items: list[tuple[str, dict[str, str], list[str]]], line: str) -> bool:
    """Whether a line with two blanks inside belongs to the meaning before it."""
    if not items:
        return False
    depth = len(line) - len(line.lstrip())
    kind, found, _ = items[-1]
    return kind != "whole" and kind not in ("group", "option") and depth > len(found.get("indent", ""))


def _escaped(text: str) -> str:
    """Text in which no character means emphasis, a tag or a mathematical formula."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"[*_<|$\[\]{}]", r"\\\g<0>", part) for part in parts)
