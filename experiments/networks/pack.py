"""Make the file of a network that comes with cellflax from a run, and check that it segments as the run does.

python -m experiments.networks.pack RUN NAME --held-out FOLDER ... --source TEXT --licence TEXT [--limits TEXT]
    [--output DIR] [--step best]

FOLDER has images/ and labels/ of fields that the network has not seen (or x.tif beside x_masks.tif). Writes NAME.npz
and its card NAME.md to DIR (default cellflax/networks). Refused are a file of more than 2 MB, and one that finds other
cells than the run: F1 at IoU 0.5 between both must be 0.99 or more.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellflax.data.folder import FolderData
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.inference.settings import Inference
from cellflax.io.images import Image
from cellflax.metrics.score import CellScores, pool, score_cells
from cellflax.metrics.table import cell_metrics
from cellflax.networks import FOLDER, SUFFIX
from cellflax.networks.file import write_network_file
from cellflax.prediction.segment import find_nuclei, segment
from cellflax.prediction.trained import TrainedModel, load_model
from cellflax.training.checkpoint import named_leaves
from cellflax.training.seen import SEEN
from cellflax.training.starting import STARTED_FROM
from cellflax.training.weights import TrainedWeights, read_weights

MOST_BYTES = 2_000_000
LEAST_F1 = 0.99
# What of a record goes with the network; the rest says how the training went on its machine.
_KEPT = ("format", "data", "cellflax", "score", "validation", "tuning", "calibration", SEEN, STARTED_FROM)


def main() -> None:
    """Write the file and the card, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--source", required=True, help="what it was trained on, as screen and provenance say it")
    parser.add_argument("--licence", required=True, help="licence of the weights, and those of the training data")
    parser.add_argument("--limits", default="Not written yet.", help="where it fails, for the card")
    parser.add_argument("--output", type=Path, default=FOLDER)
    parser.add_argument("--step", default="best")
    options = parser.parse_args()
    try:
        print(pack(options))
    except UserError as error:
        sys.exit(f"error: {error}")


def pack(options: argparse.Namespace) -> str:
    """Write the file and its card.

    Returns:
        the card.

    Raises:
        UserError: if the file is too large, or does not segment as the run does; then there is no file.
    """
    trained = read_weights(options.run, options.step)
    set_up_jax(trained.config.trainer.precision.name)
    path = options.output / f"{options.name}{SUFFIX}"
    options.output.mkdir(parents=True, exist_ok=True)
    unchecked = path.with_name(f".{path.name}.unchecked{SUFFIX}")
    try:
        write_network_file(unchecked, record_of(trained, options.source, options.licence), arrays_of(trained))
        size = unchecked.stat().st_size
        if size > MOST_BYTES:
            raise UserError(
                f"{path.name} would have {size} bytes, at most {MOST_BYTES} are packed; train a smaller one"
            )
        whole, packed = load_model(options.run, options.step), load_model(unchecked)
        parts = {folder.name: compare(whole, packed, fields_of(folder, whole)) for folder in options.held_out}
        same = pool([part.same for part in parts.values()]).matches[0].f1
        if not same >= LEAST_F1:
            raise UserError(f"{path.name} finds other cells than {options.run}: F1 {same:.4f} between both")
        unchecked.rename(path)
    finally:
        unchecked.unlink(missing_ok=True)
    card = card_of(options, trained, size, parts, same)
    path.with_suffix(".md").write_text(card)
    return card


def arrays_of(trained: TrainedWeights) -> dict[str, np.ndarray]:
    """All weights by name."""
    leaves = named_leaves({"params": trained.params, "stats": trained.stats})
    return {name: np.asarray(leaf) for name, leaf in leaves.items()}


def record_of(trained: TrainedWeights, source: str, licence: str) -> dict[str, Any]:
    """The record without what tells of the machine of its training: paths and the names of its run."""
    record = {key: trained.record[key] for key in _KEPT if key in trained.record}
    config = dict(trained.record["config"]) | {"data": None, "name": "network", "start_from": None}
    config |= {"freeze": [], "freeze_levels": 0}
    config.pop("logger", None)
    if started := record.get(STARTED_FROM):
        record[STARTED_FROM] = started | {"path": Path(started["path"]).name}
    record["data"] = record["data"] | {"source": source}
    return {**record, "config": config, "step": trained.step, "licence": licence}


def fields_of(folder: Path, model: TrainedModel) -> list[tuple[Image, np.ndarray]]:
    """Images of a folder with their reference labels, with the channels of a network."""
    try:
        dataset = FolderData(root=str(folder), channels=list(model.channels)).load()
    except UserError:  # files whose names and channels have no such part
        dataset = FolderData(root=str(folder)).load()
    examples = [*dataset.train, *(region.example for region in dataset.validation)]
    found = {example.name: example for example in examples}
    fields = []
    for name, example in sorted(found.items()):
        image = Image(example.image, model.channels, example.pixel_size_um, Path(name))
        if image.pixels.shape[-1] != len(model.channels):
            raise UserError(f"{folder}/{name}: the network needs the channels {', '.join(model.channels)}")
        fields.append((image, example.cells))
    return fields


@dataclass(frozen=True)
class Figures:
    """How well the packed network segments fields, and how much as the run does.

    Attributes:
        reference: against the reference labels.
        same: against the labels of the run.
        fields: number of fields.
    """

    reference: CellScores
    same: CellScores
    fields: int


def compare(whole: TrainedModel, packed: TrainedModel, fields: Sequence[tuple[Image, np.ndarray]]) -> Figures:
    """Segment fields by both."""
    reference, same = [], []
    for image, cells in fields:
        of_whole, of_packed = (labels_of(model, image) for model in (whole, packed))
        reference.append(score_cells(cells, of_packed))
        same.append(score_cells(of_whole, of_packed))
    return Figures(pool(reference), pool(same), len(fields))


def labels_of(model: TrainedModel, image: Image) -> np.ndarray:
    """Cells by the settings of a network, as `cellflax.predict` finds them."""
    inference = Inference(transforms=model.config.test_time_augmentation)
    nuclei = find_nuclei(model, image, model.config.refine, inference)
    return segment(model, image, nuclei, model.config.refine, inference).labels


def card_of(
    options: argparse.Namespace, trained: TrainedWeights, size: int, parts: dict[str, Figures], same: float
) -> str:
    """What a user must know of a network, in Markdown."""
    data = trained.record["data"]
    weights = sum(array.size for array in arrays_of(trained).values())
    simulated = data.get("simulated_images")
    which = "no" if not data["simulated"] else "all" if simulated is None else f"{simulated}"
    rows = [
        f"| {name} | {part.fields} | {metrics['n_reference']} | {metrics['f1']:.3f} | "
        f"{metrics['by_iou'][4]['f1']:.3f} | {metrics['panoptic_quality']:.3f} |"
        for name, part in parts.items()
        for metrics in [cell_metrics(part.reference)]
    ]
    size_um = data["pixel_size_um"]
    return f"""# {options.name}

`cellflax predict checkpoint={options.name} input=... output=...`

| | |
|---|---|
| channels | {", ".join(data["channels"])} |
| classes | {", ".join(data["class_names"])} |
| pixel size of the training images | {"not known" if size_um is None else f"{size_um:g} um"} |
| trained on | {options.source} |
| simulated images among them | {which} |
| licence | {options.licence} |
| weights | {weights}, {size / 1e6:.2f} MB |
| step | {trained.step} |

## Figures on fields that it has not seen

| fields | images | cells | F1 at IoU 0.5 | F1 at IoU 0.7 | PQ |
|---|---|---|---|---|---|
{chr(10).join(rows)}

F1 at IoU 0.5 between the cells of this file and those of the run that it was made of: {same:.4f}.

## Limits

{options.limits}
"""


if __name__ == "__main__":
    main()
