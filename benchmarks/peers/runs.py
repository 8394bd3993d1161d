"""Runs of the peers, each in processes of its own, and their results."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.data import split_of
from benchmarks.peers.environments import environment, without_our_path
from benchmarks.peers.options import Options
from cellflax.errors import UserError
from cellflax.jsonfile import read_json, write_json
from cellflax.progress import say

RESULT = "result.json"  # of a peer that is complete
_ROOT = Path(__file__).parents[2]
_SCRIPTS = Path(__file__).parent / "scripts"
_SETTINGS = ("train", "test", "minutes", "seed", "cores", "cellflax")
_THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)


@dataclass(frozen=True)
class Stage:
    """A script of a peer.

    Attributes:
        script: the file.
        environment: name of its requirements; None for the environment of cellflax, which runs this.
    """

    script: Path
    environment: str | None


@dataclass(frozen=True)
class Peer:
    """A program that is compared.

    Attributes:
        title: for the table.
        stages: its scripts, in their order.
    """

    title: str
    stages: tuple[Stage, ...]


PEERS = {
    "stardist": Peer("StarDist", (Stage(_SCRIPTS / "train_stardist.py", "stardist"),)),
    "cellpose": Peer("Cellpose 3.1", (Stage(_SCRIPTS / "train_cellpose.py", "cellpose"),)),
    "forest": Peer(
        "random forest, our watershed",
        (Stage(_SCRIPTS / "train_forest.py", "forest"), Stage(_SCRIPTS / "refine_forest.py", None)),
    ),
    "cellflax": Peer("cellflax", (Stage(_SCRIPTS / "train_cellflax.py", None),)),
}


def require_same_settings(options: Options, gpu: bool) -> None:
    """Write down what the results in the output folder are made with.

    Raises:
        UserError: if results of other settings are there.
    """
    file = options.output / "settings.json"
    settings = {key: getattr(options, key) for key in _SETTINGS}
    settings |= {"train": str(options.train), "test": str(options.test), "gpu": gpu}
    if file.is_file():
        before = read_json(file, "give a new output folder")
        for key, value in settings.items():
            if before.get(key) != value:
                raise UserError(
                    f"{options.output}: its results have {key}={before.get(key)}; give another output folder"
                )
    write_json(file, settings)


def run_peer(name: str, peer: Peer, options: Options, data: Path, gpu: bool) -> None:
    """Train a peer, segment the test images and score the cells.

    Raises:
        UserError: if a script fails, or an image has no labels.
    """
    folder = options.output / name
    if (folder / RESULT).is_file():
        say(f"{name}: is complete")
        return
    pythons = [_python(stage, gpu) for stage in peer.stages]
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was ended
    folder.mkdir(parents=True)
    job, log, load = folder / "job.json", folder / "log.txt", os.getloadavg()[0]
    given = {"minutes": options.minutes, "seed": options.seed, "cores": options.cores, "gpu": gpu}
    given["words"] = shlex.split(options.cellflax)
    write_json(job, {"data": str(data), "output": str(folder), **given})
    say(f"{name}: runs; its lines are in {log}")
    for stage, python in zip(peer.stages, pythons, strict=True):
        _run([str(python), str(stage.script), str(job)], _variables(stage, options.cores, gpu), name, log)
    if missing := [each for each in split_of(data)["test"] if not (folder / "labels" / f"{each}.tif").is_file()]:
        raise UserError(f"{name}: made no labels of {missing[0]}; see {log}")
    evaluation = folder / "evaluation"
    words = (f"predicted={folder / 'labels'}", f"reference={data / 'test' / 'labels'}", f"output={evaluation}")
    ours = {**os.environ, "PYTHONPATH": str(_ROOT), "JAX_PLATFORMS": "cpu"}
    _run([sys.executable, "-m", "cellflax.evaluate", *words], ours, name, log)
    measured = read_json(folder / "measured.json", "run the command again")
    scores = scores_of(read_json(evaluation / "metrics.json", "run the command again"))
    write_json(folder / RESULT, {**measured, "cores": options.cores, "load_average": round(load, 2), "scores": scores})
    say(f"{name}: F1 {scores['f1_0.5'] or 0:.3f} at IoU 0.5, after {measured['training_minutes']:.1f} minutes")


def scores_of(metrics: dict[str, Any]) -> dict[str, float | None]:
    """The scores of the table from the `metrics.json` of `evaluate`: of all cells together, and a mean of images."""
    pooled = metrics["pooled"]
    by_iou = {f"{row['iou']:.2f}": row for row in pooled["by_iou"]}
    of_images = [image["by_iou"][0]["average_precision"] for image in metrics["images"].values()]
    defined = [value for value in of_images if value is not None]
    return {
        **{f"f1_{iou:g}": by_iou[f"{iou:.2f}"]["f1"] for iou in (0.5, 0.7, 0.8)},
        "panoptic_quality": pooled["panoptic_quality"],
        "ap_0.5": by_iou["0.50"]["average_precision"],
        "ap_0.5_mean_of_images": sum(defined) / len(defined) if defined else None,
    }


@contextmanager
def pinned(cores: int) -> Iterator[None]:
    """Keep this process, and those that it starts, on some of its cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _python(stage: Stage, gpu: bool) -> Path:
    return Path(sys.executable) if stage.environment is None else environment(stage.environment, gpu)


def _variables(stage: Stage, cores: int, gpu: bool) -> dict[str, str]:
    variables = without_our_path() | dict.fromkeys(_THREADS, str(cores))
    if stage.environment is None:
        variables["PYTHONPATH"] = str(_ROOT)
    if not gpu:
        variables |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    return variables


def _run(command: list[str], variables: dict[str, str], name: str, log: Path) -> None:
    with log.open("ab") as lines:
        process = subprocess.Popen(
            command, stdout=lines, stderr=subprocess.STDOUT, env=variables, start_new_session=True
        )
        try:
            status = process.wait()
        except BaseException:  # Ctrl-C or SIGTERM: a peer may have started processes of its own, which end with it
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if status:
        said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        last = said[-1].strip()[:200] if said else "nothing"
        raise UserError(f"{name}: ended with status {status}, its last line is '{last}'; see {log}")
