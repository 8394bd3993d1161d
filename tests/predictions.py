"""Predictions with the shared training, for the tests of `cellflax.predict`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from cellflax import predict
from tests.commands import Result, run_command

CHANNELS = "channels=[phase,nuclear]"


def predicting(checkpoint: Path, output: Path) -> Callable[..., Result]:
    """Predict with a training into a directory, from a source that is named later."""

    def run(source: object, *arguments: object) -> Result:
        given = (f"checkpoint={checkpoint}", f"input={source}", f"output={output}", "overwrite=true")
        return run_command(predict.main, *given, *arguments)

    return run


def labels_of(path: Path) -> np.ndarray:
    return tifffile.imread(path)


def one_file(fields: Path, path: Path, name: str = "field_0007", **options: object) -> Path:
    """Both channels of a field in one TIFF."""
    planes = [tifffile.imread(fields / "images" / f"{name}_{channel}.tif") for channel in ("phase", "nuclear")]
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.stack(planes), metadata={"axes": "CYX"}, photometric="minisblack", **options)
    return path
