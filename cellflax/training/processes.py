"""Training over several processes: who takes part, what they agree on, and how they end together.

Process 0 leads. It alone reads the clock, validates, hears signals and writes; the others do what it decides (`agree`),
so that all of them call the same compiled programs in the same order. Decisions travel over JAX's coordination service,
between hosts, and never wait for a device.
"""

import atexit
import contextlib
import json
import os
import re
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax._src import distributed as jax_distributed  # its client has no public door; Orbax takes it from here, too

from cellflax.errors import UserError
from cellflax.interruption import Terminated
from cellflax.training.cluster import ClusterPlace, place_in_cluster
from cellflax.training.config import TrainerConfig
from cellflax.training.lost_process import LOST, one_line_for_lost_process
from cellflax.training.stopping import SignalWatch

_HEARTBEAT_S = 60  # a process that is silent for so long is lost
_PART_S = 3600  # for the last lines of W&B, say; who is lost meanwhile is noticed by its heartbeat
_WAIT_MS = 10_000
_POLL_S = 1.0
_KEY, _SIGNAL = "cellflax", "cellflax_signal"
_BLOCK = 256  # decisions that are forgotten together; the leader is never so far ahead
# What collectives and JAX's service say when the other side is gone.
_GONE = re.compile(r"gloo|nccl|coordination|unavailable|connection (closed|reset|refused)|heartbeat|barrier", re.I)


class Processes:
    """The processes of one training, seen from one of them; without arguments, there is no other.

    Args:
        index: number of this one.
        count: number of all.
    """

    def __init__(self, index: int = 0, count: int = 1):
        self.index, self.count = index, count
        self._decisions, self._polled = 0, 0.0
        self._told = False

    @property
    def leads(self) -> bool:
        """Whether this process decides and writes."""
        return self.index == 0

    def agree[T](self, value: T) -> T:
        """The value of process 0, as JSON; every process calls this in the same order. Alone: the value itself."""
        if self.count == 1:
            return value
        block, client = self._decisions // _BLOCK, _client()
        key = f"{_KEY}/{block}/{self._decisions}"
        if self.leads:
            client.key_value_set(key, json.dumps(value))
            if self._decisions % _BLOCK == 0 and block > 1:
                client.key_value_delete(f"{_KEY}/{block - 2}/")
        else:
            value = json.loads(_wait_for(key))
        self._decisions += 1
        return value

    def first[T](self, function: Callable[[], T]) -> T:
        """Call a function in process 0 and, when it has returned there, in the others."""
        if not self.leads:
            self.agree(None)
            return function()
        result = function()
        self.agree(None)
        return result

    def settle(self, signals: SignalWatch) -> None:
        """Agree on whether a signal was received, by any process."""
        if self.count == 1:
            return
        heard = signals.heard
        if self.leads and heard is None and time.monotonic() - self._polled > _POLL_S:
            self._polled = time.monotonic()
            with contextlib.suppress(jax.errors.JaxRuntimeError, ValueError, KeyError):  # not there
                signals.heard = heard = signal.Signals(int(_client().key_value_try_get(_SIGNAL)))
        elif heard is not None and not self.leads and not self._told:
            _client().key_value_set(_SIGNAL, str(int(heard)), allow_overwrite=True)
            self._told = True
        number = self.agree(None if heard is None else int(heard))
        signals.received = None if number is None else signal.Signals(number)

    def require_equal(self, what: str, trees: Any) -> None:
        """Check that all processes have the same arrays.

        Args:
            what: what they are, for the error.
            trees: arrays that this process has.

        Raises:
            UserError: in a process that has others than process 0.
        """
        if self.count == 1:
            return
        sums = 0
        for leaf in jax.tree.leaves(trees):
            sums = zlib.crc32(np.ascontiguousarray(leaf), sums)
        if self.agree(sums) != sums:
            raise UserError(
                f"process {self.index} has other {what} than process 0; give every process the same files and software"
            )

    def part(self) -> None:
        """Wait for the others and part from them; each goes on alone."""
        if self.count > 1 and jax.distributed.is_initialized():
            jax.distributed.shutdown()


ALONE = Processes()


@contextlib.contextmanager
def joined(settings: TrainerConfig, words: Sequence[str] = (), sweep: bool = False) -> Iterator[Processes]:
    """Join the other processes of this training, if it has any; on one machine, do nothing.

    Where one of several processes fails, the others end in one line; processes other than the first print nothing else.

    Args:
        settings: whether and how to find them.
        words: the command line, which has to be the same for all of them.
        sweep: whether this is one of several trainings in this process.

    Raises:
        UserError: if they cannot be found, or were given something else.
    """
    place = place_in_cluster(settings)
    if place is None:
        yield ALONE
        return
    if sweep:  # JAX's processes meet once
        raise UserError(
            "a sweep (-m) is for one process, and this is one of several; give trainer.distributed=off, or start one "
            "training after another"
        )
    with one_line_for_lost_process(place.index, place.joining) as tell:
        processes = Processes(place.index, place.count)
        quiet = contextlib.nullcontext() if processes.leads else _quiet()
        try:
            with quiet:
                _join(place)
                tell(LOST)
                _require_same_words(processes, words)
                _require_same_devices()
                yield processes
                processes.part()
        except BaseException as error:
            if jax.distributed.is_initialized():
                if not isinstance(error, UserError) and _GONE.search(str(error)):
                    tell(None)
                    _leave_at_once(1)
                # Without JAX's farewell, for which the others would have to be there.
                atexit.register(_leave_at_once, _status(error))
            raise


def _join(place: ClusterPlace) -> None:
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.count,
            place.index,
            local_device_ids=(),  # all that this process sees
            cluster_detection_method=place.method,
            heartbeat_timeout_seconds=_HEARTBEAT_S,
            shutdown_timeout_seconds=_PART_S,
            initialization_timeout=place.timeout_s,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"process {place.index}: {place.joining} ({reason})") from error


def _require_same_words(processes: Processes, words: Sequence[str]) -> None:
    own = sorted(word for word in words if not word.lstrip("+").startswith("trainer.process_id="))
    first = processes.agree(own)
    if first != own:
        others = " ".join(sorted(set(own) ^ set(first)))
        raise UserError(
            f"process {processes.index} was given another command line than process 0 ({others}); give all the "
            "same, or trainer.distributed=off for separate trainings"
        )


def _require_same_devices() -> None:
    counts = [len(devices) for devices in _devices_by_process()]
    if len(set(counts)) > 1:
        raise UserError(
            f"the processes have {', '.join(map(str, counts))} devices; start each with as many as the others"
        )


def shared_devices(wanted: int | None, batch: int) -> list[Any]:
    """The devices that share a batch, as many of each process.

    Args:
        wanted: how many; None for all.
        batch: patches or crops per step.

    Raises:
        UserError: if they cannot be shared out evenly.
    """
    by_process = _devices_by_process()
    processes, available = len(by_process), jax.device_count()
    count = available if wanted is None else wanted
    if count % processes or count > available:
        raise UserError(
            f"trainer.devices={count} cannot be shared by {processes} processes with {available} devices; use a "
            f"multiple of {processes}, at most {available}"
        )
    if batch % count:
        more = -(-batch // count) * count
        raise UserError(
            f"sampler.batch={batch} cannot be split over {count} devices of {processes} processes; give "
            f"sampler.batch={more}, or fewer trainer.devices (a multiple of {processes})"
        )
    return [device for devices in by_process for device in devices[: count // processes]]


def _devices_by_process() -> list[list[Any]]:
    devices = jax.devices()
    return [[device for device in devices if device.process_index == i] for i in range(jax.process_count())]


def _client() -> Any:
    return jax_distributed.global_state.client


def _wait_for(key: str) -> str:
    """The value of a key that process 0 sets, whenever that is."""
    while True:
        try:
            return _client().blocking_key_value_get(key, _WAIT_MS)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def _status(error: BaseException) -> int:
    """The exit status that the command will have after this."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt):
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    return 1


def _leave_at_once(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
