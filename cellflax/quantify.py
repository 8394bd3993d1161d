"""Turn segmented or tracked cells into numbers.

    cellflax quantify method=cells predicted=DIR output=DIR
    cellflax quantify method=growth tracks=DIR output=DIR

`predicted` is what `cellflax.predict` wrote (or other label images), `tracks` what `cellflax.track` wrote (or another
Cell Tracking Challenge folder). Every method writes tidy tables with one row per cell and frame, as CSV and most also
as Parquet, `metrics.json` and figures:

    method=cells       shape, intensity, type, uncertainty and lineage of every cell: `predicted` or `tracks`
    method=growth      growth rates and division times: `tracks`
    method=ktr         nucleus-to-cytoplasm ratio of a reporter: `reporter=FILE|DIR|GLOB` and nuclei
    method=cell_type   predicted types against a marker channel per type: `+cell_type.markers.<type>=FILE|DIR|GLOB`
"""

import sys
from typing import Any

import cellflax
from cellflax.config import entry, to_json
from cellflax.io import results
from cellflax.io.failures import Failures, refuse_failed
from cellflax.io.records import recorded_settings
from cellflax.io.result_set import result_set
from cellflax.jsonfile import write_json
from cellflax.quantification.cell_type import format_accuracy, quantify_cell_types
from cellflax.quantification.cells import format_cells, quantify_cells
from cellflax.quantification.config import QuantifyConfig, QuantifyMethod
from cellflax.quantification.growth import format_growth, quantify_growth
from cellflax.quantification.inputs import cell_type_input, cells_input, input_notes, ktr_input, tracked_recording
from cellflax.quantification.ktr import format_ktr, quantify_ktr
from cellflax.quantification.report import Shown, quantities_report
from cellflax.quantification.tables import both
from cellflax.report.page import save_report


@entry("quantify", QuantifyConfig)
def main(config: QuantifyConfig) -> None:
    """Quantify the cells of `predicted` or `tracks`."""
    metrics = _quantify(config)
    for note in metrics["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(_describe(config.method, metrics))
    print(f"results: {config.output}")
    refuse_failed(metrics["failed"], config.output)


def quantify(config: QuantifyConfig) -> dict[str, Any]:
    """Run the method, write its results, and return what `metrics.json` holds.

    Raises:
        UserError: if nothing can be measured; then nothing is written. Also if some images or frames cannot be used: at
            the end, when the others are measured and the results are written.
    """
    metrics = _quantify(config)
    refuse_failed(metrics["failed"], config.output)
    return metrics


def _quantify(config: QuantifyConfig) -> dict[str, Any]:
    """As `quantify`, but images that cannot be used are only listed under `failed`."""
    failures, settings = Failures(), to_json(config)
    overwrite = config.overwrite
    if overwrite is None:
        overwrite = recorded_settings(config.output, "quantify").get("method") == config.method.name
    with result_set(config.output, overwrite, _expected(config.method), command="quantify") as found:
        shown = Shown(found.folder)
        measured = _measure(config, failures, shown)
        origin = {"cellflax": cellflax.__version__, "settings": settings}
        failed = failures.reasons
        notes = input_notes(config)
        if failed:
            notes.append(f"{len(failed)} images or frames could not be used and are left out, see failed")
        metrics = {**origin, **measured, "failed": failed, "notes": notes}
        write_json(found.folder / results.METRICS, metrics)
        words = _describe(config.method, metrics)
        save_report(found.report(), lambda: quantities_report(config.method.name, shown, metrics, words))
        found.publish({**origin, "complete": not failed, "failed": failed})
    return metrics


def _expected(method: QuantifyMethod) -> list[str]:
    """Files that a method may write."""
    match method:
        case QuantifyMethod.cells:
            return [results.METRICS, *both(results.CELLS), results.CELLS_FIGURE]
        case QuantifyMethod.growth:
            tables = (*both(results.GROWTH), *both(results.GROWTH_TRACKS))
            return [results.METRICS, *tables, results.GROWTH_FIGURE, results.RATE_MAP]
        case QuantifyMethod.ktr:
            return [results.METRICS, *both(results.KTR), results.KTR_FIGURE, results.RADIUS_FIGURE]
        case QuantifyMethod.cell_type:
            return [results.METRICS, results.CELL_TYPES, results.SCORES_FIGURE]


def _measure(config: QuantifyConfig, failures: Failures, shown: Shown) -> dict[str, Any]:
    match config.method:
        case QuantifyMethod.cells:
            return quantify_cells(*cells_input(config, failures), failures, shown)
        case QuantifyMethod.growth:
            return quantify_growth(config.growth, tracked_recording(config), config.truth, shown)
        case QuantifyMethod.ktr:
            return quantify_ktr(config.ktr, ktr_input(config, failures), config.truth, failures, shown)
        case QuantifyMethod.cell_type:
            return quantify_cell_types(config.cell_type, *cell_type_input(config), failures, shown, config.pair)


def _describe(method: QuantifyMethod, metrics: dict[str, Any]) -> str:
    """The lines shown on screen."""
    match method:
        case QuantifyMethod.cells:
            return format_cells(metrics)
        case QuantifyMethod.growth:
            return format_growth(metrics)
        case QuantifyMethod.ktr:
            return format_ktr(metrics)
        case QuantifyMethod.cell_type:
            return format_accuracy(metrics["pooled"])


if __name__ == "__main__":
    main()
