"""Measurements of images with known cells."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cellflax.data.folder import FolderData
from cellflax.ignored import SparseLabels
from cellflax.planning.cell_shapes import measure_cells, touching_cells
from cellflax.planning.intensities import measure_channel
from cellflax.planning.markers import is_nuclear, measure_marker
from cellflax.planning.measure import measure_data, measure_examples, without_test
from tests.planning.discs import discs, example, stained, write_folder


def test_discs_have_their_diameter():
    cells = measure_cells([example(discs(20, 4, 5, 40)), example(discs(20, 2, 2, 40))])
    assert cells.count == cells.whole == 24
    assert cells.per_image.median == 12
    for spread in (cells.diameter, cells.width):
        assert spread.low == pytest.approx(20, abs=0.5)
        assert spread.high == pytest.approx(20, abs=0.5)
    assert cells.elongation == pytest.approx(1, abs=0.1)
    assert cells.solidity > 0.9
    area = np.bincount(discs(20, 1, 1, 40).ravel())[1]
    assert cells.smallest_area == (area, area, area)
    assert cells.area_share == pytest.approx(area / 1600)
    assert (cells.touching, cells.annotated, cells.diameter_um) == (0, 1, None)


def test_rods_have_their_width():
    labels = np.zeros((100, 200), np.int32)
    for i in range(8):
        for j in range(4):
            labels[4 + 12 * i : 10 + 12 * i, 10 + 48 * j : 40 + 48 * j] = 1 + 4 * i + j
    cells = measure_cells([example(labels)])
    assert cells.width.median == pytest.approx(6, abs=0.4)
    assert cells.elongation == pytest.approx(5, rel=0.1)


def test_cut_cells_do_not_count_unless_there_are_few_others():
    labels = discs(20, 4, 4, 40)
    cut = labels[20:, 20:]  # halves of seven, nine whole ones
    assert measure_cells([example(cut)]).diameter.low < 19
    assert measure_cells([example(cut), example(labels)]).diameter.low == pytest.approx(20, abs=0.5)


def test_gaps_of_two_pixels_touch_and_of_three_do_not():
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 2:8], labels[5:15, 10:16], labels[5:15, 19:25], labels[5:15, 25:31] = 1, 2, 3, 4
    np.testing.assert_array_equal(touching_cells(labels), [True, True, True, True])
    labels[labels == 4] = 0
    np.testing.assert_array_equal(touching_cells(labels), [True, True, False])


def test_sparse_annotation_counts_what_is_known():
    labels = discs(20, 2, 2, 40)
    labels[:40][labels[:40] == 0] = 200  # background, painted in the upper half
    cells, ignored = SparseLabels(0, 200).take_out(labels, None)
    measured = measure_cells([example(cells, stained(cells), ignored=ignored)])
    assert measured.count == 4
    assert measured.annotated == pytest.approx(float((ignored == 0).mean()))
    assert measured.annotated < 0.8


def test_physical_sizes_need_every_pixel_size():
    one, two = example(discs(20, 2, 2, 40), pixel_size_um=0.5), example(discs(10, 2, 2, 20), pixel_size_um=1.0)
    found = measure_cells([one, two]).diameter_um
    assert found is not None
    assert found.median == pytest.approx(10, abs=0.5)
    assert measure_cells([one, replace(two, pixel_size_um=None)]).diameter_um is None


def test_intensities_of_a_stain_and_of_transmitted_light():
    labels = discs(20, 5, 5, 40)
    stain = measure_channel([example(labels)], 0, "dna", 20)
    assert stain.contrast > 20
    assert stain.bits == 11
    assert stain.zero == 0
    assert stain.unevenness < 0.02
    rim = labels * 0 + 1000
    rim[(labels > 0) & (np.roll(labels, 2, 0) == 0)] += 300  # outlines alone
    slope = np.linspace(0, 400, labels.shape[1])[None].astype(int)
    light = (rim + slope + np.random.default_rng(0).normal(0, 20, labels.shape)).astype(np.float32)
    phase = measure_channel([example(labels, light)], 0, "phase", 20)
    assert abs(phase.contrast) < 0.5
    assert phase.unevenness > 0.1
    assert phase.bits is None


def test_zero_background_and_constant_channels():
    labels = discs(20, 3, 3, 40)
    subtracted = np.where(labels > 0, 500, 0)
    measured = measure_channel([example(labels, subtracted), example(labels, labels * 0)], 0, "dna", 20)
    assert measured.zero > 0.7
    assert measured.constant == 1
    assert (measured.lowest, measured.highest) == (0, 500)


@pytest.mark.parametrize(
    "name", ["nuclear", "Nuclei", "DAPI", "dapi_405", "Hoechst 33342", "DNA", "H2B-mCherry", "H2BGFP", "nuc", "SiRDNA"]
)
def test_names_of_nuclear_markers(name):
    assert is_nuclear(name)


@pytest.mark.parametrize("name", ["phase", "channel_0", "RNA", "er", "mito", "actin", "brightfield", "nucleolin", "z0"])
def test_names_of_other_channels(name):
    assert not is_nuclear(name)


def test_a_marker_within_cells_and_one_of_the_cells_themselves():
    cells, nuclei = discs(40, 4, 4, 60), discs(16, 4, 4, 60)
    inside = measure_marker([example(cells, stained(cells), stained(nuclei))], 1, "dapi")
    assert inside.diameter is not None
    assert inside.diameter.median == pytest.approx(16, abs=2)
    assert inside.seeded > 0.95
    assert inside.coverage < 0.3
    same = measure_marker([example(nuclei, stained(cells), stained(nuclei))], 1, "dapi")
    assert same.coverage > 0.8
    none = measure_marker([example(cells, stained(cells), stained(cells * 0))], 1, "dapi")
    assert none.seeded < 0.5


def test_specks_without_a_nucleus_are_no_cells():
    cells, nuclei = discs(40, 4, 4, 60), discs(16, 4, 4, 60)
    specks = np.where((cells == 0) & (discs(5, 24, 24, 10) > 0), discs(5, 24, 24, 10) + 16, cells)
    found = measure_examples([example(specks, stained(cells), stained(nuclei))], ["phase", "dapi"])
    assert found.markers[0].fragment_px == pytest.approx(np.pi * 12**2 * (40 / 24) ** 2 / 10, rel=0.05)
    assert (found.cells.count, found.cells.fragments) == (16, len(np.unique(specks)) - 17)
    assert found.cells.diameter.median == pytest.approx(40, abs=0.5)
    # Specks that hold nuclei are cells, and so are all where no channel shows nuclei.
    of_specks = stained((specks > 0) & ((cells == 0) | (nuclei > 0)))
    for examples, channels in (
        ([example(specks, stained(cells), of_specks)], ["phase", "dapi"]),
        ([example(specks, stained(cells), stained(nuclei))], ["phase", "actin"]),
        ([example(specks, stained(cells))], ["phase"]),
    ):
        assert measure_examples(examples, channels).cells.fragments == 0


def test_everything_is_json_and_the_test_part_is_not_looked_at(tmp_path):
    for name, diameter in (("a", 10), ("b", 20)):
        write_folder(tmp_path / "in" / name, {str(i): discs(diameter, 3, 3, 30) for i in range(3)})
    everything = measure_data(FolderData(root=str(tmp_path / "in")))
    assert json.loads(json.dumps(everything.to_json()))["cells"]["count"] == 54
    assert [(part.name, part.images, part.cells) for part in everything.sets] == [("a", 3, 27), ("b", 3, 27)]
    assert (everything.images, everything.smallest_edge, everything.unknown_pixel_size) == (6, 90, 6)
    tested = measure_data(FolderData(root=str(tmp_path / "in"), test_sets=["b"]))
    assert tested.cells.count == 27
    assert tested.cells.diameter.high < 12
    folds = FolderData(root=str(tmp_path / "in"), folds=3, fold=0)
    assert measure_data(folds).images == 4


def test_images_without_test_part_are_all_there():
    images = [example(discs(10, 2, 2, 20), name=name) for name in "ab"]
    assert without_test(images, FolderData()) == images


def test_an_image_without_cells_is_counted():
    labels = discs(20, 3, 3, 40)
    measured = measure_examples([example(labels), example(labels * 0, name="b")], ["channel_0"])
    assert (measured.images, measured.with_cells, measured.markers) == (2, 1, ())


def test_a_large_image_with_few_cells():
    labels = np.zeros((3000, 2500), np.int32)
    labels[1500:1560, 1200:1260] = discs(20, 2, 2, 30)
    measured = measure_examples([example(labels, stained(labels), stained(labels))], ["light", "dapi"])
    assert measured.cells.count == 4
    assert measured.cells.least_area_share < 0.001
    assert measured.markers[0].coverage > 0.5
