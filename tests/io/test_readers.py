"""A format is one file and one line in the table: commands, folders and error messages then know it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import evaluate, predict, quantify
from cellflax.errors import UserError
from cellflax.io import readers
from cellflax.io.files import images_in, list_files
from cellflax.io.images import read_image, read_labels
from cellflax.io.reader import Reader, read_whole
from cellflax.io.stack import Stack, default_channel_names
from tests.commands import run_command

MARK = b"TOY\n"


def write_toy(path: Path, planes: np.ndarray, mark: bytes = MARK) -> Path:
    """(C, H, W) unsigned 16-bit integers behind their shape, and before it the mark of the invented format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mark + np.array(planes.shape, "<u4").tobytes() + planes.astype("<u2").tobytes())
    return path


def read_toy(path: Path) -> Stack:
    content = path.read_bytes().removeprefix(MARK)
    channels, height, width = np.frombuffer(content, "<u4", 3).tolist()
    pixels = np.frombuffer(content, "<u2", offset=12).reshape(channels, 1, height, width)
    return Stack(pixels, default_channel_names(channels), 1.3)


TOY = Reader("Toy", (".toy", ".toy2"), read_whole(read_toy), lambda start: start.startswith(MARK))
UNMARKED = Reader("Toy", (".toy",), read_whole(read_toy))


@pytest.fixture
def toy(monkeypatch):
    """The one line in the table."""
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, TOY))


@pytest.fixture
def unmarked(monkeypatch):
    """The same format without a mark at its start."""
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, UNMARKED))


@pytest.mark.usefixtures("toy")
def test_commands_read_it(trained, fields, tmp_path):
    for name in ("field_0007", "field_0008"):
        planes = [tifffile.imread(fields / f"images/{name}_{channel}.tif") for channel in ("phase", "nuclear")]
        write_toy(tmp_path / f"images/{name}.TOY", np.stack(planes))
        write_toy(tmp_path / f"reference/{name}.toy2", tifffile.imread(fields / f"labels/{name}.tif")[None])
    given = (f"checkpoint={trained.path}", f"output={tmp_path / 'toy'}")
    result = run_command(predict.main, *given, f"input={tmp_path / 'images'}")
    assert result.status == 0, result.err
    given = (f"checkpoint={trained.path}", f"output={tmp_path / 'tiff'}", "channels=[phase,nuclear]")
    assert run_command(predict.main, *given, f"input={fields / 'images'}").status == 0
    for name in ("field_0007", "field_0008"):
        labels = tifffile.imread(tmp_path / f"toy/{name}_labels.tif")
        assert labels.max() > 5
        np.testing.assert_array_equal(labels, tifffile.imread(tmp_path / f"tiff/{name}_labels.tif"))

    scores = []
    for reference in (tmp_path / "reference", fields / "labels"):
        given = (f"predicted={tmp_path / 'toy'}", f"reference={reference}", f"output={tmp_path / 'score'}")
        assert run_command(evaluate.main, *given, "overwrite=true").status == 0
        scores.append(json.loads((tmp_path / "score/metrics.json").read_text())["pooled"])
    assert scores[0] == scores[1]
    assert scores[0]["n_reference"] > 10

    given = ("method=cells", f"predicted={tmp_path / 'reference'}", f"output={tmp_path / 'cells'}")
    assert run_command(quantify.main, *given).status == 0
    cells = pd.read_csv(tmp_path / "cells/cells.csv")
    assert len(cells) == scores[0]["n_reference"]
    np.testing.assert_allclose(cells["area_um2"], 1.3**2 * cells["area_px"])


@pytest.mark.usefixtures("toy")
def test_folders_list_it_and_messages_name_it(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("a.toy", "b.tif", "c.TOY2", "d.txt", ".hidden.toy", "e.toys"):
        (tmp_path / name).touch()
    assert [path.name for path in images_in(tmp_path)] == ["a.toy", "b.tif", "c.TOY2"]
    assert [path.name for path in list_files(f"{tmp_path}/*")] == ["a.toy", "b.tif", "c.TOY2"]
    with pytest.raises(UserError, match=r"no TIFF, PNG, ICS, .*or Toy images in this folder"):
        list_files(tmp_path / "empty")
    with pytest.raises(UserError, match=r"no such TIFF, PNG, ICS, .*or Toy file, folder or pattern"):
        list_files(tmp_path / "nothing")
    (tmp_path / "d.txt").write_text("some text")
    with pytest.raises(UserError, match=r"d.txt: its content is not TIFF, PNG, ICS, .*or Toy; convert it"):
        read_image(tmp_path / "d.txt")


def test_without_its_line_the_format_is_unknown(tmp_path):
    path = write_toy(tmp_path / "a.toy", np.ones((1, 2, 3)))
    assert images_in(tmp_path) == []
    with pytest.raises(UserError, match=r"its content is not TIFF, PNG, ICS, .*; convert it"):
        read_image(path)


@pytest.mark.usefixtures("toy")
def test_content_decides_where_it_has_a_mark(tmp_path):
    plane = np.arange(6).reshape(1, 2, 3)
    np.testing.assert_array_equal(read_labels(write_toy(tmp_path / "toy.png", plane)), plane[0])
    tifffile.imwrite(tmp_path / "tiff.toy", 7 * plane[0].astype(np.uint8))
    np.testing.assert_array_equal(read_labels(tmp_path / "tiff.toy"), 7 * plane[0])
    with pytest.raises(UserError, match="its content is not"):
        read_labels(write_toy(tmp_path / "other.toy", plane, mark=b"????"))


@pytest.mark.usefixtures("unmarked")
def test_the_suffix_decides_without_a_mark(tmp_path):
    plane = np.arange(6).reshape(1, 2, 3)
    np.testing.assert_array_equal(read_labels(write_toy(tmp_path / "a.Toy", plane, mark=b"")), plane[0])
    with pytest.raises(UserError, match="its content is not"):
        read_labels(write_toy(tmp_path / "a.png", plane, mark=b""))
    tifffile.imwrite(tmp_path / "tiff.toy", 7 * plane[0].astype(np.uint8))
    np.testing.assert_array_equal(read_labels(tmp_path / "tiff.toy"), 7 * plane[0])


@pytest.mark.usefixtures("toy")
def test_whatever_a_reader_raises_is_the_files_fault(tmp_path):
    path = write_toy(tmp_path / "a.toy", np.ones((1, 20, 30)))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"a.toy: damaged or incomplete \(.*\); copy or export it again"):
        read_image(path)


def test_no_two_formats_share_a_suffix_and_all_are_in_lower_case():
    suffixes = [suffix for reader in readers.READERS for suffix in reader.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
