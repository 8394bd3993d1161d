"""Optimisers and learning-rate schedules."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import jax
import optax

from cellflax.errors import UserError
from cellflax.models.parameters import is_kernel


class Schedule(Enum):
    """How the learning rate falls: by a factor per epoch (P1), along a cosine to zero, or not."""

    exponential = "exponential"
    cosine = "cosine"
    constant = "constant"


@dataclass
class OptimizerConfig:
    """Learning rate and schedule, common to all optimisers; a subclass defines `update`.

    Attributes:
        learning_rate: at its highest.
        schedule: how it falls.
        warmup_steps: steps over which it first rises linearly from zero.
        decay: factor per epoch of the exponential schedule; P1: 0.95.
        epoch_steps: steps in what the exponential schedule counts as an epoch.
        clip_norm: largest norm of the gradient; null leaves it as it is.
    """

    learning_rate: float = 1e-3
    schedule: Schedule = Schedule.cosine
    warmup_steps: int = 0
    decay: float = 0.95
    epoch_steps: int = 1000
    clip_norm: float | None = None

    def __post_init__(self):
        if self.learning_rate <= 0:
            raise UserError(f"optimizer.learning_rate must be above 0, got {self.learning_rate}")
        if self.warmup_steps < 0:
            raise UserError(f"optimizer.warmup_steps must be 0 or more, got {self.warmup_steps}")
        if not 0 < self.decay <= 1:
            raise UserError(f"optimizer.decay must be in (0, 1], got {self.decay}")
        if self.epoch_steps < 1:
            raise UserError(f"optimizer.epoch_steps must be 1 or more, got {self.epoch_steps}")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise UserError(f"optimizer.clip_norm must be above 0 or null, got {self.clip_norm}")

    def update(self, rate: optax.Schedule) -> optax.GradientTransformation:
        """The optimiser itself, at a learning rate; `build_optimizer` adds what all have."""
        raise NotImplementedError


@dataclass
class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent with Nesterov momentum (P1: 0.01, 0.9, x 0.95 per epoch).

    Attributes:
        momentum: share of the last update that the next one keeps.
    """

    learning_rate: float = 0.01
    schedule: Schedule = Schedule.exponential
    momentum: float = 0.9

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise UserError(f"optimizer.momentum must be in [0, 1), got {self.momentum}")

    def update(self, rate: optax.Schedule) -> optax.GradientTransformation:
        """See `optax.sgd`."""
        return optax.sgd(rate, momentum=self.momentum, nesterov=True)


@dataclass
class RmspropConfig(OptimizerConfig):
    """RMSprop (P1: 0.001, rho 0.95, eps 1e-8, x 0.95 per epoch).

    Attributes:
        rho: share of the mean squared gradient kept per step.
        epsilon: added to the root of the mean squared gradient.
    """

    schedule: Schedule = Schedule.exponential
    rho: float = 0.95
    epsilon: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.rho < 1:
            raise UserError(f"optimizer.rho must be in [0, 1), got {self.rho}")
        if self.epsilon <= 0:
            raise UserError(f"optimizer.epsilon must be above 0, got {self.epsilon}")

    def update(self, rate: optax.Schedule) -> optax.GradientTransformation:
        """See `optax.rmsprop`."""
        # As P1's Keras: epsilon outside the root. Inside, 1e-8 would hold back gradients below 1e-4.
        return optax.rmsprop(rate, decay=self.rho, eps=self.epsilon, eps_in_sqrt=False)


@dataclass
class AdamwConfig(OptimizerConfig):
    """AdamW with decoupled weight decay on kernels, not on biases and normalisation scales.

    Attributes:
        weight_decay: share of every kernel that a step takes away, times the learning rate.
    """

    learning_rate: float = 0.002
    warmup_steps: int = 100
    weight_decay: float = 1e-4

    def __post_init__(self):
        super().__post_init__()
        if self.weight_decay < 0:
            raise UserError(f"optimizer.weight_decay must be 0 or more, got {self.weight_decay}")

    def update(self, rate: optax.Schedule) -> optax.GradientTransformation:
        """See `optax.adamw`."""
        return optax.adamw(rate, weight_decay=self.weight_decay, mask=kernel_mask)


def learning_rate(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """The learning rate as a function of the step, for a training of `steps` steps.

    Raises:
        UserError: if the warm-up takes the whole training.
    """
    warmup = config.warmup_steps
    if warmup >= steps:
        raise UserError(
            f"optimizer.warmup_steps ({warmup}) must be below trainer.steps ({steps}); lower it or train longer"
        )
    if config.schedule is Schedule.cosine:
        after = optax.cosine_decay_schedule(config.learning_rate, steps - warmup)
    elif config.schedule is Schedule.exponential:
        after = optax.exponential_decay(config.learning_rate, config.epoch_steps, config.decay, staircase=True)
    else:
        after = optax.constant_schedule(config.learning_rate)
    if not warmup:
        return after
    rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
    return optax.join_schedules([rise, after], [warmup])


def build_optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """The optimiser of a configuration, for a training of `steps` steps."""
    update = config.update(learning_rate(config, steps))
    if config.clip_norm is None:
        return update
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), update)


def kernel_mask(params: Any) -> Any:
    """True for every kernel, False for biases and normalisation scales; same structure as `params`."""
    return jax.tree_util.tree_map_with_path(lambda path, _: is_kernel(path), params)
