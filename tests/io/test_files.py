"""Files of a folder or a pattern, and those that are channels of one image."""

from pathlib import Path

import pytest

from cellflax.errors import UserError
from cellflax.io.images import (
    group_channels,
    list_files,
)


def test_list_files(tmp_path):
    for name in ("b.TIF", "a.png", "notes.txt", ".hidden.png", "set1/c.tiff", "x[1].tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in list_files(tmp_path)] == ["a.png", "b.TIF", "x[1].tif"]
    assert [path.name for path in list_files(f"{tmp_path}/*/*")] == ["c.tiff"]
    assert [path.name for path in list_files(f"{tmp_path}/**/*.t*")] == ["c.tiff", "x[1].tif"]
    assert [path.name for path in list_files(tmp_path / "x[1].tif")] == ["x[1].tif"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no TIFF, PNG, .* images in this folder"):
        list_files(tmp_path / "empty")
    with pytest.raises(UserError, match=r"no such TIFF, PNG, .* file"):
        list_files(tmp_path / "*.none")


def _groups(names: list[str], channels: list[str]) -> dict[str, list[str]]:
    groups = group_channels([Path("/data") / name for name in names], channels)
    return {group.name: [str(path.relative_to("/data")) for path in group.paths] for group in groups}


@pytest.mark.parametrize(
    ("names", "channels", "expected"),
    [
        (["a.tif", "b.tif"], [], {"a": ["a.tif"], "b": ["b.tif"]}),
        (
            ["a_nuclear.tif", "a_phase.tif", "a_masks.tif", "phase-b.tif", "nuclear-b.tif"],
            ["phase", "nuclear"],
            {"a": ["a_phase.tif", "a_nuclear.tif"], "b": ["phase-b.tif", "nuclear-b.tif"]},
        ),
        (
            [
                "set1/phase.png",
                "set1/nuclear.png",
                "set2/phase.png",
                "set2/nuclear.png",
                "set1/feature_0.png",
            ],
            ["phase", "nuclear"],
            {
                "set1": ["set1/phase.png", "set1/nuclear.png"],
                "set2": ["set2/phase.png", "set2/nuclear.png"],
            },
        ),
        (
            ["img_000_DAPI_7.tif", "img_000_Phase_7.tif"],
            ["phase", "dapi"],
            {"img_000_7": ["img_000_Phase_7.tif", "img_000_DAPI_7.tif"]},
        ),
        (["w-ch1s.tif", "w-ch10s.tif"], ["ch10", "ch1"], {"w-s": ["w-ch10s.tif", "w-ch1s.tif"]}),
        (
            ["HeLa/raw/phase.tif", "3T3/raw/phase.tif"],
            ["phase"],
            {"HeLa_raw": ["HeLa/raw/phase.tif"], "3T3_raw": ["3T3/raw/phase.tif"]},
        ),
        (["day1/a.tif", "day2/a.tif"], [], {"day1_a": ["day1/a.tif"], "day2_a": ["day2/a.tif"]}),
    ],
)
def test_group_channels(names, channels, expected):
    assert _groups(names, channels) == expected


def test_channels_that_no_file_name_holds_are_within_the_files():
    files = [Path("/data/img_0.tif"), Path("/data/img_1.tif")]
    for channels in (["gfp", "0"], ["0"], ["5"]):
        for file, image in zip(files, group_channels(files, channels), strict=True):
            assert (image.paths, image.channels, image.within) == ((file,), (), tuple(channels))
    assert [image.channels for image in group_channels(files, ["0", "1"])] == [("0", "1")]


@pytest.mark.parametrize(
    ("names", "channels", "message"),
    [
        (["a_phase.tif"], ["phase", "nuclear"], "no file for channel nuclear"),
        (["nuclear_phase.tif"], ["phase", "nuclear"], "fits the channels phase and nuclear"),
        (["a_phase.tif", "a_phase.png"], ["phase"], "also channel phase"),
        (["a.tif"], ["phase", "Phase"], "different, non-empty"),
        (["a.tif", "a.png"], [], "both would be named a"),
    ],
)
def test_bad_channel_groups(names, channels, message):
    with pytest.raises(UserError, match=message):
        _groups(names, channels)
