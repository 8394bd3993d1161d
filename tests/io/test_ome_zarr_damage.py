"""OME-Zarr that is damaged, cut off, or leads elsewhere: one line, or right pixels."""

import os
import shutil
import tracemalloc

import numpy as np
import pytest
import zarr

from cellflax.errors import BlankError, UserError
from cellflax.io import zarr_store
from cellflax.io.files import find_images
from cellflax.io.images import read_channels, read_image
from cellflax.io.notices import warn
from cellflax.io.zarr_metadata import VERSIONS
from tests.io.zarr_files import array_of, change, change_array, chunks_of, pixels, write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the writer says which defaults it takes


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture(autouse=True)
def all_warnings():
    """Warnings are printed once; each test sees its own."""
    warn.cache_clear()


def test_missing_chunks_are_reported(version, tmp_path, capsys):
    array = pixels(2, 32, 32)
    path = write(tmp_path / "a.zarr", array, "cyx", version, storage_options={"chunks": (1, 16, 16)})
    chunks = chunks_of(path)
    assert len(chunks) == 8
    chunks[0].unlink()
    array[0, :16, :16] = 0
    np.testing.assert_array_equal(read_image(path).pixels, np.moveaxis(array, 0, -1))
    assert "lacks some chunks of pixels, which by the format are 0; if their files were lost" in capsys.readouterr().err
    for chunk in chunks[1:]:
        chunk.unlink()
    with pytest.raises(BlankError, match=r"channel_0 is constant \(0\)"):
        read_channels(find_images([path])[0])


def test_truncated_and_other_chunks_are_refused(version, tmp_path):
    array = pixels(30, 20)
    path = write(tmp_path / "a.zarr", array, "yx", version, scale_factors=[])
    (chunk,) = chunks_of(path)
    whole = chunk.read_bytes()
    for length in range(0, len(whole), 13):
        chunk.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"a\.zarr: damaged or incomplete") as error:
            read_image(path)
        assert "\n" not in str(error.value)
    rng = np.random.default_rng(1)
    for _ in range(30):
        chunk.write_bytes(rng.bytes(len(whole)))
        with pytest.raises(UserError, match="damaged or incomplete"):
            read_image(path)
    chunk.write_bytes(whole)
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], array)


@pytest.mark.parametrize("which", ["group", "array"])
def test_truncated_metadata_are_refused(which, version, tmp_path):
    path = write(tmp_path / "a.zarr", pixels(30, 20), "yx", version)
    file = array_of(path) if which == "array" else next(f for f in (path / "zarr.json", path / ".zattrs") if f.exists())
    whole = file.read_bytes()
    for length in range(0, len(whole) - 1, 17):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError) as error:
            read_image(path)
        assert "\n" not in str(error.value)
        assert str(error.value).startswith(str(path))


def test_what_is_no_ome_zarr(version, tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(UserError, match=r"empty\.zarr: no Zarr group; give the folder of an image"):
        read_image(tmp_path / "empty.zarr")
    zarr.open_group(str(tmp_path / "plain.zarr"), mode="w", zarr_format=2 if version == "0.4" else 3)
    with pytest.raises(UserError, match=r"plain\.zarr: no OME metadata; give the folder of an image"):
        read_image(tmp_path / "plain.zarr")
    path = write(tmp_path / "a.zarr", pixels(30, 20), "yx", version)
    shutil.rmtree(path / "s0")
    with pytest.raises(UserError, match=r"damaged or incomplete \(no array s0\)"):
        read_image(path)


def test_metadata_without_an_image_are_refused(version, tmp_path):
    path = change(write(tmp_path / "a.zarr", pixels(30, 20), "yx", version), lambda ome: ome.update(multiscales=[]))
    with pytest.raises(UserError, match=r"a\.zarr: its metadata name no image"):
        read_image(path)


def test_other_versions_are_refused(tmp_path):
    path = change(write(tmp_path / "a.zarr", pixels(30, 20), "yx"), lambda ome: ome.update(version="0.6"))
    with pytest.raises(UserError, match=r"OME-Zarr of version '0.6' is not supported; convert it to 0.4 or 0.5"):
        read_image(path)
    path = write(tmp_path / "b.zarr", pixels(30, 20), "yx", "0.4")
    change(path, lambda ome: ome["multiscales"][0].update(version="0.3"))
    with pytest.raises(UserError, match=r"OME-Zarr of version '0.3' is not supported"):
        read_image(path)


def test_axes_without_a_place_are_refused(version, tmp_path):
    path = write(tmp_path / "a.zarr", pixels(3, 30, 20), "cyx", version)
    change(path, lambda ome: ome["multiscales"][0]["axes"][0].update(name="angle", type="angle"))
    with pytest.raises(UserError, match="3 planes along angle are not supported"):
        read_image(path)
    path = write(tmp_path / "b.zarr", pixels(1, 30, 20), "cyx", version)
    change(path, lambda ome: ome["multiscales"][0]["axes"][0].update(name="angle", type="angle"))
    assert read_image(path).pixels.shape == (30, 20, 1)
    change(path, lambda ome: ome["multiscales"][0]["axes"][1].update(name="u"))
    with pytest.raises(UserError, match="axes angle, u, x are not supported; name them t, c, z, y and x"):
        read_image(path)


@pytest.mark.parametrize("name", ["../other/s0", "/etc", "..", ".", "", "s0/../../other/s0", "a\\b", 7, None])
def test_metadata_lead_nowhere_else(name, version, tmp_path):
    write(tmp_path / "other", pixels(30, 20), "yx", version)
    path = write(tmp_path / "a.zarr", pixels(30, 20), "yx", version)
    change(path, lambda ome: ome["multiscales"][0]["datasets"][0].update(path=name))
    with pytest.raises(UserError, match=r"no place within it|no valid OME-Zarr"):
        read_image(path)


def test_a_store_named_in_an_array_is_not_opened(version, tmp_path):
    other = write(tmp_path / "other", pixels(30, 20), "yx", version)
    array = pixels(30, 20)[::-1]
    path = write(tmp_path / "a.zarr", array, "yx", version, scale_factors=[])
    change_array(path, kvstore={"driver": "file", "path": f"{other}/s0/"}, path="../other/s0")
    if version == "0.4":  # which ignores unknown words
        np.testing.assert_array_equal(read_image(path).pixels[..., 0], array)
    else:
        with pytest.raises(UserError, match="damaged or incomplete"):
            read_image(path)


@pytest.mark.parametrize(
    ("shape", "chunk", "message"),
    [
        ([1 << 31, 1 << 31], [30, 20], "chunks of a frame are too many"),
        ([1 << 21, 1 << 21], [1 << 20, 1 << 20], "damaged or incomplete"),
        ([30, 20], [1 << 20, 1 << 20], "too large to read a plane by itself"),
        ([30, 20], [0, 20], "damaged or incomplete"),
        ([30], [30], "damaged or incomplete"),
        ([-30, 20], [30, 20], "is empty|damaged or incomplete"),
        ([0, 20], [30, 20], "is empty"),
    ],
)
def test_implausible_sizes_are_refused(shape, chunk, message, version, tmp_path):
    path = write(tmp_path / "a.zarr", pixels(30, 20), "yx", version, scale_factors=[])
    values = {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}}}
    change_array(path, shape=shape, **({"chunks": chunk} if version == "0.4" else values))
    tracemalloc.start()
    with pytest.raises(UserError, match=message):
        read_image(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["|O", "complex64", "string", "nonsense", [["a", "<u2"]]])
def test_other_types_are_refused(kind, version, tmp_path):
    path = write(tmp_path / "a.zarr", pixels(30, 20), "yx", version, scale_factors=[])
    change_array(path, **{"dtype" if version == "0.4" else "data_type": kind})
    with pytest.raises(UserError, match=r"are not supported|damaged or incomplete"):
        read_image(path)


def test_a_pipe_in_place_of_a_chunk_does_not_hang(version, tmp_path):
    path = write(tmp_path / "a.zarr", pixels(30, 20), "yx", version, scale_factors=[])
    (chunk,) = chunks_of(path)
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(UserError, match="is no regular file"):
        read_image(path)


def test_links_in_circles_end(tmp_path):
    path = tmp_path / "a.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.attrs.update({"labels": ["again", "again"]})
    (path / "again").symlink_to(".")
    with pytest.raises(UserError, match="no Zarr group"):
        read_image(path)


def test_metadata_of_gigabytes_are_not_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.zarr", pixels(30, 20), "yx")
    monkeypatch.setattr(zarr_store, "_MOST_METADATA", 100)
    with pytest.raises(UserError, match="metadata of more than 100 bytes"):
        read_image(path)
