"""Fetching of the public files, from a local mirror."""

import hashlib
import shutil

import pytest

from cellflax.data import registry
from cellflax.data.registry import deepcell_registry, fetch, fetch_deepcell, fetched_deepcell
from cellflax.errors import UserError

FILES = {"training_data/a b/set1/phase.png": b"phase", "training_data/a b/set1/nuclear.png": b"nuclear"}
HASHES = {name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in FILES.items()}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror with two files, and a registry that knows them."""
    for name, content in FILES.items():
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    known = {"base_url": "https://127.0.0.1:1/", "files": HASHES}
    monkeypatch.setattr(registry, "deepcell_registry", lambda: known)
    monkeypatch.setenv("CELLFLAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CELLFLAX_MIRROR", raising=False)
    return tmp_path / "mirror"


def _content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["path", "url", "environment"])
def test_fetches_from_a_local_mirror(mirror, tmp_path, monkeypatch, form):
    if form == "environment":
        monkeypatch.setenv("CELLFLAX_MIRROR", str(mirror))
    argument = {"path": str(mirror), "url": mirror.as_uri(), "environment": None}[form]
    root = fetch_deepcell("training_data/a b", argument)
    assert root == tmp_path / "cache/deepcell"
    assert _content(root) == FILES


def test_goes_on_where_it_stopped(mirror, tmp_path):
    first, second = (mirror / name for name in FILES)
    second.rename(mirror / "away")
    with pytest.raises(UserError, match=r"nuclear.png: cannot be fetched \(No such file or directory\)"):
        fetch_deepcell("training_data/a b", str(mirror))
    first.unlink()  # fetched already, must not be asked for again
    (mirror / "away").rename(second)
    assert _content(fetch_deepcell("training_data/a b", str(mirror))) == FILES


def test_half_a_fetch_does_not_pass_for_the_set(mirror):
    (mirror / "training_data/a b/set1/nuclear.png").rename(mirror / "away")
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch_deepcell("training_data/a b", str(mirror))
    assert fetched_deepcell("training_data/a b") is None
    (mirror / "away").rename(mirror / "training_data/a b/set1/nuclear.png")
    root = fetch_deepcell("training_data/a b", str(mirror))
    assert fetched_deepcell("training_data/a b") == root / "training_data/a b"
    assert fetched_deepcell("training_data/unknown") is None


def test_damaged_cache_is_fetched_again_and_damaged_mirror_refused(mirror, tmp_path):
    cached = fetch_deepcell("training_data/a b", str(mirror)) / next(iter(FILES))
    cached.write_bytes(b"rotten")
    fetch_deepcell("training_data/a b", str(mirror))
    assert cached.read_bytes() == b"phase"
    shutil.rmtree(tmp_path / "cache")
    (mirror / next(iter(FILES))).write_bytes(b"changed")
    with pytest.raises(UserError, match=r"phase.png: SHA-256 is not .* use another data.mirror") as error:
        fetch_deepcell("training_data/a b", str(mirror))
    assert "\n" not in str(error.value)
    assert _content(tmp_path / "cache") == {}


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_RETRIES", 0)
    with pytest.raises(UserError, match=r"cannot be fetched .*; check the network") as error:
        fetch(list(HASHES), HASHES, "http://127.0.0.1:1/", tmp_path, "a b")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("folder", "mirror_path", "message"),
    [
        ("training_data/unknown", None, "no known public files; known are training_data/a b"),
        ("training_data/a", None, "no known public files"),
        ("training_data/a b", "/no/where", "data.mirror=/no/where: no such folder"),
    ],
)
def test_bad_requests(mirror, folder, mirror_path, message):
    with pytest.raises(UserError, match=message):
        fetch_deepcell(folder, mirror_path)


def test_registry_is_pinned():
    known = deepcell_registry()
    assert known["commit"] in known["base_url"]
    hela = [path for path in known["files"] if path.startswith("training_data/HeLa_joint/")]
    assert len(hela) == 5 * 4
    assert all(len(value) == len("sha256:") + 64 for value in known["files"].values())


@pytest.mark.real_data
def test_registry_matches_the_public_files(data_root):
    known = deepcell_registry()["files"]
    for path in (path for path in known if path.startswith("training_data/HeLa_joint/set1/")):
        content = (data_root / "deepcell" / path).read_bytes()
        assert known[path] == f"sha256:{hashlib.sha256(content).hexdigest()}"
