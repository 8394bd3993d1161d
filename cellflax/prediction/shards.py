"""Shards of a prediction: which images each segments, and where it writes.

The images are dealt out in turn, in the order of their paths: the first to shard 0, the second to shard 1, and so on.
So the parts depend on nothing but the list. Images that come from one file (positions, scenes) stay together.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cellflax.errors import UserError
from cellflax.io.images import ImageFiles
from cellflax.io.records import earlier_files

SHARD = "shard"  # key of a shard's provenance.json with what `Shard.record` gives
AUTO = "auto"
_FOLDER = "shards"  # in the directory of the results


class _HasFiles(Protocol):
    @property
    def files(self) -> ImageFiles: ...


@dataclass(frozen=True)
class Shard:
    """One of several parts of the images.

    Attributes:
        index: which, from 0.
        count: of how many.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f"shard {self.index} of {self.count}"

    def folder(self, output: str | Path) -> Path:
        """Where its results are, within the directory of all."""
        return shards_folder(output) / f"{self.index:0{len(str(self.count - 1))}d}-of-{self.count}"

    def part_of[S: _HasFiles](self, sources: Mapping[str, S], given: str) -> dict[str, S]:
        """Its images.

        Args:
            sources: all images by name, in the order of their paths.
            given: where they are, for the error.

        Raises:
            UserError: if there are more shards than files, because some would have no image.
        """
        turns = {path: turn for turn, path in enumerate(dict.fromkeys(s.files.paths[0] for s in sources.values()))}
        if len(turns) < self.count:
            raise UserError(f"shards={self.count}: {given} has {len(turns)} files of images; give at most {len(turns)}")
        return {name: s for name, s in sources.items() if turns[s.files.paths[0]] % self.count == self.index}

    def record(self, sources: Mapping[str, Any], part: Mapping[str, Any], device: str) -> dict[str, Any]:
        """What `provenance.json` says of a shard, as JSON.

        Args:
            sources: all images by name, in order.
            part: its images.
            device: hardware and precision.
        """
        places = {name: place for place, name in enumerate(sources) if name in part}
        return {"index": self.index, "count": self.count, "total": len(sources), "places": places, "device": device}


def shards_folder(output: str | Path) -> Path:
    """The folder of all shards, within the directory of the results."""
    return Path(output) / _FOLDER


def refuse_other_sets(output: str | Path) -> None:
    """Refuse a directory in which shards could not be gathered, before their images are segmented.

    Raises:
        UserError: if another command's results are there, or some whose files are not known.
    """
    earlier_files(Path(output), True, "output", "predict")


def check_shard(shard: int | None, shards: str | None) -> None:
    """Check that the options name a shard, or none.

    Raises:
        UserError: naming the option.
    """
    if shards is None:
        if shard is not None:
            raise UserError(f"shard={shard} needs the number of all shards; add shards=...")
        return
    if shards == AUTO:
        if shard is not None:
            raise UserError(f"shards=auto takes the shard from Slurm; leave shard={shard} out, or give the number")
        return
    if not (shards.isascii() and shards.isdecimal()) or int(shards) < 1:
        raise UserError(f"shards must be a number of at least 1, or auto, got {shards}")
    if shard is None:
        raise UserError(f"shards={shards} needs a shard; add shard=0, or -m shard='range({shards})' for all of them")
    if not 0 <= shard < int(shards):
        raise UserError(f"shard must be from 0 to {int(shards) - 1} with shards={shards}, got {shard}")


def chosen_shard(shard: int | None, shards: str | None, environment: Mapping[str, str] | None = None) -> Shard | None:
    """The shard that the options name; None for all images.

    Args:
        shard: which, from 0.
        shards: of how many; "auto" takes both from Slurm: SLURM_ARRAY_TASK_ID of a job array, SLURM_PROCID of the
            SLURM_STEP_NUM_TASKS of `srun`; of an array whose tasks call `srun`, each process of each task.
        environment: variables, by default those of this process.

    Raises:
        UserError: if Slurm's variables are not there, or leave open which shard it is.
    """
    check_shard(shard, shards)
    if shards is None:
        return None
    if shards != AUTO and shard is not None:
        return Shard(shard, int(shards))
    variables = os.environ if environment is None else environment
    in_array, in_step = "SLURM_ARRAY_TASK_ID" in variables, "SLURM_STEP_NUM_TASKS" in variables
    if not in_array and not in_step:
        raise UserError(
            "shards=auto: this is no job array of Slurm (SLURM_ARRAY_TASK_ID) and no step of srun "
            "(SLURM_STEP_NUM_TASKS); give shards=N shard=K"
        )
    task = _of_array(variables) if in_array else Shard(0, 1)
    if not in_step:
        return task
    processes = _number(variables, "SLURM_STEP_NUM_TASKS")
    return Shard(task.index * processes + _number(variables, "SLURM_PROCID"), task.count * processes)


def _of_array(variables: Mapping[str, str]) -> Shard:
    """The shard of a job array from 0 to N - 1; of any other array it is unknown how many shards there are."""
    task = _number(variables, "SLURM_ARRAY_TASK_ID")
    first, last = _number(variables, "SLURM_ARRAY_TASK_MIN"), _number(variables, "SLURM_ARRAY_TASK_MAX")
    count = _number(variables, "SLURM_ARRAY_TASK_COUNT")
    if (first, last) != (0, count - 1):
        raise UserError(
            f"shards=auto needs a job array from 0 to N - 1, this one has {count} tasks from {first} to {last}; give "
            "shards=N shard=$SLURM_ARRAY_TASK_ID"
        )
    return Shard(task, count)


def _number(variables: Mapping[str, str], name: str) -> int:
    text = variables.get(name, "")
    if not (text.isascii() and text.isdecimal()):
        raise UserError(f"shards=auto: {name} must be a whole number, got '{text}'; give shards=N shard=K")
    return int(text)
