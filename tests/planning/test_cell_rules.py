"""Rules of seeds, refinement and prediction, on measurements with known values."""

import pytest

from cellflax.planning.markers import NuclearMarker
from tests.planning.measured import channel, even, measured, reason, shapes, values

PHASE = (channel("phase", contrast=0.1), channel("nuclear"))


@pytest.mark.parametrize(
    ("marker", "seeds", "words"),
    [
        (
            NuclearMarker("nuclear", even(24.0), 0.3, 0.9),
            "nuclear",
            "90% of the cells' area is in cells with one nucleus",
        ),
        (NuclearMarker("nuclear", even(24.0), 0.95, 0.9), None, "they are the nuclei"),
        (NuclearMarker("nuclear", even(24.0), 0.3, 0.2), None, "only 20%"),
    ],
)
def test_a_nuclear_channel_seeds_cells_around_nuclei(marker, seeds, words):
    found = measured(channels=PHASE, markers=(marker,))
    assert values(found)["seed_channel"] == seeds
    assert words in reason("seed_channel", found)
    assert ("seeds.diameter_px" in values(found)) == (seeds is not None)
    assert ("refine.seed_depth" in values(found)) == (seeds is None)


@pytest.mark.parametrize(
    ("by_network", "chosen"), [(None, "image processing"), (0.9, None), (0.905, None), (0.95, "nuclei")]
)
def test_the_network_finds_nuclei_where_it_finds_one_in_more_cells(by_network, chosen):
    found = measured(channels=PHASE, markers=(NuclearMarker("nuclear", even(24.0), 0.3, 0.9, by_network),))
    assert values(found).get("nuclei_network", "image processing") == chosen


def test_a_channel_seeds_cells_if_the_network_alone_finds_their_nuclei():
    found = measured(channels=PHASE, markers=(NuclearMarker("nuclear", even(24.0), 0.3, 0.2, 0.8),))
    assert (values(found)["seed_channel"], values(found)["nuclei_network"]) == ("nuclear", "nuclei")


def test_channels_without_a_known_name():
    assert values()["seed_channel"] is None
    assert "one channel (channel_0)" in reason("seed_channel")
    assert "(a, b)" in reason("seed_channel", measured(channels=(channel("a"), channel("b"))))


def test_refinement_follows_the_sizes_of_cells():
    found = values(measured(shapes(18.0, 15.0)), choices={"target": "classes"})
    assert found["refine"] == "watershed"
    assert found["refine.seed_smoothing_px"] == 2.0
    assert found["refine.smoothing_px"] == 0.5
    assert found["refine.min_area_px"] == int(0.5 * 0.5 * 18**2)
    assert "refine.outline_px" not in found
    assert values(measured(shapes(56.0)))["refine.outline_px"] == 2.5


def test_labelled_nuclei_make_compartments():
    um = {"pixel_size_um": even(0.65, 1, 1), "unknown_pixel_size": 0, "has_nuclei": True}
    found = values(measured(shapes(40.0, diameter_um=even(26.0)), **um))
    assert (found["data.annotation"], found["loss"], found["refine"]) == (
        "compartments",
        "composite_rmsd",
        "whole_cell",
    )
    assert found["refine.cell_area_um2"] == pytest.approx(531, abs=1)
    assert found["seed_channel"] is None
    assert "data.annotation" not in values(measured(has_nuclei=True))


def test_prediction_takes_one_pass():
    assert values(measured())["test_time_augmentation"] == 1
