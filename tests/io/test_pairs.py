"""Pairs of predicted and reference images by the names of their files."""

import pytest

from cellflax.errors import UserError
from cellflax.io.pairs import common_stem, pair_files
from tests.evaluation.fields import REFERENCE, write, write_fields


@pytest.fixture
def folders(tmp_path):
    return write_fields(tmp_path)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a_labels.tif", "a"),
        ("a_cp_masks.png", "a"),
        ("a_cells_labels.tif", "a"),
        ("A-Mask.tiff", "A"),
        ("a_img.tif", "a"),
        ("field_12.tif", "field_12"),
        ("masks.tif", "masks"),
        ("unmasks.tif", "unmasks"),
    ],
)
def test_common_stem(tmp_path, name, stem):
    assert common_stem(tmp_path / name) == stem


def test_images_are_found_by_the_beginning_of_their_names(folders):
    for name in ("a_phase", "a_nuclear", "b_phase", "b_nuclear", "bb_phase"):
        write(folders / "image" / f"{name}.tif", REFERENCE)
    arguments = str(folders / "predicted"), str(folders / "reference"), None
    pairs = pair_files(*arguments, str(folders / "image" / "*_phase.tif"))
    assert [pair.image.name for pair in pairs if pair.image] == ["a_phase.tif", "b_phase.tif"]
    with pytest.raises(UserError, match="has 2 files named a_"):
        pair_files(*arguments, str(folders / "image"))
