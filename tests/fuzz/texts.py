"""Damage to texts: tables, JSON, YAML, headers in words. Each keeps most of the text, so that readers get far."""

import json
import random
import re
from pathlib import Path
from typing import Any

_NUMBERS = (
    "",
    "0",
    "-1",
    "1.5",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1e-999",
    "2147483647",
    "2147483648",
    "4294967295",
    "9223372036854775808",
    "9" * 30,
    "9" * 5000,
    "0x10",
    "1_000",
    " 7 ",
    "1,5",
    "١",
    "true",
    "None",
    "=1+1",
    "x" * 10**5,
)
_JUNK = ("\0", '"', "'", ",", ";", "\t", "\r", "\n\n", "\\", "{", "[", "é", "\u2028", "\ufeff", "%", "#", "$", "&", "*")


def number(rng: random.Random, path: Path) -> str:
    """A number at its limits, or something else in its place."""
    text = path.read_text("utf-8")
    found = list(re.finditer(r"\d+(\.\d+)?", text))
    if not found:
        return "no number"
    one, value = rng.choice(found), rng.choice(_NUMBERS)
    path.write_text(text[: one.start()] + value + text[one.end() :], "utf-8")
    return f"{one[0]} became {value[:30]!r}"


def junk(rng: random.Random, path: Path) -> str:
    text = path.read_text("utf-8")
    place, what = rng.randrange(len(text) + 1), rng.choice(_JUNK) * rng.choice((1, 1, 2, 3000))
    path.write_text(text[:place] + what + text[place:], "utf-8", errors="surrogatepass")
    return f"{what[:10]!r} at {place}"


def lines(rng: random.Random, path: Path) -> str:
    found = path.read_text("utf-8").splitlines(keepends=True)
    i = rng.randrange(len(found)) if found else 0
    what = rng.choice(("drop", "twice", "swap", "first twice", "empty", "many", "one line", "carriage returns"))
    match what:
        case "drop":
            del found[i : i + 1]
        case "twice":
            found[i:i] = found[i : i + 1]
        case "swap":
            rng.shuffle(found)
        case "first twice":
            found[0:0] = found[:1]
        case "empty":
            found[i:i] = ["\n"] * rng.choice((1, 1000))
        case "many":
            found = [*found, *found[-1:] * 20_000]
        case "one line":
            found = ["".join(found).replace("\n", " ")]
        case _:
            found = ["".join(found).replace("\n", rng.choice(("\r", "\r\n", "\n\r")))]
    path.write_bytes("".join(found).encode())
    return f"lines: {what}"


def encoding(rng: random.Random, path: Path) -> str:
    text = path.read_text("utf-8")
    name = rng.choice(("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7", "cp500"))
    path.write_bytes(text.encode(name))
    return f"saved as {name}"


def cells(rng: random.Random, path: Path) -> str:
    """Columns of a table."""
    rows = [line.split(",") for line in path.read_text("utf-8").splitlines()]
    i = rng.randrange(len(rows[0]))
    what = rng.choice(
        ("drop", "twice", "rename", "swap", "other separator", "thousands", "one row longer", "quoted", "empty")
    )
    match what:
        case "drop":
            rows = [row[:i] + row[i + 1 :] for row in rows]
        case "twice":
            rows = [[*row, *row[i : i + 1]] for row in rows]
        case "rename":
            rows[0][i] = rng.choice(
                ("", " ", rows[0][0], rows[0][-1].upper(), "Unnamed: 0", "frame", "x" * 10**5, "=1")
            )
        case "swap":
            rows[0].reverse()
        case "thousands":
            rows = [[*row, *["x"] * rng.choice((3000, 50_000))] for row in rows[:2]]
        case "one row longer":
            rows[-1] += ["7"] * rng.choice((1, 1000))
        case "quoted":
            rows[rng.randrange(len(rows))][0] = rng.choice(('"a', '"a""', '"a\nb"', '"a,b"', "'", "''=1"))
        case "empty":
            rows = rows[:1] if rng.random() < 0.5 else [[""] * len(row) for row in rows]
    separator = rng.choice((";", "\t", "|", " ")) if what == "other separator" else ","
    path.write_text("".join(separator.join(row) + "\n" for row in rows), "utf-8")
    return f"columns: {what}"


TEXT = (number, number, junk, lines, encoding)
TABLE = (*TEXT, cells, cells)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.5,
    2**31 - 1,
    2**31,
    2**32,
    2**63,
    2**64,
    10**30,
    10**400,
    "",
    " ",
    "x" * 10**6,
    "../../etc/passwd",
    "/etc/passwd",
    "a\0b",
    "\ud800",
    "a\nb",
    "\u001b[2J",
    "nan",
    "inf",
    [],
    {},
    [None],
    {"": None},
    [[]],
    [1, 2, 3],
    {"kind": "patch_net"},
    [{}],
    _deep(70),
    _deep(900),
    float("nan"),
    float("inf"),
)


def _places(node: Any, path: tuple = ()) -> list[tuple]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, value in items for place in ((*path, key), *_places(value, (*path, key)))]


def change_tree(rng: random.Random, content: Any) -> str:
    """Change a place in nested lists and dicts."""
    places = _places(content)
    if not places:
        return "nothing to change"
    *parents, last = rng.choice(places)
    node = content
    for key in parents:
        node = node[key]
    what = rng.choice(("value", "value", "value", "value", "drop", "rename", "grow"))
    if what == "value":
        node[last] = rng.choice(_VALUES)
    elif what == "drop":
        del node[last]
    elif what == "rename" and isinstance(node, dict):
        node[rng.choice(("", "x", "_target_", "a.b", "\ud800", "kind", f"{last}s"))] = node.pop(last)
    elif isinstance(node, list):
        node += node * rng.choice((1, 1000))
    else:
        node["x"] = dict(node)
    return f"{what} of {'.'.join(map(str, (*parents, last)))}"


def values(rng: random.Random, path: Path) -> str:
    """A value of a JSON file, or of a line of a file of JSON lines."""
    found = path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
    i = rng.randrange(len(found))
    content = json.loads(found[i])
    said = change_tree(rng, content)
    found[i] = json.dumps(content)
    if rng.random() < 0.1:
        found[i] = re.sub(r'"(\w+)": ', lambda match: f'"{match[1]}": 1, {match[0]}', found[i], count=1)  # twice
    path.write_bytes("\n".join(found).encode("utf-8", "surrogatepass") + b"\n")
    return said


def brackets(rng: random.Random, path: Path) -> str:
    count = rng.choice((100, 1000, 100_000))
    text = rng.choice(("[" * count, '{"a":' * count, "[" * count + "]" * count, '{"a":' * count + "1" + "}" * count))
    path.write_text(text)
    return f"{count} brackets"


JSON = (values, values, values, values, brackets, number, junk, lines, encoding)

_YAML = (
    "{}\n&a {{x: *a}}\n",
    "{}\na: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n",
    "{}\nname: !!python/name:os.system\n",
    "{}\nname: !!binary 'x'\n",
    "{}\nseed: 2001-99-99\n",
    "{}\nseed: 2001-01-01\n",
    "{}\nname: ${{name}}\n",
    "{}\nname: ${{a.b}}\n",
    "{}\nname: ${{oc.env:HOME}}\n",
    "{}\nname: ${{oc.decode:'[[['}}\n",
    "{}\nname: '${{'\n",
    "{}\nname: ???\n",
    "{}\n---\na: 1\n",
    "{}\n<<: 1\n",
    "{}\n? [a, b]\n: 1\n",
    "{}\n1: 2\n",
    "{}\nnull: 2\n",
    "{}\n- a\n",
    "- a\n",
    "7\n",
    "text\n",
    "",
    "{}\n\tx: 1\n",
    "{}\nhydra: 1\n",
    "{}\nhydra: {{run: 1}}\n",
    "{}\nhydra: {{sweeper: {{params: [1]}}}}\n",
    "{}\nhydra: {{run: {{dir: [1]}}}}\n",
    "defaults: 1\n",
    "defaults: [1]\n",
    "defaults: [[a]]\n",
    "defaults: [{{a: b, c: d}}]\n",
    "defaults: [mine]\n",
    "defaults: [override /model: nothing]\n",
    "defaults: [{{/model: [a, b]}}]\n",
    "defaults: ['/x@a.b: c']\n",
    "defaults: {{a: b}}\n",
    "# @package _global_ x y\nname: a\n",
    "# @package\nname: a\n",
    "# @package a..b\nname: a\n",
    "# @package seed.x\nname: a\n",
    "{}\nmodel: 1\n",
    "{}\nmodel: {{stages: 1}}\n",
    "{}\nmodel: {{stages: [{{kernels: [a]}}]}}\n",
    "{}\ntrainer: {{steps: 1e400}}\n",
    "{}\nseed: " + "9" * 5000 + "\n",
    "{}\nseed: 0x" + "f" * 5000 + "\n",
    "{}\nseed: .inf\n",
    "{}\nseed: 1:30\n",
    "{}\nname: {{a: 1}}\n",
)


def yaml_text(rng: random.Random, path: Path) -> str:
    """YAML that other programs accept, or none does."""
    added = rng.choice(_YAML)
    parts = (part.replace("{{", "{").replace("}}", "}") for part in added.split("{}"))
    path.write_text(path.read_text("utf-8").join(parts), "utf-8")
    return added.removeprefix("{}")[:60]


def yaml_brackets(rng: random.Random, path: Path) -> str:
    count = rng.choice((20, 40, 1000, 50_000))
    path.write_text(
        "# @package _global_\nname: " + rng.choice(("[" * count, "[" * count + "]" * count, "{a: " * count))
    )
    return f"{count} brackets"


YAML = (yaml_text, yaml_text, yaml_text, yaml_brackets, number, junk, lines, encoding)
