"""`docs/outputs.md` names every file that small runs of the commands write, and every column of their tables."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellflax import annotate, convert, evaluate, export, plan, predict, quantify, simulate, summarize, track, validate
from cellflax.data.example import Example
from cellflax.evaluation.part_scores import PartScores
from cellflax.io import results
from tests.commands import REPOSITORY, run_command
from tests.conversion.keras1_files import BATCH_NORM, Published
from tests.run_directories import write_run

PAGE = (REPOSITORY / "docs" / "outputs.md").read_text(encoding="utf-8")
COMMANDS = (
    *("plan", "train", "predict", "validate", "evaluate", "track"),
    *("quantify", "annotate", "simulate", "convert", "export", "summarize"),
)


class Outputs:
    """Directories that commands wrote to, by command."""

    def __init__(self, root: Path):
        self.root = root
        self.directories: dict[str, list[Path]] = {name: [] for name in COMMANDS}

    def run(self, command: str, main: Callable[[], None], name: str, *arguments: object) -> Path:
        """Run a command in the folder `name`."""
        output = self.root / name
        result = run_command(main, f"output={output}", *arguments)
        assert result.status == 0, result.err
        self.directories[command].append(output)
        return output


@pytest.fixture(scope="module")
def outputs(trained, fields, tmp_path_factory) -> Outputs:
    return make_outputs(trained.path, fields, tmp_path_factory.mktemp("outputs"))


def make_outputs(trained: Path, fields: Path, root: Path) -> Outputs:
    """What one command after another leaves."""
    made = Outputs(root)
    made.directories["train"] += [trained, _guided(trained, root / "guided")]
    made.directories["simulate"].append(fields)
    made.run("plan", plan.main, "plan", f"data.root={fields}", "data.channels=[phase,nuclear]")
    predicted = made.run(
        "predict", predict.main, "predicted", f"checkpoint={trained}", f"input={fields}/images",
        "channels=[phase,nuclear]", "save_probability=true", "test_time_augmentation=4", "refine=watershed",
        "refine.interior=0.3", f"nuclei_checkpoint={trained}",
    )  # fmt: skip
    made.run(
        "evaluate", evaluate.main, "scores", f"predicted={predicted}/*_labels.tif", f"reference={fields}/labels",
        f"+references.manual={fields}/labels",
    )  # fmt: skip
    _quantify_types(made, predicted, fields)
    _follow_a_colony(made)
    _measure_a_reporter(made)
    annotated = made.run(
        "annotate", annotate.main, "annotated", f"input={fields}/images", "pattern=field_{site}_{channel}.tif",
        "nuclear=nuclear", "images=[phase]", "save_illumination=true", "pixel_size_um=1.3",
    )  # fmt: skip
    table = pd.read_csv(annotated / results.REVIEW_TABLE, dtype=str)
    table.assign(accept="yes").to_csv(annotated / results.REVIEW_TABLE, index=False)
    made.run("annotate", annotate.main, "accepted", f"review={annotated / results.REVIEW_TABLE}")
    _tested_runs(made)
    _tune(made, trained)
    published = Published(BATCH_NORM, classes=3).write(root / "published.h5")
    made.run("convert", convert.main, "converted", f"source={published}")
    made.run("export", export.main, "exported", f"checkpoint={trained}", "format=stablehlo", "tile=64")
    return made


def _guided(trained: Path, run: Path) -> Path:
    """The run with guidance, as `train guide=true` leaves it."""
    shutil.copytree(trained, run)
    result = run_command(validate.main, f"checkpoint={run}", "guide=true")
    assert result.status == 0, result.err
    return run


def _quantify_types(made: Outputs, predicted: Path, fields: Path) -> None:
    """Cells of two types, with a marker for each."""
    folder = made.root / "types"
    shutil.copytree(predicted, folder)
    cells = pd.read_csv(folder / results.CELLS)
    score = np.where(cells[results.LABEL] % 2, 0.9, 0.2)
    kind = np.where(score > 0.5, "a", "b")
    cells.assign(cell_type=kind, score_a=score, score_b=1 - score).to_csv(folder / results.CELLS, index=False)
    for name in ("a", "b"):
        (made.root / f"marker_{name}").mkdir()
    for file in (fields / "nuclei").glob("*.tif"):
        nuclei = tifffile.imread(file)
        for odd, name in enumerate(("a", "b")):
            noise = np.random.default_rng(odd).normal(300, 5, nuclei.shape)
            light = noise + 2000 * ((nuclei > 0) & (nuclei % 2 == odd))
            tifffile.imwrite(made.root / f"marker_{name}/{file.stem}_{name}.tif", light.astype(np.float32))
    made.run("quantify", quantify.main, "cells", "method=cells", f"predicted={folder}/*_labels.tif",
             f"image={fields}/images/*phase.tif")  # fmt: skip
    markers = (f"+cell_type.markers.{name}={made.root}/marker_{name}" for name in ("a", "b"))
    made.run("quantify", quantify.main, "typed", "method=cell_type", f"predicted={folder}/*_labels.tif",
             f"nuclei={fields}/nuclei", *markers)  # fmt: skip


def _follow_a_colony(made: Outputs) -> None:
    size = ("colony.height=160", "colony.width=160", "colony.frames=5", "colony.frame_interval_s=360")
    colony = made.run("simulate", simulate.main, "colony", "specimen=colony", "fields=1", *size) / "movie_0001"
    tracks = made.run(
        "track", track.main, "tracks", f"input={colony}/labels", f"images={colony}/images", "frame_interval_s=360",
        f"reference={colony}/labels",
    )  # fmt: skip
    made.run("quantify", quantify.main, "growth", "method=growth", f"tracks={tracks}", f"truth={colony}")
    made.run("quantify", quantify.main, "growth_per_frame", "method=growth", f"tracks={colony}/labels")
    made.run("quantify", quantify.main, "cells_of_tracks", "method=cells", f"tracks={tracks}")


def _measure_a_reporter(made: Outputs) -> None:
    size = ("migration.height=128", "migration.width=128", "migration.frames=3")
    movie = made.run("simulate", simulate.main, "migration", "specimen=migration", "fields=1", *size) / "movie_0001"
    images = ("method=ktr", f"nuclei={movie}/nuclei", f"reporter={movie}/images/*reporter.tif", "ktr.ring_px=[5,10]")
    tracked = (f"tracks={movie}/labels", f"truth={movie}", "frame_interval_s=300")
    made.run("quantify", quantify.main, "ktr", *images, *tracked)
    made.run("quantify", quantify.main, "ktr_of_cells", *images, f"predicted={movie}/labels")


def _tested_runs(made: Outputs) -> None:
    """Runs with a test part; `train` and `validate part=test` write it by the same class."""
    for fold in (0, 1):
        config = {"data__folds": 2, "data__fold": fold, "data__test_sets": [], "loss__l2": 0.1 * fold}
        run = write_run(made.root / "runs" / str(fold), **config)
        cells = np.zeros((8, 8), np.int32)
        cells[2:6, 2:6] = 1
        probability = np.stack([cells == 0, cells > 0], axis=-1).astype(np.float32)
        scores = PartScores(("background", "nucleus"))
        scores.add(Example(f"a{fold}", probability, cells, cells, nuclei=cells, data_set="a"), cells, probability)
        tested = made.root / "tested" / str(fold)
        tested.mkdir(parents=True)
        scores.save(tested, {"cellflax": "0", "step": 20, "settings": {"refine": {"kind": "threshold"}}})
        made.directories["validate"].append(tested)
        shutil.copytree(tested, run, dirs_exist_ok=True)
    made.run("summarize", summarize.main, "summary", made.root / "runs")


def _tune(made: Outputs, trained: Path) -> None:
    """The table that `train` and `validate` write when they tune."""
    run, alone = made.root / "to_tune", made.root / "tuning"
    shutil.copytree(trained, run)
    result = run_command(validate.main, f"checkpoint={run}", "tune=true", "tuner.evaluations=4")
    assert result.status == 0, result.err
    alone.mkdir()
    shutil.copy(run / results.TUNING, alone)
    made.directories["validate"].append(alone)


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
        case ".parquet":
            return set(pd.read_parquet(file))
        case ".json" if file.name != results.CONFIG:
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
        assert _fits(file, section.files), f"docs/outputs.md, {command}: no file {file}"
        for column in sorted(columns):
            assert Path(file).name in section.columns, f"docs/outputs.md, {command}: no columns of {file}"
            documented = section.columns[Path(file).name]
            assert _fits(column, documented), f"docs/outputs.md, {command}, {file}: no column {column}"


# What the small runs do not write, because it depends on the input, the settings, or an error.
_SEGMENTATION = ("cell_type", "score_<type>", "probability_mean_<class>", "uncertainty")
NOT_WRITTEN = {
    "train": {
        *("plan/", "test.json", "test_roc.npz", "tuning.csv", "wandb/", "wandb_id.txt"),
        "summary.json: started_from",
        *(f"metrics.jsonl: validation_error_{name}" for name in ("centre_distance", "boundary_distance")),  # by target
        # tests/guidance and tests/training train them
        *("learning_curve/", "learning_curve.csv", "learning_curve.png", "metrics.jsonl: final_<metric>"),
    },
    "predict": {
        "cells.partial.csv",
        *(f"cells.csv: {name}" for name in ("frame", "time_s", "cell_type", "score_<type>")),
    },
    "export": {"network.onnx", "rdf.yaml", "documentation.md", "cover.png"},  # tests/test_export_networks.py does
    "quantify": {
        "metrics.json: area_px",
        *(f"{table}.{kind}: {name}" for table in ("growth", "ktr") for kind in ("csv", "parquet")
          for name in _SEGMENTATION),
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
    assert list(page)[3:] == [name for name in page if name in COMMANDS]
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
