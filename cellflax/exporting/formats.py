"""The formats that results are exported to: what each is of, what it needs, and how its files are called.

Outlines and images have a folder for each format, so that no command takes them for further labels of the images
beside them.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cellflax.errors import UserError
from cellflax.io import results
from cellflax.io.ome_zarr_output import ome_zarr_record
from cellflax.io.zarr_metadata import VERSIONS


@dataclass(frozen=True)
class ExportFormat:
    """A format.

    Attributes:
        of: what it is of: "images" (a file for each), "tables" (one beside each CSV) or "tracks" (one).
        file: name of the file, with `{name}` for that of the image or table.
        packages: packages of which it needs one; empty if all that it needs is there.
        extra: the extra of cellflax that installs it.
    """

    of: str
    file: str
    packages: tuple[str, ...] = ()
    extra: str = ""


FORMATS: dict[str, ExportFormat] = {
    "rois": ExportFormat("images", f"{results.ROIS_FOLDER}/{{name}}_rois.zip", ("roifile",), "rois"),
    "geojson": ExportFormat("images", f"{results.GEOJSON_FOLDER}/{{name}}.geojson"),
    "ome_zarr": ExportFormat("images", f"{results.OME_ZARR_FOLDER}/{{name}}.ome.zarr"),
    "parquet": ExportFormat("tables", "{name}.parquet", ("pyarrow", "fastparquet"), "parquet"),
    "anndata": ExportFormat("tables", "{name}.h5ad", ("anndata",), "anndata"),
    "geff": ExportFormat("tracks", "{name}.geff", ("geff",), "geff"),
    "trackmate": ExportFormat("tracks", "{name}_trackmate.xml"),
}


@dataclass
class ExportOptions:
    """Options of commands that also write their results in other formats.

    Attributes:
        export: formats of other programs: rois (ImageJ), geojson (QuPath), ome_zarr (image and labels), parquet and
            anndata (tables); of tracks geff and trackmate.
        ome_zarr_version: version of OME-Zarr, 0.5 or 0.4.
    """

    export: list[str] = field(default_factory=list)
    ome_zarr_version: str = "0.5"


def check_formats(key: str, wanted: Sequence[str], kinds: Sequence[str], version: str = VERSIONS[-1]) -> None:
    """Refuse formats that there are not, or that a command does not write.

    Args:
        key: the argument's name, for errors.
        wanted: the formats.
        kinds: what the command writes, see `ExportFormat.of`.
        version: of OME-Zarr.

    Raises:
        UserError: naming the format, and those that there are.
    """
    possible = [name for name, form in FORMATS.items() if form.of in kinds]
    for name in wanted:
        if name not in possible:
            raise UserError(f"{key}=[{name}]: must be among {', '.join(possible)}")
    if version not in VERSIONS:
        raise UserError(f"ome_zarr_version={version}: must be {' or '.join(VERSIONS)}")


def require_packages(key: str, wanted: Iterable[str]) -> None:
    """Refuse formats whose packages are not installed, before the work.

    Raises:
        UserError: naming what to install.
    """
    for name in wanted:
        form = FORMATS[name]
        if form.packages and not any(map(_is_installed, form.packages)):
            raise UserError(
                f"{key}=[{name}]: needs the package {form.packages[0]}; install it with: pip install "
                f"'cellflax[{form.extra}]'"
            )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def export_file(form: str, name: str) -> str:
    """Name of the file or folder of an export, below the directory of the results."""
    return FORMATS[form].file.format(name=name)


def expected_exports(
    wanted: Iterable[str], version: str, *, images: Iterable[str] = (), tables: Iterable[str] = (), tracks: str = ""
) -> list[str]:
    """Files that exports will write; of a folder, one that it surely has.

    Args:
        wanted: the formats.
        version: of OME-Zarr.
        images: names of the images.
        tables: names of the tables without their ending.
        tracks: name of the tracks; empty without any.
    """
    names = {"images": list(images), "tables": list(tables), "tracks": [tracks] if tracks else []}
    within = {"ome_zarr": f"/{ome_zarr_record(version)}", "geff": "/.zattrs"}
    return [export_file(form, name) + within.get(form, "") for form in wanted for name in names[FORMATS[form].of]]
