"""Every job of a sweep has a result: a job that failed, or whose process was killed, leaves the others.

Hydra's launchers run the jobs of a sweep in other processes: on this machine (joblib, submitit_local, ray) or on a
cluster (submitit_slurm). By themselves, they forget all results as soon as one process dies.
"""

import math
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast
from unittest import mock

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from cellflax.errors import UserError

JOBLIB = "hydra_plugins.hydra_joblib_launcher."
_SUBMITIT = "hydra_plugins.hydra_submitit_launcher."
_RAY = "hydra_plugins.hydra_ray_launcher."
_OPTUNA = "hydra_plugins.hydra_optuna_sweeper."
_instantiate = Plugins.instantiate_launcher

type Failed = Callable[[Sequence[str], BaseException], bool]


def watch_jobs(failed: Failed) -> None:
    """Let every launcher that Hydra builds from now on in this process return a result for every job.

    Args:
        failed: called with the overrides and the exception of a job that failed in another process. It reports a
            user's mistake and returns true: the job then counts as NaN, and the sweep continues.
    """

    def instantiate(self: Plugins, *, hydra_context: Any, task_function: Any, config: DictConfig) -> "_Launcher":
        launcher = _instantiate(self, hydra_context=hydra_context, task_function=task_function, config=config)
        return _Launcher(launcher, config, failed)

    setattr(Plugins, "instantiate_launcher", instantiate)  # noqa: B010 (Hydra has no other way to set it)


def died(how: str) -> UserError:
    """What is said of a job whose process ended without a result."""
    return UserError(f"its process ended before the job did ({how}); the same sweep with the same run=DIR resumes it")


class _Launcher:
    """A launcher of Hydra with a result for every job; sweepers call nothing but `launch`."""

    def __init__(self, launcher: Any, config: DictConfig, failed: Failed) -> None:
        self._launcher, self._config, self._failed = launcher, config, failed
        self._sweeper = str(config.hydra.sweeper._target_)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        _require_own_directories(self._config, len(job_overrides))
        target = str(self._config.hydra.launcher._target_)
        if target.startswith(_SUBMITIT):
            _require_slurm(target)
            _prepare_submitit(self._launcher.params, str(self._config.hydra.sweep.dir))
        with _surviving_results(target):
            returns = self._launcher.launch(job_overrides, initial_job_idx=initial_job_idx)
        for overrides, job in zip(job_overrides, returns, strict=True):
            self._settle(overrides, job)
        return returns

    def _settle(self, overrides: Sequence[str], job: JobReturn) -> None:
        """Let a job that failed by a user's mistake, or died, count as NaN."""
        if job.status is JobStatus.FAILED:
            if not self._failed(overrides, cast(BaseException, job._return_value)):
                return
            job.status, job.return_value = JobStatus.COMPLETED, math.nan
        score = job.return_value
        if self._sweeper.startswith(_OPTUNA) and isinstance(score, float) and math.isnan(score):
            job.return_value = None  # of NaN, the plugin makes an exception that ends the sweep


def _require_own_directories(config: DictConfig, jobs: int) -> None:
    """Refuse a sweep of trainings whose run directories may have equal names."""
    sweep = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    assert isinstance(sweep, dict)
    pattern = str(sweep["subdir"])
    if jobs > 1 and "run" in config and not re.search(r"hydra[.:]job\.num\b", pattern):
        raise UserError(
            f"hydra.sweep.subdir={pattern}: several jobs of the sweep could write to one directory; put "
            "${hydra.job.num} into it"
        )


def _require_slurm(target: str) -> None:
    if target.endswith(".SlurmLauncher") and not (shutil.which("sbatch") and shutil.which("srun")):
        raise UserError(
            "hydra/launcher=submitit_slurm needs Slurm's sbatch and srun, which this machine does not have; "
            "start the sweep where they are, or take hydra/launcher=joblib_cpu or joblib_gpu"
        )


def _prepare_submitit(params: dict[str, Any], sweep: str) -> None:
    """Set where submitit writes its scripts, logs and messages between processes, and check what its scripts contain.

    It reads its messages as pickles, which run code. So each launch has a folder whose name nobody could foresee.
    """
    params["submitit_folder"] = f"{sweep}/.submitit/{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(8)}/%j"
    for key, value in params.items():
        if key != "setup" and not _is_one_line(value):
            raise UserError(f"hydra.launcher.{key} has a line break, which would begin a command; remove it")


def _is_one_line(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_one_line(part) for item in value.items() for part in item)
    if isinstance(value, list):
        return all(map(_is_one_line, value))
    return not isinstance(value, str) or value.isprintable()


@contextmanager
def _surviving_results(target: str) -> Iterator[None]:
    """Let a plugin receive a failed job in place of the exception of a process that died."""
    if target.startswith(_SUBMITIT):
        import submitit  # here, because it is installed with the extra `slurm`
        from submitit.core.utils import FailedJobError, UncompletedJobError

        wait = submitit.Job.results

        def results(job: Any) -> list[Any]:
            try:
                return wait(job)
            except (FailedJobError, UncompletedJobError):
                return [_failed(died(f"killed, or out of memory or time; its messages: {job.paths.stderr}"))]

        with mock.patch.object(submitit.Job, "results", results):
            yield
    elif target.startswith(_RAY):
        import ray  # here, because it is installed with the extra `ray`  # pyright: ignore[reportMissingImports]
        from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

        get = ray.get

        def get_or_fail(*arguments: Any, **named: Any) -> Any:
            try:
                return get(*arguments, **named)
            except RayError as error:
                return _failed(died(f"killed, or out of memory: {type(error).__name__}"))

        with mock.patch.object(ray, "get", get_or_fail):
            yield
    else:
        yield


def _failed(error: UserError) -> JobReturn:
    return JobReturn(_return_value=error, status=JobStatus.FAILED)
