"""Which files of a training folder are images, labels of cells or nuclei, and masks of what is not annotated."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.corrections import uncorrected
from cellflax.io.files import ImageFiles, find_images, images_in, list_files
from cellflax.io.name_matching import Matching, match_names
from cellflax.io.names import comparable, is_ignore_mask, shorter_stems, stem_of
from cellflax.io.notices import warn
from cellflax.io.outlines import has_outlines
from cellflax.io.reading import Reading
from cellflax.io.records import not_results
from cellflax.io.result_set import without_results

# Names of folders in lower case, as people call them.
_IMAGE_FOLDERS = ("images", "image", "imgs", "img")
_LABEL_FOLDERS = ("labels", "label", "masks", "mask", "gt", "ground_truth", "groundtruth", "annotations")
_NUCLEUS_FOLDERS = ("nuclei", "nucleus")
_IGNORE_FOLDERS = ("ignore", "ignored")
_LABEL_SUFFIX = re.compile(r"(?<=.)[-_. ](cp_masks?|masks?|labels?|gt)$", re.IGNORECASE)
_NUCLEUS_SUFFIX = re.compile(r"(?<=.)[-_. ](nuclei|nucleus)$", re.IGNORECASE)


def find_data_sets(root: Path, channels: list[str], reading: Reading) -> dict[str, "DataSetFiles"]:
    """The files of the data sets in a folder, by the names of the data sets.

    Args:
        root: the folder.
        channels: as in `FolderData`.
        reading: how to read the images.

    Raises:
        UserError: if a folder is no data set, or an image lacks its label image.
    """
    return {name: _corrected(folder, _find(folder, channels, reading)) for name, folder in _data_sets(root).items()}


def _corrected(folder: Path, found: "DataSetFiles") -> "DataSetFiles":
    """A data set without images that `cellflax correct` wrote and nobody corrected: their labels are predictions.

    Raises:
        UserError: if no other is left, or the record of the folder cannot be read.
    """
    left_out = uncorrected(folder, found.images, found.labels, found.nuclei)
    if not left_out:
        return found
    names = ", ".join(image.name for image in left_out[:3]) + (" ..." if len(left_out) > 3 else "")
    what = f"{folder}: {len(left_out)} of {len(found.images)} images are not corrected yet ({names})"
    remedy = f"done=yes in {results.CORRECTION_TABLE} takes one as it is"
    if len(left_out) == len(found.images):
        raise UserError(f"{what}; edit the label images in {folder / results.LABEL_FOLDER}, or {remedy}")
    warn(f"{what} and left out; {remedy}")
    return replace(found, images=[image for image in found.images if image not in left_out])


def _data_sets(root: Path) -> dict[str, Path]:
    """Folders of the data sets by name: the folder itself, or its sub-folders if it has no images."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if _folders(root, _IMAGE_FOLDERS) or images_in(root) or not folders:
        return {root.resolve().name: root}
    return {folder.name: folder for folder in folders}


def _folders(root: Path, names: Sequence[str]) -> list[Path]:
    """Folders of these names, in any case of letters."""
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name.casefold() in names)


@dataclass(frozen=True)
class DataSetFiles:
    """The files of a data set.

    Attributes:
        images: its images.
        labels: label image of the cells, or outlines, by the image's name.
        nuclei: the same of the nuclei, where there is one.
        masks: mask of what is not annotated, where there is one.
    """

    images: list[ImageFiles]
    labels: dict[str, Path]
    nuclei: dict[str, Path]
    masks: dict[str, Path]


def _find(root: Path, channels: list[str], reading: Reading) -> DataSetFiles:
    image_folders = _folders(root, _IMAGE_FOLDERS)
    if len(image_folders) > 1:
        raise UserError(
            f"{root}: {' and '.join(path.name for path in image_folders)} both hold images; keep one folder"
        )
    if image_folders:
        folders = _folders(root, _LABEL_FOLDERS)
        if len(folders) != 1:
            raise UserError(f"{root}: beside {image_folders[0].name} there must be one folder, labels or masks")
        image_files = without_results(f"data.root={root}", list_files(image_folders[0]))
        label_files = list_files(folders[0], outlines=True)
        label_files = not_results(label_files) or label_files
        nucleus_files, mask_files = (
            [file for folder in _folders(root, names) for file in list_files(folder, outlines=True)]
            for names in (_NUCLEUS_FOLDERS, _IGNORE_FOLDERS)
        )
        mask_files += [file for file in label_files if is_ignore_mask(file)]
        label_files = [file for file in label_files if not is_ignore_mask(file)]
    else:
        files = without_results(f"data.root={root}", list_files(root, outlines=True))
        mask_files = [file for file in files if is_ignore_mask(file)]
        files = [file for file in files if not is_ignore_mask(file)]
        label_files = [
            file
            for file in files
            if _LABEL_SUFFIX.search(stem_of(file)) or (has_outlines(file) and not _NUCLEUS_SUFFIX.search(stem_of(file)))
        ]
        labelled = {comparable(_LABEL_SUFFIX.sub("", stem_of(file))) for file in label_files}
        files = [file for file in files if file not in set(label_files)]
        nucleus_files = [file for file in files if _is_nuclei(file, labelled, channels)]
        image_files = [file for file in files if file not in set(nucleus_files)]
    images = find_images(image_files, channels, reading)
    return DataSetFiles(
        images,
        _labels_of(images, label_files),
        _optional(images, nucleus_files, "labels the nuclei of the same image", "the label image of its nuclei"),
        _optional(images, mask_files, "is a mask of the same image", "the mask of what is not annotated"),
    )


def _labels_of(images: list[ImageFiles], label_files: list[Path]) -> dict[str, Path]:
    """The label image of each image by its name.

    Raises:
        UserError: if an image has none or several, or a label image has no image.
    """
    matching = _match(images, label_files)
    unused = _unused(matching, images, label_files, "labels the same image")
    for files in images:
        if files.name not in matching.files:
            others = f" ({unused[0].name} has no image either)" if unused else ""
            predicted = files.paths[0].with_name(results.result_file(files.name, results.LABELS))
            if predicted.is_file() and not not_results([predicted]):
                raise UserError(
                    f"{files.paths[0]}: no label image; {predicted.name} is what cellflax predicted. Copy it to "
                    f"{files.name}_masks.tif, corrected, to train on it"
                )
            raise UserError(
                f"{files.paths[0]}: no label image; name it {files.name}_masks.tif, or put {files.name}.tif "
                f"into labels/ beside images/{others}"
            )
    for file in unused:
        name = _LABEL_SUFFIX.sub("", stem_of(file))
        same = [other for other in matching.files.values() if comparable(name) in map(comparable, _names_of(other))]
        if same:
            raise UserError(f"{file}: {same[0].name} labels the same image; keep one of them")
        raise UserError(f"{file}: its image {name} is missing; add it or remove the label image")
    return matching.files


def _unused(matching: Matching, images: list[ImageFiles], files: list[Path], what: str) -> list[Path]:
    """The files that belong to no image; two files of one image are refused."""
    for image in images:
        if image.name in matching.rivals:
            first, second, *_ = matching.rivals[image.name]
            raise UserError(f"{second}: {first.name} {what}; keep one of them")
    return sorted(set(files) - set(matching.files.values()))


def _optional(images: list[ImageFiles], files: list[Path], both: str, what: str) -> dict[str, Path]:
    """The file of each image that has one."""
    matching = _match(images, files)
    unused = _unused(matching, images, files, both)
    if unused:
        raise UserError(f"{unused[0]}: its image is missing; add it or remove {what}")
    return matching.files


def _match(images: list[ImageFiles], files: list[Path]) -> Matching:
    return match_names({image.name: [image.name] for image in images}, files)


def _names_of(file: Path) -> list[str]:
    return shorter_stems(stem_of(file))


def _is_nuclei(file: Path, labelled: set[str], channels: list[str]) -> bool:
    """Whether a file holds the nuclei of an image, and is none (a channel, or a file with a label image)."""
    suffix = _NUCLEUS_SUFFIX.search(stem_of(file))
    if suffix is None or comparable(stem_of(file)) in labelled:
        return False
    return not any(channel.lower() in suffix[0].lower() for channel in channels)
