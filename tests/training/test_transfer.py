"""Weights of one network in another: what is taken, adapted and left at random; and what is frozen."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from cellflax.errors import UserError
from cellflax.losses.cross_entropy import CrossEntropyConfig, cross_entropy
from cellflax.models.ensemble import stack_members
from cellflax.models.skip_fcn import SkipFcnConfig
from cellflax.models.unet import UNetConfig, UpLevel
from cellflax.refine.watershed import WatershedConfig
from cellflax.training.checkpoint import named_leaves
from cellflax.training.config import TrainConfig, TrainerConfig
from cellflax.training.frozen import frozen_parts, hold, without_updates
from cellflax.training.optimizers import AdamwConfig, build_optimizer
from cellflax.training.transfer import parts, transfer
from cellflax.training.weights import TrainedWeights
from tests.models.networks import normal, tiny_config, trained_like

UNET = UNetConfig(down=[[2], [3]], bottom=[4], up=[UpLevel(3, [3]), UpLevel(2, [2])])
CLASSES = ("edge", "interior", "background")
FIRST, LAST = "params.down.0.blocks.0.convolution.kernel", "params.output.kernel"


def source(model=UNET, channels=("phase", "nuclear"), classes=CLASSES, members: int = 1) -> TrainedWeights:
    networks = [trained_like(model, len(channels), len(classes), seed=10 + i) for i in range(members)]
    graph, params, stats = stack_members(networks)
    record = {"data": {"channels": list(channels), "class_names": list(classes), "simulated": False}, "crc32": {}}
    config = TrainConfig(
        model=model, loss=CrossEntropyConfig(), refine=WatershedConfig(), trainer=TrainerConfig(ensemble=members)
    )
    return TrainedWeights(Path("source"), 7, record, config, graph, params, stats, networks[0].geometry)


def arrays(network: nnx.Module) -> dict[str, np.ndarray]:
    _, params, stats = nnx.split(network, nnx.Param, ...)
    return {name: np.asarray(leaf) for name, leaf in named_leaves({"params": params, "stats": stats}).items()}


def given(trained: TrainedWeights, member: int = 0) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(leaf)[member]
        for name, leaf in named_leaves({"params": trained.params, "stats": trained.stats}).items()
    }


@pytest.mark.parametrize("model", [UNET, tiny_config(), SkipFcnConfig(filters=[2, 4], residual_blocks=[0, 1])])
def test_the_same_architecture_is_taken_whole(model):
    """Weights and running statistics; members of an ensemble cyclically."""
    trained = source(model, members=2)
    members = [trained_like(model, seed=i) for i in range(3)]
    found = transfer(trained, model, ("phase", "nuclear"), CLASSES, members)
    assert (found.adapted, found.fresh) == ({}, {})
    for index, member in enumerate(members):
        expected = given(trained, index % 2)
        assert found.taken == list(expected)
        for name, values in arrays(member).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
    assert any(name.startswith("stats.") for name in found.taken)
    image = normal(0, 1, 64, 64, 2)
    outputs = [np.asarray(member(image)) for member in members]
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert np.abs(outputs[0] - outputs[1]).max() > 0.1


def test_channels_go_by_name():
    trained = source()
    member = trained_like(UNET, seed=1)
    found = transfer(trained, UNET, ("Nuclear", "phase"), CLASSES, [member])
    assert list(found.adapted) == [FIRST]
    image = normal(0, 1, 64, 64, 2)
    there = nnx.merge(trained.graph, *jax.tree.map(lambda leaf: leaf[0], (trained.params, trained.stats)))
    np.testing.assert_allclose(member(image[..., ::-1]), there(image), rtol=0, atol=1e-5)


def test_a_new_channel_begins_at_zero():
    """So that the network begins as the source was."""
    trained = source()
    member = trained_like(UNET, channels=3, seed=1)
    found = transfer(trained, UNET, ("phase", "actin", "nuclear"), CLASSES, [member])
    assert found.adapted == {FIRST: "new channel actin from zero, the others by name"}
    assert found.new_channels
    kernel, theirs = arrays(member)[FIRST], given(trained)[FIRST]
    assert not kernel[:, :, 1].any()
    np.testing.assert_array_equal(kernel[:, :, [0, 2]], theirs)


def test_unknown_channels():
    trained = source(channels=("nuclear",))
    alone = trained_like(UNET, channels=1, seed=1)
    assert transfer(trained, UNET, ("dapi",), CLASSES, [alone]).adapted == {FIRST: "channels in order: dapi as nuclear"}
    np.testing.assert_array_equal(arrays(alone)[FIRST], given(trained)[FIRST])
    pair = trained_like(UNET, channels=2, seed=1)
    found = transfer(trained, UNET, ("red", "green"), CLASSES, [pair])
    assert found.adapted == {FIRST: "channels red, green from the mean of the source's nuclear"}
    image = normal(0, 1, 64, 64, 1)  # twice the same image: the sums keep their size
    np.testing.assert_allclose(pair(jnp.concatenate([image, image], -1)), alone(image), rtol=0, atol=1e-5)


def test_fewer_channels():
    trained = source()
    member = trained_like(UNET, channels=1, seed=1)
    found = transfer(trained, UNET, ("nuclear",), CLASSES, [member])
    assert found.adapted == {FIRST: "without the source's channels phase"}
    np.testing.assert_array_equal(arrays(member)[FIRST], given(trained)[FIRST][:, :, 1:])


def test_classes_go_by_name_and_others_are_random():
    trained = source()
    member = trained_like(UNET, classes=3, seed=1)
    before = arrays(member)
    found = transfer(trained, UNET, ("phase", "nuclear"), ("background", "mitotic", "interior"), [member])
    assert found.adapted == dict.fromkeys((LAST, "params.output.bias"), "new class mitotic at random")
    kernel = arrays(member)[LAST]
    np.testing.assert_array_equal(kernel[:, [0, 2]], given(trained)[LAST][:, [2, 1]])
    np.testing.assert_array_equal(kernel[:, 1], before[LAST][:, 1])
    member = trained_like(UNET, classes=2, seed=1)
    before = arrays(member)
    found = transfer(trained, UNET, ("phase", "nuclear"), ("a", "b"), [member])
    assert set(found.fresh) == {LAST, "params.output.bias"}
    np.testing.assert_array_equal(arrays(member)[LAST], before[LAST])


def test_layers_of_another_shape_stay_random():
    trained = source()
    wider = dataclasses.replace(UNET, bottom=[9])
    member = trained_like(wider, seed=1)
    before = arrays(member)
    found = transfer(trained, wider, ("phase", "nuclear"), CLASSES, [member])
    names = list(before)
    assert parts(found.fresh, names) == ["bottom", "upsampling.0"]
    assert parts(found.taken, names)[:1] == ["down"]
    for name, values in arrays(member).items():
        np.testing.assert_array_equal(values, before[name] if name in found.fresh else given(trained)[name])


def test_what_does_not_fit_is_refused_in_one_line():
    with pytest.raises(UserError, match="source holds model=patch_net, the training has model=unet; leave model out"):
        transfer(source(tiny_config()), UNET, ("phase", "nuclear"), CLASSES, [trained_like(UNET)])
    other = UNetConfig(down=[[7]], bottom=[7], up=[UpLevel(7, [7])])
    with pytest.raises(UserError, match="no layer of source has the shape of one of this network"):
        transfer(source(), other, ("phase", "nuclear"), CLASSES, [trained_like(other)])


# Freezing.


def frozen_config(**changes) -> TrainConfig:
    return TrainConfig(model=UNET, start_from="x", **changes)


def test_parts_that_are_frozen():
    network = trained_like(UNET)
    assert frozen_parts(frozen_config(), network) == ()
    assert frozen_parts(frozen_config(freeze_levels=2, freeze=["bottom"]), network) == ("down.0", "down.1", "bottom")
    assert frozen_parts(frozen_config(freeze_levels=1), trained_like(tiny_config())) == ("stages.0",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": ["encoder"]}, "freeze=encoder is no part of the network; its parts are bottom, down.0, down.1,"),
        ({"freeze": ["down.00"]}, "freeze=down.00 is no part"),
        ({"freeze_levels": 3}, "freeze_levels=3: the network has 2 levels; lower it"),
        ({"freeze": ["down", "bottom", "up", "upsampling", "output"]}, "leaves nothing to train"),
    ],
)
def test_parts_that_cannot_be_frozen(changes, message):
    with pytest.raises(UserError, match=message):
        frozen_parts(frozen_config(**changes), trained_like(UNET))


def test_freezing_random_weights_is_refused():
    with pytest.raises(UserError, match="add start_from=RUN"):
        TrainConfig(freeze_levels=1)


def test_frozen_parts_stay_and_are_used_as_in_prediction():
    """No updates, no weight decay, statistics as they were; everything else learns."""
    frozen = ("down.0", "bottom")
    network = trained_like(UNET)
    hold(network, frozen)
    graph, params, stats = nnx.split(network, nnx.Param, ...)
    optimizer = build_optimizer(AdamwConfig(weight_decay=0.1, warmup_steps=0, clip_norm=1), 5)
    optimizer = replace(optimizer, rule=without_updates(optimizer.rule, frozen))
    state = optimizer.init(params)
    image, target = normal(0, 1, 64, 64, 2), jnp.zeros((1, 32, 32), jnp.int32)
    before = arrays(network)

    def cost(params, stats):
        model = nnx.merge(graph, params, stats, copy=True)
        logits = model(image, train=True)
        return cross_entropy(logits, target, jnp.ones(target.shape)), nnx.split(model, nnx.Param, ...)[2]

    for position in range(2):
        gradient, stats = jax.grad(cost, has_aux=True)(params, stats)
        updates, state = optimizer.update(gradient, state, params, position)
        params = optax.apply_updates(params, updates)
    after = arrays(nnx.merge(graph, params, stats))
    for name, values in after.items():
        same = np.array_equal(values, before[name])
        assert same == name.partition(".")[2].startswith(frozen), name
    inner = network.down[0]  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_array_equal(inner(image, train=True), inner(image, train=False))


def test_the_norm_of_frozen_gradients_does_not_count():
    params = {"down": {"kernel": jnp.ones(3)}, "up": {"kernel": jnp.ones(3)}}
    gradient = {"down": {"kernel": jnp.full(3, 1e6)}, "up": {"kernel": jnp.full(3, 0.1)}}
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))
    optimizer = without_updates(clipped, ("down",))
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    np.testing.assert_allclose(updates["up"]["kernel"], -0.1, rtol=1e-6)
    assert not updates["down"]["kernel"].any()
