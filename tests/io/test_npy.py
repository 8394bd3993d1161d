"""NPY files: axes, types, single planes, and that no pickle is read."""

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cellflax.errors import UserError
from cellflax.io.files import images_in
from cellflax.io.frames import is_movie, open_label_movie
from cellflax.io.images import read_image, read_labels
from cellflax.io.readers import open_scene
from tests.commands import REPOSITORY


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 60_000, shape).astype(np.uint16)


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("shape", "sizes", "unnamed"),
    [
        ((30, 20), (1, 1), ""),
        ((30, 20, 3), (1, 3), "C"),
        ((3, 30, 20), (1, 3), "C"),
        ((9, 30, 20), (9, 1), "T"),
        ((1, 30, 20), (1, 1), ""),
        ((1, 9, 1, 30, 20), (9, 1), "T"),
    ],
)
def test_axes(shape, sizes, unnamed, tmp_path):
    array = pixels(*shape)
    with open_scene(save(tmp_path / "a.npy", array)) as scene:
        assert (scene.sizes["T"], scene.sizes["C"], scene.sizes["Z"], scene.unnamed) == (*sizes, 1, unnamed)
        assert (scene.shape, scene.pixel_size_um, scene.origin, scene.times_s()) == ((30, 20), None, "default", None)
        planes = np.moveaxis(array, -1, 0) if shape[-1] == 3 else array.reshape(-1, 30, 20)
        for i, plane in enumerate(planes):
            np.testing.assert_array_equal(scene.plane(*((i, 0, 0) if unnamed == "T" else (0, i, 0))), plane)


@pytest.mark.parametrize("shape", [(), (30,), (4, 5, 30, 20), (0, 20), (1,) * 40])
def test_other_axes_are_refused(shape, tmp_path):
    with pytest.raises(UserError, match=r"is no image|are not supported|is not supported"):
        read_image(save(tmp_path / "a.npy", np.zeros(shape, np.uint8)))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", ">u2", "int32", ">i8", "float16", "float32", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_types_and_orders(dtype, order, tmp_path):
    array = np.asarray(pixels(7, 30, 20) % 100, dtype, order=order)
    with open_scene(save(tmp_path / "a.npy", array)) as scene:
        plane = scene.plane(4, 0, 0)
    assert plane.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(plane, array[4])


def test_labels_and_movies(tmp_path):
    labels = np.zeros((7, 30, 20), np.int32)
    labels[:, 3:9, 3:9] = 70_000
    np.testing.assert_array_equal(read_labels(save(tmp_path / "a.npy", labels[0])), labels[0])
    movie = save(tmp_path / "m.npy", labels)
    assert is_movie(movie)
    with open_label_movie(movie) as opened:
        np.testing.assert_array_equal(opened.plane(6, 0, 0), labels[6])
    with pytest.raises(UserError, match="a movie of 7 frames, by an axis that the file leaves unnamed"):
        read_image(movie)
    assert [path.name for path in images_in(tmp_path)] == ["a.npy", "m.npy"]


class _Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_pickles_are_not_read(suffix, tmp_path):
    trap = tmp_path / "trap"
    cellpose = np.array({"masks": np.zeros((30, 20)), "trap": _Trap(trap)}, dtype=object)
    stream = io.BytesIO()
    np.save(stream, cellpose, allow_pickle=True)
    path = tmp_path / f"a_seg{suffix}"
    path.write_bytes(stream.getvalue())
    with pytest.raises(UserError, match=r"holds Python objects \(a pickle\), .* Save masks as PNG/TIFF"):
        read_labels(path)
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(_Trap(trap)))
    with pytest.raises(UserError, match="its content is not"):
        read_labels(tmp_path / "bare.npy")
    assert not trap.exists()


def test_several_arrays_in_a_file_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=pixels(30, 20))
    with pytest.raises(UserError, match="its content is not"):
        read_image(tmp_path / "a.npz")
    with (tmp_path / "two.npy").open("wb") as file:
        np.save(file, pixels(30, 20))
        np.save(file, pixels(30, 20))
    with pytest.raises(UserError, match=r"declares 1200 bytes of pixels and holds \d+"):
        read_image(tmp_path / "two.npy")


@pytest.mark.parametrize("dtype", ["complex64", "U3", "M8[s]", [("a", "u2")]])
def test_other_types_are_refused(dtype, tmp_path):
    with pytest.raises(UserError, match="are not supported"):
        read_image(save(tmp_path / "a.npy", np.zeros((30, 20), dtype)))


def test_damage_is_one_line(tmp_path):
    whole = save(tmp_path / "a.npy", pixels(30, 20)).read_bytes()
    path = tmp_path / "a.npy"
    for length in (*range(1, 130), *range(130, len(whole), 97)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError) as error:
            read_image(path)
        assert "\n" not in str(error.value)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(6, 128)] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert read_image(path).pixels.size == 600
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("shape", [(1 << 31, 1 << 31), (1 << 62, 1 << 62), (-30, -20), (30, 19)])
def test_sizes_other_than_the_file_holds_are_refused(shape, tmp_path):
    path = save(tmp_path / "a.npy", pixels(30, 20))
    header = path.read_bytes()[:128]
    changed = header[10:].replace(b"(30, 20)", repr(shape).encode())[:117] + b"\n"
    path.write_bytes(header[:10] + changed + path.read_bytes()[128:])
    with pytest.raises(UserError, match=r"damaged or incomplete|is no image"):
        read_image(path)


def test_long_headers_are_refused(tmp_path):
    path = save(tmp_path / "a.npy", pixels(30, 20))
    content = path.read_bytes()
    header = content[10:127] + b" " * 60_000 + b"\n"
    path.write_bytes(b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + content[128:])
    with pytest.raises(UserError, match="damaged or incomplete"):
        read_image(path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_plane_costs_a_plane(tmp_path):
    path = tmp_path / "a.npy"
    movie = np.lib.format.open_memmap(path, "w+", np.uint16, (400, 512, 512))
    for t in range(400):
        movie[t] = t + 1
    movie.flush()
    del movie
    code = (
        "import re, sys; from pathlib import Path; from cellflax.io.readers import open_scene\n"
        # Not ru_maxrss, which starts from that of the process that started this one.
        "peak = lambda: int(re.search('VmHWM:[^0-9]*([0-9]+)', Path('/proc/self/status').read_text())[1])\n"
        "with open_scene(Path(sys.argv[1])) as scene:\n"
        "    before = peak()\n"
        "    assert all(scene.plane(t, 0, 0)[9, 9] == t + 1 for t in range(400))\n"
        "    print(peak() - before)"
    )
    grown = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout
    assert int(grown) < 10 * 512  # KiB; a plane has 512, the movie 400 times as many
