"""Turn segmented or tracked cells into numbers.

    cellflax quantify method=cells predicted=DIR output=DIR
    cellflax quantify method=growth tracks=DIR output=DIR

`predicted` is what `cellflax.predict` wrote (or other label images), `tracks` what `cellflax.track` wrote (or another
Cell Tracking Challenge folder). Every method writes tidy tables with one row per cell and frame as CSV (with
`export=[parquet]` as Parquet too), `metrics.json` and figures:

    method=cells       shape, intensity, type, uncertainty and lineage of every cell: `predicted` or `tracks`
    method=growth      growth rates and division times: `tracks`
    method=ktr         nucleus-to-cytoplasm ratio of a reporter: `reporter=FILE|DIR|GLOB` and nuclei
    method=cell_type   predicted types against a marker channel per type: `+cell_type.markers.<type>=FILE|DIR|GLOB`
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cellflax
from cellflax.config import entry, to_json
from cellflax.exporting.formats import expected_exports, require_packages
from cellflax.exporting.tables import export_table, read_cell_table
from cellflax.io import results
from cellflax.io.failures import Failures, refuse_failed
from cellflax.io.records import recorded_settings
from cellflax.io.result_set import result_set
from cellflax.jsonfile import write_json
from cellflax.progress import say, show
from cellflax.quantification.cell_type import format_accuracy, quantify_cell_types
from cellflax.quantification.cells import format_cells, quantify_cells
from cellflax.quantification.config import QuantifyConfig, QuantifyMethod
from cellflax.quantification.growth import format_growth, quantify_growth
from cellflax.quantification.inputs import cell_type_input, cells_input, input_notes, ktr_input, tracked_recording
from cellflax.quantification.ktr import format_ktr, quantify_ktr
from cellflax.quantification.report import Shown, quantities_report
from cellflax.report.page import save_report


@entry("quantify", QuantifyConfig)
def main(config: QuantifyConfig) -> None:
    """Quantify the cells of `predicted` or `tracks`."""
    metrics = _quantify(config)
    for note in metrics["notes"]:
        say(f"note: {note}")
    show(_describe(config.method, metrics))
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
    require_packages("export", config.export)
    failures, settings = Failures(), to_json(config)
    overwrite = config.overwrite
    if overwrite is None:
        overwrite = recorded_settings(config.output, "quantify").get("method") == config.method.name
    with result_set(config.output, overwrite, _expected(config), command="quantify") as found:
        shown = Shown(found.folder)
        with ExitStack() as opened:
            measured = _measure(config, failures, shown, opened)
        origin = {"cellflax": cellflax.__version__, "settings": settings}
        failed = failures.reasons
        notes = input_notes(config)
        if failed:
            notes.append(f"{len(failed)} images or frames could not be used and are left out, see failed")
        metrics = {**origin, **measured, "failed": failed, "notes": notes}
        write_json(found.folder / results.METRICS, metrics)
        for table in _TABLES[config.method] if config.export else ():
            path = found.folder / table
            export_table(found.folder, read_cell_table(path), path.stem, config.export, origin)
        words = _describe(config.method, metrics)
        save_report(found.report(), lambda: quantities_report(config.method.name, shown, metrics, words))
        found.publish({**origin, "complete": not failed, "failed": failed})
    return metrics


# Tables and figures of each method.
_TABLES = {
    QuantifyMethod.cells: (results.CELLS,),
    QuantifyMethod.growth: (results.GROWTH, results.GROWTH_TRACKS),
    QuantifyMethod.ktr: (results.KTR,),
    QuantifyMethod.cell_type: (results.CELL_TYPES,),
}
_FIGURES = {
    QuantifyMethod.cells: (results.CELLS_FIGURE,),
    QuantifyMethod.growth: (results.GROWTH_FIGURE, results.RATE_MAP),
    QuantifyMethod.ktr: (results.KTR_FIGURE, results.RADIUS_FIGURE),
    QuantifyMethod.cell_type: (results.SCORES_FIGURE,),
}


def _expected(config: QuantifyConfig) -> list[str]:
    """Files that a method may write."""
    tables = _TABLES[config.method]
    exports = expected_exports(config.export, "", tables=[Path(table).stem for table in tables])
    return [results.METRICS, *tables, *exports, *_FIGURES[config.method]]


def _measure(config: QuantifyConfig, failures: Failures, shown: Shown, opened: ExitStack) -> dict[str, Any]:
    """Run the method; `opened` keeps movies of images open until their frames are measured."""
    match config.method:
        case QuantifyMethod.cells:
            return quantify_cells(*cells_input(config, failures, opened), failures, shown)
        case QuantifyMethod.growth:
            return quantify_growth(config.growth, tracked_recording(config), config.truth, shown)
        case QuantifyMethod.ktr:
            return quantify_ktr(config.ktr, ktr_input(config, failures, opened), config.truth, failures, shown)
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
