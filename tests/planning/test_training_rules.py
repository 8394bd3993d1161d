"""Rules of the training and of crops, on measurements with known values."""

from dataclasses import replace

import pytest

from cellflax.planning.spread import Spread
from tests.planning.measured import channel, even, measured, reason, shapes, values


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


def test_a_stain_in_few_images_is_varied_in_exposure():
    exposure = ("sampler.augment.gamma", "sampler.augment.noise", "sampler.augment.blur_px")
    stain, light = measured(images=9), measured(images=9, channels=(channel(contrast=0.1),))
    assert [values(stain)[key] for key in exposure] == [0.3, 0.1, 1.0]
    for other in (measured(images=10), light):
        assert not set(exposure) & values(other).keys()
    assert values(stain, {"sampler.augment.noise": 0.0})["sampler.augment.noise"] == 0.0
    assert reason(exposure[0], stain) == "9 images of a stain: others will be dimmer or less sharp"


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


def test_distances_are_learnt_of_many_images_of_one_stain():
    assert (values()["target"], values()["refine"]) == ("classes_distances", "distances")
    assert "40 images of a stain" in reason("target")
    others = (
        measured(images=5),
        measured(channels=(channel("phase", contrast=0.1),)),
        measured(channels=(channel("a"), channel("b"))),
        measured(shapes(diameter_um=even(10.0)), has_nuclei=True),
    )
    for found in others:
        assert values(found)["target"] == "classes"
    assert values(given={"normalize.subtract_local_mean": True})["target"] == "classes"


def test_the_refinement_follows_the_target():
    found = values(choices={"target": "classes"})
    assert (found["target"], found["refine"], "refine.landscape" in found) == ("classes", "watershed", False)
    found = values(choices={"target": "distances"})
    assert (found["refine"], "refine.landscape" in found) == ("distances", False)
    found = values(measured(images=5), choices={"target": "classes_distances"})
    assert (found["refine"], found["refine.landscape"]) == ("distances", "classes")
    assert found["refine.seed_smoothing_px"] == 1.0
    assert values(choices={"refine": "watershed"})["refine"] == "watershed"


def test_precision_of_an_accelerator():
    assert values(accelerator=True)["trainer.precision"] == "tensorfloat32"
    assert "trainer.precision" not in values()
