"""Rules of images, scale, intensities and network, and what a user gives, on measurements with known values."""

from dataclasses import replace

import pytest

from cellflax.errors import UserError
from cellflax.models.unet import UpLevel
from cellflax.planning.markers import NuclearMarker
from cellflax.planning.rules import NETWORKS, ONE_AT_FULL_SEES
from cellflax.planning.spread import Spread
from tests.planning.measured import channel, even, measured, plan, reason, shapes, values
from tests.test_configs import chosen


def test_every_setting_has_a_reason():
    for measurements in (measured(), measured(images=1), measured(shapes(90.0)), measured(shapes(8.0))):
        for decision in plan(measurements).settings:
            assert len(decision.reason) > 5, decision


@pytest.mark.parametrize(
    ("images", "split", "monitor"), [(40, "image", None), (6, "image", None), (5, "region", "loss")]
)
def test_few_images_hold_out_strips(images, split, monitor):
    found = values(measured(images=images))
    assert (found["data.split"], found.get("trainer.monitor")) == (split, monitor)
    assert f"{images} images with cells" in reason("data.split", measured(images=images))


def test_a_strip_is_wide_enough_for_cells():
    assert values(measured(images=1, edge=1000))["data.validation_fraction"] == 0.1
    assert values(measured(images=1, edge=300))["data.validation_fraction"] == pytest.approx(2.5 * 20 / 300, abs=0.01)
    assert values(measured(images=1, edge=100))["data.validation_fraction"] == 0.25
    assert "data.validation_fraction" not in values(measured(images=40))


def test_a_test_part_of_whole_images_stays():
    assert values(measured(images=3), {"data.folds": 3, "data.fold": 0})["data.split"] == "image"


@pytest.mark.parametrize(
    ("cells", "factor"),
    [
        (shapes(20.0), None),
        (shapes(60.0), None),
        (shapes(80.0), 0.5),
        (shapes(9.0), 2.0),
        (shapes(11.0, 4.8, elongation=4.0), 1.5),
        (shapes(14.0, 7.0, elongation=4.0), None),
    ],
)
def test_cells_of_unusual_size_are_resampled(cells, factor):
    assert values(measured(cells)).get("scale.factor") == (None if factor is None else pytest.approx(factor, abs=0.05))


def test_the_pixel_size_is_used_where_all_have_one():
    um = {"pixel_size_um": even(0.5, 1, 1), "unknown_pixel_size": 0}
    found = values(measured(shapes(80.0, diameter_um=even(40.0)), **um))
    assert found["scale.pixel_size_um"] == pytest.approx(1.0)
    assert "scale.factor" not in found
    assert "scale.pixel_size_um" not in values(measured(shapes(20.0, diameter_um=even(10.0)), **um))
    differing = measured(
        shapes(20.0, diameter_um=even(10.0)), pixel_size_um=Spread(0.3, 0.5, 0.6), unknown_pixel_size=0
    )
    assert values(differing)["scale.pixel_size_um"] == pytest.approx(0.5)
    assert "pixel sizes differ, from 0.3 to 0.6 um" in reason("scale.pixel_size_um", differing)


def test_a_given_scale_is_that_of_all_lengths():
    classes = {"target": "classes"}
    plain, doubled = values(choices=classes), values(None, {"scale.factor": 2.0}, choices=classes)
    assert doubled["sampler.size"] == 2 * 80
    assert plain["sampler.size"] == 128
    assert doubled["refine.seed_smoothing_px"] == pytest.approx(2 * plain["refine.seed_smoothing_px"], abs=0.5)
    assert doubled["refine.min_area_px"] == pytest.approx(4 * plain["refine.min_area_px"], abs=4)


def test_intensities():
    found = values()
    assert (found["normalize.intensity"], found["normalize.low_percentile"]) == ("percentile", 1.0)
    assert found["normalize.high_percentile"] == 99.8
    assert found["normalize.subtract_local_mean"] is False
    empty = measured(shapes(least_area_share=0.002))
    assert values(empty)["normalize.high_percentile"] == pytest.approx(99.96)
    assert "0.2 % of the emptiest image" in reason("normalize.high_percentile", empty)
    light = measured(channels=(channel("phase", contrast=0.1),))
    assert values(light)["normalize.subtract_local_mean"] is True
    assert values(light)["normalize.window_px"] == 31
    assert values(measured(shapes(55.6), channels=light.channels))["normalize.window_px"] == 61
    assert "normalize.high_percentile" not in values(None, {"normalize.intensity": "range"})


def test_a_nuclear_marker_does_not_make_phase_a_stain():
    both = (channel("phase", contrast=0.1), channel("nuclear", contrast=9.0))
    marker = NuclearMarker("nuclear", even(24.0), 0.3, 0.9)
    assert values(measured(channels=both, markers=(marker,)))["normalize.subtract_local_mean"] is True


@pytest.mark.parametrize(
    ("diameter", "network"), [(12.0, "unet_local"), (25.0, "unet_local"), (30.0, "unet"), (60.0, "unet")]
)
def test_an_output_sees_two_cells(diameter, network):
    assert values(measured(shapes(diameter)))["model"] == network


@pytest.mark.parametrize("network", NETWORKS)
def test_what_the_networks_see(network):
    assert chosen("model", network).radius == NETWORKS[network]


@pytest.mark.parametrize(("diameter", "network"), [(15.0, "unet_local"), (30.0, "unet")])
def test_many_images_of_one_stain_have_one_convolution_at_full_resolution(diameter, network):
    """Which is the network of `conf/model` otherwise."""
    usual, found = chosen("model", network), values(measured(shapes(diameter)))
    assert found["model"] == network
    up = [UpLevel(**level) for level in found["model.up"]]
    cheaper = replace(usual, down=found["model.down"], up=up)
    assert (cheaper.down[0], up[-1].filters) == (usual.down[0][:1], usual.up[-1].filters[:1])
    assert (cheaper.down[1:], up[:-1], up[-1].upsample) == (usual.down[1:], usual.up[:-1], usual.up[-1].upsample)
    assert cheaper.radius == NETWORKS[network] + ONE_AT_FULL_SEES
    assert f"sees {cheaper.radius} px" in reason("model", measured(shapes(diameter)))
    for other in (
        measured(shapes(diameter), images=5),
        measured(shapes(diameter), channels=(channel("a"), channel("b"))),
    ):
        assert not {"model.down", "model.up"} & values(other).keys()
    assert not {"model.down", "model.up"} & values(measured(shapes(diameter)), accelerator=True).keys()
    assert not {"model.down", "model.up"} & values(measured(shapes(diameter)), choices={"model": network}).keys()


def test_what_is_given_stays():
    given = {"refine.interior": 0.3, "sampler.size": 96, "seed_channel": "x", "name": "mine"}
    made = plan(None, given)
    assert {decision.key: decision.value for decision in made.settings}.items() >= {
        ("refine.interior", 0.3), ("sampler.size", 96), ("seed_channel", "x")
    }  # fmt: skip
    assert made.others == {"name": "mine"}
    assert all(decision.given == (decision.key in given) for decision in made.settings)


@pytest.mark.parametrize("group", ["model", "target", "sampler", "loss", "optimizer", "refine"])
def test_a_chosen_group_keeps_its_own_keys(group):
    found = plan(choices={group: "another"}, options={group: "another"})
    assert [d for d in found.settings if d.key.startswith(f"{group}.")] == []
    assert [(d.value, d.given) for d in found.settings if d.key == group] == [("another", True)]


def test_a_key_of_another_kind_keeps_the_member_that_has_it():
    found = plan(None, {"model.stages": []}, options={"model": "patch_net_61"})
    assert ("model", "patch_net_61") in [(d.key, d.value) for d in found.settings]
    assert "model.stages" in found.others


def test_one_cell_is_too_few():
    with pytest.raises(UserError, match=r"mine, some images of your own: one cell is annotated, .*annotate more"):
        plan(measured(replace(shapes(), count=1)))
