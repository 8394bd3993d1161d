"""Configurations as JSON: exact, strict, and one line for each mistake."""

import dataclasses
import json
import math
from typing import Any

import pytest
from omegaconf import MISSING, OmegaConf

from cellflax.errors import UserError
from cellflax.schemas import GROUPS, field_types, from_json, group_types, to_json
from tests.toy_command import Padding, PatchNet, Toy, Trainer, UNet

# --- JSON ---


def toy_json(**changes: Any) -> dict[str, Any]:
    return {"model": {"kind": "patch_net", "width": 31}, "input": "a", **changes}


@pytest.mark.usefixtures("toy_groups")
@pytest.mark.parametrize(
    "original",
    [
        Toy(model=PatchNet(31, [8, 16], Padding.valid, 0.25), refine=PatchNet(), input="a"),
        Toy(model=UNet(5, math.inf), trainer=Trainer(7, True, {"edge": -math.inf, "cell": 1.0}), input="ä\n"),
        Toy(model=UNet(5, 0.1 + 0.2), input="null"),
    ],
)
def test_json_round_trip_is_exact(original):
    text = json.dumps(to_json(original), allow_nan=False)
    restored = from_json(Toy, json.loads(text))
    assert restored == original
    assert type(restored.model) is type(original.model)


@pytest.mark.usefixtures("toy_groups")
def test_json_layout():
    assert to_json(Toy(model=PatchNet(padding=Padding.valid), input="a")) == {
        "model": {"kind": "patch_net", "width": 61, "filters": [64, 64], "padding": "valid", "dropout": None},
        "refine": None,
        "trainer": {"steps": 10, "resume": False, "weights": {}},
        "input": "a",
        "output": "out",
        "fail_with": "",
    }


@pytest.mark.usefixtures("toy_groups")
def test_json_fills_in_defaults_and_widens_integers():
    assert from_json(Toy, toy_json()) == Toy(model=PatchNet(31), input="a")
    scale = from_json(UNet, {"scale": 2}).scale
    assert (scale, type(scale)) == (2.0, float)


@pytest.mark.usefixtures("toy_groups")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the configuration must be a group of keys: model"),
        (toy_json(trainer={"step": 1}), "unknown key trainer.step: did you mean trainer.steps?"),
        (
            toy_json(model={"kind": "patch_net", "depth": 3}),
            "unknown key model.depth: allowed in model: dropout",
        ),
        ({"model": {"kind": "unet"}}, "key input is missing; it must be text"),
        ({"input": "a"}, "key model is missing; it must be a group member"),
        (toy_json(model={"kind": "resnet"}), "model.kind must be one of patch_net, unet; got 'resnet'"),
        (toy_json(model={"width": 3}), "model.kind must be one of patch_net, unet; got None"),
        (toy_json(model={"kind": ["unet"]}), "model.kind must be one of patch_net, unet; got ['unet']"),
        (toy_json(model="unet"), "model.kind must be one of"),
        (toy_json(model={"kind": "os:system"}), "model.kind must be one of"),
        (toy_json(model={"kind": "unet", "_target_": "os.system"}), "unknown key model._target_"),
        (toy_json(refine={"kind": "unet"}), "refine.kind must be one of patch_net; got 'unet'"),
        (toy_json(trainer=None), "trainer must be a group of keys: steps, resume, weights; got None"),
        (toy_json(trainer={"steps": True}), "trainer.steps must be a whole number; got True"),
        (toy_json(trainer={"steps": "3"}), "trainer.steps must be a whole number; got '3'"),
        (toy_json(trainer={"resume": 1}), "trainer.resume must be true or false; got 1"),
        (toy_json(trainer={"weights": {"edge": None}}), "trainer.weights.edge must be a number; got None"),
        (
            toy_json(model={"kind": "patch_net", "padding": "full"}),
            "model.padding must be one of same, valid",
        ),
        (toy_json(model={"kind": "patch_net", "padding": []}), "model.padding must be one of same, valid"),
        (
            toy_json(model={"kind": "patch_net", "filters": [1, 2.5]}),
            "model.filters[1] must be a whole number",
        ),
        (toy_json(model={"kind": "patch_net", "filters": "12"}), "model.filters must be a list"),
        (toy_json(model={"kind": "patch_net", "width": -1}), "model.width must be positive, got -1"),
    ],
)
def test_json_is_strict(data, message):
    with pytest.raises(UserError) as caught:
        from_json(Toy, data)
    assert message in str(caught.value)


@pytest.mark.usefixtures("toy_groups")
def test_json_of_an_unlisted_member_is_refused():
    with pytest.raises(TypeError, match="Trainer is not a member of group 'model'"):
        to_json(Toy(model=Trainer()))


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_member_is_a_schema_and_round_trips(group):
    for schema in group_types(group).values():
        assert dataclasses.is_dataclass(schema)
        assert "kind" not in field_types(schema)  # the JSON key
        OmegaConf.structured(schema)
        if all(field.default != MISSING for field in dataclasses.fields(schema)):
            assert from_json(schema, json.loads(json.dumps(to_json(schema())))) == schema()
