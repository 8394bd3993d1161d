"""Each rule, on measurements with known values."""

from dataclasses import replace
from typing import Any

import pytest

from cellflax.errors import UserError
from cellflax.planning.cell_shapes import CellShapes
from cellflax.planning.intensities import ChannelIntensities
from cellflax.planning.markers import NuclearMarker
from cellflax.planning.measure import ImageSet, Measurements
from cellflax.planning.plan import Plan, make_plan
from cellflax.planning.rules import NETWORKS
from cellflax.planning.spread import Spread
from tests.test_configs import chosen


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
    plain, doubled = values(), values(None, {"scale.factor": 2.0})
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


@pytest.mark.parametrize("diameter", [8.0, 15.0, 20.0, 40.0, 60.0, 90.0])
@pytest.mark.parametrize("edge", [100, 256, 1024])
def test_crops(diameter, edge):
    found = values(measured(shapes(diameter), edge=edge))
    seen = diameter * found.get("scale.factor", 1)
    size = found["sampler.size"]
    assert size % 32 == 0
    assert size >= 64
    fits = size + 32 > edge * found.get("scale.factor", 1)
    assert size >= 3.5 * seen or fits
    assert 0.5 < found["sampler.batch"] * size**2 / (4 * 192**2) < 1.5
    assert values(measured(shapes(diameter), edge=edge), accelerator=True)["sampler.batch"] > found["sampler.batch"]


def test_crops_fit_the_users_network():
    how = {"choices": {"model": "mine"}, "options": {"model": "mine"}, "multiple": 48}
    assert values(**how)["sampler.size"] % 96 == 0
    patches = {"choices": {"model": "patch_net_31"}, "options": {"model": "patch_net_31"}}
    assert values(**patches)["sampler.batch"] == 1
    assert values(**patches)["optimizer.learning_rate"] == 0.002


def test_augmentation_follows_spread_and_number_of_images():
    assert values()["sampler.augment.scale"] == 1.15
    assert values()["sampler.augment.gain"] == 0.1
    wide = replace(shapes(), diameter=Spread(4, 20, 60))
    assert values(measured(wide))["sampler.augment.scale"] == 1.25
    assert "sampler.augment.rotate_degrees" not in values()
    assert values(measured(images=3))["sampler.augment.rotate_degrees"] == 45.0


def test_time_and_steps():
    found = values()
    assert (found["trainer.max_minutes"], found["optimizer.warmup_steps"]) == (30.0, 100)
    assert 2000 <= found["trainer.steps"] <= 10_000
    given = values(None, {"trainer.steps": 2})
    assert "trainer.max_minutes" not in given
    assert (given["trainer.steps"], given["trainer.validate_every"], given["optimizer.warmup_steps"]) == (2, 2, 0)
    assert "given; the plan would take" in reason("trainer.steps", None, {"trainer.steps": 2})
    assert values(None, {"trainer.max_minutes": 5.0})["trainer.max_minutes"] == 5.0
    assert all(isinstance(found[key], int) for key in ("trainer.steps", "sampler.batch"))
    assert "trainer.validate_every" not in found
    as_many = values(None, {"trainer.steps": None, "trainer.max_minutes": 5.0})
    assert (as_many["trainer.steps"], as_many["optimizer.warmup_steps"]) == (None, 100)


def test_distances_are_refined_by_distances():
    assert (values()["target"], values()["refine"]) == ("classes", "watershed")
    found = values(choices={"target": "classes_distances"})
    assert (found["target"], found["refine"], found["refine.seed_smoothing_px"]) == (
        "classes_distances",
        "distances",
        1.0,
    )


def test_precision_of_an_accelerator():
    assert values(accelerator=True)["trainer.precision"] == "tensorfloat32"
    assert "trainer.precision" not in values()


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


def test_channels_without_a_known_name():
    assert values()["seed_channel"] is None
    assert "one channel (channel_0)" in reason("seed_channel")
    assert "(a, b)" in reason("seed_channel", measured(channels=(channel("a"), channel("b"))))


def test_refinement_follows_the_sizes_of_cells():
    found = values(measured(shapes(18.0, 15.0)))
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
