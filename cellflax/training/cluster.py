"""Which process of which training this is: from the configuration, JAX's variables or Slurm's."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cellflax.errors import UserError
from cellflax.training.config import Distributed, TrainerConfig

_JOIN_S = 300
# A key, and the variable of the environment that stands for it.
_COORDINATOR, _COUNT, _INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
_SLURM_COUNT, _SLURM_INDEX = "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"
# What JAX reads to find the first host.
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_LOCALID", _SLURM_COUNT, _SLURM_INDEX)


@dataclass(frozen=True)
class ClusterPlace:
    """The place of one process among those of a training.

    Attributes:
        index: its number, from 0.
        count: number of all processes, 2 or more.
        coordinator: HOST:PORT where process 0 listens; None: as JAX finds it by `method`.
        method: "slurm", or "deactivate" for an address that is known.
        timeout_s: seconds for all to start.
    """

    index: int
    count: int
    coordinator: str | None
    method: str
    timeout_s: int = _JOIN_S

    @property
    def joining(self) -> str:
        """What to say of it if the others do not come."""
        where = self.coordinator or "the first host of the Slurm step"
        return (
            f"did not meet all {self.count} processes at {where} within {self.timeout_s} s; start all of them, and "
            "give an address that they reach as trainer.coordinator=HOST:PORT"
        )


def place_in_cluster(settings: TrainerConfig, environment: Mapping[str, str] = os.environ) -> ClusterPlace | None:
    """The place of this process; None if it trains alone.

    Args:
        settings: what was configured; `distributed`, `coordinator`, `process_count` and `process_id` count.
        environment: variables of the environment.

    Raises:
        UserError: if the place is half described, or there is no Slurm step.
    """
    if settings.distributed is Distributed.off:
        return None
    in_step = all(name in environment for name in _SLURM)
    coordinator = settings.coordinator or environment.get(_COORDINATOR)
    if settings.distributed is Distributed.slurm:
        if not in_step:
            raise UserError(
                "trainer.distributed=slurm: this is no task of a Slurm step; start it with srun, or leave the key out"
            )
        return _slurm_place(coordinator, environment)
    count = _number(settings.process_count, _COUNT, environment)
    index = _number(settings.process_id, _INDEX, environment)
    if coordinator is None and count is None and index is None:
        return _slurm_place(None, environment) if in_step else None
    if count == 1:
        return None
    if coordinator is None or count is None or index is None:
        raise UserError(
            f"several processes need trainer.coordinator=HOST:PORT, trainer.process_count and trainer.process_id (or "
            f"{_COORDINATOR}, {_COUNT} and {_INDEX}); give all three, or trainer.distributed=off"
        )
    if index >= count:
        raise UserError(f"trainer.process_id={index}: the {count} processes have the numbers 0 to {count - 1}")
    return ClusterPlace(index, count, _address(coordinator), "deactivate")


def _slurm_place(coordinator: str | None, environment: Mapping[str, str]) -> ClusterPlace | None:
    count, index = (_number(None, name, environment) for name in (_SLURM_COUNT, _SLURM_INDEX))
    assert count is not None, "a step has both"
    assert index is not None, "a step has both"
    if count == 1:
        return None
    return ClusterPlace(index, count, None if coordinator is None else _address(coordinator), "slurm")


def _number(given: int | None, name: str, environment: Mapping[str, str]) -> int | None:
    text = environment.get(name)
    if given is not None or text is None:
        return given
    if not text.isdecimal():
        raise UserError(f"{name}={text} is no number; set it right, or give trainer.distributed=off")
    return int(text)


def _address(coordinator: str) -> str:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"trainer.coordinator={coordinator}: give HOST:PORT, such as node01:12355")
    return coordinator
