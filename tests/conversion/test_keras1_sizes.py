"""Keras files that declare more than they hold, or whose weights are elsewhere."""

import h5py
import pytest

from cellflax.conversion.keras1 import read_published
from cellflax.errors import UserError
from tests.conversion.keras1_files import BATCH_NORM, Published


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
