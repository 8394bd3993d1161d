"""The report of a training, from a log and held-out regions that are drawn by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from cellflax.metrics.score import score_cells
from cellflax.training.held_out import HeldOut, Sight
from cellflax.training.report import TrainingReport
from cellflax.training.stopping import Tally

NASTY = "<img src=x onerror=alert(1)>"
REFRESH = '<meta http-equiv="refresh"'


def _sight() -> Sight:
    cells = np.zeros((40, 40), np.int32)
    cells[5:15, 5:15], cells[20:32, 20:32] = 1, 2
    labels = np.where(cells == 1, 1, 0)
    image = np.random.default_rng(0).random((40, 40, 1)).astype(np.float32)
    inner = (slice(0, 40), slice(0, 40))
    region = HeldOut(image, inner, np.zeros_like(cells), cells, None, image, None, name=NASTY)
    return Sight(region, labels, score_cells(cells, labels))


def _log(run: Path, *lines: dict) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def page(tmp_path) -> TrainingReport:
    data = {"source": NASTY, "simulated": True, "channels": ["phase"], "class_names": ["cell"], "pixel_size_um": None}
    images = {"train": [NASTY, "b"], "validation": ["c"], "test": []}
    record = {"data": data | images, "config": {"name": NASTY}, "device": "1 x CPU"}
    return TrainingReport(tmp_path, NASTY, record, steps=40)


def _texts(page: TrainingReport) -> str:
    return page.path.read_text(encoding="utf-8")


def test_while_it_runs_and_at_the_end(page, tmp_path):
    tally = Tally(best_step=10, elapsed_s=60.0, timeline=[[10, 60.0]])
    _log(tmp_path, {"step": 5, "train_loss": 2.0}, {"step": 10, "validation_jaccard": 0.625, "validation_loss": 1.5})
    page.validated(10, tally, [_sight()])
    running = _texts(page)
    assert REFRESH in running
    assert "running: step 10 of 40" in running
    assert "SIMULATED DATA" in running
    assert NASTY not in running
    assert "0.625" in running
    assert "0.00  &lt;img src=x" in running  # the cell that was missed

    tally.timeline.append([20, 90.0])
    _log(tmp_path, {"step": 20, "validation_jaccard": 0.75, "validation_loss": 1.25})
    page.validated(20, tally, [_sight()])
    assert _texts(page) == running  # so soon after the other, it would cost more than 2 % of the time
    page.ended(tally, "all steps done")
    ended = _texts(page)
    assert REFRESH not in ended
    assert "0.75" in ended
    assert "Jaccard: 0.75 at minute 1.5" in ended
    assert "Jaccard: 0.75 at step 20" in ended
    assert "20 at step 20" in ended  # steps per minute: ten in half a minute
    assert "Held-out regions at step 20" in ended


def test_a_page_of_a_training_that_ended_stays_when_nothing_is_trained(page, tmp_path):
    tally = Tally(best_step=10, timeline=[[10, 60.0]])
    _log(tmp_path, {"step": 10, "validation_jaccard": 0.5})
    page.validated(10, tally, [_sight()])
    record, again = page._record, TrainingReport(tmp_path, "again", page._record, steps=40)
    again.ended(tally, "stopped", warns=True)  # the page said that it runs
    assert "stopped" in _texts(page)
    before = _texts(page)
    TrainingReport(tmp_path, "again", record, steps=40).ended(tally, "all steps done")
    assert _texts(page) == before


def test_guidance_is_shown(page, tmp_path):
    _log(tmp_path, {"step": 10, "validation_jaccard": 0.5})
    page.guidance = {
        "hints": [{"finding": "Cells are merged.", "remedy": "Annotate <more>."}],
        "suspects": {"count": 0, "first": []},
        "odd_images": [{"image": NASTY, "differs": ["dark", "blurred"]}],
        "learning_curve": {"points": [{"images": 2, "f1": 0.5, "jaccard": 0.25}], "words": "More would help."},
    }
    page.ended(Tally(best_step=10), "all steps done")
    text = _texts(page)
    for words in ("Cells are merged. Annotate &lt;more&gt;.", "dark; blurred", "More would help."):
        assert words in text
