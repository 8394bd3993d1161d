"""From measurements to settings of the training: crops, their variation, cost, time and learning rate.

The constants follow the recipes of `experiments/`. They are not yet compared with others by measurement.
"""

import math

from cellflax.planning.draft import Draft, count_of, width_words
from cellflax.planning.rules import many_of_one_stain, plans_compartments

# Crops. Their edge is so many times the median, or the 95th percentile, of the diameters.
CELLS_ACROSS, LARGE_CELLS_ACROSS = 4.0, 3.0  # median and 95th percentile of the diameters
CROP_MULTIPLE, SMALLEST_CROP, LARGEST_CROP, LEAST_CROP = 32, 128, 288, 64  # of the largest, two are in a step
PIXELS_PER_STEP, PATCH_NET_PIXELS, ACCELERATOR_TIMES = 4 * 192**2, 128**2, 4
BALANCE = 0.5
COMPARTMENT_WEIGHTS = [4.0, 1.0, 1.0]  # conf/experiment/whole_cell.yaml
WIDE_SPREAD, SCALE_OF_SPREAD, USUAL_SCALE, GAIN = 12.0, 1.25, 1.15, 0.1
FEW_IMAGES = 10
FEW_EXPOSURES = {"gamma": 0.3, "noise": 0.1, "blur_px": 1.0}  # left-out images: experiments/own/README.md

# Training.
LEARNING_RATE, OTHER_LEARNING_RATE = 0.003, 0.002  # of the U-Nets; of the other networks
WARMUP_STEPS, WARMUP_SHARE = 100, 0.05
MAX_MINUTES, STARTED_MINUTES = 30.0, 15.0  # from random weights, from those of start_from
EPOCHS, LEAST_STEPS, MOST_STEPS = 100, 2000, 10_000
VALIDATIONS, LEAST_BETWEEN, MOST_BETWEEN = 20, 50, 250


def plan_crops(draft: Draft) -> None:
    """How large crops are, how many there are in a step, and how they are varied."""
    measured, cells = draft.measured, draft.measured.cells
    if not draft.choose("sampler", "crops", "crops", "every annotated pixel of a crop is trained on"):
        return
    typical, large = cells.diameter.median * draft.factor, cells.diameter.high * draft.factor
    multiple = math.lcm(CROP_MULTIPLE, _multiple(draft))
    wanted = max(CELLS_ACROSS * typical, LARGE_CELLS_ACROSS * large)
    size = min(max(round(wanted / multiple) * multiple, SMALLEST_CROP), LARGEST_CROP)
    edge = measured.smallest_edge * draft.factor
    fits = max(math.floor(edge / multiple) * multiple, LEAST_CROP)
    size = -(-min(size, fits) // multiple) * multiple
    across = f"{size / typical:.1f} cells across, which are {width_words(draft, cells.diameter.median)}"
    limit = f"; the smallest image is {edge:.0f} px wide" if size == fits else ""
    draft.set(
        "sampler.size",
        size,
        f"{across}{limit}",
    )
    size = draft.value("sampler.size")
    heavy = str(draft.value("model")).startswith("patch_net")
    pixels = PATCH_NET_PIXELS if heavy else PIXELS_PER_STEP * (ACCELERATOR_TIMES if draft.accelerator else 1)
    batch = max(round(pixels / size**2), 1)
    draft.set("sampler.batch", batch, f"{batch * size**2 / 1000:.0f} thousand labelled pixels in a step")
    draft.set("sampler.balance", BALANCE, "between equal weights of the classes, which thicken edges, and their areas")
    spread = cells.diameter.high / max(cells.diameter.low, 1e-9)
    scale = SCALE_OF_SPREAD if spread > WIDE_SPREAD else USUAL_SCALE
    low, high = cells.diameter.low, cells.diameter.high
    draft.set("sampler.augment.scale", scale, f"zoom; 90 % of the cells are {low:.0f} to {high:.0f} px wide already")
    draft.set("sampler.augment.gain", GAIN, "the brightness of other images will differ")
    if measured.images < FEW_IMAGES:
        few = count_of(measured.images, "image")
        draft.set("sampler.augment.rotate_degrees", 45.0, f"{few}: few directions are seen")
        if draft.value("normalize.subtract_local_mean") is False:
            for key, value in FEW_EXPOSURES.items():
                draft.set(f"sampler.augment.{key}", value, f"{few} of a stain: others will be dimmer or less sharp")


def _multiple(draft: Draft) -> int:
    """What sizes of crops are divisible by for the user's own network, or that of the source."""
    if draft.leaves("model", "unet" if draft.source is None else draft.source.model):
        return draft.multiple
    return 1 if draft.source is None else draft.source.multiple


def plan_target(draft: Draft) -> None:
    """What the network learns of each pixel."""
    if draft.source is not None:
        draft.choose("target", draft.source.target, draft.source.target, draft.source.reason)
        return
    if many_of_one_stain(draft):
        words = f"{count_of(draft.measured.with_cells, 'image')} of a stain, whose cells are found without nuclei"
        draft.choose("target", "classes_distances", "classes_distances", f"{words}: distances merge fewer of them")
    else:
        draft.choose("target", "classes", "classes", "what the network learns of each pixel")


def plan_training(draft: Draft) -> None:
    """How long, how fast, and how often it is validated."""
    measured = draft.measured
    if plans_compartments(draft):
        why = "nucleus and cytoplasm are independent outputs, as in Al-Kofahi 2018"
        if draft.choose("loss", "composite_rmsd", "composite_rmsd", why):
            draft.set("loss.weights", COMPARTMENT_WEIGHTS, "small nuclei would vanish from the outputs at first")
    else:
        draft.choose("loss", "cross_entropy", "cross_entropy", "the cost of the pixel's class")
    size, batch = draft.value("sampler.size", SMALLEST_CROP), draft.value("sampler.batch", 1)
    epoch = measured.pixels * measured.cells.annotated * draft.factor**2 / (batch * size**2)
    bound = round(min(max(EPOCHS * epoch, LEAST_STEPS), MOST_STEPS) / 100) * 100
    if "trainer.steps" in draft.values:
        draft.set("trainer.steps", bound, f"{bound / epoch:.0f} times all pixels")
    else:
        if draft.source is None:
            draft.set("trainer.max_minutes", MAX_MINUTES, "the usual; a longer training is better")
        else:
            draft.set("trainer.max_minutes", STARTED_MINUTES, "half the usual: the network knows cells already")
        if draft.value("trainer.max_minutes") is None:
            draft.set("trainer.steps", bound, f"{bound / epoch:.0f} times all pixels")
        else:
            draft.set(
                "trainer.steps", bound, f"at most: {bound / epoch:.0f} times all pixels; the time may end it sooner"
            )
    steps = draft.value("trainer.steps") or bound  # null: as many as the time allows
    if draft.value("trainer.max_minutes") is None:  # a time budget chooses by itself
        between = min(max(steps // VALIDATIONS, LEAST_BETWEEN), MOST_BETWEEN, steps)
        draft.set("trainer.validate_every", between, f"{steps / between:.0f} validations, if all steps are done")
    if draft.value("data.split") == "region":
        draft.set("trainer.monitor", "loss", "strips cut cells, whose overlap is noisy")
    if draft.accelerator:
        draft.set("trainer.precision", "tensorfloat32", "there is a GPU")
    if draft.choose("optimizer", "adamw", "adamw", "the fastest to a good network in a fixed number of steps"):
        is_unet = str(draft.value("model")).startswith("unet")
        rate = LEARNING_RATE if is_unet else OTHER_LEARNING_RATE
        draft.set(
            "optimizer.learning_rate", rate, f"usual for {'a U-Net' if is_unet else 'this network'}; it falls to 0"
        )
        warmup = min(WARMUP_STEPS, int(WARMUP_SHARE * steps))
        draft.set("optimizer.warmup_steps", warmup, f"the learning rate rises over {warmup / steps:.0%} of the steps")
