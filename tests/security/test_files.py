"""Files of images and networks: what they name is not read, and what they describe is not called."""

import contextlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from cellflax.conversion.keras1_file import read_layers
from cellflax.errors import UserError
from cellflax.io.file_pattern import parse_patterns
from cellflax.io.images import read_image
from tests.conversion.keras1_files import BATCH_NORM, Published

PLANE = np.arange(600, dtype=np.uint16).reshape(20, 30)
PIXELS = 'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="30" SizeY="20" SizeC="{}" SizeZ="1" SizeT="1"'
SPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def write_ome(path: Path, before: str = "", name: str = "phase", channels: int = 1, data: str = "<TiffData/>") -> Path:
    """A TIFF of one plane with OME-XML."""
    parts = "".join(f'<Channel ID="Channel:0:{i}" Name="{name}{i or ""}"/>' for i in range(channels))
    image = f'<Image ID="Image:0"><Pixels {PIXELS.format(channels)}>{parts}{data}</Pixels></Image>'
    xml = f'<?xml version="1.0"?>{before}<OME xmlns="{SPACE}" UUID="urn:uuid:0">{image}</OME>'
    tifffile.imwrite(path, PLANE, description=xml, metadata=None, photometric="minisblack")
    return path


def test_an_ome_tiff_is_read(tmp_path):
    image = read_image(write_ome(tmp_path / "a.ome.tif"))
    assert image.channels == ("phase",)
    np.testing.assert_array_equal(image.pixels[..., 0], PLANE)


@pytest.mark.parametrize("entity", ['SYSTEM "file://{}"', 'SYSTEM "{}"', 'PUBLIC "x" "file://{}"'])
def test_entities_of_xml_read_no_file(tmp_path, capsys, entity):
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2")
    before = f"<!DOCTYPE x [<!ENTITY secret {entity.format(secret)}>]>"
    found = ""
    with contextlib.suppress(UserError):
        found = str(read_image(write_ome(tmp_path / "a.ome.tif", before, "&secret;")))
    assert "hunter2" not in found + capsys.readouterr().err


@pytest.mark.parametrize("file", ["../secret.ome.tif", "ABSOLUTE", "f1.ome.tif"])
def test_other_files_of_an_ome_set_are_not_read(tmp_path, file):
    """The second channel is in another file by the metadata; this one holds the first alone."""
    folder = tmp_path / "images"
    folder.mkdir()
    other = folder / file.replace("ABSOLUTE", str(tmp_path / "secret.ome.tif"))
    tifffile.imwrite(other, PLANE + 1, description="<OME/>", metadata=None)
    data = "".join(
        f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{c}</UUID></TiffData>'
        for c, name in enumerate(("f0.ome.tif", other.name if other.parent == folder else other))
    )
    image = read_image(write_ome(folder / "f0.ome.tif", channels=2, data=data))
    np.testing.assert_array_equal(image.pixels[..., 0], PLANE)
    assert image.pixels.shape[-1] == 1


@pytest.mark.parametrize("kind", ["Lambda", "os.system", "TFOpLambda"])
def test_a_layer_of_code_is_not_made(tmp_path, kind):
    """Keras keeps the byte code of a Lambda layer in a file, and runs it where the model is loaded."""
    path = Published(BATCH_NORM, release="1.0.7").write(tmp_path / "net.h5")
    with h5py.File(path, "r+") as file:
        description = json.loads(file.attrs["model_config"])
        description["config"][-1] |= {"class_name": kind}
        description["config"][-1]["config"] |= {"function": ["4wEAAAA=", None, None], "module": "os"}
        file.attrs["model_config"] = json.dumps(description)
    layers, _ = read_layers(path)
    assert layers[-1].kind == kind.lower()  # a word, which `conversion.keras1` looks for in its own list


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*_{well}_*_{site}_{channel}_z{plane}.tif", "_z" * 120 + ".tiff"),
        ("*a*a*a*a*a*a*b.tif", "a" * 240 + "b.tiff"),
        ("{z_um}-*-*-*-*.tif", "-1" * 120 + ".tiff"),
    ],
)
def test_a_name_that_nearly_fits_a_pattern_ends(pattern, name):
    """As regular expressions, each of these takes minutes to hours."""
    assert parse_patterns(pattern)[0].match(name) is None
