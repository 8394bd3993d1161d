"""A plan on the screen: a line for each setting, with its value and the reason."""

import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from cellflax.planning.plan import Plan

_NARROWEST, _WIDEST = 60, 140


def table_lines(plan: Plan) -> Iterator[str]:
    """What is planned, what for, and what the user gave besides."""
    measured, cells = plan.measured, plan.measured.cells
    size = measured.pixel_size_um
    channels = ", ".join(channel.name for channel in measured.channels)
    yield (
        f"plan for {measured.source}: {measured.height.median:.0f} x {measured.width.median:.0f} px (median), "
        f"{len(measured.channels)} channel{'s' * (len(measured.channels) > 1)} ({channels}), "
        f"{f'{size.median:.3g} um per px' if size else 'pixel size unknown'}; "
        f"{cells.count} cells{_fragments(cells.fragments)}, "
        f"{cells.diameter.low:.0f} to {cells.diameter.high:.0f} px wide (median {cells.diameter.median:.0f}), "
        f"{cells.elongation:.1f} times as long as wide, {cells.touching:.0%} touch"
        + (f"; {cells.annotated:.1%} of the pixels are annotated" if cells.annotated < 1 else "")
    )
    rows = [(s.key, _shown(s.value), s.reason) for s in plan.settings]
    rows += [(key, _shown(value), "given") for key, value in plan.others.items()]
    rows += [(key, value, "given") for key, value in plan.choices.items() if key not in {row[0] for row in rows}]
    keys, values = (max(len(row[i]) for row in rows) for i in (0, 1))
    width = min(max(shutil.get_terminal_size((_WIDEST, 24)).columns, _NARROWEST), _WIDEST)
    indent = " " * min(2 + keys + 2 + min(values, 20) + 2, width // 2)
    for key, value, reason in rows:
        head = f"  {key:{keys}}  {value:{min(values, 20)}}  "
        yield textwrap.fill(reason, width, initial_indent=head, subsequent_indent=indent, break_long_words=False)


def _fragments(count: int) -> str:
    return f" ({count} specks without a nucleus do not count)" if count else ""


def _shown(value: Any) -> str:
    """A value as it is written on the command line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
