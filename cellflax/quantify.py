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
from pathlib import Path
from typing import Any

import cellflax
from cellflax.atomic import output_directory
from cellflax.config import entry, to_json
from cellflax.io import results
from cellflax.jsonfile import write_json
from cellflax.quantification.cell_type import format_accuracy, quantify_cell_types
from cellflax.quantification.cells import format_cells, quantify_cells
from cellflax.quantification.config import QuantifyConfig, QuantifyMethod
from cellflax.quantification.growth import format_growth, quantify_growth
from cellflax.quantification.inputs import cell_type_input, cells_input, input_notes, ktr_input, tracked_recording
from cellflax.quantification.ktr import format_ktr, quantify_ktr


@entry("quantify", QuantifyConfig)
def main(config: QuantifyConfig) -> None:
    """Quantify the cells of `predicted` or `tracks`."""
    metrics = quantify(config)
    for note in metrics["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(_describe(config.method, metrics))
    print(f"results: {config.output}")


def quantify(config: QuantifyConfig) -> dict[str, Any]:
    """Run the method, write its results, and return what `metrics.json` holds."""
    output = output_directory(config.output)
    metrics = {
        "cellflax": cellflax.__version__,
        "settings": to_json(config),
        **_measure(config, output),
        "notes": input_notes(config),
    }
    write_json(output / results.METRICS, metrics)
    return metrics


def _measure(config: QuantifyConfig, output: Path) -> dict[str, Any]:
    match config.method:
        case QuantifyMethod.cells:
            return quantify_cells(*cells_input(config), output)
        case QuantifyMethod.growth:
            return quantify_growth(config.growth, tracked_recording(config), config.truth, output)
        case QuantifyMethod.ktr:
            return quantify_ktr(config.ktr, ktr_input(config), config.truth, output)
        case QuantifyMethod.cell_type:
            return quantify_cell_types(config.cell_type, *cell_type_input(config), output, config.pair)


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
