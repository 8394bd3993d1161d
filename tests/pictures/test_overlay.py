"""Outlines over an image: which pixel has which colour."""

import numpy as np
from skimage.segmentation import find_boundaries

from cellflax.pictures.overlay import Panel, outline_overlay
from cellflax.pictures.palette import PREDICTED_COLOUR, REFERENCE_COLOUR


def test_overlay_colours_are_the_outlines():
    side = 800  # drawn pixel by pixel
    reference, predicted = np.zeros((2, side, side), int)
    reference[100:300, 100:300] = 1
    predicted[150:350, 100:300] = 4
    picture = outline_overlay(Panel("", predicted, reference, np.zeros((side, side))))
    drawn = np.round(picture * 255).astype(int)

    def has(colour):
        return (drawn == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=-1)

    of_reference = find_boundaries(reference, mode="inner")
    of_predicted = find_boundaries(predicted, mode="inner")
    np.testing.assert_array_equal(has(REFERENCE_COLOUR), of_reference & ~of_predicted)
    np.testing.assert_array_equal(has(PREDICTED_COLOUR), of_predicted & ~of_reference)
    np.testing.assert_array_equal(has("#FFFFFF"), of_reference & of_predicted)
