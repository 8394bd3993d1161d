"""The quick reader gives what OmegaConf's own gives, and refuses what that refuses."""

import io

import pytest
import yaml
from omegaconf import OmegaConf

from cellflax.quick_yaml import read_quickly
from tests.commands import REPOSITORY

FILES = sorted((REPOSITORY / "conf").rglob("*.yaml"))
VALUES = [
    *("1e3", "1e-3", "1.5E+4", ".5", "-.5e-3", "1_000", "1_000.5", ".inf", "-.INF", ".nan", "0x1f", "0o17", "017"),
    *("1:30", "yes", "No", "on", "OFF", "true", "null", "~", "", "2001-12-14", "2001-12-14t21:59:43.10-05:00", "'1'"),
    *(
        "???",
        "${a.b}",
        "'${now:%Y}'",
        "[1, 2.0, x]",
        "{b: 1, c: [d, {e: f}]}",
        "|\n  two\n  lines\n",
        "'Größe µm'",
        "=",
    ),
    *("!!int '3'", "!!str 3", "!!python/object/apply:pathlib.PosixPath [a, b]", "&x [1]", "<<", "1.0.7", "+1", "- 1"),
]


def slowly(text):
    return OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_our_files_are_read_as_by_omegaconf(path):
    text = path.read_text(encoding="utf-8")
    assert read_quickly(text) == slowly(text)


@pytest.mark.parametrize("value", VALUES)
def test_values_are_read_as_by_omegaconf(value):
    text = f"# @package _global_\na: {value}\nb: &k {{c: 1}}\nd: {{<<: *k, e: 2}}\n"
    try:
        expected = slowly(text)
    except yaml.YAMLError:
        with pytest.raises(yaml.YAMLError):
            read_quickly(text)
        return
    found = read_quickly(text)
    assert repr(OmegaConf.to_container(OmegaConf.create(found), resolve=False)) == repr(expected)  # also nan and types


@pytest.mark.parametrize(
    "text",
    ["a: 1\na: 2\n", "a: {b: 1, b: 1}", "a: [1", "a:\n\t- 1", "!!python/object/apply:os.system [x]", "a: !new"],
)
def test_what_omegaconf_refuses_is_refused(text):
    with pytest.raises(yaml.YAMLError):
        slowly(text)
    with pytest.raises(yaml.YAMLError):
        read_quickly(text)
