"""Copy the sites that a review accepted into a folder to train on."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellflax.annotation.files import simulation_note, write_simulation_note
from cellflax.annotation.report import accepted_report
from cellflax.atomic import NO_ROOM
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.records import RECORD_KEYS
from cellflax.io.result_set import ResultSet, result_set
from cellflax.io.tables import read_table
from cellflax.jsonfile import read_json
from cellflax.report.page import save_report

_ANSWERS = {"yes": True, "no": False}


@contextmanager
def annotation_set(output: Path, overwrite: bool) -> Iterator[ResultSet]:
    """Begin an annotation in a directory that is new or empty, or holds an earlier one that may be replaced.

    Nothing else may be there: training takes all images of a folder.

    Raises:
        UserError: as `result_set`, and if there is anything else.
    """
    if not (output / results.PROVENANCE).exists() and output.is_dir() and _holds_files(output):
        raise UserError(f"output={output}: already exists; give a new directory, or remove it")
    with result_set(output, overwrite, command="annotate") as found:
        yield found


def _holds_files(folder: Path) -> bool:
    return any(not path.name.startswith(".") for path in folder.iterdir())


def copy_accepted(table: Path, output: Path, overwrite: bool = False) -> tuple[int, int]:
    """Copy images, labels and nuclei of the accepted sites as they are now, with corrections made by hand.

    Args:
        table: `review.csv` in the folder that `cellflax.annotate` wrote.
        output: new folder.
        overwrite: whether to replace what an earlier copy left there.

    Returns:
        Number of accepted sites, and of all sites.

    Raises:
        UserError: if the table cannot be read, an answer is neither yes nor no, no site is accepted, or a file is gone.
    """
    accepted = read_answers(table)
    provenance = _read_provenance(table.parent)
    unknown = sorted(accepted.keys() - provenance["sites"].keys())
    if unknown:
        raise UserError(f"{table}: site {unknown[0]} is not in {results.PROVENANCE} beside it; restore the name")
    chosen = {name: site for name, site in provenance["sites"].items() if accepted.get(name, False)}
    if not chosen:
        raise UserError(f"{table}: no site is accepted; set accept to yes where the labels are good")
    if output.resolve() == table.parent.resolve():
        raise UserError(f"output={output}: is the folder of the review itself; give another")
    with annotation_set(output, overwrite) as found:
        folder = found.folder
        for name in results.TRAINING_FOLDERS:
            (folder / name).mkdir()
        for name, site in chosen.items():
            files = [(results.IMAGE_FOLDER, image["file"]) for image in site["images"]]
            labels = f"{results.safe_name(name, 'site')}.tif"
            for kind, file in [*files, (results.LABEL_FOLDER, labels), (results.NUCLEUS_FOLDER, labels)]:
                _copy(table.parent / kind / Path(file).name, folder / kind)
        note = simulation_note([table.parent / results.IMAGE_FOLDER])
        if note is not None:
            write_simulation_note(folder, note)
        record = {key: value for key, value in provenance.items() if key not in RECORD_KEYS}
        record |= {"sites": chosen, "review": str(table)}
        save_report(found.report(), lambda: accepted_report(str(table), record, len(chosen), len(accepted)))
        found.publish(record, keep_edits=True)
    return len(chosen), len(accepted)


def read_answers(table: Path) -> dict[str, bool]:
    """Whether each site of a `review.csv` is accepted.

    Raises:
        UserError: if it is not such a table, or an answer is neither yes nor no.
    """
    remedy = f"give the {results.REVIEW_TABLE} that cellflax.annotate wrote"
    rows = read_table(table, {"site": str, "accept": str}, remedy)
    answers: dict[str, bool] = {}
    for line, (site, answer) in enumerate(zip(rows["site"], rows["accept"], strict=True), start=2):
        if answer.strip().lower() not in _ANSWERS:
            raise UserError(f"review={table}: line {line}, accept of site {site} must be yes or no, got '{answer}'")
        if site in answers:
            raise UserError(f"review={table}: line {line} is a second row of site {site}; keep one of them")
        answers[site] = _ANSWERS[answer.strip().lower()]
    return answers


def _read_provenance(folder: Path) -> dict[str, Any]:
    path = folder / results.PROVENANCE
    remedy = f"leave {results.REVIEW_TABLE} in the folder of the annotation"
    provenance = read_json(path, remedy)
    try:
        if all(isinstance(image["file"], str) for site in provenance["sites"].values() for image in site["images"]):
            return provenance
    except (KeyError, TypeError, AttributeError):
        pass
    raise UserError(f"{path}: not what cellflax.annotate wrote; {remedy}")


def _copy(file: Path, folder: Path) -> None:
    try:
        shutil.copy2(file, folder)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise UserError(f"{file}: cannot be copied ({error.strerror}); reject this site or annotate again") from error
