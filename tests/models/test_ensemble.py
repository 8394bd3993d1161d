"""Members stacked, run and averaged, against one network at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cellflax.models import ensemble
from cellflax.models.ensemble import disagreement, map_members, member_probabilities, stack_members
from tests.models.networks import tiny_config, trained_like


def test_members_predict_as_they_do_alone():
    networks = [trained_like(tiny_config(), seed=seed) for seed in range(3)]
    graph, params, stats = stack_members(networks)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 14, 18, 2)), jnp.float32)
    together = jax.jit(lambda p, s, x: member_probabilities(graph, jax.nn.softmax, p, s, x))(params, stats, image)
    alone = nnx.jit(lambda network, x: jax.nn.softmax(network(x)))
    assert together.shape == (3, 2, 4, 8, 3)
    for network, probability in zip(networks, together, strict=True):
        np.testing.assert_allclose(probability, alone(network, image), atol=1e-6)
    assert np.abs(together[0] - together[1]).max() > 0.01


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("members", [1, 3])
def test_map_members_is_a_loop_over_them(members, backend, monkeypatch):
    monkeypatch.setattr(ensemble.jax, "default_backend", lambda: backend)
    x, y = np.arange(4.0 * members).reshape(members, 4), np.arange(members) + 5.0
    result = map_members(lambda a, b: {"sum": a.sum() + b, "scaled": a * b}, x, y)
    np.testing.assert_allclose(result["sum"], [a.sum() + b for a, b in zip(x, y, strict=True)])
    np.testing.assert_allclose(result["scaled"], [a * b for a, b in zip(x, y, strict=True)])


def test_disagreement_is_the_standard_deviation_over_all_predictions():
    predictions = np.random.default_rng(0).dirichlet(np.ones(3), size=(5, 6, 7)).astype(np.float32)
    np.testing.assert_allclose(disagreement(predictions), np.sqrt(predictions.var(axis=0).sum(axis=-1)), rtol=1e-5)


def test_disagreement_lies_between_none_and_certainty_of_different_classes():
    assert disagreement(np.tile([0.2, 0.3, 0.5], (4, 1, 1, 1)))[0, 0] == pytest.approx(0)
    assert disagreement(np.eye(3)[[0, 0, 2, 2]][:, None, None])[0, 0] == pytest.approx(np.sqrt(0.5))
