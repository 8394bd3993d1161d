"""Every file of conf/model, conf/loss and conf/refine with every other, on the classes of each paper.

A combination either passes and finds the cells, or is refused in one line with the reason.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from cellflax.data.example import Dataset, Example
from cellflax.data.pixel_classes import Annotation, pixel_classes
from cellflax.data.split import whole
from cellflax.data.with_target import with_target
from cellflax.errors import UserError
from cellflax.metrics.score import score_cells
from cellflax.refine import intensity_image, needs_seeds, refine
from cellflax.targets import DISTANCES, distance_maps
from cellflax.targets.distances import ClassesDistancesTarget
from cellflax.training.composition import check_composition
from cellflax.training.config import TrainConfig
from tests.test_configs import CHOICES, chosen

CROSSED = ("model", "loss", "sampler", "refine")
OPTIONS = {group: [option for of, option in CHOICES if of == group] for group in CROSSED}
EDGE = 160
RADIUS = 30


@pytest.fixture(scope="module")
def parts() -> dict[tuple[str, str], Any]:
    """What each file becomes."""
    return {(group, option): chosen(group, option) for group in CROSSED for option in OPTIONS[group]}


@pytest.fixture(scope="module")
def dataset() -> dict[Annotation, Dataset]:
    """Two round cells with nuclei, darker there, in one image with the classes of each annotation."""
    rows, columns = np.mgrid[:EDGE, :EDGE]
    cells, nuclei = np.zeros((2, EDGE, EDGE), np.int32)
    for label, centre in enumerate([(45, 50), (110, 105)], start=1):
        distance = np.hypot(rows - centre[0], columns - centre[1])
        cells[distance < RADIUS] = nuclei[distance < RADIUS / 2.5] = label
    nuclei[cells == 0] = 0
    noise = np.random.default_rng(0).normal(0, 0.02, (EDGE, EDGE))
    image = np.where(cells > 0, np.where(nuclei > 0, 0.6, 1.0), 0.1) + noise
    made = {}
    for annotation in Annotation:
        classes = pixel_classes(annotation, cells, nuclei)
        example = Example("a", image[..., None].astype(np.float32), classes, cells, nuclei, 0.65)
        made[annotation] = Dataset((example,), (whole(example),), ("rna",), annotation.class_names, "test")
    return made


def combinations(annotation: Annotation) -> Iterator[tuple[str, str, str, str, str | None]]:
    """Files of model, loss, sampler and refine, and what a refusal has to say; None for what makes sense."""
    for model, loss, sampler, refinement in product(*OPTIONS.values()):
        reason = None
        if sampler == "patches" and not model.startswith("patch_net"):
            reason = "labels every pixel of a crop"
        elif sampler == "patches" and loss != "cross_entropy":
            reason = "compares the pixels of a crop with each other"
        elif refinement == "whole_cell" and annotation is not Annotation.compartments:
            reason = "starts from the classes nucleus and cytoplasm"
        elif refinement == "distances":
            reason = "starts from distances"
        yield model, loss, sampler, refinement, reason


@pytest.mark.parametrize("annotation", Annotation)
def test_parts_go_together_or_are_refused_with_the_reason(annotation, dataset, parts):
    for *options, reason in combinations(annotation):
        taken = {group: parts[group, option] for group, option in zip(CROSSED, options, strict=True)}
        message = None
        try:
            check_composition(TrainConfig(**taken), dataset[annotation])
        except UserError as error:
            message = str(error)
        assert (message is None) == (reason is None), (options, message)
        assert message is None or (reason in message and "\n" not in message), (options, message)


@pytest.mark.parametrize("annotation", Annotation)
def test_networks_that_learn_distances_too_take_every_refinement(annotation, dataset, parts):
    data = with_target(dataset[annotation], ClassesDistancesTarget())
    for refinement in OPTIONS["refine"]:
        if refinement != "whole_cell" or annotation is Annotation.compartments:
            config = TrainConfig(model=parts["model", "unet"], loss=parts["loss", "cross_entropy"])
            config.refine, config.target = parts["refine", refinement], ClassesDistancesTarget()
            check_composition(config, data)


@pytest.mark.parametrize(
    ("refinement", "annotation"),
    [
        (refinement, annotation)
        for refinement, annotation in product(OPTIONS["refine"], Annotation)
        if refinement != "whole_cell" or annotation is Annotation.compartments
    ],
)
def test_every_refinement_finds_the_cells_of_every_annotation(refinement, annotation, dataset, parts):
    example, names = dataset[annotation].train[0], annotation.class_names
    config = parts["refine", refinement]
    probability = np.stack([np.where(example.classes == k, 0.9, 0.1 / (len(names) - 1)) for k in range(len(names))], -1)
    if config.needs_distances:
        names = (*names, *DISTANCES)
        probability = np.concatenate([probability, distance_maps(example.cells)], -1)
    seeds = example.nuclei if needs_seeds(config, names) else None
    intensity = intensity_image(config, example.image, ("rna",))
    found = refine(config, probability, names, seeds, intensity=intensity, pixel_size_um=0.65)
    scores = score_cells(example.cells, found)
    assert found.max() == 2
    assert min(scores.accuracy.jaccard) > 0.7, scores.accuracy.jaccard  # refine=brightfield grows the cells by 4 px
