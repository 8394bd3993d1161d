"""Optimisers and learning-rate schedules.

The rate is no part of the optimiser's state: a step is given its position on the schedule, so that a training with a
time budget is annealed when the time ends (`pace`).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cellflax.checks import above, at_least, check
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
        learning_rate: highest learning rate.
        schedule: how the learning rate falls.
        warmup_steps: steps over which the learning rate first rises linearly from zero.
        decay: factor per epoch of the exponential schedule; P1: 0.95.
        epoch_steps: steps that the exponential schedule counts as an epoch.
        clip_norm: largest norm of the gradient; null leaves it as it is.
        average: share that a moving average of the weights keeps in a step; validation and prediction use the average.
            Early steps keep less, see `averaged`. 0 for none.
    """

    learning_rate: float = 1e-3
    schedule: Schedule = Schedule.cosine
    warmup_steps: int = 0
    decay: float = 0.95
    epoch_steps: int = 1000
    clip_norm: float | None = None
    average: float = 0.0

    def __post_init__(self):
        check(self, "optimizer", above(0), "learning_rate", "clip_norm")
        check(self, "optimizer", at_least(0), "warmup_steps")
        check(self, "optimizer", at_least(0, below=1), "average")
        check(self, "optimizer", above(0, at_most=1), "decay")
        check(self, "optimizer", at_least(1), "epoch_steps")

    def update(self, rate: optax.Schedule) -> optax.GradientTransformation:
        """The optimiser itself, at a learning rate; `build_optimizer` adds what all share.

        Its updates are linear in the rate: `build_optimizer` takes those at rate 1, times the rate of the step.
        """
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
        check(self, "optimizer", at_least(0, below=1), "momentum")

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
        check(self, "optimizer", at_least(0, below=1), "rho")
        check(self, "optimizer", above(0), "epsilon")

    def update(self, rate: optax.Schedule) -> optax.GradientTransformation:
        """See `optax.rmsprop`."""
        # Epsilon is outside the root, as in P1's Keras. Inside, 1e-8 would hold back gradients below 1e-4.
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
        check(self, "optimizer", at_least(0), "weight_decay")

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


@dataclass(frozen=True)
class Optimizer:
    """From gradients to updates of the parameters, at a rate that depends on the position on a schedule.

    Attributes:
        rule: the optimiser at learning rate 1; its updates are linear in the rate.
        rate: learning rate by position; without a time budget, the position is the number of steps done.
        average: share that the moving average of the weights keeps in a step; 0 for no average.
    """

    rule: optax.GradientTransformation
    rate: optax.Schedule
    average: float = 0.0

    def init(self, params: Any) -> Any:
        """State of the optimiser before the first step."""
        return self.rule.init(params)

    def update(self, gradient: Any, state: Any, params: Any, position: jax.Array | float) -> tuple[Any, Any]:
        """Updates to add to the parameters, and the new state.

        Args:
            gradient: gradient of the cost, as `params`.
            state: state of the optimiser.
            params: parameters.
            position: float32 position on the schedule.
        """
        updates, state = self.rule.update(gradient, state, params)
        rate = jnp.asarray(self.rate(position), jnp.float32)
        return jax.tree.map(lambda update: rate * update, updates), state

    def averaged(self, average: Any, newest: Any, step: jax.Array) -> Any:
        """The moving average of weights after one more step.

        It keeps min(`average`, (1 + n) / (10 + n)) in step n, counted from 1 (as TensorFlow's
        ExponentialMovingAverage): the first weights are soon forgotten, however few the steps are.

        Args:
            average: the average before; floats are averaged, of other arrays the newest are taken.
            newest: weights after the step.
            step: steps before this one, int32.
        """
        n = jnp.asarray(step, jnp.float32) + 1
        keep = jnp.minimum(self.average, (1 + n) / (10 + n))

        def blend(old: jax.Array, new: jax.Array) -> jax.Array:
            return old + (1 - keep) * (new - old) if jnp.issubdtype(new.dtype, jnp.floating) else new

        return jax.tree.map(blend, average, newest)


def build_optimizer(config: OptimizerConfig, steps: int) -> Optimizer:
    """The optimiser of a configuration, for a schedule of `steps` steps.

    Raises:
        UserError: as `learning_rate`.
    """
    rate = learning_rate(config, steps)
    # A schedule, though it is constant: its count is in the checkpoints of all versions.
    update = config.update(optax.constant_schedule(1.0))
    if config.clip_norm is not None:
        update = optax.chain(optax.clip_by_global_norm(config.clip_norm), update)
    return Optimizer(update, rate, config.average)


def kernel_mask(params: Any) -> Any:
    """True for every kernel, False for biases and normalisation scales; same structure as `params`."""
    return jax.tree_util.tree_map_with_path(lambda path, _: is_kernel(path), params)
