"""What is no regular file, or too large, is refused before it is read."""

import os

import numpy as np
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.io.images import read_image
from cellflax.jsonfile import parse_json, read_json
from cellflax.wholefile import is_blank, read_utf8, require_plain_files
from tests.fuzz.pictures import Tiff


@pytest.mark.timeout(20)
@pytest.mark.parametrize("place", ["pipe", "device", "folder", "loop", "missing"])
@pytest.mark.parametrize("read", [lambda path: read_utf8(path, "mend it", 100), lambda path: read_image(path)])
def test_other_things_in_a_files_place(tmp_path, place, read):
    path = tmp_path / "a.tif"
    match place:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
    with pytest.raises(UserError, match=r"a\.tif: (cannot be opened \(|not a regular file|a folder)"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 101, r"has 101 bytes, and at most 100 are read; mend it"),
        (b"a\nb\0", r"line 2 holds a NUL byte.*; mend it"),
        (b"a\n\xff", r"line 2 is not UTF-8; mend it"),
    ],
)
def test_text(tmp_path, content, message):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_utf8(tmp_path / "a", "mend it", 100)


def test_ten_gigabytes_of_nothing(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(UserError, match="at most 33554432 are read"):
        read_json(tmp_path / "a", "mend it")


def test_byte_order_mark(tmp_path):
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a", "") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "more than 64 levels|Expecting"),
        ("[" * 65 + "]" * 65, "more than 64 levels"),
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": 1e999}', "1e999 is not a finite number"),
        ('{"a": ' + "9" * 5000 + "}", "more than 64 bits"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"\\ud800": 1}', "half a character"),
        ('{"a": 1', "delimiter"),
    ],
)
def test_json_that_cellflax_does_not_write(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


def test_json_that_it_writes():
    value = {"a": [1, -2.5, True, None, 2**63, {"µ": "€"}]}
    assert parse_json('{"a": [1, -2.5, true, null, 9223372036854775808, {"µ": "€"}]}') == value


def test_folders_hold_regular_files_alone(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").touch()
    require_plain_files(tmp_path, "")
    os.mkfifo(tmp_path / "a" / "pipe")
    with pytest.raises(UserError, match=r"pipe: is not a regular file"):
        require_plain_files(tmp_path, "mend it")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("bigtiff", [False, True])
def test_a_tiff_whose_last_of_many_directories_leads_back(tmp_path, bigtiff):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((300, 8, 8), np.uint8), bigtiff=bigtiff, metadata=None, photometric="minisblack")
    tiff = Tiff(path.read_bytes())
    directories = list(tiff.directories())
    tiff.put(directories[-1][2], tiff.word, directories[150][0])
    path.write_bytes(tiff.content)
    with pytest.raises(UserError, match=r"a\.tif: damaged .*circle"):
        read_image(path)


@pytest.mark.parametrize(("content", "blank"), [(b"", True), (b"\0" * 5000, True), (b"\0{", False), (b"{}", False)])
def test_a_file_that_lost_its_content(tmp_path, content, blank):
    (tmp_path / "file").write_bytes(content)
    assert is_blank(tmp_path / "file") is blank
    assert not is_blank(tmp_path / "none")
    assert not is_blank(tmp_path)
