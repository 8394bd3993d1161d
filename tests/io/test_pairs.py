"""Pairs of predicted and reference images by the names of their files."""

import pytest

from cellflax.errors import UserError
from cellflax.io.name_matching import match_names, stems_of_names
from cellflax.io.names import common_stem, frame_numbers, possible_stems
from cellflax.io.pairs import PairBy, pair_files, partners
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


@pytest.mark.parametrize(
    ("names", "files", "expected"),
    [
        ("A1 A1_2", "A1_2_gfp A1_gfp", "A1_gfp A1_2_gfp"),  # the longest common stem wins
        ("ctrl ctrl_2", "ctrl_2 ctrl", "ctrl ctrl_2"),
        ("w1_labels w1_nuclei_labels", "w1 w1_nuclei", "w1 w1_nuclei"),
        ("w1_nuclei_labels", "w1 w1_nuclei", "w1_nuclei"),
        ("a_phase b_phase", "a_gfp b_gfp", "a_gfp b_gfp"),
        ("a b", "A_Masks B_Masks", "A_Masks B_Masks"),
        ("t1 t2", "t002_c1 t001_c1", "t001_c1 t002_c1"),
        ("img_1 img_2", "mask_2 mask_1", "mask_1 mask_2"),
        ("a.ome b.ome", "a_labels.ome b_labels.ome", "a_labels.ome b_labels.ome"),
        ("i_1_DAPI_0 i_2_DAPI_0", "i_2_YFP_0 i_1_YFP_0", "i_1_YFP_0 i_2_YFP_0"),  # Micro-Manager
        ("i_1_DAPI_0 i_2_DAPI_0", "i_1_YFP_1 i_2_YFP_1", None),  # 0 and 1 may be positions
        ("i_1_DAPI_0 i_2_DAPI_0", "i_1_YFP_0 i_3_YFP_0", None),
        ("A1", "A1_2_gfp A1_3_gfp", None),  # 2 and 3 may be positions
        ("exp exp_ctrl", "exp_ctrl_gfp exp_drug_gfp", None),
        ("a b", "a_gfp a_phase", None),
        ("t000 t004", "t000_phase t003_phase", None),
    ],
)
def test_match_names(tmp_path, names, files, expected):
    paths = [tmp_path / f"{name}.tif" for name in files.split()]
    given = {}
    for name in names.split():
        (tmp_path / f"{name}.tif").touch()
        given[name] = tmp_path / f"{name}.tif"
    found = match_names(stems_of_names(given), paths).files
    if expected is None:
        assert len(found) < len(given)
    else:
        assert [found[name].name for name in given] == [f"{name}.tif" for name in expected.split()]


def test_possible_stems():
    assert [stems[-1] for stems in possible_stems(["w1_labels", "w1_nuclei_labels"])] == ["w1", "w1_nuclei"]
    assert [stems[-1] for stems in possible_stems(["a_labels", "a_masks"])] == ["a", "a"]


@pytest.mark.parametrize(
    ("stems", "numbers"),
    [
        (("t00", "t02"), [0, 2]),
        (("s1_t3", "s1_t4"), [3, 4]),
        (("s1_t3", "s2_t4"), [3, 4]),
        (("s1_t3", "s2_t3"), [1, 2]),
        (("1_5", "2_6"), None),
        (("a1", "b2"), None),
        (("t1", "t01"), None),
    ],
)
def test_frame_numbers(stems, numbers):
    assert frame_numbers(stems) == numbers


def test_files_pair_by_order_only_when_asked(folders, capsys):
    for name in ("1", "2"):
        write(folders / "other" / f"{name}.tif", REFERENCE)
    names = {pair.name: pair.predicted for pair in pair_files(str(folders / "predicted"), str(folders / "reference"))}
    with pytest.raises(UserError, match=r"no file named a, .*; without a partner there: 1.tif, 2.tif; .*pair=order"):
        partners("nuclei", str(folders / "other"), names)
    found = partners("nuclei", str(folders / "other"), names, PairBy.order)
    assert [found[name].name for name in sorted(names)] == ["1.tif", "2.tif"]
    for name in ("a", "b", "c"):
        write(folders / "more" / f"{name}.tif", REFERENCE)
    partners("nuclei", str(folders / "more"), names)
    assert "1 files without a partner are left out (c.tif)" in capsys.readouterr().err
