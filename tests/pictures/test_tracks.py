import imagecodecs
import numpy as np
import pytest
from PIL import Image

from cellflax.errors import UserError
from cellflax.pictures.animation import save_animation
from cellflax.pictures.tracks import lineage_tree, track_colours, track_movie
from cellflax.tracking.cells import measure_movie
from cellflax.tracking.lineage import build_lineage


def test_outlines_keep_the_colour_of_their_track(tmp_path):
    tracks = np.zeros((2, 600, 700), np.int32)
    tracks[0, 100:200, 100:200] = 1
    tracks[0, 300:400, 100:200] = 2
    tracks[1, 300:400, 400:500] = 2
    frames = _drawn(tracks)
    assert frames.shape == (2, 600, 700, 3)
    one, two = (255 * track_colours(np.array([1, 2]))).round()
    np.testing.assert_array_equal(frames[0, 100, 150], one)
    np.testing.assert_array_equal(frames[0, 300, 150], two)
    np.testing.assert_array_equal(frames[1, 399, 450], two)
    assert not frames[1, 150, 150].any()
    save_animation(tmp_path / "overlay.png", frames, 2)
    np.testing.assert_array_equal(imagecodecs.apng_decode((tmp_path / "overlay.png").read_bytes()), frames)
    with Image.open(tmp_path / "overlay.png") as read:
        assert (read.n_frames, read.info["duration"], read.info["loop"]) == (2, 200.0, 0)
        for number, frame in enumerate(frames):
            read.seek(number)
            np.testing.assert_array_equal(np.asarray(read.convert("RGB")), frame)


def test_an_animation_has_the_frames_that_it_announces(tmp_path):
    uneven = [np.zeros((5, side, 3), np.uint8) for side in (5, 6)]
    for count, frames in ((3, np.zeros((2, 5, 5, 3), np.uint8)), (2, uneven)):
        with pytest.raises(ValueError, match="frame"):
            save_animation(tmp_path / "overlay.png", frames, count)
    with pytest.raises(UserError, match="cannot be written"):
        save_animation(tmp_path / "nowhere" / "overlay.png", [], 0)


def _drawn(tracks, images=None):
    return np.stack(list(track_movie(tracks, images)))


def test_small_movies_are_enlarged_and_large_ones_thinned_out():
    assert _drawn(np.ones((1, 50, 100), np.int32)).shape == (1, 300, 600, 3)
    assert _drawn(np.ones((1, 2100, 100), np.int32), np.zeros((1, 2100, 100))).shape == (1, 700, 34, 3)


def test_colours_of_successive_tracks_differ():
    colours = track_colours(np.arange(1, 200))
    assert np.abs(np.diff(colours, axis=0)).max(axis=1).min() > 0.3


def _tree(n_families):
    """Families of a cell that divides once; the first divides twice."""
    wide = [" ".join(["1"] * n_families).replace(" ", ""), *2 * ["1" * 2 * n_families]]
    frames = [np.arange(1, len(row) + 1, dtype=np.int32)[None] for row in wide]
    frames[0] = np.repeat(frames[0], 2, axis=1)
    frames[2] = np.pad(frames[2], ((0, 1), (0, 0)))
    frames[2][1, 0] = 4000
    frames = [np.pad(frame, ((0, 2 - len(frame)), (0, 0))) for frame in frames]
    movie = measure_movie(np.stack(frames))
    first, second, third = (movie.start[t] for t in range(3))
    edges = [(first + i // 2, second + i) for i in range(2 * n_families)]
    edges += [(second + i, third + i) for i in range(2 * n_families)]
    edges.append((second, third + 2 * n_families))
    return build_lineage(movie, np.array(edges))


def test_tree_has_a_line_per_track_and_per_daughter():
    lineage = _tree(2)
    ax = lineage_tree(lineage, np.array([0.0, 1800.0, 3600.0])).axes[0]
    n_daughters = int((lineage.tracks["parent"] > 0).sum())
    assert len(ax.lines) == len(lineage.tracks) + n_daughters
    assert ax.get_title() == "8 tracks, 3 divisions"
    assert max(line.get_xdata().max() for line in ax.lines) == 1.0
    assert ax.get_xlabel() == "time (h)"


def test_of_many_families_the_largest_are_drawn():
    figure = lineage_tree(_tree(300))
    assert figure.axes[0].get_title().endswith("; the 199 largest of 300 families")
    assert len(figure.axes[0].lines) == 9 + 198 * 5
