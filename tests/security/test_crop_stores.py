"""Crop stores from elsewhere: links in them are not followed when missing crops are written."""

import shutil

import pytest

from cellflax.errors import UserError
from cellflax.jsonfile import read_json, write_json
from tests.data.test_crop_store import small_chunks, stored, written  # noqa: F401 (fixtures)


@pytest.mark.parametrize("name", ["image", "target", "image/zarr.json"])
@pytest.mark.parametrize("crops", [0, 4])
def test_a_link_in_a_store_is_refused(written, tmp_path, name, crops):  # noqa: F811
    """A store that says that nothing is written is made anew, and what is in its folders removed."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thesis.txt").write_text("mine")
    store = shutil.copytree(written, tmp_path / "crops") / "seed_5"
    write_json(store / "store.json", read_json(store / "store.json", "") | {"written": crops})
    shutil.rmtree(store / "image" if "/" not in name else store / "image/c")
    shutil.rmtree(store / name) if (store / name).is_dir() else (store / name).unlink(missing_ok=True)
    is_file = name.endswith(".json")
    (store / name).symlink_to(tmp_path / "precious/thesis.txt" if is_file else tmp_path / "precious")
    with pytest.raises(UserError, match="holds links, which no crop store does; give another"):
        stored(tmp_path / "crops")
    assert [file.name for file in (tmp_path / "precious").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "precious/thesis.txt").read_text() == "mine"
