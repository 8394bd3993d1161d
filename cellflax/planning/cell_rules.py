"""From measurements to settings of the segmentation: where seeds come from, and how cells are cut and cleaned."""

import math

from cellflax.planning.draft import Draft
from cellflax.planning.markers import NETWORK, NUCLEI_THEMSELVES, NuclearMarker

LEAST_GAIN = 0.01  # of that share, by the network that finds nuclei, over image processing

INTERIOR = 0.5  # for sampler.balance=0.5; equal weights of the classes need less
SEED_DEPTH = 0.1
DISTANCE_SMOOTHING = 1.0  # the same for target=distances, whose maps have one maximum in a cell
SEEDS_PER_WIDTH = 1 / 7.0  # smoothing before maxima are found, in widths of a cell
LANDSCAPE_PER_DIAMETER, MOST_SMOOTHING = 1 / 28.0, 2.0
OUTLINE_PER_DIAMETER, SMOOTH_OUTLINES = 1 / 22.0, 30.0  # outlines of cells above this diameter are smoothed
SMALLEST_OF_SMALL = 0.5  # smallest cell, as a share of the area that 2.5 % of the annotated ones are below

# Rotations and reflections that are averaged in prediction.
# On dsb2018, 8 changed F1 at IoU 0.5 by -0.020 after 1200 steps and by +0.002 after 3600.
TRANSFORMS = 1


def plan_seeds(draft: Draft) -> None:
    """Which channel shows the nuclei that the cells are grown from."""
    measured = draft.measured
    names = ", ".join(channel.name for channel in measured.channels)
    if draft.value("data.annotation") == "compartments":
        draft.set("seed_channel", None, "the network itself finds the nuclei")
        return
    if len(measured.channels) == 1:
        draft.set("seed_channel", None, f"there is one channel ({names}), which shows the cells themselves")
    elif not measured.markers:
        draft.set(
            "seed_channel", None, f"no channel has the name of a nuclear marker ({names}); else seed_channel=NAME"
        )
    else:
        _choose_marker(draft)
    marker = next((m for m in measured.markers if m.name == draft.value("seed_channel")), None)
    if marker is not None and marker.diameter is not None and draft.values.get("seeds.diameter_um") is None:
        diameter = round(marker.diameter.median * draft.factor, 1)
        draft.set("seeds.diameter_px", diameter, f"median of the nuclei that {marker.name} shows in the cells")
    if marker is not None and marker.seeded_by_network is not None:
        better = marker.seeded_by_network >= marker.seeded + LEAST_GAIN
        reason = (
            f"cells with one nucleus have {marker.seeded_by_network:.0%} of the cells' area by the network {NETWORK}, "
            f"{marker.seeded:.0%} by image processing"
        )
        draft.set("nuclei_network", NETWORK if better else None, reason)


def _choose_marker(draft: Draft) -> None:
    """The nuclear channel that finds one nucleus in most cells, if there is one."""
    markers = draft.measured.markers
    fit = [marker for marker in markers if marker.seeds_cells]
    if not fit:
        draft.set("seed_channel", None, f"not {_why_not(max(markers, key=lambda m: m.best_seeded))}")
        return
    best = max(fit, key=lambda m: m.best_seeded)
    reason = (
        f"its name is that of a nuclear marker, and {best.best_seeded:.0%} of the cells' area is in cells with one "
        f"nucleus there; the nuclei cover {best.coverage:.0%} of the cells"
    )
    draft.set("seed_channel", best.name, reason)


def _why_not(marker: NuclearMarker) -> str:
    if marker.coverage >= NUCLEI_THEMSELVES:
        return f"{marker.name}: {marker.coverage:.0%} of the annotated cells is bright, so they are the nuclei"
    return f"{marker.name}: only {marker.best_seeded:.0%} of the cells' area is in cells with one nucleus there"


def plan_refinement(draft: Draft) -> None:
    """From probabilities to cells."""
    cells = draft.measured.cells
    if draft.value("data.annotation") == "compartments" and cells.diameter_um is not None:
        if draft.choose("refine", "whole_cell", "whole_cell", "cells are grown from the nuclei that the network finds"):
            area = float(f"{math.pi / 4 * cells.diameter_um.median**2:.3g}")
            draft.set(
                "refine.cell_area_um2", area, f"of a disc of {cells.diameter_um.median:.3g} um, the median diameter"
            )
        return
    kind = "watershed" if draft.value("target") == "classes" else "distances"
    if not draft.choose("refine", kind, kind, f"{cells.touching:.0%} of the cells touch another one"):
        return
    diameter, width = cells.diameter.median * draft.factor, cells.width.median * draft.factor
    if draft.value("sampler.balance", 1.0) == INTERIOR:
        draft.set("refine.interior", INTERIOR, f"for sampler.balance={INTERIOR}")
    if draft.value("target") == "classes_distances":
        draft.set("refine.landscape", "classes", "the edges that the network learns between cells")
    smoothing = min(_half(diameter * LANDSCAPE_PER_DIAMETER), MOST_SMOOTHING)
    draft.set("refine.smoothing_px", smoothing, f"{smoothing / diameter:.2f} diameters of a cell ({diameter:.0f} px)")
    small = cells.smallest_area[1] * draft.factor**2
    draft.set(
        "refine.min_area_px",
        int(SMALLEST_OF_SMALL * small),
        f"half of {small:.0f} px, which 2.5 % of the cells are below",
    )
    if draft.value("seed_channel") is None:
        smooth = max(_half(width * SEEDS_PER_WIDTH), 0.5) if kind == "watershed" else DISTANCE_SMOOTHING
        draft.set("refine.seed_smoothing_px", smooth, f"cells have a width of {width:.1f} px")
        draft.set("refine.seed_depth", SEED_DEPTH, "of the map whose maxima are the seeds, between two cells")
    if diameter >= SMOOTH_OUTLINES:
        outline = _half(diameter * OUTLINE_PER_DIAMETER)
        draft.set("refine.outline_px", outline, f"cells are {diameter:.0f} px wide and have smooth outlines")


def plan_prediction(draft: Draft) -> None:
    """What is averaged in prediction."""
    draft.set("test_time_augmentation", TRANSFORMS, "one pass; 8 take eight times as long and change little")


def _half(value: float) -> float:
    """A number to halves."""
    return round(2 * value) / 2
