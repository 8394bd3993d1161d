"""Checkpoints that are damaged, cut off, or cannot be written; and what is kept of several."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cellflax.errors import OutputError, UserError
from cellflax.training.checkpoint import Checkpoints, save_model
from cellflax.training.record import add_to_record, read_record
from cellflax.training.state import TrainState
from cellflax.training.stopping import Tally
from tests.commands import REPOSITORY, arrays_of, checkpoint_steps, heeding_rights, record_of, set_record


def small_state(value: float = 0.0, size: int = 500) -> TrainState:
    params = {"kernel": value + jnp.arange(size, dtype=jnp.float32), "bias": jnp.full(3, value)}
    return TrainState(jnp.int32(5), params, {}, {"mu": jnp.full(7, -value)})


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("small")
    Checkpoints(run).save(small_state(1.0), {"config": {}, "data": {}}, 0.5)
    return run


def restore(run: Path, template: TrainState | None = None) -> TrainState:
    return Checkpoints(run).restore(template or small_state())[0]


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path, position: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(position * (len(content) - 1))] ^= 0x10
    path.write_bytes(bytes(content))


def assert_refused_or_right(run: Path, what: str) -> bool:
    """The damage is reported in one line, or it was in a file that does not matter; wrong numbers never pass."""
    try:
        checkpoints = Checkpoints(run)
        if checkpoints.latest() is None:
            return True  # not taken for a checkpoint
        state, _ = checkpoints.restore(small_state())
    except UserError as error:
        message = str(error)
    else:
        assert jax.tree.all(jax.tree.map(np.array_equal, state, small_state(1.0))), what
        return False
    assert "\n" not in message, what
    assert str(run.resolve() / "checkpoints") in message, what
    return True


@pytest.mark.parametrize("damage", [delete, truncate, flip])
def test_damage_to_any_file(small, tmp_path, damage):
    files = [path.relative_to(small) for path in small.rglob("*") if path.is_file() and path.stat().st_size]
    refused = []
    for number, file in enumerate(files):
        run = tmp_path / str(number)
        shutil.copytree(small, run)
        damage(run / file)
        if assert_refused_or_right(run, str(file)):
            refused.append(file)
    arrays = max(files, key=lambda file: (small / file).stat().st_size)
    assert arrays in refused


def test_flipped_bytes_anywhere_in_the_arrays(small, tmp_path):
    arrays = max((path for path in small.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    for position in np.linspace(0.02, 0.98, 7):
        run = tmp_path / f"{position:.3f}"
        shutil.copytree(small, run)
        flip(run / arrays.relative_to(small), position)
        assert_refused_or_right(run, f"{arrays.name} at {position}")


def test_checksums_catch_what_the_storage_does_not(small, tmp_path):
    shutil.copytree(small, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoints" / "5"
    sums = record_of(tmp_path, 5)["crc32"]
    set_record(path, crc32={**sums, "params.bias": sums["params.bias"] ^ 1})
    with pytest.raises(
        UserError, match=r"5 is damaged: params\.bias differs from its checksum; copy it again, or remove"
    ):
        restore(tmp_path)


def test_state_of_another_shape_is_named(small):
    with pytest.raises(UserError, match=r"another network: params\.kernel should be \(8,\), found \(500,\)"):
        restore(small, small_state(size=8))
    other = small_state()
    other.params["gain"] = jnp.ones(2)
    with pytest.raises(UserError, match=r"another network: params\.gain should be \(2,\), found nothing"):
        restore(small, other)


def test_a_save_that_was_cut_off_is_not_a_checkpoint(small, tmp_path):
    """What a kill within a save leaves behind: a temporary directory, never a numbered one."""
    shutil.copytree(small, tmp_path, dirs_exist_ok=True)
    rest = tmp_path / "checkpoints" / "6.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "checkpoints" / "5" / "state", rest / "state")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() == 5
    checkpoints.save(replace(small_state(2.0), step=jnp.int32(6)), {"config": {}, "data": {}}, None)
    assert checkpoint_steps(tmp_path) == [5, 6]  # the best, and the last
    np.testing.assert_array_equal(arrays_of(tmp_path, 6)["params.bias"], np.full(3, 2, np.float32))


def save(run: Path, step: int, score: float | None, size: int = 500) -> Checkpoints:
    checkpoints = Checkpoints(run)
    checkpoints.save(replace(small_state(1.0, size), step=jnp.int32(step)), {"config": {}, "data": {}}, score)
    return checkpoints


def test_of_equal_scores_the_last_is_the_best_and_stays(tmp_path):
    """As the training counts them: it goes back to its best checkpoint at the end."""
    checkpoints, tally = save(tmp_path, 1, 0.5), Tally()
    tally.validated(1, 0.5)
    for step, score in ((2, 0.5), (3, None), (4, np.nan), (5, 0.25)):
        checkpoints.save(replace(small_state(1.0), step=jnp.int32(step)), {"config": {}, "data": {}}, score)
        if score is not None:
            tally.validated(step, score)
    assert checkpoint_steps(tmp_path) == [2, 5]
    assert Checkpoints(tmp_path).latest() == 5
    assert (tally.best_step, tally.stale) == (2, 3)


def test_a_validation_after_the_save_leaves_the_arrays_alone(tmp_path):
    """Deleting a checkpoint to write it again would lose it on a full disk."""
    save(tmp_path, 5, None)
    before = files_of(tmp_path)
    Checkpoints(tmp_path).save(small_state(1.0), {"config": {}, "data": {}, "training": {"stale": 1}}, 0.5)
    after = files_of(tmp_path)
    changed = {path.name for path in before if before[path] != after[path]}
    assert (changed, before.keys()) == ({"_CHECKPOINT_METADATA"}, after.keys())
    record = record_of(tmp_path, 5)
    assert (record["score"], record["training"]) == (0.5, {"stale": 1})
    np.testing.assert_array_equal(restore(tmp_path).params["kernel"], small_state(1.0).params["kernel"])
    save(tmp_path, 6, 0.25)
    assert checkpoint_steps(tmp_path) == [5, 6]


def files_of(run: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.rglob("*") if path.is_file()}


@contextmanager
def files_of_at_most(most_bytes: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_where_nothing_can_be_resumed(tmp_path):
    """As in `cellflax convert`: there is no training that would go on."""
    params = {"kernel": jnp.asarray(np.random.default_rng(0).normal(size=20_000), jnp.float32)}
    with files_of_at_most(5000), pytest.raises(OutputError) as caught:
        save_model(tmp_path, params, {}, {"config": {}, "data": {}})  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == (
        f"{tmp_path}/checkpoints/0: cannot be written (File too large); make room, and run the command again"
    )
    assert files_of(tmp_path) == {}
    save_model(tmp_path, params, {}, {"config": {}, "data": {}})  # pyright: ignore[reportArgumentType]
    assert checkpoint_steps(tmp_path) == [0]


SAVE = """
import os, pathlib, sys
import jax.numpy as jnp
from cellflax.training.checkpoint import save_model

def mkdir(path, *others, **options):
    if os.path.basename(os.fspath(path).rstrip("/")) == sys.argv[2]:
        raise PermissionError(13, "Permission denied", str(path))
    return make(path, *others, **options)

make, os.mkdir = os.mkdir, mkdir
save_model(pathlib.Path(sys.argv[1]), {"kernel": jnp.ones(9)}, {}, {"config": {}, "data": {}})
"""


@pytest.mark.parametrize("refused", ["", "state"])
def test_a_folder_that_cannot_be_made_ends_the_program_at_once(tmp_path, refused):
    """Threads of Orbax that wait for it would keep the program for minutes: for the whole checkpoint, or a part."""
    (tmp_path / "checkpoints").mkdir(mode=0o755 if refused else 0o555)
    command = [*heeding_rights(), sys.executable, "-c", SAVE, str(tmp_path), refused]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=REPOSITORY)
    assert ended.returncode == 1
    assert f"{tmp_path}/checkpoints/0: cannot be written (Permission denied); " in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("most_bytes", [0, 200, 5000])
def test_a_full_disk_is_one_line_and_keeps_what_is_complete(tmp_path, capfd, most_bytes):
    """A limit on the size of files stands for the disk: the system refuses to write, to TensorStore, too."""
    rng = np.random.default_rng(0)
    save(tmp_path, 5, 0.5)
    before = files_of(tmp_path)
    state = replace(small_state(size=20_000), step=jnp.int32(6))
    state.params["kernel"] = jnp.asarray(rng.normal(size=20_000), jnp.float32)
    checkpoints = Checkpoints(tmp_path)
    with files_of_at_most(most_bytes), pytest.raises(OutputError) as caught:
        checkpoints.save(state, {"config": {}, "data": {}}, 1.0)
    assert str(caught.value) == (
        f"{checkpoints.directory}/6: cannot be written (File too large); make room, and the same command with "
        f"run={tmp_path} resumes at step 5"
    )
    assert files_of(tmp_path) == before
    assert capfd.readouterr() == ("", "")
    Checkpoints(tmp_path).save(state, {"config": {}, "data": {}}, 1.0)
    assert checkpoint_steps(tmp_path) == [6]


def test_what_is_left_of_a_deleted_checkpoint_is_removed(small, tmp_path):
    shutil.copytree(small, tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / ".deleted.3" / "state").mkdir(parents=True)
    assert Checkpoints(tmp_path).latest() == 5
    assert checkpoint_steps(tmp_path) == [5]


@pytest.mark.parametrize(("others", "rest"), [((), "begins anew"), ((4,), "resumes at step 4")])
def test_a_damaged_checkpoint_is_told_with_a_way_on(small, tmp_path, others, rest):
    shutil.copytree(small, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "checkpoints" / "5"
    for step in others:
        shutil.copytree(newest, newest.with_name(str(step)))
    (newest / "_CHECKPOINT_METADATA").write_bytes(b"")
    with pytest.raises(UserError, match=rf"5 is damaged: .*, or remove that folder, and the training {rest}$"):
        Checkpoints(tmp_path)
    shutil.rmtree(newest)
    assert Checkpoints(tmp_path).latest() == max(others, default=None)


def test_a_flipped_bit_of_the_record_never_passes(tmp_path):
    """Every byte of what a checkpoint says about itself, against the record as it was."""
    entries = {"config": {"refine": {"interior": 0.4}}, "data": {"names": ["a", "\u00b5"]}, "tuning": {"index": "pq"}}
    Checkpoints(tmp_path).save(small_state(1.0), {**entries, "calibration": {"weights": [0.1, -2e-9]}}, 0.5)
    path = tmp_path / "checkpoints" / "5"
    file, rng = path / "_CHECKPOINT_METADATA", np.random.default_rng(0)
    content, right = file.read_bytes(), read_record(path)
    without_checksum = {key: value for key, value in right.items() if key != "record_crc32"}
    refused = passed = 0
    for place in range(content.index(b'"custom_metadata"'), len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        file.write_bytes(bytes(changed))
        try:
            record = read_record(path)
        except UserError as error:
            refused += "5 is damaged" in str(error)
        else:  # the name of the checksum itself
            assert {key: record[key] for key in right if key != "record_crc32"} == without_checksum
            passed += 1
    assert passed < 20
    assert refused + passed == len(content) - content.index(b'"custom_metadata"')


def test_what_is_added_to_a_record_is_sealed_too(small, tmp_path):
    shutil.copytree(small, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoints" / "5"
    add_to_record(path, tuning={"index": "pq"})
    file = path / "_CHECKPOINT_METADATA"
    file.write_text(file.read_text().replace('"pq"', '"pp"'))
    with pytest.raises(UserError, match="5 is damaged: its record differs from its checksum; copy it again"):
        read_record(path)
    set_record(path, score=0.25)  # as older versions wrote it, without a checksum
    assert read_record(path)["tuning"] == {"index": "pp"}


# --- what else a path can be ---
