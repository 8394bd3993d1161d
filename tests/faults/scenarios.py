"""Commands on inputs so small that a run takes a moment."""

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from cellflax.io import results
from tests.conversion.keras1_files import BATCH_NORM, Published
from tests.evaluation.fields import maps, write_fields
from tests.exporting.stored import write_predicted
from tests.faults.results import Scenario
from tests.run_directories import write_run

_CHANNELS = "channels=[phase,nuclear]"


def _label_movie(folder: Path) -> Path:
    """Two cells in three frames, a file for each."""
    (folder / "movie").mkdir(parents=True)
    frame = np.zeros((40, 60), np.uint16)
    frame[5:20, 5:20], frame[22:35, 30:50] = 1, 2
    for t in range(3):
        tifffile.imwrite(folder / "movie" / f"t{t}_labels.tif", np.roll(frame, t, axis=1))
    return folder / "movie"


def _stains(folder: Path) -> Path:
    """Two sites with nuclei in one channel."""
    (folder / "stains").mkdir(parents=True)
    draw = np.random.default_rng(0)
    row, column = np.mgrid[:96, :96]
    nuclei = np.zeros((96, 96), bool)
    for y, x in ((20, 20), (20, 70), (60, 30), (70, 75)):
        nuclei |= (row - y) ** 2 + (column - x) ** 2 < 36
    for site in ("1", "2"):
        for channel in ("dapi", "bf"):
            values = draw.poisson(900 * nuclei + 100).astype(np.uint16)
            tifffile.imwrite(folder / "stains" / f"s{site}_{channel}.tif", values)
    return folder / "stains"


def _predict(folder: Path) -> list[str]:
    """Three images and a movie, with maps, blocks and exports."""
    from cellflax.data.normalize import NormalizeConfig
    from cellflax.models.patch_net import PatchNetConfig, Stage
    from cellflax.refine.threshold import ThresholdConfig
    from tests.random_checkpoints import random_checkpoint

    network = PatchNetConfig(stages=[Stage([4], [4]), Stage([3], [4])], dense=[4])
    cells = ThresholdConfig(interior=0.42, min_area_px=5)  # which random weights find, too
    checkpoint = random_checkpoint(folder / "network", network, normalize=NormalizeConfig(window_px=9), refine=cells)
    draw = np.random.default_rng(0)
    (folder / "in").mkdir()
    for name, frames in (("a", 1), ("b", 1), ("c", 1), ("m", 3)):
        pixels = draw.integers(100, 900, (frames, 2, 48, 48)).astype(np.uint16)
        tifffile.imwrite(folder / "in" / f"{name}.ome.tif", pixels, ome=True, metadata={"axes": "TCYX"})
    return [f"checkpoint={checkpoint}", f"input={folder / 'in'}", "save_probability=true", "export=[geojson,ome_zarr]"]


def _annotate(folder: Path) -> list[str]:
    return [
        f"input={_stains(folder)}", "pattern='s{site}_{channel}.tif'", "nuclear=dapi", "images=[bf]",
        "save_illumination=true",
    ]  # fmt: skip


def _accept(folder: Path) -> list[str]:
    """A review of an annotation, which is made here as `annotate` leaves it."""
    import json

    review = folder / "review"
    sites = {}
    for name in ("1", "2"):
        for kind, file in (("images", f"{name}_bf.tif"), ("labels", f"{name}.tif"), ("nuclei", f"{name}.tif")):
            (review / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(review / kind / file, np.full((8, 8), int(name), np.uint16))
        sites[name] = {"sources": [], "images": [{"file": f"{name}_bf.tif", "channel": "bf"}]}
    pd.DataFrame({"site": ["1", "2"], "accept": ["yes", "yes"]}).to_csv(review / results.REVIEW_TABLE, index=False)
    record = {"cellflax": "0", "command": "annotate", "simulated": False, "sites": sites, "files": []}
    (review / results.PROVENANCE).write_text(json.dumps({**record, "settings": {}, "stains": {}}))
    return [f"review={review / results.REVIEW_TABLE}"]


def _evaluate(folder: Path) -> list[str]:
    maps(write_fields(folder))
    return [f"predicted={folder / 'predicted'}/*_labels.tif", f"reference={folder / 'reference'}"]


def _correct(folder: Path) -> list[str]:
    """What `correct` reads: a prediction with uncertainties."""
    arguments = _predict(folder)
    from cellflax import predict
    from tests.commands import run_command

    given = [a for a in arguments if not a.startswith(("save_", "export"))]
    done = run_command(predict.main, *given, "test_time_augmentation=4", f"output={folder / 'predicted'}")
    assert done.status == 0, done.err
    return [f"predictions={folder / 'predicted'}", "count=3"]


SCENARIOS = (
    Scenario("track", "cellflax.track", lambda folder: [f"input={_label_movie(folder)}", "export=[geojson,trackmate]"]),
    Scenario("annotate", "cellflax.annotate", _annotate),
    Scenario("annotate review", "cellflax.annotate", _accept),
    Scenario("evaluate", "cellflax.evaluate", _evaluate),
    Scenario(
        "quantify", "cellflax.quantify",
        lambda folder: ["method=cells", f"predicted={_label_movie(folder)}", "export=[anndata]"],
    ),
    Scenario(
        "export", "cellflax.export",
        lambda folder: [f"input={write_predicted(folder)}", "format=[rois,geojson,ome_zarr,anndata]"],
    ),
    Scenario(
        "simulate", "cellflax.simulate", lambda _: ["fields=2", "hela.height=64", "hela.width=64"]
    ),
    Scenario("summarize", "cellflax.summarize", lambda folder: [str(write_run(folder / "runs/a"))]),
    Scenario(
        "convert", "cellflax.convert",
        lambda folder: [f"source={Published(BATCH_NORM, classes=3).write(folder / 'published.h5')}"],
    ),
    Scenario("predict", "cellflax.predict", _predict, again=("resume=true",), kept=True),
    Scenario("correct", "cellflax.correct", _correct),
    Scenario("crop store", "tests.faults.crop_writing", lambda _: [], is_set=False),
)  # fmt: skip


def find_scenario(name: str) -> Scenario:
    """The scenario of a command."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)
