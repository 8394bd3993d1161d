"""`cellflax.annotate` as a command: from stains on disk to a folder that training accepts."""

import json
import shutil
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax.data.datasets import load_dataset
from cellflax.data.folder import FolderData
from cellflax.io.images import read_image, read_labels, read_stack, write_image, write_labels
from cellflax.metrics.score import score_cells
from tests.stained_plate import CENTRES, PATTERN, SIZE, STAINS, annotate_stains, cells, write_plate


@pytest.fixture(scope="module")
def plate(tmp_path_factory) -> Path:
    return write_plate(tmp_path_factory.mktemp("plate"))


@pytest.fixture(scope="module")
def annotated(plate, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("annotated") / "out"
    result = annotate_stains(f"input={plate}", PATTERN, *STAINS, f"output={output}", "save_illumination=true")
    assert result.status == 0, result.err
    assert result.out == f"2 sites, 12 cells, 0 sites flagged\nreport: {output}/report.html\nresults: {output}\n"
    return output


def _files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_files(annotated, plate):
    sites = ("A1_1", "B1_1")
    assert _files(annotated) == sorted(
        [
            *(f"images/{site}_brightfield_z{z}.tif" for site in sites for z in (0, 1)),
            *(f"{kind}/{site}.tif" for kind in ("labels", "nuclei") for site in sites),
            *(
                f"illumination/{site}_{stain}_z{z}.tif"
                for site in sites
                for stain in ("nuclear", "cell")
                for z in (0, 1)
            ),
            *(f"review/{site}.png" for site in sites),
            *("review.csv", "report.html", "provenance.json"),
        ]
    )
    copied, source = (read_stack(folder / "A1_1_brightfield_z1.tif") for folder in (annotated / "images", plate))
    np.testing.assert_array_equal(copied.pixels, source.pixels)
    assert (copied.z_um, copied.pixel_size_um) == ((2.0,), 0.5)
    background = read_image(annotated / "illumination/A1_1_nuclear_z0.tif").pixels[..., 0]
    np.testing.assert_allclose(background.mean(0), np.linspace(50, 150, SIZE), atol=8)


def test_labels_against_what_was_drawn(annotated):
    for shift, site in enumerate(("A1_1", "B1_1")):
        for kind, radius in (("nuclei", 6), ("labels", 12)):
            found = read_labels(annotated / kind / f"{site}.tif")
            assert found.max() == len(CENTRES)
            assert score_cells(cells(radius, shift), found).accuracy.mean_dice > 0.85


def test_training_accepts_the_folder(annotated):
    channels = ["brightfield_z0", "brightfield_z1"]
    dataset = load_dataset(FolderData(root=str(annotated), channels=channels))
    assert dataset.channels == tuple(channels)
    example = dataset.train[0]
    assert example.image.shape == (SIZE, SIZE, 2)
    assert example.pixel_size_um == 0.5
    np.testing.assert_array_equal(example.nuclei, read_labels(annotated / "nuclei" / f"{example.name}.tif"))


def test_the_review_sheet_shows_every_site(annotated):
    table = pd.read_csv(annotated / "review.csv", keep_default_na=False)
    assert list(table.columns) == ["site", "cells", "coverage", "saturated", "focus", "flags", "accept"]
    assert table["site"].tolist() == ["A1_1", "B1_1"]
    assert table["accept"].tolist() == ["yes", "yes"]
    assert table["coverage"].between(0.15, 0.25).all()
    page = (annotated / "report.html").read_text()
    for site in table["site"]:
        assert f'href="review/{site}.png"' in page
        assert f"{site}: 6 cells, " in page
    assert page.count("<figure") == 2
    picture = imagecodecs.png_decode((annotated / "review/A1_1.png").read_bytes())
    assert picture.shape[1] > 3 * picture.shape[0]  # both stains and the bright field
    assert {(86, 180, 233), (230, 159, 0)} <= {tuple(pixel) for pixel in picture.reshape(-1, 3)[::7].tolist()}
    provenance = json.loads((annotated / "provenance.json").read_text())
    assert provenance["stains"] == {"nuclear": "dapi", "cell": "actin"}
    assert [image["z_um"] for image in provenance["sites"]["A1_1"]["images"]] == [-2.0, 2.0]
    assert provenance["settings"]["sadanandan"]["cells"]["dilation_px"] == 5


def test_only_accepted_sites_are_copied_with_their_corrections(annotated, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(annotated, folder)
    table = (folder / "review.csv").read_text()
    (folder / "review.csv").write_text(table.replace("yes", "No", 1))
    corrected = np.where(read_labels(folder / "labels/B1_1.tif") == 2, 0, read_labels(folder / "labels/B1_1.tif"))
    write_labels(folder / "labels/B1_1.tif", corrected)
    result = annotate_stains(f"review={folder}/review.csv", f"output={tmp_path}/accepted")
    assert (result.status, result.out.splitlines()[0]) == (0, "1 of 2 sites accepted"), result.err
    assert _files(tmp_path / "accepted") == sorted(
        [
            "provenance.json",
            "report.html",
            "labels/B1_1.tif",
            "nuclei/B1_1.tif",
            *(f"images/B1_1_brightfield_z{z}.tif" for z in (0, 1)),
        ]
    )
    np.testing.assert_array_equal(read_labels(tmp_path / "accepted/labels/B1_1.tif"), corrected)
    provenance = json.loads((tmp_path / "accepted/provenance.json").read_text())
    assert list(provenance["sites"]) == ["B1_1"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("yes", "maybe", "accept of site A1_1 must be yes or no, got 'maybe'"),
        ("yes", "no", "no site is accepted"),
        ("A1_1", "A9_9", "site A9_9 is not in provenance.json"),
        ("accept", "agree", "has no column accept"),
    ],
)
def test_reviews_that_cannot_be_used(annotated, tmp_path, old, new, message):
    for name in ("review.csv", "provenance.json"):
        shutil.copy(annotated / name, tmp_path)
    table = tmp_path / "review.csv"
    table.write_text(table.read_text().replace(old, new))
    result = annotate_stains(f"review={table}", f"output={tmp_path}/out")
    assert result.status == 1
    assert message in result.error
    assert not (tmp_path / "out").exists()


def test_nuclei_alone_in_one_file_per_site(plate, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("A1_1", "B1_1"):
        shutil.copy(plate / f"{name}_dapi_z0.tif", tmp_path / "in" / f"{name}.tif")
    result = annotate_stains(f"input={tmp_path}/in", "pattern={site}.tif", f"output={tmp_path}/out")
    assert result.status == 0, result.err
    assert [file for file in _files(tmp_path / "out") if file.startswith("images")] == [
        "images/A1_1.tif",
        "images/B1_1.tif",
    ]
    labels, nuclei = (read_labels(tmp_path / "out" / kind / "A1_1.tif") for kind in ("labels", "nuclei"))
    np.testing.assert_array_equal(labels, nuclei)
    assert score_cells(cells(6, 0), nuclei).matches[0].f1 == 1


def test_a_blurred_and_an_empty_site_are_flagged(plate, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(4):
        shutil.copy(plate / "A1_1_dapi_z0.tif", tmp_path / "in" / f"{index}.tif")
    pixels = read_image(plate / "A1_1_dapi_z0.tif").pixels[..., 0].astype(np.float32)
    spectrum = np.fft.fft2(pixels) * np.exp(-400 * np.add.outer(*(np.fft.fftfreq(SIZE) ** 2,) * 2))
    write_image(tmp_path / "in/blurred.tif", np.fft.ifft2(spectrum).real.astype(np.float32))
    write_image(tmp_path / "in/empty.tif", np.random.default_rng(0).poisson(100, (SIZE, SIZE)).astype(np.uint16))
    result = annotate_stains(f"input={tmp_path}/in", "pattern={site}.tif", f"output={tmp_path}/out")
    assert result.status == 0, result.err
    table = pd.read_csv(tmp_path / "out/review.csv", index_col="site", keep_default_na=False)
    assert "out of focus" in table.loc["blurred", "flags"]
    assert "no cells" in table.loc["empty", "flags"]
    assert table.loc[["blurred", "empty"], "accept"].tolist() == ["no", "no"]
    assert table.loc[["0", "1", "2", "3"], "accept"].tolist() == ["yes"] * 4


def test_simulated_images_stay_marked(plate, tmp_path):
    (tmp_path / "in").mkdir()
    for plane in (0, 1):
        shutil.copy(plate / f"A1_1_dapi_z{plane}.tif", tmp_path / "in")
    (tmp_path / "in/SIMULATED.txt").write_text("Simulated by a test\n")
    result = annotate_stains(f"input={tmp_path}/in", PATTERN, f"output={tmp_path}/out")
    assert "SIMULATED DATA" in result.err
    assert "SIMULATED DATA" in (tmp_path / "out/report.html").read_text()
    annotate_stains(f"review={tmp_path}/out/review.csv", f"output={tmp_path}/accepted")
    for folder in ("out", "accepted"):
        assert json.loads((tmp_path / folder / "provenance.json").read_text())["simulated"]
        for kind in ("images", "labels", "nuclei"):
            assert (tmp_path / folder / kind / "SIMULATED.txt").read_text() == "Simulated by a test\n"


def test_alkofahi_runs_on_the_same_stains(plate, tmp_path):
    result = annotate_stains(
        f"input={plate}", PATTERN, *STAINS, "method=alkofahi", "alkofahi.cell_area_um2=110", f"output={tmp_path}/out"
    )
    assert result.status == 0, result.err
    assert score_cells(cells(6, 0), read_labels(tmp_path / "out/nuclei/A1_1.tif")).matches[0].f1 == 1


def test_a_channel_name_inside_a_file_is_no_path(plate, tmp_path):
    """Such a name once led outside the output, and overwrote what was there."""
    (tmp_path / "plate").mkdir()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "evil.tif").write_text("precious")
    planes = [read_image(plate / f"A1_1_{name}_z0.tif").pixels[..., 0] for name in ("dapi", "brightfield")]
    names = ["dapi", "x/../../../precious/evil"]
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    stack = np.stack([plane.astype(np.float32) for plane in planes])
    tifffile.imwrite(tmp_path / "plate/s1.tif", stack, ome=True, photometric="minisblack", metadata=metadata)
    options = ("nuclear=dapi", "pixel_size_um=0.5", f"output={tmp_path / 'out'}")
    result = annotate_stains(f"input={tmp_path / 'plate'}", "pattern={site}.tif", *options)
    assert result.status == 0, result.err
    assert (tmp_path / "precious" / "evil.tif").read_text() == "precious"
    assert "images/s1_x_.._.._.._precious_evil.tif" in _files(tmp_path / "out")
    record = json.loads((tmp_path / "out/provenance.json").read_text())["sites"]["s1"]["images"]
    assert [image["channel"] for image in record] == names[1:]
