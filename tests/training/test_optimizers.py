"""Optimisers against the papers' update rules, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from cellflax.errors import UserError
from cellflax.training.optimizers import (
    AdamwConfig,
    OptimizerConfig,
    RmspropConfig,
    Schedule,
    SgdConfig,
    build_optimizer,
    kernel_mask,
    learning_rate,
)
from tests.models.networks import tiny_config, trained_like

GRADIENTS = [np.array([0.3, -2.0, 1e-5]), np.array([-0.1, 0.5, 2e-5]), np.array([0.7, 0.7, -1e-5])]


def run(config: OptimizerConfig, gradients=GRADIENTS, steps: int = 100) -> np.ndarray:
    """Parameters after each update, from zero, for given gradients of one kernel."""
    optimizer = build_optimizer(config, steps)
    params = {"kernel": jnp.zeros(3)}
    state = optimizer.init(params)
    path = []
    for position, gradient in enumerate(gradients):
        updates, state = optimizer.update({"kernel": jnp.asarray(gradient, jnp.float32)}, state, params, position)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params["kernel"]))
    return np.stack(path)


def test_sgd_is_nesterovs():
    """As Keras 1 has it: v <- m v - lr g, then p <- p + m v - lr g."""
    velocity, value, path = np.zeros(3), np.zeros(3), []
    for gradient in GRADIENTS:
        velocity = 0.9 * velocity - 0.01 * gradient
        value = value + 0.9 * velocity - 0.01 * gradient
        path.append(value)
    np.testing.assert_allclose(run(SgdConfig()), path, rtol=1e-5)


def test_rmsprop_has_its_epsilon_outside_the_root():
    """As Keras 1 has it: p <- p - lr g / (sqrt(a) + eps); small gradients move as far as large ones."""
    square, value, path = np.zeros(3), np.zeros(3), []
    for gradient in GRADIENTS:
        square = 0.95 * square + 0.05 * gradient**2
        value = value - 0.001 * gradient / (np.sqrt(square) + 1e-8)
        path.append(value)
    config = RmspropConfig()
    assert (config.learning_rate, config.rho, config.epsilon) == (0.001, 0.95, 1e-8)
    np.testing.assert_allclose(run(config), path, rtol=1e-4)


@pytest.mark.parametrize(("config", "start"), [(SgdConfig(), 0.01), (RmspropConfig(), 0.001)])
def test_the_papers_schedule_falls_once_per_epoch(config, start):
    rate = learning_rate(config, steps=25_000)
    for step in (0, 999, 1000, 1999, 12_345, 24_999):
        assert float(rate(step)) == pytest.approx(start * 0.95 ** (step // 1000), rel=1e-5)


def test_a_tenth_every_5000_steps_is_p2s_schedule():
    rate = learning_rate(RmspropConfig(decay=0.1, epoch_steps=5000), steps=60_000)
    for step in (0, 4999, 5000, 9999, 10_000, 59_999):
        assert float(rate(step)) == pytest.approx(0.001 * 0.1 ** (step // 5000), rel=1e-4)


def test_the_rate_reaches_the_update():
    config = SgdConfig(momentum=0, epoch_steps=2, decay=0.5)
    moved = np.diff(run(config, [np.ones(3)] * 6)[:, 0], prepend=0)
    np.testing.assert_allclose(moved, -0.01 * np.array([1, 1, 0.5, 0.5, 0.25, 0.25]), rtol=1e-4)


def test_warm_up_then_cosine():
    rate = learning_rate(AdamwConfig(learning_rate=0.2, warmup_steps=10), steps=110)
    rising = [float(rate(step)) for step in range(10)]
    np.testing.assert_allclose(rising, 0.02 * np.arange(10), atol=1e-7)
    falling = [float(rate(step)) for step in range(10, 111)]
    np.testing.assert_allclose(falling, 0.1 * (1 + np.cos(np.pi * np.arange(101) / 100)), atol=1e-6)


def test_constant_schedule():
    rate = learning_rate(AdamwConfig(learning_rate=0.2, schedule=Schedule.constant, warmup_steps=0), steps=50)
    assert [float(rate(step)) for step in (0, 1, 49)] == pytest.approx([0.2] * 3)


def test_adamw_decays_kernels_only():
    params = nnx.state(trained_like(tiny_config()), nnx.Param)
    config = AdamwConfig(learning_rate=0.1, weight_decay=0.3, schedule=Schedule.constant, warmup_steps=0)
    optimizer = build_optimizer(config, 10)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zero, optimizer.init(params), params, 0)
    kept = jax.tree_util.tree_leaves_with_path(params)
    names = set()
    for (path, value), update in zip(kept, jax.tree.leaves(updates), strict=True):
        name = next(key.key for key in reversed(path) if hasattr(key, "key"))
        names.add(name)
        expected = -0.1 * 0.3 * value if name == "kernel" else jnp.zeros_like(value)
        np.testing.assert_allclose(update, expected, rtol=1e-5)
    assert names == {"kernel", "scale", "bias"}


def test_mask_has_the_structure_of_the_parameters():
    params = nnx.state(trained_like(tiny_config()), nnx.Param)
    mask = kernel_mask(params)
    assert jax.tree.structure(mask) == jax.tree.structure(params)
    assert sum(jax.tree.leaves(mask)) == 5  # three convolutions and two dense layers


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_clipping_limits_the_norm_of_the_gradient(scale):
    gradient = scale * np.array([3.0, 4.0, 0.0])
    moved = run(SgdConfig(momentum=0, clip_norm=2), [gradient])[0]
    np.testing.assert_allclose(moved, -0.01 * gradient * min(1, 2 / (5 * scale)), rtol=1e-5)


@pytest.mark.parametrize("warmup", [100, 150])
def test_warm_up_must_end_before_the_training(warmup):
    with pytest.raises(UserError, match=rf"optimizer.warmup_steps \({warmup}\) must be below trainer.steps \(100\)"):
        build_optimizer(AdamwConfig(warmup_steps=warmup), steps=100)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (AdamwConfig, {"learning_rate": 0.0}, "optimizer.learning_rate must be above 0, got 0.0"),
        (AdamwConfig, {"warmup_steps": -1}, "optimizer.warmup_steps must be 0 or more, got -1"),
        (AdamwConfig, {"weight_decay": -1.0}, "optimizer.weight_decay must be 0 or more, got -1.0"),
        (SgdConfig, {"decay": 0.0}, r"optimizer.decay must be in \(0, 1\], got 0.0"),
        (SgdConfig, {"decay": 1.1}, r"optimizer.decay must be in \(0, 1\], got 1.1"),
        (SgdConfig, {"epoch_steps": 0}, "optimizer.epoch_steps must be 1 or more, got 0"),
        (SgdConfig, {"clip_norm": 0.0}, "optimizer.clip_norm must be above 0, or null, got 0.0"),
        (SgdConfig, {"momentum": 1.0}, r"optimizer.momentum must be in \[0, 1\), got 1.0"),
        (RmspropConfig, {"rho": 1.0}, r"optimizer.rho must be in \[0, 1\), got 1.0"),
        (RmspropConfig, {"epsilon": 0.0}, "optimizer.epsilon must be above 0, got 0.0"),
    ],
)
def test_unusable_settings_are_refused(kind, arguments, message):
    with pytest.raises(UserError, match=message):
        kind(**arguments)
