"""The sites that `cellflax.annotate` works on, which channels are stains, and the pixels of one site at a time."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from cellflax.annotation.config import AnnotateConfig
from cellflax.annotation.files import simulation_note
from cellflax.errors import UserError
from cellflax.io.images import read_stack
from cellflax.io.reading import Reading
from cellflax.io.site_images import SiteImages, read_site
from cellflax.io.sites import SiteFiles, check_sites, find_sites
from cellflax.io.stack import grey_stack
from cellflax.labeling.result import CELL, NUCLEAR, Stains


@dataclass(frozen=True)
class Inputs:
    """What is annotated.

    Attributes:
        sites: in the order of their names.
        stains: channel of each stain.
        images: channels to learn from.
        pixel_size_um: edge of a pixel, if the files do not say.
        reading: how to read the files.
    """

    sites: list[SiteFiles]
    stains: dict[str, str]
    images: list[str]
    pixel_size_um: float | None
    reading: Reading
    # By channel, the first site that was read, and its number of planes.
    _usual_planes: dict[str, tuple[str, int]] = field(default_factory=dict, init=False)

    @property
    def simulation_note(self) -> str | None:
        """The note beside simulated images, if they are."""
        return simulation_note({path.parent for site in self.sites for path in site.paths})

    def read(self, site: SiteFiles) -> SiteImages:
        """Read one site.

        Raises:
            UserError: if it cannot be used, or has a different number of planes from the first site that was read.
        """
        content = read_site(site, dict.fromkeys([*self.stains.values(), *self.images]), self.reading)
        for name, channel in content.channels.items():
            planes = len(channel.planes)
            first, usual = self._usual_planes.setdefault(name, (site.name, planes))
            if planes != usual:
                raise UserError(
                    f"site {site.name}: {planes} planes of channel {name}, site {first} has {usual}; "
                    "all sites must have the same planes"
                )
        return dataclasses.replace(content, pixel_size_um=content.pixel_size_um or self.pixel_size_um)

    def stain_planes(self, site: SiteImages) -> Stains:
        """The stains of a site."""
        return {stain: site.channels[channel].pixels for stain, channel in self.stains.items()}

    def pictures(self, site: SiteImages) -> dict[str, np.ndarray]:
        """The middle plane of each image channel that is not a stain."""
        channels = {name: site.channels[name].pixels for name in self.images if name not in self.stains.values()}
        return {name: planes[len(planes) // 2] for name, planes in channels.items()}


def find_inputs(config: AnnotateConfig) -> Inputs:
    """Find the sites, and check that each has all channels and planes.

    Raises:
        UserError: if an option is missing or does not fit the files, or a site lacks something.
    """
    for key in ("input", "pattern"):
        if not getattr(config, key):
            raise UserError(f"{key} is not given; add {key}=...")
    sites = find_sites(config.input, config.pattern)
    reading = Reading(scene=config.scene or "", prefix="")
    channels = _available(sites, reading)
    nuclear = config.nuclear
    if nuclear is None:
        if len(channels) > 1:
            raise UserError(f"nuclear is not given; add nuclear=..., one of {', '.join(channels)}")
        nuclear = channels[0]
    stains = {NUCLEAR: nuclear} | ({} if config.cell is None else {CELL: config.cell})
    images = config.images or [name for name in channels if name not in stains.values()] or [nuclear]
    check_sites(sites, dict.fromkeys([*stains.values(), *images]))
    return Inputs(sites, stains, images, config.pixel_size_um, reading)


def _available(sites: list[SiteFiles], reading: Reading) -> list[str]:
    """Channels in the file names, else those of the first file that can be read; a single one there needs no name."""
    names = sorted({name for site in sites for name in site.files})
    if names != [""]:
        return names
    wrong: list[UserError] = []
    for site in sites:
        try:
            inside = grey_stack(read_stack(site.paths[0], reading)).channels
        except UserError as error:  # it is reported when the site is annotated
            wrong.append(error)
            continue
        return [""] if len(inside) == 1 else list(inside)
    raise wrong[0]
