"""One GPU for each process, on machines with and without."""

import fcntl
import os

import pytest

from cellflax.launching import gpus


@pytest.fixture
def devices(tmp_path, monkeypatch):
    """A machine with three GPUs."""
    for number in range(3):
        (tmp_path / f"nvidia{number}").touch()
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(gpus, "_DEVICES", tmp_path)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus.take_gpu.cache_clear()
    yield tmp_path
    gpus.take_gpu.cache_clear()


def taken() -> str | None:
    gpus.take_gpu()
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_a_process_takes_the_first_free_gpu_and_keeps_it(devices):
    other = (devices / "nvidia0").open()
    fcntl.flock(other, fcntl.LOCK_EX)
    assert taken() == "1"
    assert taken() == "1"
    with (devices / "nvidia1").open() as third, pytest.raises(BlockingIOError):
        fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)
    other.close()


def test_it_waits_until_a_gpu_is_free(devices, monkeypatch):
    others = [(devices / f"nvidia{number}").open() for number in range(3)]
    for other in others:
        fcntl.flock(other, fcntl.LOCK_EX)
    monkeypatch.setattr("time.sleep", lambda _: others[2].close())
    assert taken() == "2"
    for other in others:
        other.close()


@pytest.mark.parametrize(
    ("visible", "expected"), [("2", "2"), ("1,0", "1"), ("GPU-1b2", "GPU-1b2"), ("", ""), ("7", "7")]
)
def test_visible_gpus_are_those_to_take(devices, monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert taken() == expected


def test_no_gpu_is_taken_for_a_cpu(devices, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert taken() is None
