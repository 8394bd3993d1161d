"""Plans of trainings that start from a trained network."""

from dataclasses import replace

import pytest

from cellflax.planning.source import OPTIONS, StartingNetwork
from cellflax.planning.spread import Spread
from cellflax.schemas import group_types
from tests.planning.measured import even, measured, shapes, values

SOURCE = StartingNetwork(
    path="RUN",
    model="unet",
    target="classes_distances",
    multiple=16,
    normalize={"intensity": "range", "window_px": 33},
    factor=None,
    pixel_size_um=None,
    diameter_px=(12.0, 24.0, 40.0),
)


def test_a_plan_keeps_what_the_source_is():
    found = values(source=SOURCE)
    assert (found["model"], found["target"], found["refine"]) == ("unet", "classes_distances", "distances")
    assert (found["normalize.intensity"], found["normalize.window_px"]) == ("range", 33)
    assert found["trainer.max_minutes"] == 15
    assert "scale.factor" not in found
    assert values()["trainer.max_minutes"] == 30


@pytest.mark.parametrize(("diameter", "factor"), [(12.5, None), (39.0, None), (8.0, 3.0), (60.0, 0.4)])
def test_cells_get_the_size_of_those_that_the_source_knows(diameter, factor):
    assert values(measured(shapes(diameter)), source=SOURCE).get("scale.factor") == factor


def test_with_pixel_sizes_the_scale_is_one():
    size = replace(measured(shapes(60.0, diameter_um=even(30.0))), pixel_size_um=Spread(0.5, 0.5, 0.5))
    found = values(replace(size, unknown_pixel_size=0), source=SOURCE)
    assert found["scale.pixel_size_um"] == pytest.approx(30 / 24, rel=0.05)
    assert "scale.factor" not in found


def test_of_cells_of_unknown_size_the_scale_stays():
    unknown = replace(SOURCE, factor=0.5, diameter_px=None)
    found = values(measured(shapes(60.0)), source=unknown)
    assert (found["scale.factor"], found["scale.pixel_size_um"]) == (0.5, None)
    assert found["sampler.size"] == 128  # 4 cells of 30 px


def test_what_is_given_stays():
    found = values(measured(shapes(60.0)), {"scale.factor": 2.0, "normalize.window_px": 55}, source=SOURCE)
    assert "scale.factor" not in found  # as it is given
    assert found["normalize.window_px"] == 55
    assert found["sampler.size"] == 288  # 4 cells of 120 px would be larger
    assert values(source=SOURCE, choices={"target": "classes"})["refine"] == "watershed"


def test_crops_fit_the_network_of_the_source():
    assert values(source=replace(SOURCE, multiple=48))["sampler.size"] % 48 == 0


def test_every_kind_of_network_has_an_option():
    assert OPTIONS.keys() == group_types("model").keys()
