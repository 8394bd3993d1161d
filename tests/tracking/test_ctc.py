"""The Cell Tracking Challenge's files, written and read."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.tracking.cells import measure_movie
from cellflax.tracking.ctc import TrackedMovie, read_ctc, read_seg, to_ctc, write_ctc
from cellflax.tracking.lineage import build_lineage
from tests.metrics.drawing import grid

COLUMNS = ["track", "begin", "end", "parent"]


def _gapped():
    """A cell that divides; one daughter is missed in frame 2."""
    movie = measure_movie(np.stack([grid("7."), grid("12"), grid(".5"), grid("49")]))
    return to_ctc(movie, build_lineage(movie, np.array([(0, 1), (0, 2), (2, 3), (3, 5), (1, 4)])))


def test_a_gap_cuts_a_track_in_two():
    tracked = _gapped()
    assert tracked.tracks[COLUMNS].to_numpy().tolist() == [[1, 0, 0, 0], [2, 1, 1, 1], [3, 3, 3, 2], [4, 1, 3, 1]]
    np.testing.assert_array_equal(tracked.labels, np.stack([grid("1."), grid("24"), grid(".4"), grid("34")]))


def test_a_division_over_a_gap_has_the_parents_last_part_as_parent():
    movie = measure_movie(np.stack([grid("1."), grid(".."), grid("2."), grid("34")]))
    tracked = to_ctc(movie, build_lineage(movie, np.array([(0, 1), (1, 2), (1, 3)])))
    assert tracked.tracks[COLUMNS].to_numpy().tolist() == [[1, 0, 0, 0], [2, 2, 2, 1], [3, 3, 3, 2], [4, 3, 3, 2]]


def test_written_and_read(tmp_path):
    tracked = _gapped()
    write_ctc(tmp_path, tracked)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(f"mask00{t}.tif" for t in range(4)), "res_track.txt"]
    assert (tmp_path / "res_track.txt").read_text() == "1 0 0 0\n2 1 1 1\n3 3 3 2\n4 1 3 1\n"
    assert tifffile.imread(tmp_path / "mask001.tif").dtype == np.uint16
    again = read_ctc(tmp_path)
    np.testing.assert_array_equal(again.labels, tracked.labels)
    pd.testing.assert_frame_equal(again.tracks, tracked.tracks[COLUMNS], check_dtype=False)


def test_reference_folders(tmp_path):
    (tmp_path / "01_GT/TRA").mkdir(parents=True)
    (tmp_path / "01_GT/SEG").mkdir()
    for t in range(2):
        tifffile.imwrite(tmp_path / f"01_GT/TRA/man_track{t:03}.tif", np.full((4, 5), 3, np.uint16))
    (tmp_path / "01_GT/TRA/man_track.txt").write_text("3 0 1 0\n")
    tifffile.imwrite(tmp_path / "01_GT/SEG/man_seg001.tif", np.full((4, 5), 8, np.uint16))
    for folder in (tmp_path / "01_GT", tmp_path / "01_GT/TRA"):
        assert read_ctc(folder).tracks.to_numpy().tolist() == [[3, 0, 1, 0]]
        assert [(t, labels.max()) for t, labels in read_seg(folder).items()] == [(1, 8)]
    tifffile.imwrite(tmp_path / "01_GT/SEG/man_seg_001_002.tif", np.full((4, 5), 8, np.uint16))
    with pytest.raises(UserError, match="volumes are not supported"):
        read_seg(tmp_path / "01_GT")


def test_more_tracks_than_16_bits_hold(tmp_path):
    tracks = pd.DataFrame({"track": [65536], "begin": [0], "end": [0], "parent": [0]})
    with pytest.raises(UserError, match="65536 tracks: the Cell Tracking Challenge's masks are 16-bit"):
        write_ctc(tmp_path, TrackedMovie(np.full((1, 2, 2), 65536), tracks))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "neither man_track.txt nor res_track.txt here"),
        ("1 0 1\n", "line 1 has 3 numbers; every track is four: L B E P"),
        ("1 0 one 0\n", "line 1 must hold whole numbers of 0 to"),
        ("1 0 1 0\n1 0 1 0\n2 1 1 1\n", "track 1 has two lines"),
        ("1 0 1 0\n", "no line for track 2, which the masks have"),
        ("1 0 2 0\n2 1 1 0\n", "track 1 is said to be in frames 0 to 2, but the masks have it in others"),
        ("1 0 1 0\n2 1 1 0\n3 0 0 0\n", "track 3 is said to be in frames 0 to 0"),
        ("1 0 1 0\n2 1 1 1\n", "track 2 begins before its parent 1 ends"),
        ("1 0 1 0\n2 1 1 9\n", "track 2 begins before its parent 9 ends, or has no such parent"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, table, message):
    for t, labels in enumerate((grid("11."), grid("1.2"))):
        tifffile.imwrite(tmp_path / f"mask00{t}.tif", labels.astype(np.uint16))
    if table is not None:
        (tmp_path / "res_track.txt").write_text(table)
    with pytest.raises(UserError, match=message):
        read_ctc(tmp_path)


def test_a_table_without_masks(tmp_path):
    (tmp_path / "res_track.txt").write_text("1 0 1 0\n")
    with pytest.raises(UserError, match=r"no man_track###.tif or mask###.tif beside res_track.txt"):
        read_ctc(tmp_path)
