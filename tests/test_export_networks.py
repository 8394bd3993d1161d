"""`cellflax export checkpoint=...`: files that other programs run, with the outputs of `predict`."""

import gc
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from jax import export as jax_export

from cellflax import export
from cellflax.data.normalize import Intensity, NormalizeConfig
from cellflax.models.patch_net import PatchNetConfig, Stage
from cellflax.models.unet import UNetConfig, UpLevel
from cellflax.networks_to_go import reference, tile
from cellflax.refine.distances import DistancesConfig
from cellflax.targets.distances import DistancesTarget
from tests.commands import Result, run_command
from tests.predictions import predicting
from tests.random_checkpoints import random_checkpoint

ort = pytest.importorskip("onnxruntime")

# bioimageio.spec leaves the files of a package to the garbage collector.
leaves_files_open = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


@pytest.fixture
def files_are_closed():
    """While these warnings are ignored."""
    yield
    gc.collect()


def exported(checkpoint: Path, output: Path, *options: str) -> Result:
    return run_command(export.main, f"checkpoint={checkpoint}", f"output={output}", *options)


@pytest.fixture
def image(fields, tmp_path) -> np.ndarray:
    """(C, H, W) raw, 128 x 128; a file of it is in tmp_path."""
    planes = [tifffile.imread(fields / "images" / f"field_0007_{channel}.tif") for channel in ("phase", "nuclear")]
    tifffile.imwrite(tmp_path / "a.tif", np.stack(planes), metadata={"axes": "CYX"}, photometric="minisblack")
    return np.stack(planes).astype(np.float32)


def test_onnx_gives_what_predict_writes(tiny, image, tmp_path):
    out = tmp_path / "onnx"
    result = exported(tiny.path, out, "format=onnx", "tile=128")
    assert result.status == 0, result.err
    assert "SIMULATED DATA" in result.err
    said = next(line for line in result.err.splitlines() if line.startswith("difference from predict: "))
    assert 0 < float(said.split()[3]) < 1e-4

    predicted = predicting(tiny.path, tmp_path / "predicted")
    assert predicted(tmp_path / "a.tif", "save_probability=true").status == 0
    expected = tifffile.imread(tmp_path / "predicted" / "a_probability.tif")
    session = ort.InferenceSession(out / "network.onnx")
    (got,) = session.run(["outputs"], {"image": np.stack([image, image * 3])})
    np.testing.assert_allclose(got[0], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(got[1], expected, rtol=0, atol=1e-5)  # the median takes the factor away
    scale = {"offset": np.zeros(2, np.float32), "divisor": np.full(2, 1e3, np.float32)}
    assert np.abs(session.run(["outputs"], {"image": image[None], **scale})[0][0] - expected).max() > 0.01
    assert expected.std() > 0.02


def test_the_metadata_say_what_the_file_takes_and_returns(tiny, tmp_path):
    out = tmp_path / "onnx"
    assert exported(tiny.path, out, "format=onnx", "tile=64").status == 0
    metadata = json.loads((out / "network.json").read_text())
    assert metadata["input"]["channels"] == ["phase", "nuclear"]
    assert metadata["input"]["pixel_size_um"] == 1.3
    assert metadata["output"]["class_names"] == ["edge", "interior", "background"]
    assert metadata["output"]["class_activation"] == "softmax"
    assert metadata["tiles"]["px"] == 64
    assert metadata["tiles"]["context_px"] >= metadata["tiles"]["receptive_field_px"] // 2
    assert metadata["checkpoint"]["simulated"] is True
    assert metadata["refine"]["kind"] in ("threshold", "watershed")
    assert metadata["difference"]["largest"] < metadata["difference"]["allowed"] == 1e-4
    assert "Give those of the whole image" in metadata["normalize"]["exact"]
    held = json.loads(ort.InferenceSession(out / "network.onnx").get_modelmeta().custom_metadata_map["cellflax"])
    assert held == {key: value for key, value in metadata.items() if key != "difference"}


def test_stablehlo_is_read_by_jax_alone(tiny, image, tmp_path):
    out = tmp_path / "stablehlo"
    result = exported(tiny.path, out, "format=stablehlo", "tile=128")
    assert result.status == 0, result.err
    program = jax_export.deserialize(bytearray((out / "network.stablehlo").read_bytes()))
    assert program.platforms == ("cpu", "cuda")
    assert [str(size) for size in program.in_avals[0].shape] == ["batch", "2", "128", "128"]
    unknown = np.full(2, np.nan, np.float32)
    got = np.asarray(program.call(image[None], unknown, unknown))
    predicted = predicting(tiny.path, tmp_path / "predicted")
    assert predicted(tmp_path / "a.tif", "save_probability=true").status == 0
    np.testing.assert_allclose(got[0], tifffile.imread(tmp_path / "predicted" / "a_probability.tif"), rtol=0, atol=1e-5)
    saved = np.load(out / "test_input.npy")
    np.testing.assert_allclose(program.call(saved, unknown, unknown), np.load(out / "test_output.npy"), atol=1e-6)


def packages(folder: Path) -> dict[str, Path]:
    """Checkpoints with each kind of preprocessing and of outputs."""
    patch = PatchNetConfig(stages=[Stage([4], [4]), Stage([3], [4])], dense=[4])
    unet = UNetConfig(down=[[4]], bottom=[4], up=[UpLevel(4, [4])], context_px=4)
    percentile = NormalizeConfig(Intensity.percentile)
    return {
        "median": random_checkpoint(folder / "median", patch, normalize=NormalizeConfig(), members=2),
        "percentile": random_checkpoint(
            folder / "percentile",
            unet,
            channels=["DAPI (405)", "cell mask"],
            classes=["interior", "background"],
            target=DistancesTarget(),
            refine=DistancesConfig(),
            normalize=percentile,
        ),
    }


@leaves_files_open
@pytest.mark.usefixtures("files_are_closed")
@pytest.mark.parametrize("kind", ["median", "percentile"])
def test_a_package_passes_the_validator(kind, tmp_path):
    spec = pytest.importorskip("bioimageio.spec")
    out = tmp_path / "package"
    options = ("tile=64", "authors=[Jane Doe]", "license=CC-BY-4.0")
    result = exported(packages(tmp_path)[kind], out, "format=bioimageio", *options)
    assert result.status == 0, result.err
    assert f"rdf.yaml: valid-format by bioimageio.spec {spec.__version__}" in result.err
    written = {"network.onnx", "network.json", "test_input.npy", "test_output.npy"}
    assert {path.name for path in out.iterdir()} == written | {"rdf.yaml", "documentation.md", "cover.png"}
    package = spec.load_model_description(out / "rdf.yaml")
    assert [author.name for author in package.authors] == ["Jane Doe"]
    (image,), (outputs,) = package.inputs, package.outputs
    assert (image.axes[2].size, outputs.axes[2].halo) == (64, package.config.cellflax["tiles"]["context_px"])
    assert (image.axes[2].unit, round(image.axes[2].scale, 6)) == ("micrometer", 0.65)
    steps = [step.id for step in image.preprocessing]
    assert steps[:2] == (["ensure_dtype", "scale_range"] if kind == "percentile" else ["ensure_dtype"])
    if kind == "percentile":
        assert image.axes[1].channel_names == ["DAPI__405_", "cell_mask"]
        assert outputs.axes[1].channel_names == ["interior", "background", "centre_distance", "boundary_distance"]
    assert "## Validation" in (out / "documentation.md").read_text()
    if importlib.util.find_spec("bioimageio.core"):  # runs the weights on the test input, preprocessing included
        from bioimageio.core import load_description_and_test

        summary = load_description_and_test(out / "rdf.yaml", weight_format="onnx").validation_summary
        assert summary.status == "passed", summary.display()


@leaves_files_open
@pytest.mark.usefixtures("files_are_closed")
def test_a_licence_that_does_not_exist_leaves_nothing(tmp_path):
    pytest.importorskip("bioimageio.spec")
    out = tmp_path / "package"
    result = exported(packages(tmp_path)["median"], out, "format=bioimageio", "tile=64", "license=mine")
    assert result.status == 1
    assert "refuses rdf.yaml (license" in result.error
    assert not list(tmp_path.glob("*package*"))


def test_a_network_that_differs_is_refused_and_nothing_is_left(tiny, tmp_path, monkeypatch):
    inner = tile._box_mean
    monkeypatch.setattr(tile, "_box_mean", lambda x, box: inner(x, box) * 1.01)
    result = exported(tiny.path, tmp_path / "out", "format=stablehlo", "tile=64")
    assert result.status == 1
    assert "the exported network differs from predict by up to" in result.error
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_are_no_numbers_differ():
    square = tile.Tile(4, 1, mirrored=True)
    outputs = np.zeros((1, 1, 4, 4), np.float32)
    assert reference.largest_difference(outputs, outputs + 5e-5, square) == pytest.approx(5e-5)
    for wrong in (np.nan, 2e-4):
        with pytest.raises(export.UserError, match="nothing is written"):
            reference.largest_difference(outputs + np.float32(wrong), outputs, square)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("format=onnx",), "format=onnx is of a network; add checkpoint=RUN"),
        (("format=onnx", "checkpoint=nowhere"), "checkpoint nowhere does not exist"),
        (
            ("format=tflite", "checkpoint=nowhere"),
            "format=tflite: of a checkpoint, give one of onnx, stablehlo",
        ),
        (("format=[onnx,stablehlo]", "checkpoint=nowhere"), "format=onnx,stablehlo: of a checkpoint, give one of onnx"),
        (("tile=32",), "tile must be in [64, 2048], or null, got 32"),
        (("test_time_augmentation=3",), "test_time_augmentation must be 1, 4 or 8, or null, got 3"),
    ],
)
def test_mistakes_end_in_one_line(options, message, tmp_path):
    result = run_command(export.main, f"output={tmp_path / 'out'}", *options)
    assert result.status == 1
    assert message in result.error
    assert list(tmp_path.iterdir()) == []


def test_an_existing_directory_is_refused_before_the_work(tiny, tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    assert "already exists; give a new directory" in exported(tiny.path, tmp_path, "tile=64", "format=onnx").error


def test_missing_packages_are_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    error = exported(tiny.path, tmp_path / "out", "format=onnx").error
    assert error.endswith("install them with: pip install 'cellflax[onnx]'")
