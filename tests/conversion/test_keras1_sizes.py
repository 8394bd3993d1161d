"""Keras files that declare more than they hold, or whose weights are elsewhere."""

import random
import zlib

import h5py
import pytest

from cellflax.conversion import keras1_file
from cellflax.conversion.keras1 import read_published
from cellflax.errors import UserError
from tests.conversion.keras1_files import BATCH_NORM, Published
from tests.fuzz.formats import BY_NAME


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 1, 16384, 16384), {"chunks": (1, 1, 100, 100), "compression": "gzip"}),
        ((2**31, 2**31, 4), {"chunks": (1, 1, 4)}),  # the product does not fit into 64 bits
        ((1, 1, 1, 1), {"chunks": (1, 1, 8192, 8192), "maxshape": (None,) * 4}),
    ],
)
def test_declared_sizes_are_checked_before_they_are_allocated(tmp_path, shape, options):
    path = Published(BATCH_NORM, classes=3).write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file["convolution2d_1"]["convolution2d_1_W"]
        file["convolution2d_1"].create_dataset("convolution2d_1_W", shape, "f4", **options)
    with pytest.raises(UserError, match=r"convolution2d_1: convolution2d_1_W is declared as .*copy the file again"):
        read_published(path)


def test_weights_in_another_file_are_not_followed(tmp_path):
    path = Published(BATCH_NORM, classes=3).write(tmp_path / "a.h5")
    other = Published(BATCH_NORM, classes=3).write(tmp_path / "b.h5")
    with h5py.File(path, "r+") as file:
        del file["convolution2d_1"]["convolution2d_1_W"]
        file["convolution2d_1"]["convolution2d_1_W"] = h5py.ExternalLink(other, "/convolution2d_1/convolution2d_1_W")
    with pytest.raises(UserError, match="convolution2d_1_W is a link to another file"):
        read_published(path)


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/"), h5py.SoftLink("/")])
@pytest.mark.parametrize("name", ["model_weights", "model_weights/convolution2d_1", "model_weights/dense_1/dense_1_W"])
def test_links_are_not_followed(tmp_path, link, name):
    path = Published(BATCH_NORM, release="1.2.2").write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = link
    with pytest.raises(UserError, match=rf"a\.h5: .*{name.rpartition('/')[2]} is a link to another"):
        read_published(path)


@pytest.mark.parametrize("made", ["bomb", "lzf"])
def test_compression_that_does_not_end_or_is_a_plugin(tmp_path, made):
    path = Published(BATCH_NORM).write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        group = file["dense_1"]
        shape = group["dense_1_W"].shape
        del group["dense_1_W"]
        compression = "lzf" if made == "lzf" else "gzip"
        dataset = group.create_dataset("dense_1_W", shape, "f4", chunks=shape, compression=compression)
        if made == "bomb":
            dataset.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 26)))
    message = "unpacks to more than it declares" if made == "bomb" else "is compressed by other means than gzip"
    with pytest.raises(UserError, match=f"dense_1_W {message}"):
        read_published(path)


def test_reading_without_an_end_is_ended(tmp_path, monkeypatch):
    """Eight bits of a file of weights, in which the HDF5 library goes round in a circle."""
    monkeypatch.setattr(keras1_file, "_MOST_SECONDS", 2)
    weights = BY_NAME["Keras weights"]
    weights.make(tmp_path)
    read_published(tmp_path / "network.h5")
    weights.damage(random.Random("Keras weights 3.131"), tmp_path)
    with pytest.raises(UserError, match=r"network.h5: .*reading it has no end after 2 s\); copy the file again"):
        read_published(tmp_path / "network.h5")
