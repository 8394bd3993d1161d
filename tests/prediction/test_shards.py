"""Which images a shard has, and which shard a task of Slurm is."""

from pathlib import Path

import pytest

from cellflax.errors import UserError
from cellflax.io.images import ImageFiles
from cellflax.prediction.batch import Source
from cellflax.prediction.shards import Shard, check_shard, chosen_shard


def sources(*files: str, scenes: int = 1) -> dict[str, Source]:
    names = [(f"{file}_{scene}" if scenes > 1 else file, file) for file in files for scene in range(scenes)]
    return {name: Source(ImageFiles(name, (Path(f"{file}.tif"),)), None) for name, file in names}


def parts(images: dict[str, Source], count: int) -> list[list[str]]:
    return [list(Shard(index, count).part_of(images, "input=x")) for index in range(count)]


def test_images_are_dealt_out_in_turn():
    assert parts(sources(*"abcdefg"), 3) == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    assert parts(sources(*"abc"), 1) == [["a", "b", "c"]]


def test_scenes_of_a_file_stay_together():
    assert parts(sources(*"abc", scenes=2), 2) == [["a_0", "a_1", "c_0", "c_1"], ["b_0", "b_1"]]


def test_no_shard_is_empty():
    with pytest.raises(UserError, match="shards=4: input=x has 3 files of images; give at most 3"):
        parts(sources(*"abc", scenes=2), 4)


def test_folders_sort_as_the_shards_do():
    assert Shard(3, 16).folder("out") == Path("out/shards/03-of-16")
    assert Shard(3, 10).folder("out") == Path("out/shards/3-of-10")


def test_the_record_has_the_place_of_each_image():
    images = sources(*"abcde")
    part = Shard(1, 2).part_of(images, "")
    assert Shard(1, 2).record(images, part, "cpu")["places"] == {"b": 1, "d": 3}


ARRAY = {
    "SLURM_ARRAY_TASK_ID": "5",
    "SLURM_ARRAY_TASK_COUNT": "16",
    "SLURM_ARRAY_TASK_MIN": "0",
    "SLURM_ARRAY_TASK_MAX": "15",
}
STEP = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4"}


@pytest.mark.parametrize(
    ("variables", "shard"),
    [
        (ARRAY, Shard(5, 16)),
        (STEP, Shard(1, 4)),
        ({**ARRAY, **STEP}, Shard(21, 64)),
        ({**ARRAY, **STEP, "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, Shard(5, 16)),
    ],
)
def test_the_shard_of_a_task_of_slurm(variables, shard):
    assert chosen_shard(None, "auto", variables) == shard


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({}, "this is no job array of Slurm"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, "no step of srun"),  # as a batch script has them
        ({**ARRAY, "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "16"}, "16 tasks from 1 to 16"),
        ({**ARRAY, "SLURM_ARRAY_TASK_COUNT": "2"}, "2 tasks from 0 to 15"),
        ({**ARRAY, "SLURM_ARRAY_TASK_ID": "x"}, "SLURM_ARRAY_TASK_ID must be a whole number, got 'x'"),
    ],
)
def test_a_shard_is_not_guessed(variables, line):
    with pytest.raises(UserError, match=line):
        chosen_shard(None, "auto", variables)


@pytest.mark.parametrize(
    ("shard", "shards", "line"),
    [
        (0, None, "shard=0 needs the number of all shards"),
        (None, "4", "shards=4 needs a shard"),
        (4, "4", "shard must be from 0 to 3"),
        (-1, "4", "shard must be from 0 to 3"),
        (0, "0", "shards must be a number of at least 1, or auto, got 0"),
        (0, "many", "got many"),
        (1, "auto", "leave shard=1 out"),
    ],
)
def test_options_that_name_no_shard(shard, shards, line):
    with pytest.raises(UserError, match=line):
        check_shard(shard, shards)
