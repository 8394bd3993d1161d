"""`cellflax.summarize` on cross-validations and data sets left out: tables by hand, pooled ROC, what is missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cellflax import summarize
from cellflax.metrics.roc import N_BINS
from cellflax.summary.markdown import markdown, notes
from cellflax.summary.part_tables import part_table, pooled_roc
from cellflax.summary.runs import FinishedRun, SkippedRun, read_run
from cellflax.summary.tables import group_runs, run_table, setting_table
from tests.commands import run_command
from tests.run_directories import finished, write_run

REFINE = {"kind": "watershed", "interior": 0.5}


def write_fold(
    directory: Path, fold: int | None, sm: dict[str, float], auc: float | None = 0.9, **changes: Any
) -> Path:
    """Write a run of three folds with its test scores: one image of 5 cells of each data set of `sm`."""
    data = {"kind": "folder", "folds": 3, "fold": fold, "test_sets": []}
    run = write_run(directory, **{"data": data, "refine": REFINE, **changes})
    metrics = {name: {"images": 1, "n_reference": 5, "sm": value, "nuclei_auc": auc} for name, value in sm.items()}
    scores = {
        "step": 20,
        "settings": {"refine": REFINE},
        "pooled": {"images": len(sm), "n_reference": 5 * len(sm), "sm": min(sm.values()), "nuclei_auc": auc},
        "data_sets": metrics,
        "images": {f"{name}/{fold}": {"data_set": name, **values} for name, values in metrics.items()},
    }
    (run / "test.json").write_text(json.dumps(scores))
    write_pixels(run, positive=[(N_BINS - 1, 1)], negative=[(0, 1)])
    return run


def write_pixels(run: Path, positive: list[tuple[int, int]], negative: list[tuple[int, int]]) -> None:
    """Write counts of nuclei by bin."""
    counts = np.zeros((2, N_BINS), np.int64)
    for kind, bins in enumerate((positive, negative)):
        for place, number in bins:
            counts[kind, place] = number
    np.savez_compressed(run / "test_roc.npz", nuclei_positive=counts[0], nuclei_negative=counts[1])


@pytest.fixture
def sweep(tmp_path):
    """Three folds; data set b has no image in the last."""
    for fold, sm in enumerate([{"a": 0.8, "b": 0.5}, {"a": 0.7, "b": 0.7}, {"a": 0.9}]):
        write_fold(tmp_path / "sweep" / str(fold), fold, sm, auc=None if fold == 2 else 0.9)
    return tmp_path / "sweep"


def test_table_of_folds(sweep, tmp_path):
    result = run_command(summarize.main, sweep, f"output={tmp_path / 'out'}")
    assert (result.status, result.err) == (0, "")
    assert "3 runs in 1 settings, 0 not counted" in result.out
    table = pd.read_csv(tmp_path / "out" / "tested.csv").set_index("data_set")
    assert list(table.index) == ["a", "b", "all data sets"]
    assert table[["n", "images", "cells"]].to_numpy().tolist() == [[3, 3, 15], [2, 2, 10], [3, 5, 25]]
    # Pooled are 0.5, 0.7 and 0.9: by their run, not from the data sets.
    assert table["sm_mean"].tolist() == pytest.approx([0.8, 0.6, 0.7])
    assert table["sm_std"].tolist() == pytest.approx([0.1, np.sqrt(0.02), 0.2])
    assert table["nuclei_auc_mean"].tolist() == pytest.approx([np.nan, 0.9, np.nan], nan_ok=True)
    page = (tmp_path / "out" / "summary.md").read_text()
    assert "standard deviation over seeds and folds" in page
    assert "| data set | n | images | cells | sm | nuclei auc |" in page
    assert "| a | 3 | 3 | 15 | 0.800 ± 0.100 | - |" in page
    assert "| b | 2 | 2 | 10 | 0.600 ± 0.141 | 0.900 ± 0.000 |" in page
    assert (tmp_path / "out" / "roc.png").stat().st_size > 0


def test_folds_are_one_setting(sweep):
    summary = group_runs(finished(*sorted(sweep.iterdir())))
    assert summary.keys == ()
    assert setting_table(summary)[["n", "seeds", "folds"]].to_numpy().tolist() == [[3, "0", "0 1 2"]]
    assert run_table(summary)["fold"].tolist() == [0, 1, 2]
    assert "| real | 3 | 0 | 0 1 2 | 30 |" in markdown(summary)
    assert notes(summary) == []  # above all not that folds with one seed share networks


def test_same_fold_and_seed_counts_once(sweep):
    write_fold(sweep / "old", 1, {"a": 0.1}, finished="2025-01-01T10:00:00+00:00")
    write_fold(sweep / "other", 1, {"a": 0.3}, seed=1)
    summary = group_runs(finished(*sorted(sweep.iterdir())))
    (skipped,) = summary.skipped
    assert (skipped.directory.name, skipped.status) == ("old", "repeated")
    assert skipped.reason == f"as {sweep / '1'}, with the same seed and fold"
    assert [(run.fold, run.seed) for run in summary.runs] == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert setting_table(summary)["seeds"].tolist() == ["0 1"]
    # Fold 1 was tested twice, on one image.
    assert part_table(summary).set_index("data_set").loc["a", ["n", "images"]].tolist() == [4, 3]


def test_settings_and_data_sets_left_out(tmp_path):
    runs = []
    for name, sm in (("a", 0.8), ("b", 0.6)):
        data = {"kind": "folder", "folds": None, "fold": None, "test_sets": [name]}
        runs.append(write_fold(tmp_path / name, None, {name: sm}, data=data))
    summary = group_runs(finished(*runs))
    table = part_table(summary)
    assert table[["data.test_sets", "data_set", "sm_mean"]].to_numpy().tolist() == [
        ['["a"]', "a", 0.8],
        ['["b"]', "b", 0.6],
    ]
    assert list(pooled_roc(summary)) == ['["a"]: nuclei', '["b"]: nuclei']
    assert "folds" not in setting_table(summary)


def test_roc_is_of_all_pixels(sweep):
    """Three foreground pixels at 1, 1 and 0.25, background at 0, 0 and 0.5: 8 of 9 pairs are in order."""
    write_pixels(sweep / "2", positive=[(N_BINS // 4, 1)], negative=[(N_BINS // 2, 1)])
    curves = pooled_roc(group_runs(finished(*sorted(sweep.iterdir()))))
    assert list(curves) == ["nuclei"]
    assert curves["nuclei"].auc == pytest.approx(8 / 9)
    assert curves["nuclei"].accuracy == pytest.approx(4 / 6)


def lose_a_fold(sweep: Path) -> None:
    (sweep / "1" / "summary.json").unlink()


def lose_scores(sweep: Path) -> None:
    (sweep / "1" / "test.json").unlink()


def refine_otherwise(sweep: Path) -> None:
    scores = json.loads((sweep / "1" / "test.json").read_text())
    scores["settings"]["refine"]["interior"] = 0.4
    (sweep / "1" / "test.json").write_text(json.dumps(scores))


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lose_a_fold, "all runs: 2 of 3 folds; the others are missing from every mean"),
        (lose_scores, "Not tested: 1; python -m cellflax.validate part=test tests a run"),
        (refine_otherwise, "Some runs were tested with another refinement than that of their training configuration"),
    ],
)
def test_what_a_reader_must_know(sweep, change, note):
    change(sweep)
    runs = [run for directory in sorted(sweep.iterdir()) if isinstance(run := read_run(directory), FinishedRun)]
    (found,) = notes(group_runs(runs))
    assert found.startswith(note)


def edit(old: str, new: str):
    def change(run: Path) -> None:
        text = (run / "test.json").read_text()
        assert old in text
        (run / "test.json").write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: (run / "test.json").write_text("{"), "test.json: cannot be read as JSON"),
        (edit('"pooled"', '"pool"'), "test.json has no usable pooled: got None"),
        (edit("0.5", '"high"'), "test.json has metrics that are not numbers"),
        (edit('"data_set": "a"', '"data_set": 3'), "test.json has no usable data_set: got 3"),
        (edit('"a/0": {', '"a/0": 5, "x": {'), "test.json has an image without metrics: 5"),
    ],
)
def test_damaged_scores(sweep, damage, reason):
    damage(sweep / "0")
    read = read_run(sweep / "0")
    assert isinstance(read, SkippedRun)
    assert read.status == "unreadable"
    assert reason in read.reason


def test_what_another_summary_left_goes(sweep, tmp_path):
    out = f"output={tmp_path / 'out'}"
    run_command(summarize.main, sweep, out)
    write_run(tmp_path / "plain")
    assert run_command(summarize.main, tmp_path / "plain", out, "overwrite=true").status == 0
    assert not (tmp_path / "out" / "tested.csv").exists()
    assert not (tmp_path / "out" / "roc.png").exists()
    assert "Test part" not in (tmp_path / "out" / "summary.md").read_text()
