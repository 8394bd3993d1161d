"""`cellflax.convert`: published files to a checkpoint that predicts."""

import json

import jax
import numpy as np
import pytest

from cellflax import convert, evaluate, predict
from cellflax.conversion.keras1 import read_published, to_module
from cellflax.prediction.trained import load_model
from tests.commands import run_command
from tests.conversion.keras1_files import BATCH_NORM, DEEPER, Published


@pytest.fixture
def files(tmp_path):
    """Two networks of one architecture, four classes; the second is shifted."""
    first, second = (Published(BATCH_NORM, classes=4) for _ in range(2))
    last = second.names[-2]
    second.arrays[last]["b"] = second.arrays[last]["b"] + 1
    (tmp_path / "h5").mkdir()
    return [network.write(tmp_path / "h5" / f"net_{i}.h5") for i, network in enumerate((first, second))]


def test_ensemble_of_files(files, tmp_path):
    result = run_command(convert.main, f"source={files[0].parent}", f"output={tmp_path / 'out'}")
    assert (result.status, result.out) == (0, f"checkpoint: {tmp_path / 'out'}\n"), result.err
    model = load_model(tmp_path / "out")
    assert (model.members, model.geometry.receptive_field, model.channels) == (2, 11, ("phase", "nuclear"))
    assert model.class_names == ("edge", "interior_nih3t3", "interior_mcf10a", "background")
    image = np.random.default_rng(0).normal(size=(1, 14, 15, 2)).astype(np.float32)
    both = np.asarray(model.probabilities(image))
    for file, found in zip(files, np.split(both, 2, axis=-1), strict=True):
        np.testing.assert_allclose(found, jax.nn.softmax(to_module(read_published(file))(image)), atol=1e-6)
    again = run_command(convert.main, f"source={files[0]}", f"output={tmp_path / 'out'}")
    assert "holds the results of an earlier run; give another directory, or add overwrite=true" in again.error
    again = run_command(convert.main, f"source={files[0]}", f"output={tmp_path / 'out'}", "overwrite=true")
    assert again.status == 0, again.err
    assert load_model(tmp_path / "out").members == 1
    (tmp_path / "out/provenance.convert.json").unlink()
    again = run_command(convert.main, f"source={files[0]}", f"output={tmp_path / 'out'}", "overwrite=true")
    assert "holds a checkpoint already; give another directory" in again.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["source={h5}"], "output is not given; add output=..."),
        (["source={h5}/none_*.h5", "output=out"], "none_*.h5: no such file; give .h5 files"),
        (["source={h5}", "output=out", "channels=[phase]"], "channels must be 2 different names for these networks"),
        (["source={h5}", "output=out", "class_names=[a,b,c,c]"], "class_names must be 4 different names"),
        (["source={h5}/*", "output=out"], "net_2.h5: its architecture differs from that of net_0.h5; convert"),
    ],
)
def test_mistakes_in_one_line(files, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    if "architecture" in message:
        Published(DEEPER, classes=4).write(files[0].with_name("net_2.h5"))
    result = run_command(convert.main, *(argument.format(h5=files[0].parent) for argument in arguments))
    assert result.status == 1
    assert message in result.error
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize(("line", "nuclear", "published"), [("HeLa", "farred", 0.834), ("3T3", "dapi", 0.761)])
def test_table_1_from_the_published_weights(data_root, tmp_path, line, nuclear, published):
    """Our nuclei, active contours and index (P1, Table 1)."""
    networks, truth = data_root / "deepcell/trained_networks", data_root / "deepcell/validation_data" / line
    for name, folder, kind in (("cyto", line, "active_contour"), ("nuclei", "Nuclear", "nuclei")):
        arguments = (f"source={networks / folder}", f"output={tmp_path / name}", f"refine={kind}")
        assert run_command(convert.main, *arguments).status == 0
    refinement = "hela_cyto" if line == "HeLa" else "nih3t3_cyto"
    result = run_command(
        predict.main,
        f"checkpoint={tmp_path / 'cyto'}",
        f"nuclei_checkpoint={tmp_path / 'nuclei'}",
        f"input={truth / 'RawImages'}",
        f"channels=[phase,{nuclear}]",
        f"refine={refinement}",
        f"output={tmp_path / 'out'}",
    )
    assert result.status == 0, result.err
    (reference,) = (truth / "Validation").glob("*interior.tif")
    result = run_command(
        evaluate.main,
        f"predicted={tmp_path / 'out'}",
        f"reference={reference}",
        f"nuclei={truth / 'Masks/nuclear_mask_0.png'}",
        "border=30",
        "erode_reference=true",
        f"output={tmp_path / 'scores'}",
    )
    assert result.status == 0, result.err
    scores = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert scores["pooled"]["jaccard_index"] == pytest.approx(published, abs=0.01)
    assert scores["uncertainty"]["n_cells"] > 15
