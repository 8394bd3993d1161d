"""Simulated movies: rods that do not overlap, exact growth and lineages, crawling cells, known kinetics."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, ndimage, spatial

from cellflax.errors import UserError
from cellflax.simulation import ColonyConfig, MigrationConfig, man_track, simulate_colony, simulate_migration
from cellflax.simulation.motion import crawl, ellipse_outline
from cellflax.simulation.movie import tracks_in_view
from cellflax.simulation.reporter import Kinetics, concentrations, nuclear_share
from cellflax.simulation.rods import Rods, draw_rods, length_of_area_um, push_apart
from cellflax.simulation.shapes import ANGLES_RAD

COLONY = ColonyConfig(height=256, width=256, frames=14, frame_interval_s=360.0, founders=1)
CRAWLING = MigrationConfig(height=128, width=128, frames=4, frame_interval_s=900.0, stimulus_s=1000.0)


@pytest.fixture(scope="module")
def colony():
    return simulate_colony(COLONY, 2)


@pytest.fixture(scope="module")
def migration():
    return simulate_migration(CRAWLING, 1)


def axis_points(rods, i):
    """Many points along the axis of one rod."""
    return rods.centres_um[i] + np.linspace(-1, 1, 400)[:, None] * rods.half_axes_um[i]


class TestRods:
    def test_pushed_apart_they_overlap_no_more(self):
        rng = np.random.default_rng(0)
        y, x = np.meshgrid(np.arange(4) * 0.7, np.arange(3) * 2.5, indexing="ij")
        centres = np.stack([y.ravel(), x.ravel()], axis=-1)
        rods = Rods(centres, rng.uniform(-0.15, 0.15, 12), rng.uniform(2.0, 3.0, 12), 1.0)
        apart = push_apart(rods, 0.01)
        distances = [
            spatial.distance.cdist(axis_points(apart, i), axis_points(apart, j)).min()
            for i in range(12)
            for j in range(i)
        ]
        assert min(distances) > 0.985
        np.testing.assert_array_equal(apart.lengths_um, rods.lengths_um)
        drift_um = np.average(apart.centres_um - rods.centres_um, axis=0, weights=rods.lengths_um)
        assert np.abs(drift_um).max() < 0.1

    def test_two_side_by_side_part_evenly_and_stay_parallel(self):
        rods = Rods(np.array([[0.0, 0.0], [0.6, 0.0]]), np.zeros(2), np.full(2, 3.0), 1.0)
        apart = push_apart(rods, 1e-4)
        np.testing.assert_allclose(apart.centres_um, [[-0.2, 0.0], [0.8, 0.0]], atol=1e-3)
        np.testing.assert_allclose(apart.angles_rad, 0.0, atol=1e-6)

    def test_a_push_on_the_tip_turns(self):
        rods = Rods(np.array([[0.0, 0.0], [0.8, 1.5]]), np.array([0.0, np.pi / 2]), np.array([4.0, 1.2]), 1.0)
        apart = push_apart(rods, 1e-4)
        assert apart.angles_rad[0] < -0.05  # the tip at +x gives way towards -y
        assert apart.centres_um[1, 0] > 0.8

    def test_drawn_as_a_stadium_of_the_area(self):
        rods = Rods(np.array([[0.4, -0.3]]), np.array([0.6]), np.array([3.4]), 1.0)
        labels, thickness = draw_rods(rods, np.array([7]), (80, 90), 0.06)
        grid = (np.moveaxis(np.indices((80, 90)), 0, -1) - [39.5, 44.5]) * 0.06
        distance = spatial.distance.cdist(grid.reshape(-1, 2), axis_points(rods, 0)).min(axis=1).reshape(80, 90)
        np.testing.assert_array_equal(labels == 7, distance < 0.5)
        assert set(np.unique(labels)) == {0, 7}
        np.testing.assert_allclose(thickness, 2 * np.sqrt(np.maximum(0.25 - distance**2, 0)), atol=0.02)
        assert np.count_nonzero(labels) * 0.06**2 == pytest.approx(rods.areas_um2[0], rel=0.01)
        np.testing.assert_allclose(length_of_area_um(rods.areas_um2, 1.0), 3.4)


class TestColony:
    def test_same_seed_gives_the_same_movie(self, colony):
        again = simulate_colony(replace(COLONY, frames=4), 2)
        np.testing.assert_array_equal(again.images, colony.images[:4])
        np.testing.assert_array_equal(again.tracks, colony.tracks[:4])
        assert not np.array_equal(simulate_colony(replace(COLONY, frames=2), 3).tracks, colony.tracks[:2])

    def test_labels_are_the_cells_of_the_truth(self, colony):
        assert colony.images.shape == (14, 256, 256, 1)
        np.testing.assert_array_equal(colony.images, colony.images.astype(np.uint16))
        for frame, rows in colony.truth.groupby("frame"):
            labels = colony.tracks[frame]
            np.testing.assert_array_equal(np.unique(labels[labels > 0]), np.sort(rows["track"]))
            for track, area_um2 in zip(rows["track"], rows["area_um2"], strict=True):
                assert ndimage.label(labels == track)[1] == 1
                assert np.sum(labels == track) * 0.065**2 == pytest.approx(area_um2, rel=0.04)

    def test_every_cell_grows_exponentially_at_its_rate(self, colony):
        rates = []
        for _, cell in colony.truth.groupby("track"):
            if len(cell) > 2:
                slope = np.diff(np.log(cell["area_um2"])) / np.diff(cell["time_s"] / 3600.0)
                np.testing.assert_allclose(slope, cell["growth_rate_per_h"].iloc[1:])
                rates.append(slope[0])
        assert np.median(rates) == pytest.approx(np.log(2) * 60 / COLONY.doubling_time_min, rel=0.15)
        assert len(np.unique(rates)) == len(rates) > 5

    def test_lineage_is_exact(self, colony):
        tracks = {label: (begin, end, parent) for label, begin, end, parent in man_track(colony.truth)}
        lengths = colony.truth.set_index(["track", "frame"])["length_um"]
        mothers = {parent for _, _, parent in tracks.values()} - {0}
        assert len(mothers) >= 5
        for mother in mothers:
            daughters = [label for label, (_, _, parent) in tracks.items() if parent == mother]
            assert len(daughters) == 2
            (begin,) = {tracks[daughter][0] for daughter in daughters}
            end = tracks[mother][1]
            assert begin == end + 1
            born = sum(lengths[daughter, begin] for daughter in daughters)
            assert 1.0 < born / lengths[mother, end] < 1.4  # no length is lost, and one frame's growth is gained
        last = colony.truth["frame"].max()
        assert {end for label, (_, end, _) in tracks.items() if label not in mothers} == {last}

    def test_cells_are_dark_on_a_bright_halo(self, colony):
        phase, cells = colony.images[-1, ..., 0], colony.tracks[-1] > 0
        outside_px = ndimage.distance_transform_edt(~cells)
        background = np.median(phase[outside_px > 50])
        assert phase[cells].mean() < 0.75 * background
        assert phase[(outside_px > 3) & (outside_px < 8)].mean() > 1.05 * background

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"frames": 1}, r"colony.frames must be in \[2, 2000\], got 1"),
            ({"frame_interval_s": 600.0}, "colony.frame_interval_s must be at most a quarter of .* got 600.0 s"),
            ({"cell_width_um": 1.2, "division_length_um": 3.0}, "colony.division_length_um must be at least 3.5 times"),
            ({"rate_variation": float("nan")}, "colony.rate_variation .* got nan"),
        ],
    )
    def test_bad_config(self, change, message):
        with pytest.raises(UserError, match=message):
            ColonyConfig(**change)

    def test_a_colony_too_large_for_its_field(self):
        with pytest.raises(UserError, match=r"colony.frames=14: the colony outgrows the field at frame \d+"):
            simulate_colony(replace(COLONY, height=80), 2)


class TestMotion:
    def test_speed_and_persistence(self):
        """Free walkers have the mean speed; the velocity's memory is lost with the persistence time."""
        start = 1e4 * np.random.default_rng(1).random((500, 2)) + 1e4
        path = crawl(np.random.default_rng(0), start, (3e4, 3e4), 20, 300.0, 12.0, 40.0, spacing_um=1e-3)
        steps = np.diff(path, axis=0)
        assert np.linalg.norm(steps, axis=-1).mean() == pytest.approx(1.0, rel=0.05)  # 12 um/h in 5 minutes
        memory = np.sum(steps[1:] * steps[:-1]) / np.sum(steps[:-1] ** 2)
        assert memory == pytest.approx(np.exp(-300 / 2400), abs=0.03)

    def test_cells_keep_their_distance(self):
        start = np.stack(np.meshgrid(np.arange(5) * 30.0, np.arange(5) * 30.0), axis=-1).reshape(-1, 2) + 30.0
        path = crawl(np.random.default_rng(0), start, (180.0, 180.0), 15, 300.0, 40.0, 40.0, spacing_um=25.0)
        assert min(spatial.distance.pdist(frame).min() for frame in path) > 20.0
        assert np.all((path >= 0) & (path <= 180.0))

    def test_ellipse(self):
        radii = ellipse_outline(np.pi * 6.0, aspect=1.5, turn_rad=np.pi / 2).radii_um  # half axes 3 and 2
        assert radii[np.argmin(np.abs(ANGLES_RAD - np.pi / 2))] == pytest.approx(3.0, rel=1e-3)
        assert radii[0] == pytest.approx(2.0, rel=1e-3)


class TestReporter:
    KINETICS = Kinetics(
        np.array([0.1, 0.2]), np.array([0.15, 0.1]), np.array([0.6, 0.5]), np.array([600, 700.0]), 900.0
    )

    def test_follows_its_differential_equation(self):
        times = np.arange(0.0, 5400.0, 300.0)
        shares = nuclear_share(self.KINETICS, times)
        solution = integrate.solve_ivp(
            lambda t, x: (self.KINETICS.import_per_min * (1 - x) - self.KINETICS.export_at(t) * x) / 60.0,
            (0.0, times[-1]),
            [0.1 / 0.25, 0.2 / 0.3],
            t_eval=times,
            max_step=5.0,
        )
        np.testing.assert_allclose(shares, solution.y.T, atol=5e-3)
        np.testing.assert_allclose(shares[:3], [[0.4, 2 / 3]] * 3)  # steady until the stimulus
        assert np.all(shares[4] < 0.8 * shares[0])

    def test_an_even_spread_has_ratio_one(self):
        nuclear, cytosolic = concentrations(np.array([0.3, 0.6]))
        np.testing.assert_allclose(nuclear / cytosolic, [1.0, 3.5])
        np.testing.assert_allclose(0.3 * nuclear + 0.7 * cytosolic, 1.0)


class TestMigration:
    def test_same_seed_gives_the_same_movie(self, migration):
        again = simulate_migration(replace(CRAWLING, frames=2), 1)
        np.testing.assert_array_equal(again.images, migration.images[:2])
        np.testing.assert_array_equal(again.tracks, migration.tracks[:2])
        np.testing.assert_array_equal(again.nuclei, migration.nuclei[:2])

    def test_labels_are_the_cells_of_the_truth(self, migration):
        assert migration.images.shape == (4, 128, 128, 3)
        assert migration.channels == ("phase", "nuclear", "reporter")
        for frame, rows in migration.truth.groupby("frame"):
            cells, nuclei = migration.tracks[frame], migration.nuclei[frame]
            np.testing.assert_array_equal(np.unique(cells[cells > 0]), np.sort(rows["track"]))
            np.testing.assert_array_equal(nuclei[nuclei > 0], cells[nuclei > 0])
            cut = set(np.concatenate([cells[[0, -1]].ravel(), cells[:, [0, -1]].ravel()]))
            for track in set(rows["track"]) - cut:
                assert ndimage.label(cells == track)[1] == 1
                assert ndimage.label(nuclei == track)[1] == 1

    def test_cells_crawl_from_frame_to_frame(self, migration):
        """3 um of a cell of 40 um per frame."""
        first, second = migration.tracks[:2]
        shared = np.intersect1d(first, second)[1:]
        overlaps = [
            np.sum((first == track) & (second == track)) / np.sum((first == track) | (second == track))
            for track in shared
        ]
        assert len(shared) > 2
        assert 0.5 < np.median(overlaps) < 0.95

    def test_the_reporter_shows_the_ratio(self, migration):
        measured = []
        for frame, track in zip(migration.truth["frame"], migration.truth["track"], strict=True):
            reporter = migration.images[frame, ..., 2] - 100.0 - 0.08 * 500.0 * 1.8
            cell, nucleus = migration.tracks[frame] == track, migration.nuclei[frame] == track
            inside = ndimage.binary_erosion(cell, iterations=5) & ~ndimage.binary_dilation(nucleus, iterations=2)
            core = ndimage.binary_erosion(nucleus, iterations=3)
            enough = core.sum() > 20 and inside.sum() > 100
            measured.append(np.median(reporter[core]) / np.percentile(reporter[inside], 75) if enough else np.nan)
        table = pd.DataFrame({"measured": measured, "true": migration.truth["nucleus_to_cytoplasm"]}).dropna()
        assert len(table) >= 12
        assert np.corrcoef(np.log(table["measured"]), np.log(table["true"]))[0, 1] > 0.95
        assert np.median(table["measured"] / table["true"]) == pytest.approx(1.0, abs=0.12)

    def test_bad_config(self):
        with pytest.raises(UserError, match=r"migration.speed_um_per_h must be in \[0, 100\], got -1"):
            MigrationConfig(speed_um_per_h=-1)


def test_a_cell_that_comes_back_is_a_new_track():
    labels = np.array([[[5, 0, 9]], [[5, 0, 0]], [[0, 9, 5]]])
    tracks, rows = tracks_in_view(labels)
    np.testing.assert_array_equal(tracks, [[[1, 0, 2]], [[1, 0, 0]], [[0, 3, 1]]])
    np.testing.assert_array_equal(rows, [[0, 5, 1], [0, 9, 2], [1, 5, 1], [2, 5, 1], [2, 9, 3]])


def test_man_track_gives_first_and_last_frames():
    truth = pd.DataFrame({"frame": [0, 1, 2, 2, 3], "track": [1, 1, 2, 3, 3], "parent": [0, 0, 1, 1, 1]})
    np.testing.assert_array_equal(man_track(truth), [[1, 0, 1, 0], [2, 2, 2, 1], [3, 2, 3, 1]])
