"""Images and labels in object storage, by a local server that speaks S3 (`pip install 'moto[server]'`)."""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorstore

from cellflax.errors import OutputError, UserError
from cellflax.io.zarr_place import Place
from cellflax.io.zarr_windows import open_windows
from cellflax.prediction import streamed
from cellflax.prediction.streamed import predict_streamed
from tests.prediction.test_streamed import THRESHOLD, configured, networks, predicted, rods, stored

SERVER = shutil.which("moto_server")
# A version manager may have put a program there that only says where it could be found.
IS_THERE = SERVER is not None and subprocess.run([SERVER, "--help"], capture_output=True).returncode == 0
pytestmark = pytest.mark.skipif(not IS_THERE, reason="moto_server is not installed")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket."""
    assert SERVER is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    for name, value in (
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ):
        monkeypatch.setenv(name, value)
    server = subprocess.Popen([SERVER, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(urllib.request.Request(f"{endpoint}/cells", method="PUT"), timeout=10).close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline
                assert server.poll() is None
                time.sleep(0.2)
        yield "s3://cells"
    finally:
        server.terminate()
        server.wait()


def upload(folder: Path, url: str) -> None:
    place = Place(url)
    for file in folder.rglob("*"):
        if file.is_file():
            place.write(file.relative_to(folder).as_posix(), file.read_bytes())


def test_labels_in_a_bucket_are_those_on_a_disk(tmp_path, bucket, monkeypatch):
    monkeypatch.setattr(streamed, "_LEAST_CHUNK_PX", 16)
    slide, used = stored(tmp_path / "slide.zarr", rods()), networks(THRESHOLD, 96, 40)
    expected, cells = predicted(tmp_path / "local", slide, used)
    assert expected.max() == 9
    upload(slide, f"{bucket}/plate/slide.zarr")
    config = configured(tmp_path / "out", slide, used, labels_at=f"{bucket}/labels.zarr")
    config.input = f"{bucket}/plate/slide.zarr"
    for shard in (1, 0):
        config.block_shard, config.block_shards = shard, 2
        predict_streamed(config, used)
    work = Place(f"{bucket}/labels.zarr.blocks")
    assert len(work.child("facts").keys()) == 9
    config.block_shard, config.block_shards = None, 1
    predict_streamed(config, used)
    assert not work.keys()
    spec = {"driver": "zarr3", "kvstore": Place(f"{bucket}/labels.zarr/0").spec()}
    np.testing.assert_array_equal(tensorstore.open(spec, read=True).result().read().result()[0], expected)
    assert open_windows(Place(f"{bucket}/labels.zarr")).shape == expected.shape
    assert (tmp_path / "out/cells.csv").read_text() == (tmp_path / "local/cells.csv").read_text()
    assert len(cells) == expected.max()
    with pytest.raises(UserError, match="holds the labels of an earlier run"):
        predict_streamed(configured(tmp_path / "out2", slide, used, labels_at=f"{bucket}/labels.zarr"), used)


def test_what_is_not_in_a_bucket_is_named(bucket):
    with pytest.raises(UserError, match=r"input=s3://cells/none.zarr: no image in OME-Zarr"):
        open_windows(Place(f"{bucket}/none.zarr"))
    with pytest.raises(UserError, match=r"s3://other/x: cannot be listed \(NOT_FOUND: NoSuchBucket"):
        Place("s3://other/x").keys()
    with pytest.raises(OutputError, match=r"s3://other/x/a: cannot be written"):
        Place("s3://other/x").write("a", b"1")
