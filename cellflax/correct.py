"""Choose the images whose cells are most uncertain, and lay them out for correction and retraining.

    cellflax correct predictions=DIR output=corrected
    cellflax correct predictions=DIR output=corrected count=20 by=total

writes a folder that `data=folder` trains on,

    images/<name>.tif    the image, with the channels that the network sees
    labels/<name>.tif    the predicted cells: edit this file in Fiji, napari, QuPath or any other editor
    nuclei/<name>.tif    the nuclei that the cells were grown from, if `predict` saved them (save_probability=true)
    to_correct.csv       the images, why they were chosen, where to look, and `done`
    uncertain_cells.csv  the most uncertain cells of each image with their positions

Then the network learns from the corrections, together with the images that it knows:

    cellflax train data=folder data.root=OLD 'data.more=[corrected]' start_from=RUN name=corrected

Only images that were corrected are trained on: those whose label image was changed, and those whose `done` says yes.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import cellflax
from cellflax.annotation.files import simulation_note
from cellflax.checks import at_least, check
from cellflax.config import entry, to_json
from cellflax.correction.continuing import train_words
from cellflax.correction.files import write_candidate, write_lists, write_simulated
from cellflax.correction.groups import spread_over_groups, traits_of
from cellflax.correction.predicted import PredictedImage, PredictedSet
from cellflax.correction.ranking import Candidate, RankBy, ranked_candidates
from cellflax.data.folder import FolderData
from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.corrections import CONTENTS, CONTINUE
from cellflax.io.result_set import result_set
from cellflax.labels import renumber_away
from cellflax.progress import each, say


@dataclass
class CorrectConfig:
    """Options of `cellflax.correct`.

    Attributes:
        predictions: what `cellflax predict` wrote with an ensemble or test-time augmentation, so that `cells.csv` has
            the uncertainty of each cell.
        images: the images that were segmented, FILE | DIR | GLOB; null for where `predict` found them.
        checkpoint: the network that segmented them, if it is elsewhere now; null for where `predict` found it.
        output: new directory for the images to correct.
        count: number of images, or frames of movies.
        by: spread: of each of `count` groups of images that look alike, the one with the highest mean uncertainty of
            its cells; mean: the images with the highest of all; total: the highest sum, which prefers images of many
            cells; random: by chance, to compare with.
        seed: seed of `by=random`.
        cells: number of cells that are named of each image, the most uncertain first.
        overwrite: whether to replace what an earlier run wrote to `output`, which is refused otherwise. What was
            corrected by hand since is never replaced.
    """

    predictions: str = ""
    images: str | None = None
    checkpoint: str | None = None
    output: str = "corrected"
    count: int = 10
    by: RankBy = RankBy.spread
    seed: int = 0
    cells: int = 10
    overwrite: bool = False

    def __post_init__(self):
        check(self, "", at_least(1), "count")
        check(self, "", at_least(0), "seed", "cells")


@entry("correct", CorrectConfig)
def main(config: CorrectConfig) -> None:
    """Choose images and write them."""
    correct(config)


def correct(config: CorrectConfig) -> list[Candidate]:
    """Choose images, write them with their predicted cells and the lists, and return them in order.

    Raises:
        UserError: if the predictions, the images or the network cannot be read, no cell has an uncertainty, or the
            output holds corrections.
    """
    if not config.predictions:
        raise UserError("predictions is not given; add predictions=..., the output of cellflax predict")
    _require_free(Path(config.output))
    predicted = PredictedSet(Path(config.predictions).expanduser(), config.images, config.checkpoint)
    if config.by is not RankBy.random:
        predicted.require_uncertainty()
    ranked = ranked_candidates(predicted.cells, config.by, config.seed)
    if not ranked:
        raise UserError(f"{predicted.folder / results.CELLS}: no cell has an {results.UNCERTAINTY}; predict again")
    if config.by is RankBy.spread and config.count < len(ranked):
        ranked = _spread(predicted, ranked, config.count)
    chosen = ranked[: config.count]
    _name_those_without_cells(predicted)
    data = predicted.model.config.data
    reserved = [data.ignore_label, data.background_label] if isinstance(data, FolderData) else []
    training = _training(predicted)
    with result_set(config.output, config.overwrite, command="correct") as found:
        contents: dict[str, dict[str, int]] = {}
        notes: list[str] = []
        for i, candidate in enumerate(each(chosen, _name_of)):
            image = predicted.read(candidate.image, candidate.frame)
            labels, numbers = renumber_away(image.labels, [value for value in reserved if value])
            candidate = chosen[i] = _renumbered(candidate, numbers)
            name = results.safe_name(candidate.name, "image")
            if name in contents or name != candidate.name:
                raise UserError(f"image {candidate.name}: two files would be named {name}.tif; rename the image")
            contents[name] = write_candidate(found.folder, name, PredictedImage(image.image, labels, image.nuclei))
            if note := simulation_note(predicted.folders(candidate.image)):
                notes.append(note)
        write_lists(found.folder, chosen, config.cells)
        if notes:
            say("SIMULATED DATA: images are simulated")
            write_simulated(found.folder, notes[0])
        record = {"cellflax": cellflax.__version__, "simulated": bool(notes), "settings": to_json(config)}
        found.publish({**record, CONTENTS: contents, CONTINUE: training}, keep_edits=True)
    folder = Path(config.output)
    say(f"correct the label images in {folder / results.LABEL_FOLDER}; {results.CORRECTION_TABLE} says where to look")
    say(f"then: cellflax train {shlex.join(train_words(folder, training))}")
    print(f"results: {config.output}")
    return chosen


def _spread(predicted: PredictedSet, ranked: list[Candidate], count: int) -> list[Candidate]:
    """The candidates in an order that takes each group of images that look alike in turn; reads all of them."""
    say(f"comparing {len(ranked)} images")
    traits = [traits_of(predicted.read(candidate.image, candidate.frame)) for candidate in each(ranked, _name_of)]
    return spread_over_groups(ranked, np.stack(traits), count)


def _name_of(candidate: Candidate) -> str:
    return candidate.name


def _require_free(output: Path) -> None:
    """Refuse a directory with other files: training takes all images of a folder."""
    record = output / results.RECORDS["correct"]
    if output.is_dir() and not record.exists() and any(not path.name.startswith(".") for path in output.iterdir()):
        raise UserError(f"output={output}: already exists; give a new directory, or remove it")


def _name_those_without_cells(predicted: PredictedSet) -> None:
    empty = sorted(set(predicted.names) - set(predicted.cells[results.IMAGE]))
    if empty:
        names = ", ".join(empty[:3]) + (" ..." if len(empty) > 3 else "")
        say(f"{len(empty)} images have no predicted cell, and so no uncertainty ({names}); look at them yourself")


def _renumbered(candidate: Candidate, numbers: dict[int, int]) -> Candidate:
    """The candidate with the numbers that its cells have in the label image."""
    if not numbers:
        return candidate
    labels = candidate.cells[results.LABEL].replace(numbers)
    cells = candidate.cells.assign(**{results.LABEL: labels})
    return Candidate(candidate.image, candidate.frame, cells, candidate.score, candidate.why)


def _training(predicted: PredictedSet) -> dict[str, str | list[str]]:
    """Options of a training that goes on from the network, with the data that it knows if they are a folder."""
    options: dict[str, str | list[str]] = {"start_from": str(predicted.model.path.resolve())}
    data = predicted.model.config.data
    if isinstance(data, FolderData) and data.root is not None:
        options |= {"data.root": str(Path(data.root).expanduser().resolve()), "data.annotation": data.annotation.name}
        if data.channels:
            options["data.channels"] = data.channels
    return options


if __name__ == "__main__":
    main()
