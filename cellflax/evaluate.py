"""Score label images against a reference.

    cellflax evaluate predicted=FILE|DIR|GLOB reference=FILE|DIR|GLOB output=DIR
    cellflax evaluate predicted=predictions reference=truth image='images/*.tif' output=evaluation

writes to `output`

    metrics.json        everything below as numbers, pooled over the cells of all images and for each image
    per_cell.csv        one row per reference cell
    report.html         a page with all of it, and crops of the best and the worst cells
    overlay.png         outlines of up to six images, from the worst to the best
    f_score_curve.csv   share of the reference cells with F >= t for t in 0 ... 1 (P2: Sadanandan et al. 2017), over
                        all cells, with quartiles over the images; drawn in f_score.png, together with the curves
                        against further references: +references.manual=DIR +references.automatic=DIR
    roc.csv, roc.png    ROC of pixels (P3: Al-Kofahi et al. 2018), if there are probability maps: those that
                        `predict save_probability=true` wrote beside the labels, or probability=DIR. One curve is for
                        cells (all classes except background) and, with reference_nuclei=DIR, one for nuclei
    uncertainty.csv     one row per predicted cell, if the `cells.csv` beside the labels has the cells' uncertainty;
                        metrics.json then also reports how well the uncertainty identifies wrong cells
    reliability.csv     how many cells are right of those with about the same probability of being right, if `cells.csv`
                        has it; drawn in reliability.png. metrics.json has the expected calibration error

The F-score of a reference cell is the Dice index with its one-to-one partner, or 0 if it has none. SM (P3) is
k * mean best Dice + (1 - k) * 2|P|/(N + M) over N reference cells, M predictions and |P| one-to-one pairs: at the cell
level over all images together (`pooled`), at the image level as the mean over the images (`image_level`). For the
accuracy index of Van Valen et al. 2016 (P1) as published, give `border=30 erode_reference=true nuclei=FILE`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cellflax import __version__
from cellflax.checks import at_least, check, within
from cellflax.config import entry, to_json
from cellflax.errors import UserError
from cellflax.evaluation.notes import mask_notes, pair_notes
from cellflax.evaluation.panels import panels
from cellflax.evaluation.pixels import PixelScores, roc_table
from cellflax.evaluation.references import MAIN, check_names, reference_summary, scores_against
from cellflax.evaluation.reliability import calibration_lines, score_probabilities
from cellflax.evaluation.report import Evaluated, cell_crops, evaluation_report
from cellflax.evaluation.screen import format_table, score_words
from cellflax.evaluation.sparse import sparse_notes, sparse_reference
from cellflax.evaluation.uncertainty import uncertainty_table
from cellflax.ignored import SparseLabels
from cellflax.io import results
from cellflax.io.failures import Failures, refuse_failed
from cellflax.io.pair_arrays import read_pair
from cellflax.io.pair_frames import pair_frames
from cellflax.io.pairs import Pair, PairBy
from cellflax.io.result_set import result_set
from cellflax.io.tables import write_table
from cellflax.jsonfile import write_json
from cellflax.metrics.f_score import curve_table
from cellflax.metrics.score import CellScores, pool, score_cells, score_table
from cellflax.metrics.sm import PAPER_K, SmSettings
from cellflax.metrics.table import cell_metrics
from cellflax.metrics.uncertainty import error_detection
from cellflax.pictures.curves import f_score_figure, roc_figure
from cellflax.pictures.overlay import save_overlay
from cellflax.pictures.png import save_png
from cellflax.progress import each, show
from cellflax.report.page import save_report

_FILES = (
    *(results.METRICS, results.PER_CELL, results.F_SCORE_CURVE, results.F_SCORE_FIGURE, results.OVERLAY),
    *(results.ROC_TABLE, results.ROC_FIGURE, results.UNCERTAINTY_TABLE),
    *(results.RELIABILITY_TABLE, results.RELIABILITY_FIGURE),
)
_SETTINGS = ("border", "erode_reference", "sm_k", "sm_min_jaccard", "ignore_label", "background_label")
_INPUTS = ("predicted", "reference", "nuclei", "image", "references", "probability", "reference_nuclei", "ignore")


@dataclass
class EvaluateConfig:
    """Options of `cellflax.evaluate`; FILE | DIR | GLOB wherever files are named.

    A label image with a single non-zero value is a mask: its connected components are the cells. Label movies are
    compared frame by frame; one side may have one file per frame.

    Attributes:
        predicted: predicted label images.
        reference: reference label images, paired with `predicted` by name.
        nuclei: nucleus masks or labels; the Jaccard and Dice index and SM are then over the reference cells that
            hold a nucleus, as in the papers. All other metrics count every cell.
        image: pictures for the background of the overlay (first channel).
        border: pixels cut off each side before anything is compared.
        erode_reference: erode each reference cell by disk(1) first.
        references: further references for the F-score curves, by name (`+references.manual=DIR`); each may have
            only some of the images.
        sm_k: weight of the outlines against the detection in SM.
        sm_min_jaccard: smallest Jaccard index of a matched pair in SM; P3 gives none, and 0 accepts any overlap.
        probability: probability maps for ROC, AUC and ACC; null takes `<name>_probability.tif` beside the predicted
            labels, if every image has one. They are compared with the reference as it is, not eroded.
        reference_nuclei: reference labels or masks of nuclei, for the ROC of nuclei.
        ignore_label: value in the reference that means "not annotated"; null for none. With 0, only the cells that have
            a number are known, with their outlines.
        background_label: value in the reference that means background, as 0 does; null for none.
        ignore: masks, not zero where the reference is not annotated, for all images or some of them; null takes
            `<name>_ignore.tif` beside the reference, where there is one.
        pair: names pairs files by their names, order in the order of their names.
        output: directory for the results.
        overwrite: whether to replace the results of an earlier evaluation in `output`; other files there stay. With
            false they are refused.
    """

    predicted: str = ""
    reference: str = ""
    nuclei: str | None = None
    image: str | None = None
    border: int = 0
    erode_reference: bool = False
    references: dict[str, str] = field(default_factory=dict)
    sm_k: float = PAPER_K
    sm_min_jaccard: float = 0.0
    probability: str | None = None
    reference_nuclei: str | None = None
    ignore_label: int | None = None
    background_label: int | None = None
    ignore: str | None = None
    pair: PairBy = PairBy.names
    output: str = "evaluation"
    overwrite: bool = True

    def __post_init__(self):
        check(self, "", at_least(0), "border")
        check(self, "", within(0, 1), "sm_k", "sm_min_jaccard")
        check_names(self.references)
        SparseLabels(self.ignore_label, self.background_label).check()


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score, write the results, and return what `metrics.json` holds.

    Raises:
        UserError: if no image can be used, or files do not pair up; then nothing is written. Also if some images cannot
            be used: at the end, when the others are scored and the results are written.
    """
    metrics = _evaluate(config)
    refuse_failed(metrics["failed"], config.output)
    return metrics


def _evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """As `evaluate`, but images that cannot be used are only listed under `failed`."""
    for key in ("predicted", "reference"):
        if not getattr(config, key):
            raise UserError(f"{key} is not given; add {key}=FILE, {key}=DIRECTORY or {key}='PATTERN'")
    failures = Failures()
    pairs = pair_frames(config.predicted, config.reference, failures, config.nuclei, config.image, config.pair)
    failures.require_some(len(pairs))
    with result_set(config.output, config.overwrite, _FILES, command="evaluate") as found:
        scored = _score(config, pairs, failures, found.folder)
        metrics, settings = scored.metrics, to_json(config)
        failed = metrics["failed"]
        save_report(found.report(), lambda: evaluation_report(scored, settings))
        found.publish({"cellflax": __version__, "complete": not failed, "failed": failed, "settings": settings})
    return metrics


def _score(config: EvaluateConfig, pairs: Sequence[Pair], failures: Failures, output: Path) -> Evaluated:
    """Score the pairs and write all files but the report to a directory."""
    values = SparseLabels(config.ignore_label, config.background_label)
    sparse = sparse_reference(pairs, values, config.ignore, config.pair)
    comparison = {"border": config.border, "erode_reference": config.erode_reference}
    sm = SmSettings(config.sm_k, config.sm_min_jaccard)
    pixels = PixelScores(pairs, config.probability, config.reference_nuclei, config.border, config.pair)
    masks: set[str] = set()
    scores: dict[str, CellScores] = {}
    for pair in each(pairs, lambda pair: pair.name):
        with failures.of(pair.name):
            arrays = read_pair(pair, sparse)
            score = score_cells(
                arrays.reference, arrays.predicted, nuclei=arrays.nuclei, ignored=arrays.ignored, sm=sm, **comparison
            )
            pixels.add(pair.name, arrays.reference, arrays.ignored)
            masks.update(arrays.masks)
            scores[pair.name] = score
    failures.require_some(len(scores))
    pairs = [pair for pair in pairs if pair.name in scores]
    pooled = pool(list(scores.values()))
    _require_cells(config, pooled)
    f_scores = {MAIN: {name: score.f_score for name, score in scores.items()}}
    for name, text in config.references.items():
        f_scores[name] = scores_against(name, text, pairs, failures, pair_by=config.pair, sparse=sparse, **comparison)
    accuracy = {name: score.accuracy for name, score in scores.items()}
    drawn = panels(pairs, accuracy, failures, sparse=sparse, **comparison)
    uncertain, remarks = uncertainty_table(pairs, scores)
    calibration, more = score_probabilities(pairs, scores, output)
    notes = [*pair_notes(pairs), *mask_notes(masks), *sparse_notes(sparse), *pixels.notes]
    notes += dict.fromkeys([*remarks, *more])
    if failures.reasons:
        notes.append(f"scores are over {len(scores)} images; what could not be used is listed under failed")

    metrics = {**_metrics(config, scores, pooled), "failed": failures.reasons, "notes": notes, **calibration}
    if config.references:
        metrics["references"] = {name: reference_summary(f_scores[name]) for name in config.references}
    if pixels.pooled:
        metrics["pixels"] = pixels.summary()
    if uncertain is not None:
        metrics["uncertainty"] = error_detection(
            uncertain["jaccard"].to_numpy(), uncertain[results.UNCERTAINTY].to_numpy()
        )
        write_table(output / results.UNCERTAINTY_TABLE, uncertain)
    if curves := pixels.curves():
        write_table(output / results.ROC_TABLE, roc_table(curves))
        save_png(roc_figure(curves), output / results.ROC_FIGURE)
    write_json(output / results.METRICS, metrics)
    cells, f_score_curves = score_table(scores), curve_table(f_scores)
    write_table(output / results.PER_CELL, cells)
    write_table(output / results.F_SCORE_CURVE, f_score_curves)
    save_png(f_score_figure(f_scores), output / results.F_SCORE_FIGURE)
    save_overlay(output / results.OVERLAY, drawn)
    crops = partial(cell_crops, pairs, accuracy, sparse=sparse, **comparison)
    return Evaluated(metrics, cells, f_score_curves, drawn, crops, curves, uncertain)


def _metrics(config: EvaluateConfig, scores: Mapping[str, CellScores], pooled: CellScores) -> dict[str, Any]:
    """Inputs, settings and the metrics of cells, for JSON."""
    images = {name: cell_metrics(score) for name, score in scores.items()}
    return {
        "cellflax": __version__,
        "inputs": {key: getattr(config, key) for key in _INPUTS},
        "settings": {key: getattr(config, key) for key in _SETTINGS}
        | {"index_over": "reference cells that hold a nucleus" if config.nuclei else "all reference cells"},
        "n_images": len(scores),
        "pooled": cell_metrics(pooled),
        "image_level": _means(images.values(), ("sm", "sm_outlines", "sm_detection")),
        "images": images,
    }


def _means(images: Collection[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, float | None]:
    """Means over the images in which a value is defined."""
    means = {}
    for key in keys:
        defined = [image[key] for image in images if image[key] is not None]
        means[key] = float(np.mean(defined)) if defined else None
    return means


def _require_cells(config: EvaluateConfig, pooled: CellScores) -> None:
    if not len(pooled.errors):
        raise UserError(
            f"reference={config.reference}: no cells inside the border of {config.border} px; is it a label image?"
        )
    if not pooled.accuracy.n_cells:
        raise UserError(f"nuclei={config.nuclei}: no reference cell holds a nucleus; is it the same field?")


@entry("evaluate", EvaluateConfig)
def main(config: EvaluateConfig) -> None:
    """Score label images against a reference."""
    metrics = _evaluate(config)
    for note in metrics["notes"]:
        show(f"note: {note}")
    show(format_table(metrics))
    for target, values in metrics.get("pixels", {"pooled": {}})["pooled"].items():
        show(f"pixels of {target}: AUC {score_words(values['auc']).strip()}, ACC {score_words(values['acc']).strip()}")
    for line in calibration_lines(metrics):
        show(line)
    print(f"results: {config.output}")
    refuse_failed(metrics["failed"], config.output)


if __name__ == "__main__":
    main()
