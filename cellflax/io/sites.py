"""Imaged sites of a plate: which files hold which channel and focal plane of which site."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellflax.errors import UserError
from cellflax.io.file_pattern import match_files


@dataclass(frozen=True)
class SiteFiles:
    """The files of one site.

    Attributes:
        name: well and site; results are named after it.
        files: by channel, then by the text of the plane; either is "" where the pattern has no such field and the
            files themselves give it.
        in_um: whether planes are named by focus positions in micrometres, which may differ between sites.
    """

    name: str
    files: dict[str, dict[str, Path]]
    in_um: bool

    @property
    def paths(self) -> list[Path]:
        """All its files."""
        return [path for planes in self.files.values() for path in planes.values()]

    def of_channel(self, channel: str) -> list[tuple[str, Path]]:
        """Planes of a channel in ascending order, each with its file."""
        files = self.files.get(channel, self.files.get("", {}))
        return sorted(files.items(), key=lambda item: plane_order(item[0]))


def find_sites(folder: str | Path, pattern: str) -> list[SiteFiles]:
    """Gather the files of a folder into sites by a pattern of their names, see `file_pattern.parse_patterns`.

    Without `{well}` and `{site}` in the pattern, the folder is one site and named after it.

    Raises:
        UserError: if the pattern cannot be used or fits no file, or two files are the same plane of a channel.
    """
    folder = Path(folder).expanduser()
    files: dict[str, dict[str, dict[str, Path]]] = defaultdict(lambda: defaultdict(dict))
    keys: dict[str, tuple[str, str]] = {}
    in_um: set[str] = set()
    for file, fields in match_files(folder, pattern):
        well, site = fields.get("well", ""), fields.get("site", "")
        name = "_".join(part for part in (well, site) if part) or folder.resolve().name
        if keys.setdefault(name, (well, site)) != (well, site):
            raise UserError(f"{file}: well {well}, site {site} would be named {name} like another; rename the files")
        planes = files[name][fields.get("channel", "")]
        plane = fields.get("z_um", fields.get("plane", ""))
        if plane in planes:
            raise UserError(
                f"{file}: {planes[plane].name} is the same image by pattern={pattern}, site {name}; add the field "
                "that tells them apart, or remove one"
            )
        planes[plane] = file
        if "z_um" in fields:
            in_um.add(name)
    return [SiteFiles(name, dict(files[name]), name in in_um) for name in sorted(files)]


def check_sites(sites: Sequence[SiteFiles], channels: Iterable[str]) -> None:
    """Check, before anything is read, that all sites have the same planes of these channels.

    Raises:
        UserError: for the first site that lacks a channel or a plane.
    """
    for channel in channels:
        if all("" in site.files for site in sites):
            continue
        available = sorted({name for site in sites for name in site.files})
        if channel not in available:
            raise UserError(f"no file has the channel {channel}; the pattern finds {', '.join(available)}")
        fullest = max(sites, key=lambda site: len(site.of_channel(channel)))
        for site in sites:
            if channel not in site.files:
                raise UserError(f"site {site.name}: no file of channel {channel}; add it, or move this site away")
            if missing := _missing_plane(site, fullest, channel):
                raise UserError(
                    f"site {site.name}: {missing} of channel {channel} is missing, which site {fullest.name} has; "
                    "add it, or move this site away"
                )


def _missing_plane(site: SiteFiles, fullest: SiteFiles, channel: str) -> str | None:
    planes, all_planes = ([plane for plane, _ in s.of_channel(channel)] for s in (site, fullest))
    if site.in_um:
        count = len(all_planes) - len(planes)
        return f"{count} of {len(all_planes)} planes" if count else None
    missing = [plane for plane in all_planes if plane not in planes]
    return f"plane {missing[0]}" if missing else None


def plane_order(plane: str) -> tuple[float, str]:
    """Sort key of planes: numbers by their value, then other texts alphabetically."""
    try:
        return float(plane), ""
    except ValueError:
        return float("inf"), plane
