"""`cellflax.summarize` on run directories written here: numbers by hand, and every run accounted for."""

import math
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from cellflax import summarize
from cellflax.pictures.comparison import comparison_figure
from cellflax.summary.markdown import markdown, notes
from cellflax.summary.runs import find_runs
from cellflax.summary.scores_by_setting import compare
from cellflax.summary.tables import group_runs, run_table, setting_table
from tests.commands import run_command
from tests.run_directories import finished, write_run


@pytest.fixture
def sweep(tmp_path):
    """Three seeds of l2=0, two of 1e-5 and one of 1e-7; best and last Jaccard differ."""
    for i, (l2, seed, jaccard) in enumerate(
        [
            (1e-5, 0, (0.5, 0.6, 0.7)),
            (0.0, 2, (0.8, 0.6, 0.7)),
            (0.0, 0, (0.5, 0.9, 0.6)),
            (0.0, 1, (0.5, 0.6, 0.85)),
            (1e-5, 1, (0.5, 0.5, 0.9)),
            (1e-7, 0, (0.4, 0.3, 0.2)),
        ]
    ):
        write_run(tmp_path / "sweep" / str(i), jaccard, seed=seed, loss__l2=l2, seconds=60.0 * (i + 1))
    return tmp_path / "sweep"


def test_table_of_settings(sweep, tmp_path):
    result = run_command(summarize.main, sweep, f"output={tmp_path / 'out'}")
    assert (result.status, result.err) == (0, "")
    assert "6 runs in 3 settings, 0 not counted" in result.out
    table = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert table["loss.l2"].tolist() == [0, 1e-7, 1e-5]  # by size
    assert table["n"].tolist() == [3, 1, 2]
    assert table["seeds"].tolist() == ["0 1 2", "0", "0 1"]
    # 0.8, 0.9, 0.85: mean 0.85, squares 0.0025 + 0.0025 + 0 over n - 1 = 2. 0.7, 0.9: mean 0.8, 0.02 over 1.
    assert table["best_jaccard_mean"].tolist() == pytest.approx([0.85, 0.4, 0.8])
    assert table["best_jaccard_std"].tolist() == pytest.approx([0.05, math.nan, math.sqrt(0.02)], nan_ok=True)
    assert table["last_jaccard_mean"].tolist() == pytest.approx([(0.7 + 0.6 + 0.85) / 3, 0.2, 0.8])
    # At the best checkpoints: steps 10, 20 and 30; 10; 30 and 30.
    assert table["best_loss_mean"].tolist() == pytest.approx([0.9, 1.0, 0.8])
    assert table["last_loss_mean"].tolist() == pytest.approx([0.8, 0.8, 0.8])
    assert table["minutes_mean"].tolist() == pytest.approx([3, 6, 3])
    assert table["minutes_std"].tolist() == pytest.approx([1, math.nan, math.sqrt(8)], nan_ok=True)
    assert table["best_accuracy_edge_mean"].tolist() == [0.25] * 3
    assert (table["steps_min"].tolist(), table["steps_max"].tolist()) == ([30] * 3, [30] * 3)
    assert table["data"].tolist() == ["real"] * 3


def test_what_a_launcher_wrote_is_no_run(sweep, tmp_path):
    (sweep / "multirun.yaml").touch()
    (sweep / ".submitit/2026-01-01_0").mkdir(parents=True)
    result = run_command(summarize.main, sweep, f"output={tmp_path / 'out'}")
    assert (result.status, result.err) == (0, "")
    assert "6 runs in 3 settings, 0 not counted" in result.out


def test_markdown(sweep):
    page = markdown(group_runs(finished(*find_runs([str(sweep)]))))
    assert page.startswith("# toy by loss.l2\n")
    best, last = page.split("## Last step")
    head = "| data | loss.l2 | n | seeds | steps | minutes | jaccard | dice | loss | accuracy edge |"
    assert head in best
    assert head in last
    row = "| real | 0.0 | 3 | 0 1 2 | 30 | 3.0 ± 1.0 | 0.850 ± 0.050 | 0.750 ± 0.000 | 0.900 ± 0.100 | 0.250 ± 0.000 |"
    assert row in best
    assert "| real | 1e-07 | 1 | 0 | 30 | 6.0 | 0.400 | 0.750 | 1.000 | 0.250 |" in best
    assert "| real | 1e-07 | 1 | 0 | 30 | 6.0 | 0.200 | 0.750 | 0.800 | 0.250 |" in last
    assert "Not counted" not in page


def test_figure(sweep):
    figure = comparison_figure(compare(group_runs(finished(*find_runs([str(sweep)])))))
    scores, losses = figure.axes
    assert figure.get_suptitle() == "toy by loss.l2"
    assert [label.get_text() for label in scores.get_xticklabels()] == ["0.0", "1e-07", "1e-05"]
    points, means = scores.lines[0::2], scores.lines[1::2]
    assert [sorted(line.get_ydata()) for line in points] == [[0.8, 0.85, 0.9], [0.4], [0.7, 0.9]]
    assert [round(line.get_xdata().mean(), 6) for line in points] == [0, 1, 2]
    assert [line.get_ydata()[0] for line in means] == pytest.approx([0.85, 0.4, 0.8])
    assert scores.get_ylabel() == "validation jaccard at the best checkpoint"
    assert len(losses.lines) == 6
    assert all(list(line.get_xdata()) == [10, 20, 30] for line in losses.lines)
    assert all(list(line.get_ydata()) == [1.0, 0.9, 0.8] for line in losses.lines)
    colours = [to_hex(line.get_color()) for line in losses.lines]
    assert [colours.count(to_hex(line.get_color())) for line in points] == [3, 1, 2]


def test_figure_of_more_settings_than_colours(tmp_path):
    runs = finished(*(write_run(tmp_path / str(i), loss__l2=i / 100) for i in range(9)))
    scores, _ = comparison_figure(compare(group_runs(runs))).axes
    assert len({to_hex(line.get_color()) for line in scores.lines}) == 9


def test_every_run_is_listed(sweep, tmp_path):
    """Runs that are not finished are named on screen, in the page and in the table of runs."""
    (sweep / "multirun.yaml").touch()
    (sweep / "failed").mkdir()
    write_run(sweep / "stopped", reason=None)
    (write_run(sweep / "killed") / "summary.json").unlink()
    with (sweep / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "train_l')
    (write_run(sweep / "torn") / "summary.json").write_text("{")
    write_run(sweep / "again", (0.1, 0.2, 0.3), seed=2, loss__l2=0.0, finished="2025-12-31T23:00:00+00:00")
    result = run_command(summarize.main, f"runs={sweep}", f"output={tmp_path / 'out'}")
    assert result.status == 0, result.err
    assert "6 runs in 3 settings, 5 not counted" in result.out
    fault = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    torn = f"{sweep / 'torn' / 'summary.json'}: cannot be read as JSON ({fault}); train again"
    expected = {
        "failed": ("failed", "stopped before training: no config.json"),
        "stopped": ("unfinished", "30 of 30 steps"),
        "killed": ("unfinished", "30 of 30 steps"),
        "torn": ("unreadable", torn),
        "again": ("repeated", f"as {sweep / '1'}, with the same seed"),
    }
    table = pd.read_csv(tmp_path / "out" / "runs.csv").set_index("run")
    page = (tmp_path / "out" / "summary.md").read_text()
    assert "## Not counted: 5" in page
    assert len(table) == 11
    for name, (status, reason) in expected.items():
        assert table.loc[str(sweep / name), ["status", "reason"]].tolist() == [status, reason]
        assert math.isnan(table.loc[str(sweep / name), "best_jaccard"])
        assert f"- {status}: `{sweep / name}` ({reason})" in page
        assert name == "again" or f"not counted: {status}: {sweep / name} ({reason})" in result.err
    one = table.loc[str(sweep / "2")]
    assert (one["status"], one["reason"], one["loss.l2"], one["seed"]) == ("finished", "all steps done", 0.0, 0)
    assert (one["steps"], one["best_step"], one["best_jaccard"], one["last_jaccard"]) == (30, 20, 0.9, 0.6)


def test_undefined_metric_is_undefined_in_the_mean(tmp_path):
    runs = finished(write_run(tmp_path / "a", (0.5, 0.6, None)), write_run(tmp_path / "b", seed=1))
    summary = group_runs(runs)
    table = setting_table(summary)
    assert table["best_jaccard_mean"].tolist() == pytest.approx([0.65])
    assert math.isnan(table["last_jaccard_mean"][0])
    assert "| - | 0.750 ± 0.000 |" in markdown(summary).split("## Last step")[1]


def test_metric_of_some_runs_only(tmp_path):
    runs = finished(write_run(tmp_path / "a"), write_run(tmp_path / "b", loss__l2=0.0))
    runs[0].validation["accuracy_nucleus"] = 0.5
    table = setting_table(group_runs(runs)).set_index("loss.l2")
    assert table.loc["1e-05", "best_accuracy_nucleus_mean"] == 0.5
    assert math.isnan(table.loc["0.0", "best_accuracy_nucleus_mean"])


def test_runs_shortened_by_the_clock_show(tmp_path):
    runs = finished(
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", (0.5, 0.6), seed=1, reason="trainer.max_minutes=1 are over", trainer__steps=30),
    )
    summary = group_runs(runs)
    assert len(summary.groups) == 1
    assert "| 2 | 0 1 | 20-30 |" in markdown(summary)
    assert run_table(summary)["reason"].tolist() == ["all steps done", "trainer.max_minutes=1 are over"]


def test_simulated_data_are_marked_everywhere(tmp_path):
    simulated = {"simulated": True, "source": "simulated HeLa fields"}
    summary = group_runs(finished(write_run(tmp_path / "a", **simulated)))
    assert markdown(summary).startswith("# SIMULATED DATA: toy\n\n**Trained and validated on simulated images")
    assert "| SIMULATED | 1 | 0 | 30 |" in markdown(summary)
    assert setting_table(summary)["data"].tolist() == run_table(summary)["data"].tolist() == ["SIMULATED"]
    assert comparison_figure(compare(summary)).get_suptitle() == "SIMULATED DATA: toy"


def test_simulated_and_real_data_do_not_mix(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", simulated=True)
    result = run_command(summarize.main, tmp_path, f"output={tmp_path / 'out'}")
    assert result.status == 1
    assert f"{tmp_path / 'b'} was trained on simulated images and {tmp_path / 'a'} on real ones" in result.error
    assert not (tmp_path / "out").exists()


def test_different_data_are_noted(tmp_path):
    runs = finished(write_run(tmp_path / "a"), write_run(tmp_path / "b", data__folder="3T3", source="DeepCell 3T3"))
    (note, along) = notes(group_runs(runs))
    assert note.startswith("The data differ; compare only scores")
    assert "DeepCell 3T3; DeepCell HeLa_joint, 5 images" in note
    assert "data source" in along


@pytest.mark.parametrize(("seeds", "noted"), [((0, 1), True), ((0, 4), True), ((0, 5), False)])
def test_ensembles_that_share_networks_are_noted(tmp_path, seeds, noted):
    runs = finished(*(write_run(tmp_path / str(s), seed=s, trainer__ensemble=5) for s in seeds))
    assert any("share networks" in note for note in notes(group_runs(runs))) is noted


def test_jobs_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("10_b", "2_a", "1_c", "x"):
        write_run(tmp_path / name)
    write_run(tmp_path / "1_c" / "wandb" / "0")  # what is in a run is not another
    assert [run.name for run in find_runs([str(tmp_path)])] == ["1_c", "2_a", "10_b", "x"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["a b,c", "d'e"],
        ["runs=a b,c", "d'e"],
        ["a b,c", "a b,c/0", "runs=d'e"],
        ["*"],
        ["**/0"],
        ['runs=["a b,c","d\'e"]'],
    ],
)
def test_ways_to_name_runs(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a b,c" / "0")
    write_run(tmp_path / "d'e" / "0", seed=1)
    result = run_command(summarize.main, *arguments, "output=out")
    assert result.status == 0, result.err
    assert "2 runs in 1 settings, 0 not counted" in result.out
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "provenance.summarize.json", "report.html", "runs.csv", "summary.csv", "summary.md", "summary.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no runs given: name directories"),
        (["nowhere"], "runs: nowhere does not exist"),
        (["none*"], "runs: none* does not exist"),
        (["run", "empty"], "runs: empty holds no run (a directory with config.json)"),
        (["going"], "none of 1 runs is finished"),
        (["run", "output=run/config.json"], "output=run/config.json: cannot make this directory"),
        (["run", "outptu=x"], "did you mean output?"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    write_run(tmp_path / "going", reason=None)
    (tmp_path / "empty").mkdir()
    result = run_command(summarize.main, *arguments)
    assert result.status == 1
    assert message in result.error
    assert not (tmp_path / "summary").exists()
