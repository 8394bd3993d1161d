"""Tables as AnnData and Parquet, read by their own packages."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest

from cellflax.errors import UserError
from cellflax.exporting.formats import check_formats, require_packages
from cellflax.exporting.tables import export_table, read_cell_table
from cellflax.io.tables import write_table

CELLS = pd.DataFrame(
    {
        "image": ["007", "007", "=b", "é/ü"],
        "frame": [0, 1, 0, 0],
        "time_s": [0.0, 60.0, np.nan, 0.0],
        "label": [1, 1, 70_000, 2],
        "area_px": [3, 4, 5, 6],
        "centroid-0_px": [1.5, 2.0, 1 / 3, 7.0],
        "centroid-1_px": [7.0, 8.0, 9.0, 1.0],
        "orientation_rad": [0.1, np.nan, 0.2, 0.3],
        "growth_rate_per_h": [0.1, 0.2, 0.3, 0.4],
        "touches_border": [True, False, True, False],
        "intensity_mean_DAPI/405_px": [1.0, np.nan, 2.0, 3.0],
        "cell_type": ["a", "undetermined", "a", "NA"],
    }
)


def export(folder, table, form):
    write_table(folder / "cells.csv", table)
    export_table(folder, read_cell_table(folder / "cells.csv"), "cells", [form, "rois"], {"a/b": ["ü"]})


def test_anndata(tmp_path):
    export(tmp_path, CELLS, "anndata")
    data = anndata.read_h5ad(tmp_path / "cells.h5ad")
    measured = [name for name in CELLS.columns[4:] if name not in ("touches_border", "cell_type")]
    assert list(data.var_names) == measured
    assert data.X.dtype == np.float64
    np.testing.assert_array_equal(data.X, CELLS[measured].to_numpy(float))
    assert list(data.var["unit"]) == ["px", "px", "px", "rad", "1/h", ""]
    assert list(data.obs_names) == ["007_0_1", "007_1_1", "=b_0_70000", "é/ü_0_2"]
    for name in ("image", "frame", "time_s", "label", "touches_border", "cell_type"):
        np.testing.assert_array_equal(np.asarray(data.obs[name]), CELLS[name].to_numpy())
    np.testing.assert_array_equal(data.obsm["spatial"], CELLS[["centroid-1_px", "centroid-0_px"]])
    known = data.uns["cellflax"]
    assert dict(zip(known["columns"], known["units"], strict=True)) == dict(
        zip(measured, data.var["unit"], strict=True)
    )
    assert json.loads(known["provenance"]) == {"a/b": ["ü"]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.csv", "cells.h5ad"]


def test_anndata_of_no_cells_and_of_rows_that_are_no_cells(tmp_path):
    export(tmp_path, CELLS.iloc[:0], "anndata")
    data = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert data.shape == (0, 6)
    assert data.obsm["spatial"].shape == (0, 2)
    export(tmp_path, CELLS[["area_px", "cell_type"]], "anndata")
    data = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert list(data.obs_names) == ["0", "1", "2", "3"]
    assert "spatial" not in data.obsm


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    export(tmp_path, CELLS, "parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "cells.parquet"), CELLS)


@pytest.mark.parametrize(
    ("form", "package"), [("parquet", "pyarrow"), ("anndata", "anndata"), ("geff", "geff"), ("rois", "roifile")]
)
def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch, form, package):
    for name in (package, "fastparquet"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(UserError) as error:
        require_packages("export", ["geojson", form])
    assert str(error.value) == (
        f"export=[{form}]: needs the package {package}; install it with: pip install 'cellflax[{form}]'"
    )


def test_parquet_without_its_package(tmp_path, monkeypatch):
    for name in ("pyarrow", "fastparquet"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(UserError, match=r"pip install 'cellflax\[parquet\]'"):
        write_table(tmp_path / "a.parquet", CELLS)
    assert list(tmp_path.iterdir()) == []


def test_formats_that_there_are_not():
    with pytest.raises(UserError, match=r"export=\[geff\]: must be among rois, geojson, ome_zarr, parquet, anndata"):
        check_formats("export", ["rois", "geff"], ("images", "tables"))
    with pytest.raises(UserError, match=r"ome_zarr_version=0\.3: must be 0.4 or 0.5"):
        check_formats("export", [], ("images",), "0.3")
