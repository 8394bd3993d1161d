"""Training steps to time: ours on new or ready batches, and PyTorch's on the same batches."""

import argparse
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import PartitionSpec

from benchmarks.experiment import Experiment
from benchmarks.timing import COLUMNS, NO_TORCH, Steps, compare, print_table, torch
from cellflax.data.sampler import Batch, BatchSource
from cellflax.training.optimizers import build_optimizer
from cellflax.training.state import StepSums, create_state, data_mesh, make_train_step, replicate

STEPS = 100_000  # length of an assumed training; the learning rate depends on it
# PyTorch's batch statistics in float32 change P2's first loss by 1.4e-5 of it; in float64 it equals ours to 1e-7.
LOSS_TOLERANCE = 1e-4


@dataclass(frozen=True)
class ReadyBatch:
    """One batch for all steps instead of a sampler; the remaining work is what PyTorch does too."""

    batch: Batch
    partition = PartitionSpec("data")

    def feed(self, step: int) -> Batch:
        return self.batch

    def __call__(self, data: Batch, seed: jax.Array, step: jax.Array) -> Batch:
        return data


def add_sampler_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--crop", type=int, help="edge of the labelled part of a training crop, pixels")
    parser.add_argument("--batch", type=int, help="crops in a step")


def sampler_overrides(options: argparse.Namespace) -> list[str]:
    """Overrides for the given options; the experiment sets the others."""
    given = {"size": options.crop, "batch": options.batch}
    return [f"sampler.{key}={value}" for key, value in given.items() if value is not None]


def first_batch(experiment: Experiment) -> Batch:
    """The batch of the first step, on the host."""
    sampler, seed = experiment.sampler, experiment.config.seed
    return jax.device_get(sampler(sampler.data, seed, 0))


def training(experiment: Experiment, source: BatchSource, together: int | None = None) -> Steps:
    """Our steps: the batch, forward, backward, update; in the precision of the configuration.

    Args:
        experiment: network, cost and optimiser.
        source: source of the batches.
        together: steps in one call; None for one.
    """
    config = experiment.config
    optimizer = build_optimizer(config.optimizer, STEPS)
    graph, state = create_state([experiment.network], optimizer)
    mesh = data_mesh(1)
    compute_type = config.trainer.precision.compute_type
    of_batch = experiment.loss, config.loss.l2, source
    step = make_train_step(graph, optimizer, *of_batch, config.seed, mesh, compute_type=compute_type)
    position = np.float32(0) if together is None else np.zeros(together, np.float32)
    state, data = replicate(state, mesh), replicate(source.feed(0), mesh)
    zero = StepSums.zero(len(experiment.class_names))

    def next_step() -> jax.Array:
        nonlocal state
        state, sums = step(state, data, zero, position)
        return sums.loss / sums.steps

    return Steps(next_step)


def time_step(experiment: Experiment, rounds: int, without_dropout: Experiment | None = None) -> None:
    """Time one step of an experiment, with and without drawing its batch, and PyTorch's step; print a table.

    Args:
        experiment: one whose network and cost are written in PyTorch too.
        rounds: timed runs of each.
        without_dropout: the same experiment without dropout, if it has any. Two programs never drop the same
            activations, so first losses can agree only without dropout.

    Raises:
        AssertionError: if first losses differ that should agree.
    """
    batch = first_batch(experiment)
    runs = {"cellflax": training(experiment, experiment.sampler), **ready_steps(experiment, batch)}
    same = list(runs)
    if without_dropout is not None:
        others = ready_steps(without_dropout, batch, ", no dropout")
        runs, same = runs | others, list(others)
    if torch is None:
        print(NO_TORCH)
    times = compare(runs, rounds)
    rows = [[name, *taken.row(times["cellflax"]), f"{runs[name].first_loss:.6f}"] for name, taken in times.items()]
    edge, crops = batch.target.shape[1], len(batch.target)
    print_table([f"one step, {crops} x {edge} x {edge}", *COLUMNS, "first loss"], rows)
    np.testing.assert_allclose([runs[name].first_loss for name in same], runs[same[0]].first_loss, rtol=LOSS_TOLERANCE)


def ready_steps(experiment: Experiment, batch: Batch, suffix: str = "") -> dict[str, Steps]:
    """Steps on a given batch by name, ours and PyTorch's."""
    steps = {f"cellflax, a ready batch{suffix}": training(experiment, ReadyBatch(batch))}
    if torch is not None:
        from benchmarks.torch_training import torch_training

        steps[f"PyTorch, the same batch{suffix}"] = torch_training(experiment, batch)
    return steps
