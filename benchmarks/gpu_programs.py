"""What benchmarks/gpu.py times: training steps and dense inference of four networks, ours and PyTorch's."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks import fcn, whole_cell
from benchmarks.experiment import Experiment, load_config
from benchmarks.flops import forward_flops
from benchmarks.timing import Steps, torch
from benchmarks.training import ReadyBatch, first_batch, training
from cellflax.data.example import CLASS_NAMES
from cellflax.device import set_up_jax
from cellflax.inference.dense import predict_tiles
from cellflax.losses import Activation, activation_of
from cellflax.training.config import Precision

_NUCLEAR = ("phase", "nuclear")
# Name of each network: overrides of its experiment, image channels, classes (None: the configured ones). Without
# dropout, first losses can be compared.
NETWORKS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...] | None]] = {
    "61 x 61 (P1)": (("+experiment=hela_cyto_patch_net",), _NUCLEAR, CLASS_NAMES),
    "skip FCN (P2)": (("+experiment=brightfield_auto",), fcn.CHANNELS, None),
    "asymmetric U-Net (P3)": (("+experiment=whole_cell", "model.dropout=0"), whole_cell.CHANNELS, None),
    "U-Net": (("+experiment=hela_cyto", "model.dropout=0"), _NUCLEAR, CLASS_NAMES),
}


@dataclass(frozen=True)
class Shapes:
    """How much is computed.

    Attributes:
        batch: crops in a step.
        crop: edge of the labelled part of a crop, pixels.
        together: steps in one call.
        image: edge of the image of dense inference.
        tile: edge of its tiles.
        seconds: how long each program is timed.
        product: edge of the matrices that measure a peak that no data sheet tells.
    """

    batch: int = 16
    crop: int = 192
    together: int = 10
    image: int = 2048
    tile: int = 512
    seconds: float = 2.0
    product: int = 8192


REHEARSAL = Shapes(batch=2, crop=32, together=2, image=64, tile=64, seconds=0.01, product=256)


def experiment_of(network: str, precision: Precision, shapes: Shapes) -> Experiment:
    """The experiment of a network, with the batch that is timed."""
    overrides, channels, class_names = NETWORKS[network]
    sizes = (f"sampler.size={shapes.crop}", f"sampler.batch={shapes.batch}", "sampler.stored_crops=null")
    config = load_config(*overrides, *sizes, f"trainer.precision={precision.name}")
    return Experiment(config, channels, class_names or config.data.annotation.class_names)


@dataclass(frozen=True)
class Rate:
    """How fast a program is.

    Attributes:
        images_s: images, or crops, in a second.
        tflops: 1e12 operations in a second, those of the convolutions and products of the network.
        first: what it computed first: the loss, or probabilities.
    """

    images_s: float
    tflops: float
    first: Any = None


class Trainings:
    """Training steps of one network in one precision; a step counts as three forward passes.

    Args:
        network: its name.
        precision: what it computes in.
        shapes: how much it computes.
    """

    def __init__(self, network: str, precision: Precision, shapes: Shapes):
        set_up_jax(precision.name)
        self._precision, self._shapes = precision, shapes
        self._experiment = experiment_of(network, precision, shapes)
        self._batch = first_batch(self._experiment)
        self._flops = 3 * forward_flops(network_function(self._experiment, train=True), self._batch.image)

    def ours(self, together: int | None = None) -> Rate:
        """cellflax's steps, several in one call if so."""
        steps = training(self._experiment, ReadyBatch(self._batch), together)
        return self._rate(steps, together or 1, jax.block_until_ready)

    def theirs(self) -> Rate:
        """PyTorch's on the same device: compiled, channels-last, with mixed precision for bfloat16."""
        from benchmarks.torch_training import torch_training

        device, mixed = set_up_torch(self._precision)
        compiled = device == "cuda"  # on a CPU, it needs a compiler of C++
        steps = torch_training(
            self._experiment, self._batch, fragments=True, device=device, mixed=mixed, compiled=compiled
        )
        return self._rate(steps, 1, lambda loss: loss.item())

    def _rate(self, steps: Steps, together: int, wait: Callable[[Any], Any]) -> Rate:
        steps_s = together * calls_per_second(steps, wait, self._shapes.seconds)
        first = steps.first_loss if together == 1 else None  # several report the mean of their losses
        return Rate(steps_s * self._shapes.batch, steps_s * self._flops / 1e12, first)


class Inferences:
    """Class probabilities of a whole image by one network in one precision, on an image of noise.

    Args:
        network: its name.
        precision: what it computes in.
        shapes: how much it computes.
    """

    def __init__(self, network: str, precision: Precision, shapes: Shapes):
        set_up_jax(precision.name)
        self._precision, self._shapes = precision, shapes
        self._experiment = experiment_of(network, precision, shapes)
        self._activation = activation_of(self._experiment.config.loss)
        rng, channels = np.random.default_rng(0), len(self._experiment.channels)
        self._image = rng.standard_normal((shapes.image, shapes.image, channels), np.float32)

    def ours(self) -> Rate:
        """cellflax's, as `predict` does it."""
        return self._rate(self._our_tiles(None))

    def theirs(self) -> Rate:
        """PyTorch's on the same device and tiles: compiled, channels-last, with mixed precision for bfloat16."""
        return self._rate(self._their_tiles())

    def on(self, device: jax.Device) -> np.ndarray:
        """cellflax's probabilities (H, W, K), computed by one device."""
        return self._whole(self._our_tiles(device))

    def _our_tiles(self, device: jax.Device | None) -> Callable[[np.ndarray], np.ndarray]:
        run = network_function(self._experiment, train=False)
        compiled = jax.jit(lambda tiles: jax.lax.map(lambda tile: self._activation(run(tile[None])[0]), tiles))

        def apply(tiles: np.ndarray) -> np.ndarray:
            with jax.default_device(device):
                return np.asarray(compiled(tiles))

        return apply

    def _their_tiles(self) -> Callable[[np.ndarray], np.ndarray]:
        from benchmarks.torch_layers import to_torch
        from benchmarks.torch_training import torch_network

        assert torch is not None, "called only where it is installed"
        device, mixed = set_up_torch(self._precision)
        network = torch_network(self._experiment.network, fragments=True).eval().to(device)
        network.border = self._experiment.network.geometry.border
        run = torch.compile(network) if device == "cuda" else network
        is_softmax = self._activation is Activation.softmax

        def apply(tiles: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                with torch.autocast(device, torch.bfloat16, enabled=mixed):
                    logits = run(to_torch(tiles).to(device)).float()
                found = logits.softmax(1) if is_softmax else logits.sigmoid()
                return found.permute(0, 2, 3, 1).cpu().numpy()

        return apply

    def _whole(self, apply: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return predict_tiles(apply, self._image, self._experiment.network.geometry, tile=self._shapes.tile)

    def _rate(self, apply: Callable[[np.ndarray], np.ndarray]) -> Rate:
        run, flops = network_function(self._experiment, train=False), 0.0

        def counted(tiles: np.ndarray) -> np.ndarray:
            nonlocal flops
            flops += len(tiles) * forward_flops(run, tiles[:1])
            return apply(tiles)

        first = self._whole(counted)
        images_s = calls_per_second(lambda: self._whole(apply), lambda result: result, self._shapes.seconds)
        return Rate(images_s, images_s * flops / 1e12, first)


def network_function(experiment: Experiment, *, train: bool) -> Callable[[Any], jax.Array]:
    """(N, H, W, C) -> logits, by the untrained network of an experiment, in its precision."""
    graph, state = nnx.split(experiment.network)
    compute_type = experiment.config.trainer.precision.compute_type

    def run(image: Any) -> jax.Array:
        network = nnx.merge(graph, state, copy=True)
        return network(jnp.asarray(image, compute_type), train=train, key=jax.random.key(0))

    return run


def set_up_torch(precision: Precision) -> tuple[str, bool]:
    """Choose the precision of PyTorch's float32 products; the name of its device, and whether precision is mixed."""
    assert torch is not None, "called only where it is installed"
    torch.backends.cuda.matmul.allow_tf32 = precision is Precision.tensorfloat32
    torch.backends.cudnn.allow_tf32 = precision is Precision.tensorfloat32
    torch.backends.cudnn.benchmark = True
    is_gpu = torch.cuda.is_available() and jax.default_backend() == "gpu"
    return "cuda" if is_gpu else "cpu", precision is Precision.bfloat16


def calls_per_second(call: Callable[[], Any], wait: Callable[[Any], Any], seconds: float) -> float:
    """Speed of a call after the first, which compiles, and a second, by which the number of the others is chosen."""
    wait(call())
    start = time.perf_counter()
    wait(call())
    calls = max(1, min(1000, int(seconds / (time.perf_counter() - start))))
    start = time.perf_counter()
    for _ in range(calls - 1):
        call()
    wait(call())
    return calls / (time.perf_counter() - start)
