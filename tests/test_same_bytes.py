"""The same input gives files of the same bytes: they hold no time, no random number and nothing of the machine."""

import time
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflax import export, quantify, simulate, track
from cellflax.io.label_movie_file import LabelMovieWriter
from cellflax.io.movie_time import TimeAxis
from cellflax.io.tiff_maps import MapWriter
from cellflax.io.tiff_output import write_labels
from tests.commands import run_command
from tests.exporting.stored import write_predicted
from tests.faults.results import contents

# What says when and how, or repeats the settings, in which `output` differs.
_OF_THE_RUN = ("provenance", "report", "summary.json", "metrics.json")


@pytest.fixture
def another_day(monkeypatch) -> Callable[[], None]:
    """Turns the clock and the network address of this machine to others."""

    def turn() -> None:
        now, local = time.time, time.localtime
        monkeypatch.setattr(time, "time", lambda: now() + 1e6)
        monkeypatch.setattr(time, "localtime", lambda seconds=None: local(now() + 1e6 if seconds is None else seconds))
        monkeypatch.setattr(uuid, "getnode", lambda: 0x123456789ABC)
        monkeypatch.setattr(uuid, "_last_timestamp", None)

    return turn


def _labels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (3, 20, 30)).astype(np.int32)


def _write(folder: Path, frames: np.ndarray) -> None:
    """Files that `predict` writes."""
    folder.mkdir()
    write_labels(folder / "a_labels.tif", frames[0], 0.5)
    with LabelMovieWriter(folder / "m_labels.tif", TimeAxis(3, 60.0 * np.arange(3)), 0.5) as movie:
        for frame in frames:
            movie.write(frame)
    with MapWriter(folder / "a_probability.tif", (20, 30), ("cell", "background"), 0.5) as maps:
        maps.write((slice(0, 20), slice(0, 30)), np.stack([frames[0], frames[1]], -1).astype(np.float32))


def test_images(tmp_path, another_day):
    _write(tmp_path / "one", _labels())
    another_day()
    _write(tmp_path / "two", _labels())
    _write(tmp_path / "other", _labels(1))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    for name in ("a_labels.tif", "m_labels.tif"):  # other pixels have another UUID, as OME wants
        assert _uuid(tmp_path / "one" / name) != _uuid(tmp_path / "other" / name)
    assert len({_uuid(path) for path in (tmp_path / "one").iterdir()}) == 3


def _uuid(path: Path) -> uuid.UUID:
    with tifffile.TiffFile(path) as tiff:
        found = uuid.UUID((tiff.ome_metadata or "").partition('UUID="urn:uuid:')[2][:36])
    assert (found.version, found.variant) == (5, uuid.RFC_4122)
    return found


def test_results_of_commands(tmp_path, another_day):
    predicted = write_predicted(tmp_path / "in")
    formats = "rois,geojson,ome_zarr,anndata" + ",parquet" * (find_spec("pyarrow") is not None)
    size = ("specimen=colony", "fields=1", "colony.height=160", "colony.width=160", "colony.frames=3")

    def run(name: str) -> dict[str, bytes]:
        out = tmp_path / name
        colony = tmp_path / "one" / "simulated" / "movie_0001"  # the same input
        for main, part, given in (
            (simulate.main, "simulated", size),
            (export.main, "exported", (f"input={predicted}", f"format=[{formats}]")),
            (track.main, "tracks", (f"input={colony}/labels", f"images={colony}/images", "frame_interval_s=360",
                                    "export=[anndata,geff,trackmate]")),
            (quantify.main, "growth", ("method=growth", f"tracks={colony}/labels", "export=[anndata]")),
        ):  # fmt: skip
            done = run_command(main, *given, f"output={out / part}")
            assert done.status == 0, done.err
        files = contents(out)
        return {name: content for name, content in files.items() if not Path(name).name.startswith(_OF_THE_RUN)}

    one = run("one")
    another_day()
    two = run("two")
    kinds = {Path(name).suffix for name in one}
    assert {".tif", ".csv", ".png", ".zip", ".geojson", ".h5ad", ".xml", ".json", ".txt"} <= kinds
    assert [name for name in one if one[name] != two.get(name)] == []
    assert one.keys() == two.keys()
