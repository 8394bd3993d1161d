"""A report as one HTML file: it asks for nothing else, and runs no script but its own."""

import base64
import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from cellflax.atomic import replacing
from cellflax.io import results
from cellflax.progress import say
from cellflax.report import charts
from cellflax.report.model import MOST_TEXT, Chart, Gallery, Notice, Report, Table

MOST_BYTES = 4_500_000  # of a page: it is sent by mail
_MOST_NOTICES = 40
_WRAPPED = 40  # characters of a cell that has several lines
_GENERATOR = '<meta name="generator" content="cellflax">'
_REFRESH = '<meta http-equiv="refresh"'
_HEAD_BYTES = 1024  # of a page, in which these stand


def render(report: Report) -> str:
    """The page of a report.

    Every text is escaped, whatever the names of files are. Should the page become larger than 4.5 MB, pictures are left
    out from the end of its galleries, and the gallery says so.
    """
    page = _filled(report)
    if len(page.encode()) <= MOST_BYTES:
        return page
    bare = len(_filled(replace(report, galleries=())).encode())
    return _filled(replace(report, galleries=_lighter(report.galleries, max(MOST_BYTES - bare, 0))))


def save_report(path: Path | None, build: Callable[[], Report]) -> bool:
    """Write a page in one step; whatever goes wrong is a note on the screen, because the results are there already.

    Args:
        path: the file; one that cellflax did not write stays as it is. None where there is no free name for it.
        build: makes the report; what it raises is a note, too.

    Returns:
        Whether the page is written.
    """
    if path is None:
        say(f"note: no report is written, because files called {results.REPORT} are there already")
        return False
    try:
        if not _may_replace(path):
            say(f"note: {path} is not a report of cellflax, and stays as it is")
            return False
        text = render(build())
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        say(f"note: {path} is not written ({reason})")
        return False
    return True


def is_finished(path: Path) -> bool:
    """Whether a file is the page of a command that has ended."""
    return path.is_file() and _GENERATOR in (head := _head(path)) and _REFRESH not in head


def _may_replace(path: Path) -> bool:
    return not path.exists() or _GENERATOR in _head(path)


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES).decode("utf-8", "replace")


def _filled(report: Report) -> str:
    script = _part("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    curves = [(curve, charts.drawn(curve) if isinstance(curve, Chart) else None) for curve in report.curves]
    return _template().render(
        report=report,
        notices=_first_notices(report.notices),
        curves=[(curve, views) for curve, views in curves if views != ()],
        box=charts,
        script_hash=f"sha256-{digest}",
    )


@functools.cache
def _template() -> Any:
    import jinja2  # here, because most commands that fail never get so far
    from markupsafe import Markup, escape

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.globals |= {
        "style": Markup(_part("style.css")),
        "script": Markup(_part("script.js")),
        "data_uri": _data_uri,
        "short": _short,
        "heads": _heads,
        "field": lambda value: Markup(_field(value, escape)),
    }
    return environment.from_string(_part("report.html.j2"))


@functools.cache
def _part(name: str) -> str:
    return resources.files("cellflax.report").joinpath(name).read_text(encoding="utf-8")


def _short(text: str, most: int = MOST_TEXT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _data_uri(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _heads(table: Table) -> list[tuple[str, bool]]:
    """Names of the columns, and whether they hold numbers."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    return [
        (name, any(_is_number(v) for v in column) and all(_is_number(v) or _is_empty(v) for v in column))
        for name, column in zip(table.columns, columns, strict=True)
    ]


def _field(value: Any, escape: Callable[[str], str]) -> str:
    """A cell of a table; numbers keep all their digits for sorting and for the CSV file."""
    if _is_empty(value):
        return '<td class="n" data-v=""></td>'
    if isinstance(value, bool):
        return f"<td>{value}</td>"
    if _is_number(value):
        return f'<td class="n" data-v="{value}">{charts.number_words(value)}</td>'
    text = _short(str(value))
    return f"<td{' class="w"' if len(text) > _WRAPPED else ''}>{escape(text)}</td>"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_empty(value: Any) -> bool:
    return value is None or value is _missing() or (isinstance(value, float) and not math.isfinite(value))


@functools.cache
def _missing() -> Any:
    import pandas as pd

    return pd.NA


def _weight(gallery: Gallery) -> int:
    """Bytes that the pictures of a gallery take in the page, and a little for their words."""
    return sum(4 * (len(p.image) + len(p.outlines or b"")) // 3 + 2 * len(p.text) + 1000 for p in gallery.pictures)


def _lighter(galleries: tuple[Gallery, ...], most: int) -> tuple[Gallery, ...]:
    """Galleries without their last pictures: each time one less of the heaviest."""
    left = {i: [gallery, len(gallery.pictures)] for i, gallery in enumerate(galleries)}
    while sum(_weight(g) for g, _ in left.values()) > most and any(g.pictures for g, _ in left.values()):
        heaviest = max(left, key=lambda i: _weight(left[i][0]))
        gallery, count = left[heaviest]
        left[heaviest] = [replace(gallery, pictures=gallery.pictures[:-1]), count]
    return tuple(
        gallery
        if len(gallery.pictures) == count
        else replace(
            gallery,
            note=f"{gallery.note} {count - len(gallery.pictures)} pictures are left out, so that this page stays "
            "below 5 MB.".strip(),
        )
        for gallery, count in left.values()
    )


def _first_notices(notices: tuple[Notice, ...]) -> tuple[Notice, ...]:
    if len(notices) <= _MOST_NOTICES:
        return notices
    return (*notices[:_MOST_NOTICES], Notice(f"and {len(notices) - _MOST_NOTICES} more"))
