"""A job in a process of its own: if it is killed, its launcher's worker and the jobs of the others live on."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import setup_globals

from cellflax.errors import UserError
from cellflax.launching.gpus import take_gpu
from cellflax.launching.results import died


def run_in_own_process(job: Callable[[], float | None]) -> float | None:
    """Run a job of a worker of joblib in a new process, on a GPU of its own if there are any.

    Returns:
        What the job returns.

    Raises:
        UserError: if the process dies.
        Exception: what the job raises.
    """
    take_gpu()
    ours, theirs = multiprocessing.Pipe()
    # The worker's own kind of process takes what no module defines by name, as the worker itself was given it.
    process = type(multiprocessing.current_process())(target=_run, args=(theirs, job, Singleton.get_state()))
    process.start()
    theirs.close()
    with ours:
        try:
            returned, error = ours.recv()
        except (EOFError, ConnectionResetError):
            process.join()
            returned, error = None, _died(process.exitcode or 0)
        process.join()
    if error is not None:
        raise error
    return returned


def _died(code: int) -> UserError:
    return died(f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")


def _run(worker: Connection, job: Callable[[], float | None], state: Any) -> None:
    """Run the job in the new process, with Hydra's state of the job."""
    threading.Thread(target=_end_with_worker, args=(worker,), daemon=True).start()
    setup_globals()
    Singleton.set_state(state)
    try:
        result = job(), None
    except Exception as error:
        error.add_note(traceback.format_exc())  # a traceback itself does not pass between processes
        result = None, error
    worker.send(result)


def _end_with_worker(worker: Connection) -> None:
    """End as after SIGTERM, with what was done saved, when the worker dies: it sends nothing before."""
    try:
        worker.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
