"""Directories of results that the tests of the plugin open; they must not change them."""

from pathlib import Path

import pytest

from cellflax import correct, predict
from tests.commands import run_command
from tests.predictions import CHANNELS


@pytest.fixture(scope="module")
def predicted(trained, fields, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("napari") / "predicted"
    result = run_command(
        predict.main, f"checkpoint={trained.path}", f"input={fields}/images", CHANNELS, "test_time_augmentation=4",
        f"output={output}",
    )  # fmt: skip
    assert result.status == 0, result.err
    return output


@pytest.fixture(scope="module")
def corrected(predicted) -> Path:
    output = predicted.parent / "corrected"
    assert run_command(correct.main, f"predictions={predicted}", f"output={output}", "cells=3").status == 0
    return output
