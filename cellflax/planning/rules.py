"""From measurements to settings: each rule sets keys and says why, with the number that was measured.

The constants follow the recipes of `experiments/`. They are not yet compared with others by measurement.
"""

from collections.abc import Mapping
from typing import Any

from cellflax.planning.draft import Draft, count_of, rounded, width_words
from cellflax.planning.source import OPTIONS, StartingNetwork

# Images. Fewer images than this are too few to hold out whole ones.
IMAGES_TO_HOLD_OUT = 6
# A strip that is held out is as wide as so many cells, but at most this share of an image.
STRIP_CELLS, LARGEST_STRIP, USUAL_STRIP = 2.5, 0.25, 0.1

# Intensities, in percent. The cells of the emptiest image cover so many times the share above the high percentile.
LOW_PERCENTILE, HIGH_PERCENTILE, HIGHEST_PERCENTILE, BRIGHT_SHARE = 1.0, 99.8, 99.99, 0.2
# Standard deviations of the background: cells that differ by less are seen by their outlines, not by their brightness.
TRANSMITTED_CONTRAST = 0.5
# Edge of the box for the local mean, in diameters of a cell and in pixels.
WINDOW_CELLS, SMALLEST_WINDOW = 1.1, 31

# Scale, in pixels of the network: beyond these limits cells are brought to the sizes beside them. Large cells are
# measured across, as rods are: what must fit is their short side. Whether this helps long cells is not known; one
# training of NIH-3T3 each way (74 px by area, 42 px across) gave nearly the same index (experiments/own).
LARGEST_WIDTH, SHRUNK_WIDTH = 64.0, 40.0
SMALLEST_DIAMETER, ENLARGED_DIAMETER = 12.0, 18.0
ROD_ELONGATION, SMALLEST_WIDTH, ENLARGED_WIDTH = 2.5, 6.0, 7.0
PIXEL_SIZES_ALIKE = 1.1  # ratio of the largest to the smallest pixel size

# Network: options of conf/model with what an output sees to each side in pixels, from the cheapest on.
NETWORKS = {"unet_local": 51, "unet": 107}
SEEN_CELLS, SEEN_LARGE_CELLS = 2.0, 1.5  # median and 95th percentile of the diameters
# Filters on the way down with one convolution at full resolution instead of two, and one less on the way up. There a
# processor spends most of a step (left-out images of dsb2018, experiments/own/README.md).
ONE_AT_FULL = {"unet_local": [[24], [32, 32], [48, 48]], "unet": [[24], [32, 32], [48, 48], [64, 64]]}
ONE_AT_FULL_SEES = -2  # pixels, beside NETWORKS


def plan_channels(draft: Draft) -> None:
    """Channels that have a file each."""
    if draft.measured.in_names:
        names = [channel.name for channel in draft.measured.channels]
        draft.set("data.channels", names, "words of the files' names; the other words are those of the label images")


def plan_annotation(draft: Draft) -> None:
    """Which classes the labels become: those of the default, or compartments where nuclei are labelled."""
    measured = draft.measured
    if measured.has_nuclei and measured.cells.diameter_um is not None:
        draft.set(
            "data.annotation",
            "compartments",
            "every image has labels of the nuclei and a pixel size: cells grow from the nuclei that the network finds",
        )


def plan_split(draft: Draft) -> None:
    """What is held out: whole images, or strips."""
    measured, cells = draft.measured, draft.measured.cells
    if draft.values.get("data.folds") is not None or draft.values.get("data.test_sets"):
        draft.set("data.split", "image", "there is a test part of whole images")
        return
    images = measured.with_cells
    if images >= IMAGES_TO_HOLD_OUT:
        draft.set("data.split", "image", f"{images} images with cells are enough to hold out whole ones")
        return
    draft.set(
        "data.split",
        "region",
        f"{count_of(images, 'image')} with cells: too few to hold out a whole one, so a strip of each",
    )
    if draft.value("data.split") == "region":
        share = STRIP_CELLS * cells.diameter.median / measured.smallest_edge
        fraction = round(min(max(share, USUAL_STRIP), LARGEST_STRIP), 2)
        draft.set(
            "data.validation_fraction",
            fraction,
            f"a strip of {fraction * measured.smallest_edge:.0f} of {measured.smallest_edge} px, for cells that are "
            f"{cells.diameter.median:.0f} px wide",
        )


def plan_scale(draft: Draft) -> None:
    """By how much images are resampled, so that cells have a size that the networks suit."""
    cells, size = draft.measured.cells, draft.measured.pixel_size_um
    if any(key in draft.values for key in ("scale.pixel_size_um", "scale.factor")):
        draft.factor = _factor_of(draft, draft.values)
        return
    source = draft.source
    if source is not None and source.diameter_px is not None:
        factor, reason = _factor_of_source(draft, source)
    elif source is not None:
        values = {"scale.factor": source.factor, "scale.pixel_size_um": source.pixel_size_um}
        draft.factor = _factor_of(draft, values)
        for key, value in values.items():
            draft.set(key, value, source.reason)
        return
    else:
        factor, reason = _wanted_factor(draft)
    known = size is not None and not draft.measured.unknown_pixel_size
    if known and size is not None and cells.diameter_um is not None:
        differ = size.high > PIXEL_SIZES_ALIKE * size.low
        if factor == 1 and not differ:
            return
        # Where pixel sizes differ, the sizes in um count: cells in pixels mix several scales.
        wanted = cells.diameter.median * factor
        target = rounded(cells.diameter_um.median / wanted, 2)
        draft.factor = cells.diameter_um.median / target / cells.diameter.median
        if differ:
            reason = f"pixel sizes differ, from {size.low:.3g} to {size.high:.3g} um; {reason}"
        draft.set("scale.pixel_size_um", target, reason)
    elif factor != 1:
        draft.factor = factor
        draft.set(
            "scale.factor",
            factor,
            f"{reason}; not by pixel size, which {draft.measured.unknown_pixel_size} images lack",
        )


def _factor_of_source(draft: Draft, source: StartingNetwork) -> tuple[float, str]:
    """By how much cells should become wider to be as wide as those that the source knows, and why."""
    assert source.diameter_px is not None
    diameter, (low, middle, high) = draft.measured.cells.diameter.median, source.diameter_px
    words = f"cells are {diameter:.0f} px wide, those of start_from={source.path} {low:.0f} to {high:.0f} px (90 %)"
    return (1.0 if low <= diameter <= high else rounded(middle / diameter, 2)), words


def _wanted_factor(draft: Draft) -> tuple[float, str]:
    """By how much cells should become wider, and why; 1 if their size is right."""
    cells = draft.measured.cells
    diameter, width = cells.diameter.median, cells.width.median
    if width > LARGEST_WIDTH:
        words = f"cells are {width:.0f} px across; {SHRUNK_WIDTH:.0f} px show as much, and a crop holds more cells"
        return rounded(SHRUNK_WIDTH / width, 2), words
    if cells.elongation >= ROD_ELONGATION:
        if width < SMALLEST_WIDTH:
            words = f"rods are {width:.1f} px wide, too thin for an inside and an edge"
            return rounded(ENLARGED_WIDTH / width, 2), f"{words}; {ENLARGED_WIDTH:.0f} px in the network"
        return 1.0, f"rods are {width:.1f} px wide"
    if diameter < SMALLEST_DIAMETER:
        words = f"cells are {diameter:.1f} px wide, too small for an inside and an edge"
        return rounded(ENLARGED_DIAMETER / diameter, 2), f"{words}; {ENLARGED_DIAMETER:.0f} px in the network"
    return 1.0, f"cells are {diameter:.0f} px wide"


def _factor_of(draft: Draft, values: Mapping[str, Any]) -> float:
    """By how much settings make cells wider; 1 if the pixel size is unknown."""
    factor, target = values.get("scale.factor"), values.get("scale.pixel_size_um")
    cells = draft.measured.cells
    if factor is not None:
        return float(factor)
    return 1.0 if cells.diameter_um is None or not target else cells.diameter_um.median / target / cells.diameter.median


def plan_intensities(draft: Draft) -> None:
    """How intensities are brought to one scale."""
    measured, cells = draft.measured, draft.measured.cells
    if draft.source is not None:
        for key, value in draft.source.normalize.items():
            draft.set(f"normalize.{key}", value, draft.source.reason)
        return
    ranges = "; ".join(
        f"{c.name} {c.lowest:.6g} to {c.highest:.6g}{f' ({c.zero:.0%} are 0)' if c.zero >= 0.01 else ''}"
        for c in measured.channels
    )
    draft.set(
        "normalize.intensity", "percentile", f"values: {ranges}; percentiles do not depend on exposure and offset"
    )
    if draft.value("normalize.intensity") == "percentile":
        bright = 100 * BRIGHT_SHARE * cells.least_area_share
        high = rounded(min(max(100 - bright, HIGH_PERCENTILE), HIGHEST_PERCENTILE), 4)
        share = f"cells cover {100 * cells.least_area_share:.2g} % of the emptiest image"
        draft.set("normalize.low_percentile", LOW_PERCENTILE, "what becomes 0: a background")
        draft.set("normalize.high_percentile", high, f"what becomes 1: {share}, so that it is within them")
    markers = {marker.name for marker in measured.markers}
    seen = [c for c in measured.channels if c.name not in markers] or list(measured.channels)
    best = max(seen, key=lambda c: c.contrast)
    words = f"cells in {best.name} differ from the background by {best.contrast:.2g} of its standard deviations"
    if best.contrast >= TRANSMITTED_CONTRAST:
        draft.set("normalize.subtract_local_mean", False, f"{words}: a stain, whose brightness counts")
        return
    draft.set(
        "normalize.subtract_local_mean",
        True,
        f"{words}: transmitted light, where slow changes of the background ({best.unevenness:.0%} of the range) say "
        "nothing of cells",
    )
    if draft.value("normalize.subtract_local_mean"):
        window = max(round(WINDOW_CELLS * cells.diameter.median * draft.factor), SMALLEST_WINDOW) // 2 * 2 + 1
        draft.set(
            "normalize.window_px", window, f"about as wide as a cell ({width_words(draft, cells.diameter.median)})"
        )


def plan_network(draft: Draft) -> None:
    """Which network: one whose outputs see two cells."""
    source = draft.source
    if source is not None:
        draft.choose("model", OPTIONS[source.model], source.model, f"with the layers of start_from={source.path}")
        return
    cells = draft.measured.cells
    typical, large = cells.diameter.median * draft.factor, cells.diameter.high * draft.factor
    needed = max(SEEN_CELLS * typical, SEEN_LARGE_CELLS * large)
    cheaper = not draft.accelerator and many_of_one_stain(draft)
    option = next((name for name, seen in NETWORKS.items() if seen >= needed), list(NETWORKS)[-1])
    reason = (
        f"an output sees {NETWORKS[option] + ONE_AT_FULL_SEES * cheaper} px to each side; cells are {typical:.0f} px "
        f"wide, 95 % of them below {large:.0f} px"
    )
    if draft.choose("model", option, "unet", reason) and cheaper:
        down = ONE_AT_FULL[option]
        why = "one convolution at full resolution, not two: a step takes less time on a processor"
        draft.set("model.down", down, why)
        draft.set("model.up", [{"upsample": level[-1], "filters": level} for level in reversed(down)], why)


def many_of_one_stain(draft: Draft) -> bool:
    """Whether the data are of a kind for which targets and networks were compared: many images of one stain.

    The comparison is of left-out images of dsb2018 (experiments/own/README.md).
    """
    many = draft.measured.with_cells >= IMAGES_TO_HOLD_OUT and len(draft.measured.channels) == 1
    return many and draft.value("normalize.subtract_local_mean") is False and not plans_compartments(draft)


def plans_compartments(draft: Draft) -> bool:
    """Whether nucleus and cytoplasm are learnt beside each other."""
    return draft.value("data.annotation") == "compartments"
