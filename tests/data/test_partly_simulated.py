"""A training folder with simulated and other data sets: never taken for all one or all the other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from cellflax.data.example import SIMULATED_NOTE
from cellflax.data.folder import FolderData, load_folder
from cellflax.prediction.inputs import warn_of_simulation
from cellflax.prediction.trained import load_model
from cellflax.training.described import announce_data, describe_data


def data_set(folder: Path, count: int, simulated: bool) -> None:
    rng = np.random.default_rng(len(folder.name))
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        labels = np.zeros((24, 24), np.uint16)
        labels[4:12, 4:12], labels[14:20, 8:20] = 1, 2
        tifffile.imwrite(folder / "labels" / f"{number}.tif", labels)
        tifffile.imwrite(
            folder / "images" / f"{number}.tif", (50 * labels + rng.integers(9, size=(24, 24))).astype("u2")
        )
    if simulated:
        (folder / "images" / SIMULATED_NOTE).write_text("simulated\n")


def test_it_is_said_how_many_images_are_simulated(tmp_path, capsys):
    data_set(tmp_path / "real", 3, False)
    data_set(tmp_path / "made", 2, True)
    mixed = load_folder(FolderData(root=str(tmp_path)))
    assert (mixed.simulated, mixed.simulated_images) == (True, 2)
    assert mixed.source == f"{tmp_path.name} (made, real), 3 images of your own and 2 simulated"
    announce_data(mixed)
    said = capsys.readouterr().err
    assert "PARTLY SIMULATED DATA: 2 of the images are simulated, the others are not\n" in said
    record = describe_data(mixed)
    assert (record["simulated"], record["simulated_images"]) == (True, 2)
    for name, simulated in {"real": False, "made": True}.items():
        alone = load_folder(FolderData(root=str(tmp_path / name)))
        assert (alone.simulated, alone.simulated_images) == (simulated, None)


def test_prediction_says_it_too(trained, capsys):
    model = load_model(trained.path)
    warn_of_simulation(model)
    assert capsys.readouterr().err.startswith("SIMULATED DATA: ")
    data = model.record["data"] | {"simulated_images": 60}
    warn_of_simulation(replace(model, record=model.record | {"data": data}))
    assert capsys.readouterr().err == (
        "PARTLY SIMULATED DATA: 60 of the images that this network was trained on are simulated\n"
    )
