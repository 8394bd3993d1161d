"""JPEG pictures: colours, orientation, what is said of their loss, damage."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from cellflax.errors import UserError
from cellflax.io import jpeg
from cellflax.io.files import images_in
from cellflax.io.images import read_image, read_labels
from cellflax.io.readers import open_scene


@pytest.fixture(autouse=True)
def no_notes_yet(monkeypatch):
    monkeypatch.setattr(jpeg, "_noted", set())


def smooth(*shape: int) -> np.ndarray:
    """A picture that JPEG hardly changes."""
    rows, columns = np.indices(shape[:2])
    plane = 40 + 2 * rows + columns
    return (plane if len(shape) == 2 else np.stack([plane, 250 - plane, plane // 2], -1)).astype(np.uint8)


def save(path: Path, picture: np.ndarray, **options) -> Path:
    Image.fromarray(picture).save(path, "JPEG", **({"quality": 100, "subsampling": 0} | options))
    return path


@pytest.mark.parametrize("progressive", [False, True])
def test_grey_and_colours(progressive, tmp_path):
    grey, colours = smooth(60, 40), smooth(60, 40, 3)
    image = read_image(save(tmp_path / "grey.jpg", grey, progressive=progressive))
    assert (image.channels, image.origin, image.pixels.dtype) == (("channel_0",), "default", np.uint8)
    np.testing.assert_allclose(image.pixels[..., 0], grey, atol=2)
    image = read_image(save(tmp_path / "rgb.JPEG", colours, progressive=progressive))
    assert (image.channels, image.origin) == (("red", "green", "blue"), "colours")
    np.testing.assert_allclose(image.pixels, colours, atol=4)
    assert [path.name for path in images_in(tmp_path)] == ["grey.jpg", "rgb.JPEG"]


def test_dots_per_inch_are_no_pixel_size(tmp_path):
    with open_scene(save(tmp_path / "a.jpg", smooth(60, 40), dpi=(72, 72))) as scene:
        assert (scene.pixel_size_um, scene.times_s()) == (None, None)
        assert scene.sizes == {"T": 1, "C": 1, "Z": 1, "Y": 60, "X": 40}


@pytest.mark.parametrize("orientation", range(10))
def test_orientation(orientation, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", smooth(60, 40), exif=exif)
    image = read_image(path)
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
    np.testing.assert_array_equal(image.pixels[..., 0], np.asarray(upright))
    said = f"turned as its EXIF orientation ({orientation}) says" in capsys.readouterr().err
    assert said == (2 <= orientation <= 8)


def test_loss_is_said_once_for_each_folder(tmp_path, capsys):
    for name in ("a.jpg", "b.jpg", "sub/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        read_image(save(tmp_path / name, smooth(60, 40)))
    lines = [line for line in capsys.readouterr().err.splitlines() if "compression changes the pixels" in line]
    assert [line.split(":")[1].strip() for line in lines] == [str(tmp_path / "a.jpg"), str(tmp_path / "sub/c.jpg")]


def test_labels_are_refused(tmp_path):
    path = save(tmp_path / "masks.jpg", smooth(60, 40))
    with pytest.raises(UserError, match="labels in a JPEG are not read, because its compression changes their numbers"):
        read_labels(path)
    path.rename(tmp_path / "masks.png")  # whatever it is called
    with pytest.raises(UserError, match="labels in a JPEG are not read"):
        read_labels(tmp_path / "masks.png")


def test_other_kinds_are_refused(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth(60, 40, 3)).convert("CMYK").save(path)
    with pytest.raises(UserError, match="colours CMYK are not supported; export the image as TIFF"):
        read_image(path)
    path.write_bytes(imagecodecs.jpeg8_encode(smooth(60, 40).astype(np.uint16), bitspersample=12))
    with pytest.raises(UserError, match="a JPEG of 12 bits is not supported; export the image as TIFF"):
        read_image(path)


@pytest.mark.parametrize("progressive", [False, True])
def test_truncation_is_one_line(progressive, tmp_path):
    path = save(tmp_path / "a.jpg", smooth(60, 40, 3), progressive=progressive)
    whole = path.read_bytes()
    for length in range(3, len(whole) - 2, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"a\.jpg: damaged or incomplete") as error:
            read_image(path)
        assert "\n" not in str(error.value)


def test_random_damage_is_one_line(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(smooth(60, 40, 3)).save(stream, "JPEG")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(stream.getvalue())
        for place in rng.integers(3, len(damaged), 3):
            damaged[place] = rng.integers(256)
        (tmp_path / "a.jpg").write_bytes(damaged)
        try:
            read_image(tmp_path / "a.jpg")
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
    assert refused > 30


def test_sizes_that_the_file_cannot_hold_are_refused(tmp_path):
    path = save(tmp_path / "a.jpg", smooth(60, 40))
    content = path.read_bytes()
    at = content.index(b"\xff\xc0") + 5  # height and width follow the length and the number of bits
    path.write_bytes(content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :])
    with pytest.raises(UserError, match="declares 4294836225 bytes of pixels and can hold"):
        read_image(path)
