"""Costs against NumPy, in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cellflax.errors import UserError
from cellflax.losses import Activation, activation_of, l2_penalty
from cellflax.losses.composite_rmsd import CompositeRmsdConfig, composite_rmsd
from cellflax.losses.cross_entropy import CrossEntropyConfig, cross_entropy
from cellflax.losses.weighted_softmax import WeightedSoftmaxConfig, weighted_softmax
from cellflax.models.patch_net import Regularization
from tests.models.networks import tiny_config, trained_like


def test_cross_entropy_equals_its_formula():
    rng = np.random.default_rng(0)
    logits = 5 * rng.normal(size=(2, 4, 5, 3))
    target = rng.integers(0, 3, (2, 4, 5))
    weight = rng.uniform(0, 3, (2, 4, 5)) * rng.integers(0, 2, (2, 4, 5))
    softmax = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = 0.0
    for index in np.ndindex(target.shape):
        expected -= weight[index] * np.log(softmax[(*index, target[index])])
    expected /= target.size  # pixels, not the sum of the weights
    actual = cross_entropy(*map(jnp.asarray, (logits, target, weight)))
    assert float(actual) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_sure_and_wrong_is_finite():
    logits = jnp.asarray([[1e4, 0.0, 0.0]])
    assert float(cross_entropy(logits, jnp.asarray([1]), jnp.ones(1))) == pytest.approx(1e4)


def test_pixels_of_weight_zero_have_no_gradient():
    gradient = jax.grad(cross_entropy)(jnp.ones((2, 3)), jnp.asarray([0, 0]), jnp.asarray([0.0, 1.0]))
    np.testing.assert_array_equal(gradient[0], 0)
    np.testing.assert_allclose(gradient[1], np.array([-2, 1, 1]) / 3 / 2, rtol=1e-6)


@pytest.mark.parametrize("regularization", Regularization)
def test_penalty_is_the_sum_of_squares_of_kernels_alone(regularization):
    network = trained_like(tiny_config(regularization))
    layers = [block.transform for stage in network.stages for block in stage]
    layers += [block.transform for block in network.hidden] + [network.output]
    expected = sum(float((np.asarray(layer.kernel[...], float) ** 2).sum()) for layer in layers)
    assert len(layers) == 5
    assert float(l2_penalty(nnx.state(network, nnx.Param))) == pytest.approx(expected, rel=1e-5)


def test_penalty_of_nothing_is_zero():
    assert float(l2_penalty({"bias": jnp.ones(3)})) == 0


NAMES = {2: ("interior", "background"), 3: ("nucleus", "cytoplasm", "background"), 4: ("a", "b", "c", "background")}


def crops(classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four crops: all classes, without the first, not annotated at all, one annotated pixel."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(4, 6, 6, classes))
    target = rng.integers(0, classes, (4, 6, 6))
    target[1] = np.maximum(target[1], 1)
    weight = rng.uniform(0.1, 5, (4, 6, 6)) * rng.integers(0, 2, (4, 6, 6))
    weight[2:] = 0
    weight[3, 2, 4] = 0.3
    return logits, target, weight


def in_single_precision(arrays: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[jax.Array, jax.Array, jax.Array]:
    logits, target, weight = arrays
    return jnp.asarray(logits, jnp.float32), jnp.asarray(target, jnp.int32), jnp.asarray(weight, jnp.float32)


def weighted_softmax_by_hand(logits, target, weight, foreground: float) -> float:
    """P2: in every image, each of its classes with the same total weight; then foreground times a factor."""
    total, pixels = 0.0, 0
    for crop_logits, crop_target, annotated in zip(logits, target, weight > 0, strict=True):
        here = crop_target[annotated]
        pixels += here.size
        for k in np.unique(here):
            mask = annotated & (crop_target == k)
            each = here.size / len(np.unique(here)) / mask.sum()
            each *= foreground if k < logits.shape[-1] - 1 else 1
            log_sum = np.log(np.exp(crop_logits[mask]).sum(-1))
            total += each * (log_sum - crop_logits[mask][:, k]).sum()
    return total / pixels


def composite_rmsd_by_hand(logits, target, weight, weights, sum_weight: float) -> float:
    """P3: w_k RMSD(p_k, l_k) of every class, and w RMSD(sum of p, 1), in every crop."""
    costs = []
    for crop_logits, crop_target, annotated in zip(logits, target, weight > 0, strict=True):
        if not annotated.any():
            continue
        p = 1 / (1 + np.exp(-crop_logits[annotated]))
        cost = sum_weight * np.sqrt(np.mean((p.sum(-1) - 1) ** 2))
        for k, w in enumerate(weights):
            cost += w * np.sqrt(np.mean((p[:, k] - (crop_target[annotated] == k)) ** 2))
        costs.append(cost)
    return float(np.mean(costs))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("foreground", [1.0, 3.0])
def test_weighted_softmax_equals_its_transcription(classes, foreground):
    arrays = crops(classes)
    with jax.enable_x64(True):
        actual = weighted_softmax(*map(jnp.asarray, arrays), foreground)
    assert float(actual) == pytest.approx(weighted_softmax_by_hand(*arrays, foreground), rel=1e-9)
    single = weighted_softmax(*in_single_precision(arrays), foreground)
    assert float(single) == pytest.approx(float(actual), rel=1e-6)


@pytest.mark.parametrize("weights", [[1.0, 1.0], [1.0, 1.0, 1.0], [0.5, 2.0, 0.0, 1.0]])
@pytest.mark.parametrize("sum_weight", [0.0, 1.0])
def test_composite_rmsd_equals_its_transcription(weights, sum_weight):
    arrays = crops(len(weights))
    with jax.enable_x64(True):
        actual = composite_rmsd(*map(jnp.asarray, arrays), weights, sum_weight)
    assert float(actual) == pytest.approx(composite_rmsd_by_hand(*arrays, weights, sum_weight), rel=1e-9)
    single = composite_rmsd(*in_single_precision(arrays), weights, sum_weight)
    assert float(single) == pytest.approx(float(actual), rel=1e-6)


@pytest.mark.parametrize("config", [WeightedSoftmaxConfig(), CompositeRmsdConfig(weights=[1.0, 2.0, 0.5])])
def test_gradient_is_that_of_finite_differences(config):
    logits, target, weight = crops(3)
    with jax.enable_x64(True):
        loss = config.build(NAMES[3], np.ones(3))
        target, weight = jnp.asarray(target), jnp.asarray(weight)
        gradient = jax.grad(loss)(jnp.asarray(logits), target, weight)
        assert np.all(np.asarray(gradient)[np.asarray(weight) == 0] == 0)  # not annotated, counts nowhere
        rng = np.random.default_rng(1)
        for _ in range(5):
            direction = rng.normal(size=logits.shape)
            ahead, behind = (float(loss(jnp.asarray(logits + s * 1e-5 * direction), target, weight)) for s in (1, -1))
            assert (ahead - behind) / 2e-5 == pytest.approx(float(jnp.sum(gradient * direction)), rel=1e-3)


def test_costs_do_not_depend_on_the_balance_of_the_sampler():
    logits, target, weight = map(jnp.asarray, crops(3))
    for config in (WeightedSoftmaxConfig(), CompositeRmsdConfig()):
        loss = config.build(NAMES[3], np.ones(3))
        assert float(loss(logits, target, weight)) == float(loss(logits, target, (weight > 0).astype(float)))


def test_rmsd_of_no_error_has_no_gradient_and_no_nan():
    logits = jnp.asarray([[[[200.0, -200.0, -200.0]]]])
    target, weight = jnp.zeros((1, 1, 1), int), jnp.ones((1, 1, 1))
    cost, gradient = jax.value_and_grad(composite_rmsd)(logits, target, weight, [1.0] * 3, 1.0)
    assert float(cost) == 0
    np.testing.assert_array_equal(gradient, 0)


def test_nothing_annotated_costs_nothing():
    logits, target, _ = map(jnp.asarray, crops(3))
    for config in (WeightedSoftmaxConfig(), CompositeRmsdConfig()):
        loss = config.build(NAMES[3], np.ones(3))
        cost, gradient = jax.value_and_grad(loss)(logits, target, jnp.zeros(target.shape))
        assert float(cost) == 0
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize(
    ("pixels", "factor"), [((25, 75), 3.0), ((10, 15, 75), 3.0), ((75, 25), 1.0), ((1, 99), 10.0), ((0, 5), 5.0)]
)
def test_foreground_from_what_the_training_set_covers(pixels, factor):
    loss = WeightedSoftmaxConfig(foreground=None).build(NAMES[len(pixels)], np.array(pixels))
    arrays = tuple(map(jnp.asarray, crops(len(pixels))))
    assert float(loss(*arrays)) == pytest.approx(float(weighted_softmax(*arrays, foreground=factor)))


def test_activation_is_a_property_of_the_cost():
    logits = jnp.asarray([[1.0, -2.0, 0.5]])
    for config in (None, CrossEntropyConfig(), WeightedSoftmaxConfig()):
        assert activation_of(config) is Activation.softmax
    assert activation_of(CompositeRmsdConfig()) is Activation.sigmoid
    np.testing.assert_allclose(Activation.softmax(logits), np.exp(logits) / np.exp(logits).sum(), rtol=1e-6)
    np.testing.assert_allclose(Activation.sigmoid(logits), 1 / (1 + np.exp(-logits)), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CrossEntropyConfig(l2=-1), "loss.l2 must be 0 or more, got -1"),
        (lambda: CompositeRmsdConfig(l2=-1), "loss.l2 must be 0 or more, got -1"),
        (lambda: WeightedSoftmaxConfig(foreground=0), "loss.foreground must be above 0, or null, got 0"),
        (lambda: CompositeRmsdConfig(weights=[]), r"loss.weights must have one value above 0, got \[\]"),
        (lambda: CompositeRmsdConfig(weights=[1, -1]), r"every value of loss.weights must be 0 or more, got \[1, -1\]"),
        (lambda: CompositeRmsdConfig(weights=[0, 0]), r"loss.weights must have one value above 0, got \[0, 0\]"),
        (lambda: CompositeRmsdConfig(sum_weight=-1), "loss.sum_weight must be 0 or more, got -1"),
        (
            lambda: CompositeRmsdConfig(weights=[1, 1]).build(NAMES[3], np.ones(3)),
            "loss.weights has 2 values for the 3 classes nucleus, cytoplasm, background; give one for each, or one",
        ),
    ],
)
def test_unusable_settings_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
