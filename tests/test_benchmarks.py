"""Every benchmark runs; what it measures on so little means nothing."""

import importlib

import pytest

from tests.commands import run_command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "row"),
    [
        (
            "train_step",
            [
                "--networks",
                "skip FCN (P2)",
                "--crop",
                "16",
                "--batch",
                "2",
                "--size",
                "8",
                "--patches",
                "2",
                "--rounds",
                "1",
            ],
            "| skip FCN (P2) | 2 x 16 x 16 |",
        ),
        ("dense_inference", ["--size", "64", "64", "--tiles", "64", "--rounds", "1"], "| JAX, dilated kernels |"),
        (
            "convolution",
            ["--model", "patch_net_21", "--size", "8", "--patches", "2", "--rounds", "1"],
            "| 3 x 3, 32 -> 32; ",
        ),
        ("predict_memory", ["--size", "200"], "| 200 x 200 | 2048 | False | 25 | 25 |"),
        ("batch", ["--images", "3", "--size", "64"], "| 3 |"),
        ("interruption", ["--images", "4", "--bad", "1"], "| bad images alone | 1 | 3 |"),
        (
            "fcn",
            ["--size", "96", "--crop", "16", "--batch", "2", "--rounds", "1"],
            "| one step, 2 x 16 x 16 |",
        ),
        (
            "whole_cell",
            ["--size", "96", "--crop", "32", "--batch", "1", "--rounds", "1"],
            "| one step, 1 x 32 x 32 |",
        ),
        ("plane_memory", ["--gigabytes", "0.001", "--size", "64"], "| NPY | 122 | 0.0 | 1.0 |"),
        ("movie_memory", ["--frames", "2", "--cells", "4", "--images"], "| 2 | "),
        ("growth", ["--only", "images", "--scale", "0.1"], "| images | seconds | core-seconds | exponent |"),
        ("cells", ["--size", "128", "--rounds", "1"], "| scikit-image, "),
        ("tracking", ["--cells", "50", "--rounds", "1"], "| cellflax, 50 cells |"),
        ("gpu", ["--rehearsal"], "| asymmetric U-Net (P3) | tensorfloat32 | printed above |"),
        ("overlap", ["--size", "128", "--rounds", "1"], "| scikit-image, labels 1...16 |"),
    ],
)
def test_benchmark(name, arguments, row):
    module = importlib.import_module(f"benchmarks.{name}")
    result = run_command(module.main, *arguments)
    assert result.status == 0, result.err
    assert row in result.out


def test_rehearsal_of_the_gpu(monkeypatch):
    """One program; a row that fails says why, and a row without time says so. `-m slow` does all of it."""
    from benchmarks import gpu

    words = ["--rehearsal", "--networks", "skip FCN (P2)", "--precisions", "bfloat16", "--sections"]
    result = run_command(gpu.main, *words, "dense", "sweeps")
    assert result.status == 0, result.err
    assert "| skip FCN (P2) | bfloat16 | cellflax |" in result.out
    assert "| l2 | not asked for: --runs=DIR |" in result.out

    def broken(*_):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(gpu, "Inferences", broken)
    result = run_command(gpu.main, *words, "dense", "parity")
    assert result.status == 1
    assert "| skip FCN (P2) | bfloat16 | failed: RuntimeError: out of memory |" in result.out
    assert "2 rows failed" in result.err
    result = run_command(gpu.main, *words, "train", "sweeps", "--budget", "0")
    assert result.status == 0
    assert "| skip FCN (P2) | bfloat16 | cellflax | not begun: no time left |" in result.out


def test_a_gpu_benchmark_needs_a_gpu():
    from benchmarks import gpu

    result = run_command(gpu.main)
    assert result.status == 2
    assert "there is no GPU here; --rehearsal runs" in result.err


def test_growth_is_the_exponent_between_two_rows(tmp_path):
    from benchmarks.commands import Used
    from benchmarks.growth import draw, rows_of

    used = {10: Used(2.0, 3.0, 100.0), 100: Used(20.0, 30.0, 100.0), 1000: Used(2000.0, 3000.0, 200.0)}
    assert [row[3] for row in rows_of(used)] == ["", "1.00", "2.00"]
    draw(tmp_path / "images.svg", "images", used, divides=False)
    assert "peak memory (GB)" in (tmp_path / "images.svg").read_text()
    assert Used(1, 2, 300) + Used(2, 3, 200) == Used(3, 5, 300)


def test_operations_are_counted():
    """By hand: convolutions and products, in functions within functions, as often as loops go round."""
    import jax
    import jax.numpy as jnp

    from benchmarks.flops import forward_flops
    from cellflax.models.convolution import convolution_for_cpu

    def function(images, kernel, matrix):
        each = jax.lax.map(lambda image: convolution_for_cpu(image[None], kernel, 1), images)
        return jax.jit(lambda x: x @ matrix)(each)

    found = forward_flops(function, jnp.ones((5, 8, 8, 4)), jnp.ones((3, 3, 4, 6)), jnp.ones((6, 7)))
    assert found == 5 * 2 * 64 * (9 * 4 * 6 + 6 * 7)
