"""Patterns of file names: brackets of real names, links in circles."""

from pathlib import Path

import pytest

from cellflax.io.glob_paths import glob_paths


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def found(pattern: str) -> list[str]:
    return [str(path) for path in glob_paths(pattern)]


def test_links_to_parent_folders_end(place):
    make("p/a/x.tif", "p/y.tif")
    Path("p/a/up1").symlink_to("..")
    Path("p/a/up2").symlink_to("..")
    Path("p/self").symlink_to("self")
    assert found("p/**") == ["p", "p/a", "p/a/x.tif", "p/self", "p/y.tif"]
    assert found("p/**/*.tif") == ["p/a/x.tif", "p/y.tif"]
    assert found("p/**/**/x.tif") == ["p/a/x.tif"]


def test_linked_folders_are_followed_once(place):
    make("disk/x.tif", "p/y.tif")
    Path("p/one").symlink_to("../disk")
    Path("p/two").symlink_to("../disk")
    assert found("p/**/*.tif") == ["p/one/x.tif", "p/y.tif"]


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("exp[1]/*.tif", ["exp[1]/a.tif"]),
        ("exp[2]/*.tif", ["exp2/b.tif"]),  # no folder has this very name: a set of letters
        ("exp*/*.tif", ["exp1/c.tif", "exp2/b.tif", "exp[1]/a.tif"]),
        ("x[1]*.tif", ["x[1]_z.tif"]),
        ("exp[[]1]/a.tif", ["exp[1]/a.tif"]),
        ("exp?/[bc].tif", ["exp1/c.tif", "exp2/b.tif"]),
        ("**/[bc].tif", ["exp1/c.tif", "exp2/b.tif"]),
        ("*", ["exp1", "exp2", "exp[1]", "x[1]_z.tif"]),
        (".*", [".hidden.tif"]),
        ("none*", []),
        ("no/such/*", []),
        ("exp1/../exp2/*", ["exp1/../exp2/b.tif"]),
    ],
)
def test_patterns(place, pattern, files):
    make("exp[1]/a.tif", "exp1/c.tif", "exp2/b.tif", "x[1]_z.tif", ".hidden.tif")
    assert found(pattern) == files
    assert [str(path.relative_to(place)) for path in glob_paths(place / pattern)] == files


def test_home_folder(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    make("a.tif")
    assert glob_paths("~/*.tif") == [place / "a.tif"]
