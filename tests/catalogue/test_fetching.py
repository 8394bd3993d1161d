"""Fetching public sets from a server on this machine, from a folder, and from nowhere."""

import gc
import hashlib
import http.server
import io
import json
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from cellflax import public_data
from cellflax.catalogue import fetching
from cellflax.catalogue.fetching import fetch_set
from cellflax.catalogue.sets import PublicFile, PublicSet
from cellflax.catalogue.unpacking import unpack
from cellflax.errors import UserError
from tests.commands import Result, run_command
from tests.test_outputs import read_page

# requests leaves the socket of a request that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

IMAGE = b"an image"


def zipped(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


ARCHIVE = zipped({"a/1.tif": b"one", "b/2.tif": b"two", "empty/": b""})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server on this machine: its folder, its address, and the paths that were asked for."""
    folder, asked = tmp_path_factory.mktemp("server"), []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self):
            asked.append(self.path)
            if self.path == "/broken.tif":  # the connection ends before the file does
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"half")
                self.close_connection = True
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/", asked
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_retries(monkeypatch):
    monkeypatch.setattr(fetching, "_RETRIES", 0)
    yield
    gc.collect()


def file(base: str, path: str, content: bytes | None, unpack: bool = False) -> PublicFile:
    known = None if content is None else hashlib.sha256(content).hexdigest()
    return PublicFile(path, base + path.replace(" ", "%20"), known, None if content is None else len(content), unpack)


def public(*files: PublicFile) -> PublicSet:
    return PublicSet(
        "toy", "two images", "none", None, None, "https://example.org/toy", None, None, (), None, None, "toys", files
    )


@pytest.fixture
def served(server):
    folder, base, asked = server
    (folder / "a b").mkdir(exist_ok=True)
    (folder / "a b/1.tif").write_bytes(IMAGE)
    (folder / "all.zip").write_bytes(ARCHIVE)
    asked.clear()
    return public(file(base, "a b/1.tif", IMAGE), file(base, "all.zip", ARCHIVE, unpack=True)), base, asked


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_and_archives_arrive_with_a_record(served, tmp_path):
    found, base, asked = served
    record = fetch_set(found, tmp_path)
    wanted = {"a b/1.tif": IMAGE, "all/a/1.tif": b"one", "all/b/2.tif": b"two"}
    assert content(tmp_path / "toys") == wanted
    written = json.loads(record.read_text())
    assert written["licence"] is None
    assert written["files"][0] == {
        "path": "a b/1.tif", "url": f"{base}a%20b/1.tif", "sha256_known": True, "bytes": len(IMAGE),
        "sha256": hashlib.sha256(IMAGE).hexdigest(),
    }  # fmt: skip
    assert written["files"][1]["unpacked"] == 2
    documented = read_page()["data"]
    assert set(written) == set(documented.columns["<name>.source.json"])
    asked.clear()
    fetch_set(found, tmp_path)  # all is there
    assert asked == []
    assert content(tmp_path / "toys") == wanted


def test_an_interrupted_fetch_goes_on(served, tmp_path):
    found, base, asked = served
    lost = replace(found, files=(found.files[0], file(base, "later.zip", ARCHIVE, unpack=True)))
    with pytest.raises(UserError, match=r"later.zip: cannot be fetched .*404") as error:
        fetch_set(lost, tmp_path)
    assert "\n" not in str(error.value)
    assert f"put the file of https://example.org/toy at {tmp_path}/toys/later.zip" in str(error.value)
    assert not (tmp_path / "toy.source.json").exists()
    (tmp_path / "toys/later.zip").write_bytes(ARCHIVE)  # by hand, as the line says
    asked.clear()
    fetch_set(lost, tmp_path)
    assert asked == []
    assert content(tmp_path / "toys")["later/b/2.tif"] == b"two"


def test_half_a_file_does_not_stay(server, tmp_path):
    with pytest.raises(UserError, match=r"broken.tif: "):
        fetch_set(public(file(server[1], "broken.tif", b"x" * 1000)), tmp_path)
    assert content(tmp_path) == {}


def test_another_file_than_the_known_one_is_refused(served, tmp_path):
    base = served[1]
    with pytest.raises(UserError, match=r"its SHA-256 is not .* give another mirror=URL\|FOLDER") as error:
        fetch_set(public(file(base, "a b/1.tif", b"another")), tmp_path)
    assert "\n" not in str(error.value)
    assert content(tmp_path) == {}


def test_a_checksum_that_is_unknown_is_recorded_as_such(served, tmp_path):
    record = json.loads(fetch_set(public(file(served[1], "a b/1.tif", None)), tmp_path).read_text())
    assert record["files"][0]["sha256_known"] is False
    assert record["files"][0]["sha256"] == hashlib.sha256(IMAGE).hexdigest()


@pytest.mark.parametrize("form", ["url", "folder"])
def test_a_mirror_has_the_files_under_the_same_paths(served, server, tmp_path, form):
    nowhere = [replace(each, url="http://127.0.0.1:1/x") for each in served[0].files]
    fetch_set(public(*nowhere), tmp_path, served[1] if form == "url" else str(server[0]))
    assert content(tmp_path / "toys")["a b/1.tif"] == IMAGE


def test_no_network_and_no_mirror(tmp_path):
    with pytest.raises(UserError, match=r"http://127.0.0.1:1/1.tif: cannot be fetched .*check the network") as error:
        fetch_set(public(file("http://127.0.0.1:1/", "1.tif", IMAGE)), tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="mirror=/no/where: no such folder"):
        fetch_set(public(file("http://127.0.0.1:1/", "1.tif", IMAGE)), tmp_path, "/no/where")


# Archives.


@pytest.mark.parametrize(
    "name", ["../out.tif", "/out.tif", "a/../../out.tif", "..\\out.tif", "C:out.tif", "a/../b.tif"]
)
def test_nothing_is_unpacked_outside_of_the_folder(tmp_path, name):
    (tmp_path / "bad.zip").write_bytes(zipped({"good.tif": b"good", name: b"out"}))
    with pytest.raises(UserError, match="would be written elsewhere; nothing was unpacked"):
        unpack(tmp_path / "bad.zip", tmp_path / "folder")
    assert {path.name for path in tmp_path.rglob("*")} == {"bad.zip"}


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(link, "/etc")
    with pytest.raises(UserError, match="'link' is no regular file"):
        unpack(tmp_path / "bad.zip", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_an_archive_that_needs_more_than_the_disk_has(tmp_path, monkeypatch):
    (tmp_path / "big.zip").write_bytes(ARCHIVE)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 5})())
    with pytest.raises(UserError, match="needs 6 bytes and the disk has 5"):
        unpack(tmp_path / "big.zip", tmp_path / "folder")


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "twice", "file as folder"])
def test_a_damaged_archive_is_one_line(tmp_path, damage):
    flipped = bytearray(ARCHIVE)
    flipped[ARCHIVE.index(b"one")] ^= 1
    damaged = {
        "cut": ARCHIVE[:-30],
        "flipped": bytes(flipped),
        "text": b"not an archive",
        "twice": zipped({"a.tif": b"1", "A.tif": b"2"}),
        "file as folder": zipped({"a": b"1", "a/b": b"2"}),
    }
    (tmp_path / "bad.zip").write_bytes(damaged[damage])
    with pytest.raises(UserError) as error:
        unpack(tmp_path / "bad.zip", tmp_path / "folder")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "bad.zip") in str(error.value)
    assert {path.name for path in tmp_path.rglob("*")} == {"bad.zip"}


# The command.


def data(*arguments: object) -> Result:
    return run_command(public_data.main, *arguments)


def test_the_list_names_every_set_and_asks_no_server(monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was used"))
    result = data("list")
    assert (result.status, result.err) == (0, "")
    assert data() == result
    for name in public_data.public_sets():
        assert f"\n{name} " in f"\n{result.out}"
    page = data("list", "hela", "bbbc039").out
    assert "SHA-256 of 20 of 20 files known" in page
    assert "SHA-256 of 0 of 3 files known" in page
    assert "unknown; read it at the source" in page


def test_a_set_is_fetched_by_its_name(served, server, tmp_path, monkeypatch):
    monkeypatch.setattr(public_data, "public_set", {"toy": served[0]}.__getitem__)
    result = data("get", "toy", f"output={tmp_path}/out")
    assert result.status == 0, result.err
    assert result.out.splitlines()[-1] == f"results: {tmp_path}/out/toys, {tmp_path}/out/toy.source.json"
    assert content(tmp_path / "out/toys")["a b/1.tif"] == IMAGE


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["get"], "no set is named; cellflax data list names them"),
        (["get", "hela"], "output is not given; write cellflax data get hela output=DIR"),
        (["get", "hella", "output=x"], "unknown set hella: did you mean hela? available: hela, "),
        (["fetch"], "cannot fetch: write cellflax data list, or cellflax data get NAME output=DIR"),
        (["get", "cytoplasm_only", "output={tmp}"], "cytoplasm_only cannot be fetched: clone the repository at"),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, line):
    result = data(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert result.status == 1
    assert result.error.startswith(line)
