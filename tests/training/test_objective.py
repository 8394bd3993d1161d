"""Cost and gradient: in bfloat16 close to float32, and part by part those of the whole batch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cellflax.data.sampler import Batch
from cellflax.losses.composite_rmsd import composite_rmsd
from cellflax.losses.cross_entropy import cross_entropy
from cellflax.losses.distances import distance_cost
from cellflax.losses.weighted_softmax import weighted_softmax
from cellflax.models.base import ModelConfig
from cellflax.models.patch_net import PatchNetConfig, Regularization, Stage
from cellflax.models.skip_fcn import SkipFcnConfig
from cellflax.models.unet import UNetConfig, UpLevel
from cellflax.training.objective import gradient_in_parts, objective
from tests.training.test_state import CROPS, LARGE_KERNEL, NETWORK, Training

UNET = UNetConfig(down=[[4]], bottom=[6], up=[UpLevel(4, [4])], context_px=4)
PLAIN_UNET = UNetConfig(down=[[4]], bottom=[6], up=[UpLevel(4, [4])], context_px=4, batch_norm=False)
LARGE = PatchNetConfig(dense=[7], **LARGE_KERNEL)
FCN = SkipFcnConfig(filters=[4, 8], residual_blocks=[0, 1], context_px=4)
PLAIN_PATCH_NET = PatchNetConfig([Stage([2], [4]), Stage([2], [6])], [7], regularization=Regularization.none)

COSTS = {
    "cross-entropy": cross_entropy,
    "weighted softmax": partial(weighted_softmax, foreground=3.0),
    "RMSD": partial(composite_rmsd, weights=[1.0, 2.0, 1.0], sum_weight=1.0),
}


def network_and_batch(config: ModelConfig, *, maps: bool = False) -> tuple:
    """Structure, parameters and statistics of a network, and a batch of 4 crops whose annotation differs in size."""
    network = config.build(channels=2, classes=3 + 2 * maps, seed=0)
    graph, params, stats = nnx.split(network, nnx.Param, ...)
    rng, size = np.random.default_rng(1), 8
    edge = size + 2 * network.geometry.train_border
    weight = rng.uniform(0.5, 1.5, (4, size, size)).astype(np.float32)
    for i, crop in enumerate(weight):
        crop[: 2 * i] = 0
    of_maps = rng.uniform(0, 1, (4, size, size, 2)).astype(np.float32)
    of_maps[1, :3] = np.nan
    of_maps[2, 2:] = 0
    image = rng.normal(size=(4, edge, edge, 2)).astype(np.float32)
    target = rng.integers(0, 3, (4, size, size)).astype(np.int32)
    return graph, params, stats, Batch(image, target, weight, of_maps if maps else None)


def norm(tree) -> float:
    return float(np.sqrt(sum(np.square(np.asarray(leaf, float)).sum() for leaf in jax.tree.leaves(tree))))


def types(tree) -> set[str]:
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize(
    "config",
    [
        NETWORK,
        pytest.param(LARGE, marks=pytest.mark.slow),
        pytest.param(UNET, marks=pytest.mark.slow),
        pytest.param(FCN, marks=pytest.mark.slow),
    ],
    ids=["patch net", "large kernels", "U-Net", "skip FCN"],
)
def test_mixed_precision(config):
    """Activations are bfloat16 indeed; everything that is kept is float32, and close to that of float32."""
    graph, params, stats, batch = network_and_batch(config)
    found = {}
    for compute_type in (jnp.float32, jnp.bfloat16):
        cost = objective(graph, cross_entropy, 1e-3, compute_type=compute_type)
        arguments = params, stats, batch, jax.random.key(0)
        step = jax.jit(jax.value_and_grad(cost, has_aux=True)).lower(*arguments)
        found[compute_type] = step.compile()(*arguments)
        text = step.as_text()
        products = [line for line in text.splitlines() if "stablehlo.convolution" in line or "dot_general" in line]
        is_half = ["bf16" in line for line in products]
        if compute_type == jnp.float32:
            assert "bf16" not in text
        else:  # all but the last layer, its gradients, and products by FFT
            assert sum(is_half) > 0.6 * len(products) or config is LARGE
    (_, (one_stats, one_fit, one_logits)), one_gradient = found[jnp.float32]
    (half, (half_stats, half_fit, half_logits)), half_gradient = found[jnp.bfloat16]
    assert types((half, half_stats, half_fit, half_logits, half_gradient)) == {"float32"}
    assert float(half_fit) == pytest.approx(float(one_fit), rel=0.02)
    assert not np.array_equal(half_logits, one_logits)
    np.testing.assert_allclose(half_logits, one_logits, atol=0.05 * float(jnp.abs(one_logits).max()))
    difference = norm(jax.tree.map(jnp.subtract, half_gradient, one_gradient))
    assert 0 < difference < 0.1 * norm(one_gradient)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0.05, atol=0.01), half_stats, one_stats)


@pytest.mark.slow
def test_training_in_mixed_precision_learns():
    """As well as in float32; the state stays float32."""
    _, _, losses = Training(1).run(30)
    state, sums, mixed = Training(1, options={"compute_type": jnp.bfloat16}).run(30)
    assert types((state.params, state.stats, sums)) == {"float32"}
    assert types(state.opt_state) <= {"float32", "int32"}
    assert mixed[-5:].mean() < mixed[:5].mean() - 0.1
    assert 0 < np.abs(mixed - losses).max() < 0.05


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize(
    ("config", "parts"),
    [(PLAIN_PATCH_NET, 2), pytest.param(PLAIN_UNET, 4, marks=pytest.mark.slow)],
    ids=["patch net", "U-Net"],
)
def test_parts_of_a_batch_give_its_cost_and_gradient(config, cost, parts):
    """Although the crops have between 64 and 16 annotated pixels, by which two of the costs divide."""
    maps = cost == "cross-entropy"
    graph, params, stats, batch = network_and_batch(config, maps=maps)
    settings = graph, COSTS[cost], 1e-2, partial(distance_cost, weight=1.0, outside=0.2) if maps else None
    whole = jax.jit(jax.value_and_grad(objective(*settings), has_aux=True))
    divided = jax.jit(gradient_in_parts(*settings, parts=parts))
    (expected, aside), slope = whole(params, stats, batch, jax.random.key(0))
    (found, other), gradient = divided(params, stats, batch, jax.random.key(0))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), other, aside)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), gradient, slope)
    assert norm(gradient) > 0.1


def test_batch_normalisation_by_parts():
    """Outputs are those of each part alone; the running statistics move once, by the mean over the parts."""
    graph, params, stats, batch = network_and_batch(NETWORK)
    cost = objective(graph, cross_entropy, 0.0)
    # Part 0 has every second crop from the first on, part 1 from the second on.
    alone = [cost(params, stats, Batch(*(x[i::2] for x in batch[:3])), jax.random.key(0)) for i in range(2)]
    (total, (new, _, logits)), _ = gradient_in_parts(graph, cross_entropy, 0.0, parts=2)(
        params, stats, batch, jax.random.key(0)
    )
    assert float(total) == pytest.approx(np.mean([float(value) for value, _ in alone]), rel=1e-5)
    for i, (_, (_, _, expected)) in enumerate(alone):
        np.testing.assert_allclose(logits[i::2], expected, rtol=1e-4, atol=1e-5)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *(aside[0] for _, aside in alone))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), new, mean)


@pytest.mark.slow
def test_devices_and_parts():
    """Four crops in two parts on two devices: a crop for each at a time, and the training of one device."""
    assert CROPS.batch == 4
    trainings = [Training(devices, options={"parts": 2}) for devices in (1, 2)]
    (one, _, losses), (two, _, other) = (training.run(10) for training in trainings)
    np.testing.assert_allclose(other, losses, rtol=0, atol=1e-5)
    for a, b in zip(*map(jax.tree.leaves, ((two.params, two.stats), (one.params, one.stats))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    _, _, whole = Training(1).run(10)
    assert 0 < np.abs(whole - losses).max() < 0.1  # batch normalisation differs
