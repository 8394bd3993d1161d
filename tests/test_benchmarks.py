"""Every benchmark runs; what it measures on so little means nothing."""

import importlib

import pytest

from tests.commands import run_command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "row"),
    [
        ("train_step", ["--size", "8", "--patches", "2", "--rounds", "1"], "| cellflax, 2 patches |"),
        ("dense_inference", ["--size", "64", "64", "--tiles", "64", "--rounds", "1"], "| JAX, dilated kernels |"),
        (
            "convolution",
            ["--model", "patch_net_21", "--size", "8", "--patches", "2", "--rounds", "1"],
            "| 3 x 3, 32 -> 32; ",
        ),
        ("predict_memory", ["--size", "200"], "| 200 x 200 | 2048 | False | 25 | 25 |"),
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
        ("tracking", ["--cells", "50", "--rounds", "1"], "| cellflax, 50 cells |"),
        ("overlap", ["--size", "128", "--rounds", "1"], "| scikit-image, labels 1...16 |"),
    ],
)
def test_benchmark(name, arguments, row):
    module = importlib.import_module(f"benchmarks.{name}")
    result = run_command(module.main, *arguments)
    assert result.status == 0, result.err
    assert row in result.out
