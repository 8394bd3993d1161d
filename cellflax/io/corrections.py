"""Folders of label images that wait for a person's correction: which of them are corrected.

`cellflax correct` writes such a folder. Its label images are a network's own predictions, and training on one that
nobody looked at would teach the network its own mistakes. So an image counts only once it was corrected:

- the column `done` of `to_correct.csv` says yes; or
- it says nothing, and the labels differ from those that were written. What counts is the numbers of the pixels, not
  the bytes of the file: an editor that saves a label image unchanged has not corrected it.
"""

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.files import ImageFiles
from cellflax.io.images import pixel_size_of, read_labels, write_labels
from cellflax.io.names import stem_of
from cellflax.io.outlines import has_outlines
from cellflax.io.tables import read_table, write_table
from cellflax.jsonfile import read_json

# Of a record of `correct`: by image, the checksums of its label images as they were written, by file.
CONTENTS = "contents"
# ... and what the network learned from, as options of `train`, so that a training can go on from there.
CONTINUE = "continue"
DONE = "done"
_ANSWERS = {"yes": True, "no": False, "": None}
_RECORD = results.RECORDS["correct"]
_REMEDY = "restore it, or write the folder again with cellflax correct"


def content_checksum(labels: np.ndarray) -> int:
    """CRC-32 of (H, W) labels: of their size and numbers, however a file stores them."""
    plane = np.ascontiguousarray(labels, "<i4")
    return zlib.crc32(plane.tobytes(), zlib.crc32(str(plane.shape).encode()))


@dataclass(frozen=True)
class CorrectionFolder:
    """A folder that `cellflax correct` wrote, as it is now.

    Attributes:
        path: the folder.
        contents: by image, the checksums of its label images as they were written, by their paths in the folder.
        answers: what the column `done` says of each image: yes, no or nothing (None).
        training: options of a training that goes on from the network, each a text or a list of texts.
    """

    path: Path
    contents: dict[str, dict[str, int]]
    answers: dict[str, bool | None]
    training: dict[str, str | list[str]]

    def is_corrected(self, name: str, files: list[Path]) -> bool:
        """Whether an image was corrected.

        Args:
            name: name of the image.
            files: its label images, of cells and nuclei, as they are now; others than those that were written, such as
                outlines of ImageJ, are corrections.

        Raises:
            UserError: if a label image cannot be read.
        """
        answer = self.answers.get(name)
        return answer if answer is not None else any(self._differs(name, file) for file in files)

    def is_written(self, name: str) -> bool:
        """Whether `cellflax correct` wrote an image; others in the folder are a person's own."""
        return name in self.contents

    def _differs(self, name: str, file: Path) -> bool:
        written = self.contents[name].get(f"{file.parent.name}/{file.name}")
        return written is None or has_outlines(file) or content_checksum(read_labels(file)) != written

    def label_file(self, name: str) -> Path:
        """The label image of the cells of an image.

        Raises:
            UserError: if the folder has no such image.
        """
        if name not in self.contents:
            raise UserError(f"{self.path}: has no image {name} to correct; there are {', '.join(self.contents)}")
        return self.path / results.LABEL_FOLDER / f"{name}.tif"

    def image_file(self, name: str) -> Path:
        """The image; see `label_file`."""
        return self.path / results.IMAGE_FOLDER / self.label_file(name).name

    def state(self, name: str) -> bool:
        """Whether an image counts as corrected, by what is in the folder; see `is_corrected`."""
        folders = (self.path / kind for kind in (results.LABEL_FOLDER, results.NUCLEUS_FOLDER))
        files = [file for folder in folders if (file := folder / f"{name}.tif").is_file()]
        return self.is_corrected(name, files)


def read_correction(folder: Path) -> CorrectionFolder | None:
    """Read what `cellflax correct` wrote to a folder; None if it is no such folder.

    Raises:
        UserError: if the record is damaged or missing, or an answer is neither yes, no nor empty.
    """
    record, table = folder / _RECORD, folder / results.CORRECTION_TABLE
    if not os.path.lexists(record):
        if table.is_file():  # else predictions that nobody corrected would be taken for truth
            raise UserError(f"{table}: {_RECORD} beside it is missing, which tells what was corrected; {_REMEDY}")
        return None
    written = read_json(record, _REMEDY)
    content, training = written.get(CONTENTS), written.get(CONTINUE, {})
    if (
        not isinstance(content, dict)
        or not isinstance(training, dict)
        or not all(_is_entry(name, files) for name, files in content.items())
        or not all(_is_option(value) for value in training.values())
    ):
        raise UserError(f"{record}: not what cellflax correct wrote; {_REMEDY}")
    answers = _read_answers(table)
    for name in answers:
        if name not in content:
            raise UserError(f"{table}: image {name} is not in {_RECORD} beside it; restore the name")
    return CorrectionFolder(folder, content, answers, training)


def _is_option(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _is_entry(name: str, files: object) -> bool:
    """Whether an entry of a record names files of the folder; nothing that is read chooses where we write."""
    return (
        not {"/", "\\", "\0"} & set(name)
        and name not in ("", ".", "..")
        and isinstance(files, dict)
        and all(isinstance(crc, int) for crc in files.values())
    )


def read_correction_table(path: Path) -> pd.DataFrame:
    """Read a `to_correct.csv`.

    Raises:
        UserError: if it is missing or no such table.
    """
    return read_table(path, {results.IMAGE: str, DONE: str}, _REMEDY)


def _read_answers(path: Path) -> dict[str, bool | None]:
    rows = read_correction_table(path)
    answers: dict[str, bool | None] = {}
    for line, (name, answer) in enumerate(zip(rows[results.IMAGE], rows[DONE], strict=True), start=2):
        if answer.strip().lower() not in _ANSWERS:
            raise UserError(f"{path}: line {line}, {DONE} of {name} must be yes, no or empty, got '{answer}'")
        if name in answers:
            raise UserError(f"{path}: line {line} is a second row of image {name}; keep one of them")
        answers[name] = _ANSWERS[answer.strip().lower()]
    return answers


def uncorrected(folder: Path, images: list[ImageFiles], *labels: Mapping[str, Path]) -> list[ImageFiles]:
    """The images of a training folder that nobody corrected yet; none in a folder that `correct` did not write.

    Args:
        folder: the folder.
        images: its images.
        labels: label images by the images' names: of cells, of nuclei.

    Raises:
        UserError: as `read_correction` and `CorrectionFolder.is_corrected`.
    """
    found = read_correction(folder)
    if found is None:
        return []
    left = []
    for image in images:
        files = [kind[image.name] for kind in labels if image.name in kind]
        name = stem_of(image.paths[0])
        if found.is_written(name) and not found.is_corrected(name, files):
            left.append(image)
    return left


def save_correction(folder: Path, name: str, labels: np.ndarray, *, done: bool = True) -> Path:
    """Save the corrected cells of an image where training finds them, and note in the table that it is done.

    Args:
        folder: what `cellflax correct` wrote.
        name: name of the image.
        labels: (H, W) whole numbers from 0.
        done: whether the correction is finished; else the image is noted as not done, so that training leaves it out.

    Returns:
        The label image.

    Raises:
        UserError: if the folder is no such folder, has no such image, or the size differs.
    """
    found = read_correction(folder)
    if found is None:
        raise UserError(f"{folder}: not a folder that cellflax correct wrote; it has no {_RECORD}")
    file = found.label_file(name)
    shape = read_labels(file).shape
    if labels.shape != shape:
        raise UserError(f"{file}: labels of {labels.shape} for an image of {shape}; save those of this image")
    write_labels(file, labels, pixel_size_of(found.image_file(name)))
    table = read_correction_table(folder / results.CORRECTION_TABLE)
    table.loc[table[results.IMAGE] == name, DONE] = "yes" if done else "no"
    write_table(folder / results.CORRECTION_TABLE, table)
    return file
