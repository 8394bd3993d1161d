"""`docs/reference/outputs.md` names every file that small runs of the commands write, and every column of tables."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from cellflax import annotate, convert, simulate
from cellflax.io import results
from tests.browser import CHROMIUM, browsing
from tests.commands import REPOSITORY, run_command
from tests.outputs import COMMANDS, Outputs, make_outputs

PAGE = (REPOSITORY / "docs" / "reference" / "outputs.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outputs(trained, fields, tmp_path_factory) -> Outputs:
    return make_outputs(trained.path, fields, tmp_path_factory.mktemp("outputs"))


@dataclass
class Section:
    """What the page says of a command.

    Attributes:
        files: names of its files, with placeholders.
        columns: by table, names of the columns, with placeholders.
    """

    files: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)


def read_page() -> dict[str, Section]:
    """The page's sections by their titles; a table that refers to a section has the columns of that too."""
    sections: dict[str, Section] = {}
    for text in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        files, *tables = re.split(r"^### ", text, flags=re.MULTILINE)
        section = sections[files.splitlines()[0].strip()] = Section(_names(files))
        for table in tables:
            shared = [title for title in re.findall(r"\]\(#([\w-]+)\)", table)]
            columns = [name for title in shared for name in sections[title.replace("-", " ").capitalize()].files]
            for name in re.findall(r"`([^`]+)`", table.splitlines()[0]):
                section.columns[name] = columns + _names(table)
    return sections


def _names(text: str) -> list[str]:
    """What stands in backticks in the first cells of a table's rows."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def _expression(name: str) -> re.Pattern[str]:
    """A name with its placeholders: `<name>`, `###`, `[...]`, and a folder with all that it holds."""
    if re.fullmatch(r"<\w+>", name):  # a key of the configuration; all columns would fit otherwise
        return re.compile(r"\w+\.[\w.]+")
    text = re.escape(name).replace(r"\#\#\#", r"\d+").replace(r"\[", "(?:").replace(r"\]", ")?")
    return re.compile(re.sub(r"<\w+>", "[^/]+", text) + (".*" if name.endswith("/") else ""))


def _fits(written: str, documented: list[str]) -> list[str]:
    return [name for name in documented if _expression(name).fullmatch(written)]


def _written(directories: list[Path]) -> dict[str, set[str]]:
    """Files below the directories, by their path within; with the columns of tables and the keys of JSON objects."""
    found: dict[str, set[str]] = {}
    for directory in directories:
        for file in directory.rglob("*"):
            if file.is_file():
                found.setdefault(str(file.relative_to(directory)), set()).update(_columns(file))
    return found


def _columns(file: Path) -> set[str]:
    match file.suffix:
        case ".csv":
            return set(pd.read_csv(file))
        case ".json" if file.name not in (results.CONFIG, "zarr.json"):
            return set(json.loads(file.read_text()))
        case ".jsonl":
            return {key for line in file.read_text().splitlines() for key in json.loads(line)}
    return set()


@pytest.mark.parametrize("command", COMMANDS)
def test_all_that_is_written_is_documented(outputs, command):
    section = read_page()[command]
    written = _written(outputs.directories[command])
    assert written
    for file, columns in written.items():
        assert _fits(file, section.files), f"docs/reference/outputs.md, {command}: no file {file}"
        for column in sorted(columns):
            assert Path(file).name in section.columns, f"docs/reference/outputs.md, {command}: no columns of {file}"
            documented = section.columns[Path(file).name]
            assert _fits(column, documented), f"docs/reference/outputs.md, {command}, {file}: no column {column}"


# What the small runs do not write, because it depends on the input, the settings, or an error.
_SEGMENTATION = ("cell_type", "score_<type>", "probability_mean_<class>", "uncertainty", *results.RIGHT)
NOT_WRITTEN = {
    "train": {
        *("plan/", "test.json", "test_roc.npz", "tuning.csv", "wandb/", "wandb_id.txt"),
        *("multirun.yaml", "optimization_results.yaml", ".submitit/<time>_<number>/"),  # of sweeps
        ".cellflax.lock",  # which is gone at the end
        *("calibration.csv", "calibration.png"),  # tests/calibration make them, and what follows from them
        "summary.json: started_from",
        *(f"metrics.jsonl: validation_error_{name}" for name in ("centre_distance", "boundary_distance")),  # by target
        # tests/guidance and tests/training train them
        *("learning_curve/", "learning_curve.csv", "learning_curve.png", "metrics.jsonl: final_<metric>"),
    },
    "predict": {
        *("cells.partial.csv", "cells.parquet"),  # tests/exporting writes Parquet
        "<name>_labels.zarr/",  # tests/prediction/test_streamed.py writes it
        *(f"cells.csv: {name}" for name in ("frame", "time_s", "cell_type", "score_<type>", *results.RIGHT)),
    },
    "track": {"tracks.parquet"},
    "correct": {"to_correct.csv: frame"},
    "validate": {"calibration.csv", "calibration.png"},
    "evaluate": {"reliability.csv", "reliability.png", "metrics.json: calibration"},
    "quantify": {
        *("metrics.json: area_px", "<table>.parquet"),
        *(f"cells.csv: {name}" for name in results.RIGHT),
        *(f"{table}.csv: {name}" for table in ("growth", "ktr") for name in _SEGMENTATION),
    },
    "export": {  # tests/exporting and tests/test_export_networks.py write these
        "<table>.parquet", "network.onnx", "rdf.yaml", "documentation.md", "cover.png",
    },
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_all_that_is_documented_is_written(outputs, command):
    section = read_page()[command]
    written = _written(outputs.directories[command])
    used = {name for file in written for name in _fits(file, section.files)}
    missing = set(section.files) - used
    for table, documented in section.columns.items():
        there = {column for file, columns in written.items() if Path(file).name == table for column in columns}
        used = {name for column in there for name in _fits(column, documented)}
        if there:
            missing |= {f"{table}: {name}" for name in documented if name not in used}
    assert missing == NOT_WRITTEN.get(command, set())


def test_every_row_has_a_unit_and_a_meaning():
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            assert all(cell.strip() for cell in line.strip("|").split("|")), line


def test_the_page_has_all_names_of_files_in_the_code():
    names = [name for name in vars(results).values() if isinstance(name, str)]
    files = [name for name in names if re.fullmatch(r"[a-z_.]+\.(csv|jsonl?|npz|txt|png|html|md)", name)]
    assert len(files) > 25
    for name in files:
        assert f"{name}`" in PAGE, name


def test_a_page_without_a_column_is_found():
    """The comparison is no formality: names that the page does not have do not fit."""
    page = read_page()
    assert list(page)[4:] == [name for name in page if name in (*COMMANDS, "data")]  # data: tests/catalogue
    assert not _fits("centroid", page["predict"].columns[results.CELLS])
    assert not _fits("n_runs", page["summarize"].columns[results.SETTINGS_TABLE])
    assert not _fits("labels/field_1.png", page["simulate"].files)


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (simulate.main, ["fields=1", "hela.height=64", "hela.width=64"]),
        (convert.main, ["source={}/published.h5"]),
        (annotate.main, ["review={}/annotated/review.csv"]),
    ],
)
@pytest.mark.parametrize("output", ["{}/published.h5", "{}/published.h5/below"])
def test_an_output_that_is_no_directory_is_told_in_one_line(outputs, main, arguments, output):
    output = output.format(outputs.root)
    result = run_command(main, f"output={output}", *(argument.format(outputs.root) for argument in arguments))
    assert result.status == 1
    assert result.error.startswith(f"output={output}: ")


REPORTING = ("train", "predict", "evaluate", "track", "quantify", "annotate", "summarize")


def _reports(outputs: Outputs) -> list[Path]:
    """The reports of all runs; each directory has one, a validation's beside that of its training."""
    found = []
    for directory in (one for command in REPORTING for one in outputs.directories[command]):
        pages = sorted(directory.glob("report*.html"))
        assert pages, f"no report in {directory}"
        found += pages
    return found


def test_every_run_leaves_a_small_report_of_its_own(outputs):
    for page in _reports(outputs):
        text = page.read_text(encoding="utf-8")
        assert len(text) < 5_000_000, page
        assert "default-src 'none'" in text
        assert 'http-equiv="refresh"' not in text, "the command has ended"
        assert not re.search(r"""(src|href)=["'](?!data:|#|review/)""", text), page
        for record in page.parent.glob("provenance*.json"):
            assert page.name in json.loads(record.read_text())["files"]
    trained = outputs.directories["train"][0] / results.REPORT
    assert "SIMULATED DATA" in trained.read_text()


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")
def test_every_report_opens_quietly_in_a_browser(outputs, tmp_path):
    with browsing(tmp_path) as browser:
        for page in _reports(outputs):
            browser.open(page)
            assert browser.complaints() == [], page
            assert [url for url in browser.requests() if not url.startswith("data:")] == [page.resolve().as_uri()]
            assert browser.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)"), page
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), f"{page} is too wide"
