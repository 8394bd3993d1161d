"""From a configuration and its data to everything that the training loop needs."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from cellflax.data.example import Dataset, class_pixels
from cellflax.data.normalize import normalize
from cellflax.data.sampler import BatchSource, CropsConfig, Sampler
from cellflax.data.stored_batches import stored_batches
from cellflax.errors import UserError
from cellflax.losses.distances import MapsLoss, distance_cost
from cellflax.models import Geometry
from cellflax.targets import TargetConfig
from cellflax.targets.distances import ClassesDistancesTarget
from cellflax.training.composition import check_composition, check_test
from cellflax.training.config import TrainConfig
from cellflax.training.dispatch import steps_together
from cellflax.training.frozen import frozen_parts, hold, without_updates
from cellflax.training.held_out import FindNuclei, Validator
from cellflax.training.optimizers import build_optimizer
from cellflax.training.pace import schedule_span
from cellflax.training.processes import ALONE, Processes, shared_devices
from cellflax.training.starting import start
from cellflax.training.state import TrainState, TrainStep, create_state, data_mesh, make_train_step, replicate


@dataclass(frozen=True)
class Job:
    """A training that has not begun.

    Attributes:
        graph: structure of one member of the ensemble.
        state: state at step 0.
        step: the compiled update.
        source: source of its batches.
        validator: scores a network on the held-out regions.
        devices: number of devices that share the batch.
        together: updates in one call of `step`.
        started_from: where the weights come from, as JSON; None if they are random, or those of a resumed run.
    """

    graph: nnx.GraphDef
    state: TrainState
    step: TrainStep
    source: BatchSource
    validator: Validator
    devices: int
    together: int
    started_from: dict[str, Any] | None = None


def prepare(
    config: TrainConfig,
    dataset: Dataset,
    find_nuclei: FindNuclei,
    *,
    resumes: bool = False,
    processes: Processes = ALONE,
) -> Job:
    """Build the networks and everything around them; nothing here depends on a checkpoint of this run.

    Args:
        config: configuration of the training.
        dataset: its data, at the network's scale.
        find_nuclei: finds the nuclei that seed cells in the held-out regions, as prediction does.
        processes: those that train together.
        resumes: whether the state will be that of a checkpoint, so that `start_from` is not read.

    Raises:
        UserError: if parts of the configuration, or the data, do not fit together.
    """
    check_composition(config, dataset)
    check_test(config, dataset.test)
    channels, classes = len(dataset.channels), len(dataset.class_names)
    loss = config.loss.build(dataset.class_names, class_pixels(dataset.train, classes).sum(axis=0))
    members = [
        config.model.build(channels=channels, classes=len(dataset.outputs.names), seed=config.seed + i)
        for i in range(config.trainer.ensemble)
    ]
    geometry = members[0].geometry
    validator = Validator.of(config, dataset, geometry, find_nuclei)  # before the samplers: it finds mistakes sooner
    frozen = frozen_parts(config, members[0])
    started_from = None
    if config.start_from is not None and not resumes:
        started_from = start(config, dataset.channels, dataset.outputs.names, members, frozen)
    for member in members:
        hold(member, frozen)
    optimizer = build_optimizer(config.optimizer, schedule_span(config))
    optimizer = replace(optimizer, rule=without_updates(optimizer.rule, frozen))
    graph, state = create_state(members, optimizer)
    processes.require_equal("first weights", state)
    mesh = _mesh(config)
    source = _batch_source(config, dataset, geometry, mesh, processes)
    of_maps = _maps_loss(config.target)
    step = make_train_step(
        graph,
        optimizer,
        loss,
        config.loss.l2,
        source,
        config.seed,
        mesh,
        of_maps,
        compute_type=config.trainer.precision.compute_type,
        parts=config.trainer.accumulate,
    )
    together = steps_together(config, source)
    return Job(graph, replicate(state, mesh), step, source, validator, mesh.size, together, started_from)


def _batch_source(
    config: TrainConfig, dataset: Dataset, geometry: Geometry, mesh: Mesh, processes: Processes
) -> BatchSource:
    """Crops from a store, if one is configured; else the sampler, with the training set on all devices."""
    settings = config.sampler
    sampler = Sampler(
        settings,
        tuple(
            replace(e, image=normalize(e.image, config.normalize, geometry.receptive_field, e.name))
            for e in dataset.train
        ),
        border=geometry.train_border,
        multiple=geometry.multiple,
        classes=len(dataset.class_names),
    )
    processes.require_equal("training images", sampler.data)
    if isinstance(settings, CropsConfig) and settings.store is not None:
        stored = partial(stored_batches, settings, sampler, config.seed, config.trainer.ensemble, mesh)
        return processes.first(stored)  # which writes what is missing
    sampler.data = replicate(sampler.data, mesh)
    return sampler


def _maps_loss(target: TargetConfig) -> MapsLoss | None:
    if not isinstance(target, ClassesDistancesTarget):
        return None
    return partial(distance_cost, weight=target.weight, outside=target.outside)


def _mesh(config: TrainConfig) -> Mesh:
    wanted, available = config.trainer.devices, jax.device_count()
    batch, parts = config.sampler.batch, config.trainer.accumulate
    if batch % parts:
        raise UserError(f"sampler.batch={batch} cannot be split into trainer.accumulate={parts} parts; use a divisor")
    if jax.process_count() > 1:
        return data_mesh(shared_devices(wanted, batch // parts))
    if wanted is not None and wanted > available:
        raise UserError(f"trainer.devices={wanted}, but there are {available}; lower it or leave it null")
    count = wanted or math.gcd(available, batch // parts)
    if batch // parts % count:
        of_parts = "" if parts == 1 else f" in trainer.accumulate={parts} parts"
        raise UserError(f"sampler.batch={batch}{of_parts} cannot be split over trainer.devices={count}; use a multiple")
    return data_mesh(count)
