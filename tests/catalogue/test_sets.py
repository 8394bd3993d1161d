"""The catalogue: what it says is complete, and what it does not know it calls unknown."""

import hashlib
import re
from urllib.parse import urlsplit

import pytest

from cellflax.catalogue.sets import public_set, public_sets
from cellflax.commands import COMMANDS
from cellflax.config import config_directory
from cellflax.errors import UserError
from tests.commands import REPOSITORY

SETS = public_sets()


@pytest.mark.parametrize("name", SETS)
def test_every_set_says_what_it_is(name):
    found = SETS[name]
    assert found.title
    assert found.truth
    assert urlsplit(found.source).scheme == "https"
    assert bool(found.files) != bool(found.by_hand)
    if found.cite:
        assert re.fullmatch(r"10\.\d{4,}/\S+", found.cite)
    for used in found.used_by:
        place = used.removeprefix("+experiment=")
        file = config_directory() / "experiment" / f"{place}.yaml" if place != used else REPOSITORY / used
        assert file.exists(), used
    if found.use:
        assert found.use.split()[1] in COMMANDS
    paths = [file.path for file in found.files]
    assert len(set(paths)) == len(paths)
    for file in found.files:
        assert urlsplit(file.url).scheme in ("http", "https")
        assert ".." not in file.path
        assert not file.path.startswith("/")
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        if found.commit:
            assert found.commit in file.url


def test_the_deepcell_files_have_the_checksums_of_the_registry():
    assert len(SETS["hela"].files) == 20
    assert SETS["hela"].is_verified
    assert SETS["hela"].bytes == 19945662
    assert SETS["bbbc039"].bytes is None
    assert not SETS["bbbc039"].is_verified
    assert not SETS["cellpainting"].is_verified


def test_an_unknown_set_is_one_line():
    with pytest.raises(UserError, match="unknown set hella: did you mean hela") as error:
        public_set("hella")
    assert "\n" not in str(error.value)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["hela", "ktr", "brightfield_zstack", "coculture_test"])
def test_checksums_and_sizes_are_those_of_the_public_files(data_root, name):
    for file in SETS[name].files:
        content = (data_root / SETS[name].folder / file.path).read_bytes()
        assert len(content) == file.bytes
        assert hashlib.sha256(content).hexdigest() == file.sha256
