"""What all training costs share."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from cellflax.checks import at_least, check
from cellflax.models.parameters import is_kernel

# (B, S, S, K) logits, (B, S, S) classes, (B, S, S) weights of the sampler -> scalar.
Loss = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class Activation(Enum):
    """How a cost turns a network's logits into probabilities; prediction does the same."""

    softmax = "softmax"  # one class excludes the others
    sigmoid = "sigmoid"  # the classes are independent

    def __call__(self, logits: jax.Array) -> jax.Array:
        """(..., K) -> (..., K) in [0, 1]; only those of the softmax sum to 1."""
        return jax.nn.softmax(logits) if self is Activation.softmax else jax.nn.sigmoid(logits)


@dataclass
class LossConfig:
    """Base of the settings of a cost; a subclass defines `build`.

    Attributes:
        activation: activation of the network's outputs; a property of the cost, not a setting.
        takes_patches: whether one labelled pixel per window is enough (sampler=patches); also not a setting.
        l2: factor of the sum of squares of all kernels; P1: 1e-5, ablation 0, 1e-7, 1e-6, 1e-5.
    """

    activation: ClassVar[Activation] = Activation.softmax
    takes_patches: ClassVar[bool] = False

    l2: float = 1e-5

    def __post_init__(self):
        check(self, "loss", at_least(0), "l2")

    def build(self, class_names: tuple[str, ...], pixels: np.ndarray) -> Loss:
        """The cost, without its penalty on the weights.

        Args:
            class_names: names of the network's outputs, background last.
            pixels: (K,) annotated pixels of each class in the training set.

        Raises:
            UserError: if the settings do not suit the classes.
        """
        raise NotImplementedError


def l2_penalty(params) -> jax.Array:
    """Sum of squares of all kernels, not of biases and normalisation scales (P1)."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kernels = [leaf for path, leaf in leaves if is_kernel(path)]
    return sum((jnp.sum(jnp.square(kernel)) for kernel in kernels), jnp.zeros(()))
