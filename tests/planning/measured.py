"""Measurements with known values, and what is planned from them."""

from dataclasses import replace
from typing import Any

from cellflax.planning.cell_shapes import CellShapes
from cellflax.planning.intensities import ChannelIntensities
from cellflax.planning.measure import ImageSet, Measurements
from cellflax.planning.plan import Plan, make_plan
from cellflax.planning.spread import Spread


def even(value: float, low: float = 0.8, high: float = 1.25) -> Spread:
    return Spread(low * value, value, high * value)


def shapes(diameter: float = 20.0, width: float | None = None, **fields: Any) -> CellShapes:
    width = diameter if width is None else width
    area = 0.5 * diameter**2
    plain = CellShapes(
        500,
        480,
        even(50),
        even(diameter),
        None,
        even(width),
        1.2,
        0.95,
        (0.8 * area, area, 1.2 * area),
        0.3,
        0.2,
        0.1,
        1.0,
    )
    return replace(plain, **fields)


def channel(name: str = "channel_0", **fields: Any) -> ChannelIntensities:
    return replace(ChannelIntensities(name, 0.0, 4000.0, True, 12, 0.0, 0, 8.0, 0.01), **fields)


def measured(cells: CellShapes | None = None, images: int = 40, edge: int = 512, **fields: Any) -> Measurements:
    plain = Measurements(
        source="mine, some images of your own",
        simulated=False,
        images=images,
        with_cells=images,
        sets=(ImageSet("mine", images, 500),),
        height=even(edge, 1, 1),
        width=even(edge, 1, 1),
        smallest_edge=edge,
        pixels=images * edge**2,
        pixel_size_um=None,
        unknown_pixel_size=images,
        has_nuclei=False,
        cells=cells or shapes(),
        channels=(channel(),),
        markers=(),
    )
    return replace(plain, **fields)


def plan(measurements: Measurements | None = None, given: dict | None = None, **options: Any) -> Plan:
    choices = {"data": "folder", **options.pop("choices", {})}
    return make_plan(measurements or measured(), given or {}, choices, **options)


def values(*arguments: Any, **options: Any) -> dict[str, Any]:
    return {decision.key: decision.value for decision in plan(*arguments, **options).settings}


def reason(of: str, *arguments: Any, **options: Any) -> str:
    return next(decision.reason for decision in plan(*arguments, **options).settings if decision.key == of)
