"""TIFF files that lack pixels, lie about them, or speak of other files."""

import struct
import zlib

import numpy as np
import pytest
import tifffile

from cellflax.errors import UserError
from cellflax.io.files import ImageFiles
from cellflax.io.frames import is_movie, open_frames
from cellflax.io.images import channels_of, read_image
from cellflax.io.readers import open_scene
from cellflax.io.tiff_output import write_image

PIXELS = np.random.default_rng(0).integers(0, 60000, (6, 40, 50), np.uint16)
OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
SIZES = 'DimensionOrder="XYCZT" SizeX="50" SizeY="40" Type="uint16"'
MOVIES = {
    "ome": {"ome": True, "photometric": "minisblack", "metadata": {"axes": "TYX"}},
    "imagej": {"imagej": True, "metadata": {"axes": "TYX"}},
    "shaped": {"photometric": "minisblack", "metadata": {"axes": "TYX"}},
    "zlib": {"photometric": "minisblack", "metadata": {"axes": "TYX"}, "compression": "zlib"},
    "plain": {"photometric": "minisblack", "metadata": None},
}


def _xml(images: str, uuid: str = "urn:uuid:0") -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME}" UUID="{uuid}">{images}</OME>'


def _set_of_files(folder):
    """A field of two channels and two times in four files, each of whose metadata describe all four."""
    where = [(c, t) for t in range(2) for c in range(2)]
    data = "".join(
        f'<TiffData FirstC="{c}" FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="f{i}.ome.tif">urn:uuid:{i}</UUID>'
        "</TiffData>"
        for i, (c, t) in enumerate(where)
    )
    channels = '<Channel ID="Channel:0:0" Name="phase"/><Channel ID="Channel:0:1" Name="nuclear"/>'
    pixels = f'<Pixels ID="Pixels:0" {SIZES} SizeC="2" SizeZ="1" SizeT="2">{channels}{data}</Pixels>'
    for i in range(4):
        xml = _xml(f'<Image ID="Image:0">{pixels}</Image>', f"urn:uuid:{i}")
        tifffile.imwrite(folder / f"f{i}.ome.tif", PIXELS[i], description=xml, metadata=None)


@pytest.mark.parametrize("kind", MOVIES)
def test_every_cut_that_costs_pixels_is_refused(tmp_path, kind):
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, PIXELS, **MOVIES[kind])
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        pages = [page.aspage() for page in tiff.pages]
        last = max(o + n for page in pages for o, n in zip(page.dataoffsets, page.databytecounts, strict=True))
    for size in np.linspace(len(whole) // 20, last - 1, 25, dtype=int).tolist():
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"m.tif: (damaged|incomplete)"):
            is_movie(path)
        with pytest.raises(UserError, match=r"m.tif: (damaged|incomplete)"):
            read_image(path)
        with pytest.raises(UserError), open_scene(path):
            pass


def test_a_file_of_a_set_is_itself(tmp_path):
    _set_of_files(tmp_path)
    for i in range(4):
        path = tmp_path / f"f{i}.ome.tif"
        assert not is_movie(path)
        image = read_image(path)
        assert image.channels == (("phase", "nuclear")[i % 2],)
        np.testing.assert_array_equal(image.pixels[..., 0], PIXELS[i])
    renamed = (tmp_path / "f1.ome.tif").rename(tmp_path / "other.ome.tif")
    for path in tmp_path.glob("f*"):
        path.unlink()
    assert read_image(renamed).channels == ("nuclear",)


def test_positions_in_one_file_are_refused_and_in_files_of_their_own_read(tmp_path):
    pixels = f'<Pixels ID="Pixels:0" {SIZES} SizeC="1" SizeZ="1" SizeT="1">'
    for own in range(2):
        images = "".join(
            f'<Image ID="Image:{i}">{pixels}<Channel ID="Channel:{i}:0"/><TiffData IFD="0" PlaneCount="1">'
            f'<UUID FileName="p{i}.ome.tif">urn:uuid:{i}</UUID></TiffData></Pixels></Image>'
            for i in range(2)
        )
        xml = _xml(images, f"urn:uuid:{own}")
        tifffile.imwrite(tmp_path / f"p{own}.ome.tif", PIXELS[own], description=xml, metadata=None)
    for own in range(2):
        np.testing.assert_array_equal(read_image(tmp_path / f"p{own}.ome.tif").pixels[..., 0], PIXELS[own])
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as tiff:
        tiff.write(PIXELS[0])
        tiff.write(PIXELS[0, :20])
    with pytest.raises(UserError, match=r"sizes.tif: holds 2 images"):
        read_image(tmp_path / "sizes.tif")


@pytest.mark.parametrize(
    "spoilt",
    [
        b'PhysicalSizeX="0,5"',
        b'PhysicalSizeX=""   ',
        b'PhysicalSizeX="inf"',
        b'PhysicalSizeX="nan"',
        b'PhysicalSizeX="999"',
    ],
)
def test_a_size_that_cannot_be_is_unknown_and_said(tmp_path, spoilt, capsys):
    path = tmp_path / "x.ome.tif"
    write_image(path, PIXELS[0], pixel_size_um=0.5)
    content = path.read_bytes()
    assert content.count(b'PhysicalSizeX="0.5"') == 1
    old = b'PhysicalSizeX="0.5"'.ljust(len(spoilt))
    path.write_bytes(content.replace(old, spoilt.ljust(len(b'PhysicalSizeX="0.5"'))))
    image = read_image(path)
    assert image.pixel_size_um is None
    np.testing.assert_array_equal(image.pixels[..., 0], PIXELS[0])
    assert capsys.readouterr().err.count("warning: ") == 1


def test_one_size_stands_for_both_and_in_its_unit(tmp_path):
    metadata = {"axes": "YX", "PhysicalSizeX": 650.0, "PhysicalSizeXUnit": "nm"}
    tifffile.imwrite(tmp_path / "x.ome.tif", PIXELS[0], ome=True, metadata=metadata)
    assert read_image(tmp_path / "x.ome.tif").pixel_size_um == pytest.approx(0.65)


@pytest.mark.parametrize(
    "xml",
    [
        _xml('<BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:1"/>'),
        _xml('<Image ID="Image:0"><Pixels SizeC="one"/></Image>'),
        "<OME><Image></OME>",
    ],
)
def test_metadata_that_cannot_be_read_cost_no_pixels(tmp_path, xml):
    tifffile.imwrite(tmp_path / "x.ome.tif", PIXELS[0], description=xml, metadata=None)
    image = read_image(tmp_path / "x.ome.tif")
    assert image.pixel_size_um is None
    np.testing.assert_array_equal(image.pixels[..., 0], PIXELS[0])


@pytest.mark.parametrize("interval", ["0,5", "inf", "soon"])
def test_times_that_cannot_be_read_are_unknown(tmp_path, interval):
    tifffile.imwrite(tmp_path / "m.tif", PIXELS, imagej=True, metadata={"axes": "TYX", "finterval": interval})
    with open_scene(tmp_path / "m.tif") as movie:
        assert movie.times_s() is None


def test_channels_of_images_and_movies_by_name_and_index(tmp_path):
    names = {"Channel": {"Name": ["gfp", "Phase", "dapi"]}}
    options = {"ome": True, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "i.ome.tif", PIXELS[:3], **options, metadata={"axes": "CYX", **names})
    movie = np.stack([PIXELS[:3], PIXELS[3:]])
    tifffile.imwrite(tmp_path / "m.ome.tif", movie, **options, metadata={"axes": "TCYX", **names})
    image = read_image(tmp_path / "i.ome.tif")
    assert (image.channels, image.origin) == (("gfp", "Phase", "dapi"), "file")
    chosen = channels_of(image, ["dapi", "0", "phase"])
    assert chosen.channels == ("dapi", "gfp", "Phase")
    np.testing.assert_array_equal(chosen.pixels[..., 0], PIXELS[2])
    with open_frames(ImageFiles("m", (tmp_path / "m.ome.tif",), within=("phase", "0"))) as frames:
        np.testing.assert_array_equal(frames.read(1).pixels, np.moveaxis(PIXELS[[4, 3]], 0, -1))
    with pytest.raises(UserError, match=r"no channel cy5; it has gfp, Phase, dapi"):
        channels_of(image, ["cy5"])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_files_that_declare_more_than_they_hold(tmp_path):
    side = 2**31 - 1
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 146), (277, 3, 1)]
    for compression in (1, 5, 8, 32773, 50000):
        entries = [(t, k, compression if t == 259 else v) for t, k, v in (*tags, (278, 4, side), (279, 4, 100))]
        fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(104))
        with pytest.raises(UserError, match=r"a.tif: damaged or incomplete"):
            read_image(tmp_path / "a.tif")
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 10**6, 10**6, 8, 0, 0, 0, 0))
    end = _chunk(b"IDAT", zlib.compress(b"\0")) + _chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + end)
    with pytest.raises(UserError, match=r"a.png: damaged or incomplete \(declares 1000000000000 bytes"):
        read_image(tmp_path / "a.png")
    pixels = f'<Pixels ID="Pixels:0" {SIZES} SizeC="1000" SizeZ="1000" SizeT="100000"><Channel/><TiffData/></Pixels>'
    xml = _xml(f'<Image ID="Image:0">{pixels}</Image>')
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS[0], description=xml, metadata=None)
    with pytest.raises(UserError, match=r"declare 100000000000 planes, it holds 1"):
        read_image(tmp_path / "a.ome.tif")
