"""`cellflax inspect` on files of known content: what is said of them, and how they belong together."""

import numpy as np
import pytest
import tifffile

from cellflax import inspect
from tests.commands import run_command

PIXELS = np.random.default_rng(0).integers(1, 60000, (3, 2, 4, 14, 18)).astype(np.uint16)  # TCZYX


def said_of(*words: object) -> tuple[int, list[str]]:
    result = run_command(inspect.main, *words)
    return result.status, result.out.splitlines()


def test_what_a_file_says(tmp_path):
    metadata = {
        "axes": "TCZYX",
        "Channel": {"Name": ["phase", "gfp"]},
        **{f"PhysicalSize{axis}": size for axis, size in (("X", 0.5), ("Y", 0.5), ("Z", 2.0))},
        "TimeIncrement": 5.0,
        "TimeIncrementUnit": "min",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, ome=True, photometric="minisblack", metadata=metadata)
    status, lines = said_of(tmp_path / "a.ome.tif")
    assert status == 0
    assert lines == [
        f"{tmp_path}: 1 image file",
        "  a.ome.tif: 3 frames, one every 300 s (OME); 4 focal planes, 2 um apart; 2 channels (phase, gfp); 14 x 18 px "
        "uint16; 0.5 um per px (OME)",
    ]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 14, 18), "3 channels (an axis without a name in the file; time_axis=C if it is not)"),
        ((9, 14, 18), "9 frames (an axis without a name in the file; time_axis=none if it is not), times unknown"),
        ((14, 18), "1 channel without a name; 14 x 18 px uint16; pixel size unknown"),
    ],
)
def test_what_a_file_does_not_say(tmp_path, shape, expected):
    tifffile.imwrite(tmp_path / "a.tif", np.resize(PIXELS, shape), photometric="minisblack", metadata=None)
    (line,) = said_of(tmp_path / "a.tif")[1][1:]
    assert expected in line.replace(" channels without a name (", " channels (")


def test_the_user_says_more(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS[0, 0], imagej=True, metadata={"axes": "ZYX"})
    assert "4 focal planes" in said_of(tmp_path)[1][1]
    assert "4 frames, times unknown" in said_of(tmp_path, "time_axis=Z")[1][1]


def test_every_position_has_its_line(tmp_path):
    with tifffile.TiffWriter(tmp_path / "plate.ome.tif", ome=True) as writer:
        for name in ("B2", "B3"):
            writer.write(PIXELS[0, 0, 0], metadata={"axes": "YX", "Name": name})
    _, lines = said_of(tmp_path / "plate.ome.tif")
    assert [line.split(":")[0] for line in lines[1:]] == ["  plate.ome.tif [B2]", "  plate.ome.tif [B3]"]
    assert len(said_of(tmp_path / "plate.ome.tif", "scene=B3")[1]) == 2


def test_files_that_belong_together(tmp_path):
    for frame in (1, 2, 4):
        for channel in ("dapi", "yfp"):
            tifffile.imwrite(tmp_path / f"x_t{frame}_{channel}.tif", PIXELS[0, 0, 0])
    _, lines = said_of(tmp_path)
    assert "  -> as images of several files: channels=[dapi,yfp] makes 3 images of them" in lines[-2]
    _, lines = said_of(tmp_path, "channels=[dapi,yfp]")
    assert "  -> with channels=[dapi,yfp]: 3 images: x_t1 = x_t1_dapi.tif, x_t1_yfp.tif" in lines[-2]
    _, lines = said_of(tmp_path / "*_yfp.tif")
    assert lines[-1] == "  -> as one movie (track): 3 frames, numbered 1 to 4, without 3"


def test_images_and_their_labels(tmp_path):
    for name in ("images/a", "images/b", "labels/a", "labels/b_mask"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"{name}.tif", PIXELS[0, 0, 0])
    _, lines = said_of(tmp_path)
    assert lines[-1].endswith(
        f"as training data (data.root), {tmp_path.name}: 2 images with labels: a.tif + a.tif; b.tif + b_mask.tif"
    )
    (tmp_path / "labels/a.tif").unlink()
    assert "not as training data (data.root): " in said_of(tmp_path)[1][-1]
    assert "a.tif: no label image" in said_of(tmp_path)[1][-1]


def test_a_damaged_file_is_named_and_the_others_are_read(tmp_path):
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", PIXELS[0, 0, 0])
    (tmp_path / "b.tif").write_bytes((tmp_path / "b.tif").read_bytes()[:300])
    result = run_command(inspect.main, tmp_path)
    assert result.status == 1
    assert sum("14 x 18 px" in line for line in result.out.splitlines()) == 2
    assert "CANNOT BE READ" in result.out
    assert result.err.splitlines()[-1] == "error: 1 files cannot be read, see above"


def test_alike_images_are_counted(tmp_path):
    for i in range(9):
        tifffile.imwrite(tmp_path / f"{i}.tif", PIXELS[0, 0, 0])
    _, lines = said_of(tmp_path)
    assert "  ... and 5 more like it, to 8.tif" in lines
