"""Costs against NumPy, in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cellflax.errors import UserError
from cellflax.losses import CrossEntropyConfig, cross_entropy, l2_penalty
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


def test_negative_penalty_is_refused():
    with pytest.raises(UserError, match=r"loss.l2 must be 0 or more, got -1"):
        CrossEntropyConfig(l2=-1)
