"""Run directories that are unfinished or damaged, each with its reason."""

from pathlib import Path

import pytest

from cellflax.summary.runs import FinishedRun, read_run
from tests.run_directories import write_run


def _edit(file: str, old: str, new: str):
    def edit(run: Path) -> None:
        text = (run / file).read_text()
        assert old in text
        (run / file).write_text(text.replace(old, new))

    return edit


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: (run / "config.json").write_bytes(b"\xff\xfe"), "config.json: line 1 is not UTF-8"),
        (lambda run: (run / "config.json").write_text("[]"), "config.json: is not a JSON object"),
        (_edit("config.json", '"seed": 0', '"seed": "a"'), "config.json has no usable seed: got 'a'"),
        (_edit("config.json", '"seed": 0', '"seed": true'), "config.json has no usable seed: got True"),
        (_edit("summary.json", '"monitor"', '"m"'), "summary.json has no usable monitor: got None"),
        (_edit("summary.json", '"simulated": false', '"simulated": 0'), "no usable data.simulated: got 0"),
        (_edit("summary.json", '"best_step": 20', '"best_step": 25'), "metrics.jsonl has no validation at step 25"),
        (lambda run: (run / "metrics.jsonl").unlink(), "metrics.jsonl cannot be read"),
        (lambda run: (run / "metrics.jsonl").write_text(""), "metrics.jsonl has no validation_jaccard"),
        (_edit("metrics.jsonl", "0.75}", "0.75"), "metrics.jsonl, line 2 is not JSON"),
        (_edit("metrics.jsonl", "0.75}", '"x"}'), "metrics.jsonl, line 2 is not a step with numbers"),
        (_edit("metrics.jsonl", '{"step": 10, "train_loss": 2.0}', "7"), "metrics.jsonl, line 1 is not a step"),
        (lambda run: (run / "summary.json").write_text('{"training": 3}'), "summary.json has no usable training"),
    ],
)
def test_unreadable_runs(tmp_path, damage, reason):
    run = write_run(tmp_path / "run")
    damage(run)
    read = read_run(run)
    assert not isinstance(read, FinishedRun)
    assert read.status == "unreadable"
    assert reason in read.reason
