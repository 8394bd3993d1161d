"""Classes and labels against hand-drawn arrays and brute force."""

import numpy as np
import pytest
from skimage import measure

from cellflax.data.example import BACKGROUND, EDGE, INTERIOR
from cellflax.data.pixel_classes import (
    Annotation,
    cells_from_classes,
    classes_from_features,
    classes_from_labels,
    pixel_classes,
)
from cellflax.io.images import read_image

CODES = {"e": EDGE, "i": INTERIOR, ".": BACKGROUND}


def _draw(text: str, codes: dict[str, int]) -> np.ndarray:
    return np.array([[codes[c] for c in line] for line in text.split()])


def test_edges_are_dilated_then_lose_the_interiors():
    edge = _draw("....... ..#.... ....... ......#", {".": 0, "#": 255})
    interior = _draw("....... ...##.. ...##.. .......", {".": 0, "#": 255})
    expected = _draw("..e.... .eeii.. ..eii.e .....ee", CODES)
    np.testing.assert_array_equal(classes_from_features(edge, interior), expected)


def test_edge_lies_outside_cells_and_on_both_sides_of_contacts():
    labels = _draw(".......... .1111222.. .1111222.. .1111222.. ..........", {".": 0, "1": 1, "2": 2})
    expected = _draw("eeeeeeeee. eiiieeiie. eiiieeiie. eiiieeiie. eeeeeeeee.", CODES)
    # At distance 1 the corners of the ring are 2**0.5 away.
    expected[[0, 0, 4, 4], [0, 8, 0, 8]] = BACKGROUND
    np.testing.assert_array_equal(classes_from_labels(labels, edge_px=1), expected)


@pytest.mark.parametrize("edge_px", [1, 2, 3, 5])
def test_classes_from_labels_against_brute_force(edge_px):
    rng = np.random.default_rng(edge_px)
    points = rng.integers(0, 40, (7, 2))
    y, x = np.mgrid[:40, :40]
    distance = np.hypot(*(np.stack([y, x])[:, None] - points.T[:, :, None, None]))
    labels = np.where(distance.min(axis=0) < 12, distance.argmin(axis=0) + 1, 0)
    reach = (edge_px + 1) // 2
    expected = np.empty((40, 40), int)
    coordinates = np.stack([y, x], -1).reshape(-1, 2)
    for i in range(40):
        for j in range(40):
            squared = ((coordinates - (i, j)) ** 2).sum(1).reshape(40, 40)
            if labels[i, j] == 0:
                near = (squared <= edge_px**2) & (labels > 0)
                expected[i, j] = EDGE if near.any() else BACKGROUND
            else:
                near = (squared <= max(reach**2, 2)) & (labels > 0) & (labels != labels[i, j])
                expected[i, j] = EDGE if near.any() else INTERIOR
    classes = classes_from_labels(labels, edge_px)
    np.testing.assert_array_equal(classes, expected)
    # Each interior component, corners included, belongs to one cell.
    components = measure.label(classes == INTERIOR, connectivity=2)
    pairs = {(c, n) for c, n in zip(components.ravel(), labels.ravel(), strict=True) if c}
    assert len(pairs) == components.max()


def test_no_cell_gives_background_alone():
    assert (classes_from_labels(np.zeros((5, 5), np.int32)) == BACKGROUND).all()


def test_cells_are_4_connected_and_specks_are_dropped():
    digits = {str(i): i for i in range(4)}
    classes = _draw("ii..i ii... ..iii ..iii", CODES)
    expected = _draw("11002 11000 00333 00333", digits)
    np.testing.assert_array_equal(cells_from_classes(classes), expected)
    expected = _draw("11000 11000 00222 00222", digits)
    np.testing.assert_array_equal(cells_from_classes(classes, min_area_px=2), expected)


LABELS = _draw("...... .1122. .1122. ......", {".": 0, "1": 1, "2": 2})
NUCLEI = _draw(".n.... ..n... ....n. .....n", {".": 0, "n": 1})


@pytest.mark.parametrize(
    ("annotation", "drawing", "letters"),
    [
        (Annotation.boundaries, "eeeeee eieeie eieeie eeeeee", {"e": "edge", "i": "interior"}),
        # Cells that touch are separated; otherwise a network of these classes could not distinguish them.
        (Annotation.foreground, "...... .i..i. .i..i. ......", {"i": "interior"}),
        # A nucleus counts also where no cell was drawn around it, and whichever cell it lies in.
        (Annotation.compartments, ".n.... .cncc. .cccn. .....n", {"n": "nucleus", "c": "cytoplasm"}),
    ],
)
def test_schemes_of_the_three_papers(annotation, drawing, letters):
    names = annotation.class_names
    assert names == (*letters.values(), "background")
    codes = {letter: names.index(name) for letter, name in {**letters, ".": "background"}.items()}
    classes = pixel_classes(annotation, LABELS, NUCLEI, edge_px=2)
    assert classes.dtype == np.int8
    np.testing.assert_array_equal(classes, _draw(drawing, codes))


def test_compartments_without_nuclei_are_a_programming_error():
    with pytest.raises(ValueError, match="need nucleus labels"):
        pixel_classes(Annotation.compartments, LABELS, None)


@pytest.mark.real_data
def test_classes_from_labels_resemble_the_hand_annotation(data_root):
    """Turn P1's annotation into labels and back: the edges of edge_px=2 agree best, Dice > 0.9."""
    folder = data_root / "deepcell/training_data/HeLa_joint/set2"
    edge, interior = (read_image(folder / f"feature_{k}.png").pixels[..., 0] for k in (0, 1))
    drawn = classes_from_features(edge, interior) == EDGE
    cells = cells_from_classes(classes_from_features(edge, interior))
    dice = {}
    for edge_px in (1, 2, 3):
        derived = classes_from_labels(cells, edge_px) == EDGE
        dice[edge_px] = 2 * (drawn & derived).sum() / (drawn.sum() + derived.sum())
    assert max(dice, key=dice.get) == 2
    assert dice[2] > 0.9
