"""Sites from file names and their planes, on small files written here."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.io.file_pattern import parse_patterns
from cellflax.io.images import write_image
from cellflax.io.site_images import read_site
from cellflax.io.sites import check_sites, find_sites

PLANE = np.arange(80, dtype=np.uint16).reshape(8, 10)


def _write(folder: Path, *names: str) -> Path:
    """Files that hold PLANE plus their place in the list."""
    for index, name in enumerate(names):
        write_image(folder / name, PLANE + index)
    return folder


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (
            "{well}_{site}_{channel}_z{plane}.tif",
            "B02_3_dapi_z1.tif",
            dict(well="B02", site="3", channel="dapi", plane="1"),
        ),
        ("{site}_{channel}-*.tif", "a_b-c.tif", {"site": "a", "channel": "b"}),
        (
            "r{well}f{site}p01-{channel}sk1.tiff",
            "r01c01f02p01-ch5sk1.tiff",
            dict(well="01c01", site="02", channel="ch5"),
        ),
        ("{site}/x-Z{z_um}.ics", "set1/x-Z1341.95.ics", {"site": "set1", "z_um": "1341.95"}),
        ("{site}_{z_um}.tif", "a_-10.5.tif", {"site": "a", "z_um": "-10.5"}),
        ("{site}.tif", "a+b(1)[2].tif", {"site": "a+b(1)[2]"}),
        ("{site}.tif", "xtif", None),
        ("{site}.tif", "folder/a.tif", None),
        ("{site}_{z_um}.tif", "a_b.tif", None),
    ],
)
def test_fields_of_a_name(pattern, name, expected):
    (parsed,) = parse_patterns(pattern)
    assert parsed.match(name) == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{wel}.tif", r"unknown field \{wel\}; there are well, site, channel, plane, z_um"),
        ("{site}{channel}.tif", r"\{site\}\{channel\} cannot be told apart"),
        ("{site}*.tif", r"\{site\}\* cannot be told apart"),
        ("{site}_{site}.tif", "each field once"),
        ("{plane}_{z_um}.tif", "plane or z_um, not both"),
        ("{site}-{plane}.tif | {site}_Z{z_um}.tif", "plane or z_um, not both"),
        ("{site}_{channel}.tif | {site}.tif", "must use the same of"),
    ],
)
def test_patterns_that_cannot_be_used(pattern, message):
    with pytest.raises(UserError, match=message):
        parse_patterns(pattern)


def test_a_name_that_fits_in_two_ways():
    (pattern,) = parse_patterns("{site}_{channel}.tif")
    with pytest.raises(UserError, match="site=a, channel=b_c or site=a_b, channel=c"):
        pattern.match("a_b_c.tif")


def test_planes_are_read_in_the_order_of_their_numbers(tmp_path):
    folder = _write(tmp_path, *(f"A1_s1_{channel}_z{z}.tif" for channel in ("bf", "dapi") for z in (10, 2, -1)))
    _write(tmp_path, "notes_of_the_day.tif")
    (site,) = find_sites(folder, "{well}_s{site}_{channel}_z{plane}.tif")
    assert (site.name, sorted(site.files)) == ("A1_1", ["bf", "dapi"])
    content = read_site(site, ["dapi", "bf"]).channels
    assert list(content) == ["dapi", "bf"]
    assert content["bf"].planes == ("z-1", "z2", "z10")
    np.testing.assert_array_equal(content["bf"].pixels, [PLANE + 2, PLANE + 1, PLANE])
    np.testing.assert_array_equal(content["dapi"].pixels, [PLANE + 5, PLANE + 4, PLANE + 3])


def test_focus_positions_in_folders_and_several_patterns(tmp_path):
    _write(tmp_path, "set1/bf-Z1351.6.tif", "set1/bf-Z1327.6.tif", "set1/fl.tif", "set2/bf-Z9.tif", "set2/bf-Z8.5.tif")
    _write(tmp_path, "set2/fl.tif")
    sites = find_sites(tmp_path, "{site}/{channel}-Z{z_um}.tif | {site}/{channel}.tif")
    check_sites(sites, ["bf", "fl"])
    for site, positions in zip(sites, [(1327.6, 1351.6), (8.5, 9.0)], strict=True):
        content = read_site(site, ["bf", "fl"]).channels
        assert (content["bf"].planes, content["bf"].z_um) == (("z0", "z1"), positions)
        assert (content["fl"].planes, content["fl"].z_um) == (("",), None)


def test_focus_position_of_an_only_plane(tmp_path):
    (site,) = find_sites(_write(tmp_path, "a-Z12.5.tif"), "{site}-Z{z_um}.tif")
    content = read_site(site, [""]).channels[""]
    assert (content.planes, content.z_um) == (("",), (12.5,))


def test_channels_and_planes_inside_one_file(tmp_path):
    pixels = np.stack([[PLANE, PLANE + 1], [PLANE + 2, PLANE + 3]])
    metadata = {"axes": "CZYX", "Channel": {"Name": ["bf", "dapi"]}, "PhysicalSizeZ": 4.0}
    tifffile.imwrite(tmp_path / "a.tif", pixels, ome=True, metadata=metadata)
    (site,) = find_sites(tmp_path, "{site}.tif")
    content = read_site(site, ["dapi"]).channels["dapi"]
    assert (content.planes, content.z_um) == (("z0", "z1"), (0.0, 4.0))
    np.testing.assert_array_equal(content.pixels, pixels[1])
    with pytest.raises(UserError, match=r"no channel actin; it has bf, dapi"):
        read_site(site, ["actin"])


def _read_all(folder: Path) -> None:
    sites = find_sites(folder, "{site}_{channel}_z{plane}.tif")
    check_sites(sites, ["bf", "dapi"])
    for site in sites:
        read_site(site, ["bf", "dapi"])


def _dark(folder: Path) -> None:
    write_image(folder / "b_dapi_z0.tif", np.full((8, 10), 3, np.uint16))


def _other_size(folder: Path) -> None:
    write_image(folder / "b_bf_z1.tif", PLANE[:6])


def _other_size_of_the_channel(folder: Path) -> None:
    write_image(folder / "b_dapi_z0.tif", PLANE[:6])


def _not_finite(folder: Path) -> None:
    write_image(folder / "b_dapi_z0.tif", np.where(PLANE > 3, PLANE, np.nan).astype(np.float32))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: (folder / "b_bf_z1.tif").unlink(),
            "site b: plane 1 of channel bf is missing, which site a has",
        ),
        (lambda folder: (folder / "b_dapi_z0.tif").unlink(), "site b: no file of channel dapi"),
        (_dark, "b_dapi_z0.tif: channel dapi is 3 everywhere"),
        (_other_size, r"b_bf_z1.tif: its size \(6, 10\) differs from \(8, 10\) of b_bf_z0.tif"),
        (_other_size_of_the_channel, r"site b: channel dapi is \(6, 10\) and channel bf \(8, 10\)"),
        (_not_finite, "b_dapi_z0.tif: channel dapi contains NaN"),
        (lambda folder: _write(folder, "b_bf_z1.0.tif", "b_bf_z01.tif"), "site a: plane 01 of channel bf is missing"),
    ],
)
def test_sites_that_cannot_be_used(tmp_path, spoil, message):
    _write(tmp_path, *(f"{site}_{plane}.tif" for site in "ab" for plane in ("bf_z0", "bf_z1", "dapi_z0")))
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        _read_all(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{site}_z{plane}_{channel}.tif", r"fits none of the 2 images in .*; the first is a_bf_1.tif"),
        ("{site}_bf_*.tif", "a_bf_2.tif: a_bf_1.tif is the same image"),
        ("{site}/x.tif", "fits none of the 0 images"),
    ],
)
def test_patterns_that_do_not_fit_the_files(tmp_path, pattern, message):
    _write(tmp_path, "a_bf_1.tif", "a_bf_2.tif")
    with pytest.raises(UserError, match=message):
        find_sites(tmp_path, pattern)


def test_sites_whose_names_would_be_the_same(tmp_path):
    _write(tmp_path, "a_b-c.tif", "a-b_c.tif")
    with pytest.raises(UserError, match="would be named a_b_c like another"):
        find_sites(tmp_path, "{well}-{site}.tif")


def test_no_such_folder(tmp_path):
    with pytest.raises(UserError, match="none: no such folder"):
        find_sites(tmp_path / "none", "{site}.tif")
