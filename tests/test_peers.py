"""`python -m benchmarks.peers` with peers that are not real: the environments of the real ones take gigabytes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import __main__ as peers
from benchmarks.peers import environments, runs
from benchmarks.peers.data import copy_data, split_of
from benchmarks.peers.options import parse
from benchmarks.peers.runs import Peer, Stage, scores_of
from cellflax.data.folder import FolderData
from cellflax.errors import UserError
from cellflax.io.images import read_image, read_labels, write_image, write_labels
from tests.commands import run_command

SIZE = 24
# It finds all cells but the first, and says what it was given.
FAKE = """
import os, sys
sys.path.insert(0, {scripts!r})
from peer_job import Job
import numpy as np

job = Job.read()
with open(job.output.parent / "calls.txt", "a") as file:
    file.write(job.output.name + "\\n")
if job.output.name == "broken":
    raise SystemExit("no such luck")
train, validation, test = (job.part(name) for name in ("train", "validation", "test"))
assert {{1, 2, 3}} == set(np.unique(job.classes(train.names)))
cells = iter([test.labels[0], *test.labels])  # the first image is segmented twice
seconds = job.segment(lambda image: np.where((labels := next(cells)) > 1, labels, 0))
threads = os.environ["OMP_NUM_THREADS"], len(os.sched_getaffinity(0))
assert job.words == ["model=unet", "name=a b"]
images = [len(train.names), len(validation.names)]
settings = {{"threads": threads, "path": os.environ.get("PYTHONPATH"), "images": images}}
job.finish(
    ("numpy",),
    "CPU",
    {{"fit_minutes": 1.0, "training_minutes": job.minutes, "steps": 7, "epochs": None, "seconds_per_image": seconds,
      "settings": settings}},
)
"""


def write_data(root: Path, count: int, first: int, channels: int = 1) -> Path:
    """Images of four squares each, all different."""
    for index in range(first, first + count):
        labels = np.zeros((SIZE, SIZE), np.int32)
        for number, (y, x) in enumerate(((2, 2), (2, 13), (13, 2), (13, 13)), 1):
            labels[y : y + 7, x : x + 7] = number
        image = np.random.default_rng(index).integers(0, 99, (SIZE, SIZE, channels), np.uint16)
        image[labels > 0] += 1000
        if channels == 1:
            write_image(root / "images" / f"{index}.tif", image[..., 0])
        else:
            np.save(_made(root / "images") / f"{index}.npy", image)
        write_labels(root / "labels" / f"{index}.tif", labels)
    return root


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def folders(tmp_path):
    return [write_data(tmp_path / "train", 4, 0), write_data(tmp_path / "test", 2, 9), tmp_path / "out"]


@pytest.fixture
def fakes(tmp_path):
    script = tmp_path / "fake.py"
    script.write_text(FAKE.format(scripts=str(Path(runs.__file__).parent / "scripts")))
    return {"fake": Peer("Fake 1.0", (Stage(script, None),)), "broken": Peer("Broken", (Stage(script, None),))}


def options(folders, fakes, *words):
    return parse([*map(str, folders), "cores=1", "cellflax=model=unet 'name=a b'", *words], list(fakes))


def test_a_run_and_its_table(folders, fakes, capsys):
    output, cores = folders[2], os.sched_getaffinity(0)
    with pytest.raises(UserError, match=r"^broken: failed, see above"):
        peers.compare(options(folders, fakes, "minutes=0.5"), fakes)
    printed = capsys.readouterr()
    assert "broken: ended with status 1, its last line is 'no such luck'" in printed.err
    result = json.loads((output / "fake" / "result.json").read_text())
    repository = str(Path(runs.__file__).parents[2])
    assert result["settings"] == {"threads": ["1", 1], "path": repository, "images": [3, 1]}
    assert result["cores"] == 1
    # 3 of 4 cells in each of 2 images are found, and they are whole.
    expected = {"f1_0.5": 6 / 7, "f1_0.7": 6 / 7, "f1_0.8": 6 / 7, "panoptic_quality": 6 / 7}
    assert result["scores"] == pytest.approx(expected | {"ap_0.5": 0.75, "ap_0.5_mean_of_images": 0.75})
    table = pd.read_csv(output / "peers.csv")
    assert table["peer"].tolist() == ["Fake 1.0"]
    assert table["training_minutes"].tolist() == [0.5]
    markdown = (output / "peers.md").read_text()
    assert "3 images to train on, 1 to validate, 2 to test" in markdown
    assert "| Fake 1.0 | 0.857 | 0.857 | 0.857 | 0.857 | 0.750 | 0.750 | 1.0 | 0.5 | 7 | - |" in markdown
    assert markdown in printed.out

    # Again: what is complete is kept, and what is not is made anew.
    with pytest.raises(UserError, match=r"^broken: failed, see above"):
        peers.compare(options(folders, fakes, "minutes=0.5"), fakes)
    assert "fake: is complete" in capsys.readouterr().err
    assert (output / "calls.txt").read_text().split() == ["fake", "broken", "broken"]
    peers.compare(options(folders, fakes, "minutes=0.5", "only=fake"), fakes)  # ends well
    with pytest.raises(UserError, match=r"its results have minutes=0\.5; give another output folder"):
        peers.compare(options(folders, fakes, "minutes=1", "only=fake"), fakes)
    assert os.sched_getaffinity(0) == cores  # they are free again


def test_held_out_images_are_those_of_cellflax(tmp_path):
    given = [write_data(tmp_path / "train", 12, 0), write_data(tmp_path / "test", 1, 20), tmp_path / "out"]
    for seed in (0, 1):
        chosen = parse([*map(str, given[:2]), str(tmp_path / f"out{seed}"), f"seed={seed}"], ["fake"])
        data = copy_data(chosen)
        dataset = FolderData(root=str(given[0]), split_seed=seed).load()
        split = split_of(data)
        assert split["validation"] == [region.example.name for region in dataset.validation]
        assert split["train"] == [example.name for example in dataset.train]
        assert split["test"] == ["20"]
        example = dataset.train[0]
        for folder, expected in (("train/images", example.image[..., 0]), ("classes", example.classes + 1)):
            found = read_image(data / folder / f"{example.name}.tif").pixels[..., 0]
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(read_labels(data / "train/labels" / f"{example.name}.tif"), example.cells)
    assert split_of(tmp_path / "out0" / "data")["validation"] != split_of(tmp_path / "out1" / "data")["validation"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["minutes=15"], r"three folders are needed, TRAIN TEST OUTPUT, and 0 are given"),
        (["{train}", "{test}/no", "{out}"], r"test/no: no such folder; give one with images/ and labels/"),
        (
            ["{train}", "{test}", "{out}", "minute=1"],
            r"minute=1: no such setting; there are cellflax, cores, device, minutes",
        ),
        (["{train}", "{test}", "{out}", "minutes=0"], r"minutes=0: must be a number above 0"),
        (["{train}", "{test}", "{out}", "minutes=nan"], r"minutes=nan: must be a number above 0"),
        (["{train}", "{test}", "{out}", "cores=1000"], r"cores=1000: must be a whole number from 1 to"),
        (["{train}", "{test}", "{out}", "seed=1.5"], r"seed=1\.5: must be a whole number from 0"),
        (
            ["{train}", "{test}", "{out}", "only=stardust"],
            r"there is no peer stardust; stardist, cellpose, forest, cell",
        ),
        (["{train}", "{test}", "{out}", "device=tpu"], r"device=tpu: must be auto, cpu or gpu"),
        (
            ["{train}", "{train}", "{out}"],
            r"the image 0 is the same as 0 in .*train; a test image must not be trained on",
        ),
        (["{train}", "{colours}", "{out}"], r"9\.npy: has 2 channels, and the peers are compared on one"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path, folders, words, message):
    write_data(tmp_path / "colours", 1, 9, channels=2)
    places = {"train": folders[0], "test": folders[1], "out": folders[2], "colours": tmp_path / "colours"}
    result = run_command(peers.main, *(word.format(**places) for word in words))
    assert result.status == 1
    assert re.search(message, result.error), result.error
    assert not (folders[2] / "data").exists()


def test_what_a_peer_started_ends_with_it(tmp_path):
    number = tmp_path / "number.txt"
    inner = f"import os, time; open({str(number)!r}, 'w').write(str(os.getpid())); time.sleep(100)"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"]
    stopper = threading.Timer(0, lambda: (wait_for(number.is_file), os.kill(os.getpid(), signal.SIGINT)))
    stopper.start()
    with pytest.raises(KeyboardInterrupt):
        runs._run(command, dict(os.environ), "fake", tmp_path / "log.txt")
    stopper.join()
    process = Path(f"/proc/{number.read_text()}/stat")
    wait_for(lambda: not process.is_file() or process.read_text().split()[2] == "Z")


def wait_for(is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.05)


@pytest.mark.slow
def test_an_environment_is_made_once_and_never_half(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLFLAX_CACHE", str(tmp_path))
    monkeypatch.setattr(environments, "_REQUIREMENTS", tmp_path)
    (tmp_path / "own.txt").write_text("# nothing\n")
    (tmp_path / "own-gpu.txt").write_text("no-such-package-of-cellflax @ file:///nowhere\n")
    python = environments.environment("own", gpu=False)
    home = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert Path(home.stdout.strip()).resolve() == python.parents[1].resolve() != Path(sys.prefix).resolve()
    (mark := python.parents[1] / "mine").touch()
    assert environments.environment("own", gpu=False) == python
    assert mark.exists()
    (python.parents[1] / "complete.json").unlink()  # an installation that was interrupted is made again
    assert environments.environment("own", gpu=False) == python
    assert not mark.exists()
    with pytest.raises(UserError, match=r"^own: its environment cannot be made, status 1; see .*own-gpu-.*\.log"):
        environments.environment("own", gpu=True)


def test_every_peer_has_its_files():
    for peer in runs.PEERS.values():
        for stage in peer.stages:
            assert stage.script.is_file()
            assert stage.environment is None or (environments._REQUIREMENTS / f"{stage.environment}.txt").is_file()


def test_scores_without_cells_are_unknown():
    row = {"iou": 0.5, "f1": None, "average_precision": None}
    by_iou = [row, *({**row, "iou": iou} for iou in (0.55, 0.7, 0.8))]
    metrics = {"pooled": {"by_iou": by_iou, "panoptic_quality": None}, "images": {"a": {"by_iou": by_iou}}}
    assert set(scores_of(metrics).values()) == {None}
