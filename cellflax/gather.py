"""Make one set of results of the shards of a prediction.

    cellflax predict -m checkpoint=RUN input=DIR output=predictions shards=16 shard='range(16)'
    cellflax gather output=predictions
    cellflax gather output=predictions overwrite=true

Writes to `output` what one process would have written: the label images, `cells.csv`, `overlay.png`, `report.html` and
`provenance.json`, and the exports that the shards were asked for. No network runs. The shards must be complete, and of
one checkpoint, one version, the same settings and the same images. They stay where they are; their images are the same
files as the gathered ones, so that they take no room where the file system has hard links.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cellflax.config import entry, from_json
from cellflax.errors import UserError
from cellflax.exporting.formats import require_packages
from cellflax.io import results
from cellflax.io.failures import failure
from cellflax.io.journal import is_whole, recorded_run
from cellflax.io.result_set import ResultSet, result_set
from cellflax.io.resuming import RESUME
from cellflax.io.tiff_output import writing
from cellflax.jsonfile import differences, read_json
from cellflax.predict import NOT_SEGMENTED, PredictConfig, publish
from cellflax.prediction.batch import ImageBatch, Source
from cellflax.prediction.gathering import ShardResults, all_shards, refuse_other_input, sources_of
from cellflax.prediction.listing import all_files, all_sources, run_of
from cellflax.prediction.networks import Networks, load_networks
from cellflax.progress import Progress, say

GATHERED = "gathered"  # key of provenance.json: the shards that the set was made of


@dataclass
class GatherConfig:
    """Options of `cellflax.gather`.

    Attributes:
        output: directory of the prediction, in which its shards are.
        overwrite: whether to replace the results of an earlier run in `output`; other files there stay. With false they
            are refused; null replaces those that were gathered from the same run, and refuses others.
    """

    output: str = "predictions"
    overwrite: bool | None = None


@entry("gather", GatherConfig)
def main(config: GatherConfig) -> None:
    """Gather the shards in `output`."""
    gather(config)


def gather(config: GatherConfig) -> None:
    """Make one set of all shards.

    Raises:
        UserError: if they do not make one; then nothing is written. Also if images could not be used: at the end.
    """
    with all_shards(config.output) as shards:
        of_image = sources_of(shards)
        given = _predict_config(shards[0], config.output)
        require_packages("export", given.export)
        networks, sources = _as_given(given, shards[0])
        refuse_other_input(of_image, {name: one.states() for name, one in sources.items()}, f"input={given.input}")
        unusable: dict[str, str] = {}
        for name, shard in of_image.items():
            unusable |= shard.unusable(name)
        if not any(shard.done for shard in shards):
            raise failure(unusable, None, NOT_SEGMENTED)
        run, expected = run_of(given, networks), all_files(given, networks, sources, exports=True)
        overwrite = _may_replace(config, run)
        with result_set(config.output, overwrite, expected, run=run) as found:
            _take(found, shards, of_image)
            batch = _shown(found, networks, given, sources)
            batch.unusable = unusable
            devices = list(dict.fromkeys(shard.device for shard in shards))
            origin = {GATHERED: {"shards": len(shards), "devices": devices}}
            publish(found, networks, given, sources, batch, "; ".join(devices), origin, ended=True, command="gather")
    say(f"results: {config.output}: {len(of_image)} images of {len(shards)} shards")
    if unusable:
        raise failure(unusable, config.output, NOT_SEGMENTED)


def _predict_config(shard: ShardResults, output: str) -> PredictConfig:
    """The options of the prediction, as one process would have had them."""
    try:
        given = from_json(PredictConfig, shard.settings)
    except UserError as error:
        raise UserError(f"{shard.folder / results.PROVENANCE}: {error}; run {shard.shard} again") from error
    return replace(given, output=output, shard=None, shards=None)


def _as_given(given: PredictConfig, shard: ShardResults) -> tuple[Networks, dict[str, Source]]:
    """The networks of the prediction, which must be those that the shards had, and all images that are there now."""
    place = shard.folder.parent
    try:
        networks = load_networks(given.checkpoint, given)
        if given.nuclei is not None:
            networks = networks.with_given_nuclei(f"nuclei={given.nuclei}")
        sources = all_sources(given, networks)
    except UserError as error:
        raise UserError(f"{error} (an option of the shards in {place}; gather where they ran)") from error
    for name, (before, now) in differences(shard.run, run_of(given, networks)).items():
        raise UserError(
            f"{place}: the shards had {name.removeprefix('settings.')}={before}, now it is {now}; gather with the same "
            "checkpoint and version, or run all shards again with overwrite=true"
        )
    return networks, sources


def _may_replace(config: GatherConfig, run: Mapping[str, Any]) -> bool:
    """Whether an earlier set may be replaced: by default one that was gathered from the same run."""
    if config.overwrite is not None:
        return config.overwrite
    try:
        there = read_json(Path(config.output) / results.PROVENANCE, "")
        return GATHERED in there and recorded_run(there[RESUME])[0] == run
    except (UserError, ValueError, KeyError):
        return False


def _take(found: ResultSet, shards: Sequence[ShardResults], of_image: Mapping[str, ShardResults]) -> None:
    """Bring the files of all finished images, and the tables of their cells, into the set; in the order of the images.

    Raises:
        UserError: if a file was changed since its shard wrote it.
    """
    with Progress(len(of_image), unit="images") as bar:
        for shard in shards:
            table = shard.folder / results.CELLS
            if not is_whole(table, shard.table):
                raise _changed(shard, table)
            found.journal.take_cells(table, shard.done)
            for name, done in shard.done.items():
                for file, state in done.files.items():
                    with writing(found.folder / file):
                        _link(shard.folder / file, found.folder / file)
                    if not is_whole(found.folder / file, state):
                        raise _changed(shard, shard.folder / file)
                bar.done(name)
    found.journal.done = {name: shard.done[name] for name, shard in of_image.items() if name in shard.done}


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no such links; nothing if it is not there."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return
    except OSError:
        shutil.copyfile(source, target)


def _changed(shard: ShardResults, file: Path) -> UserError:
    what = "was changed since cellflax wrote it" if file.is_file() else "is missing"
    return UserError(f"{file}: {what}; run {shard.shard} again with overwrite=true, or restore the file")


def _shown(found: ResultSet, networks: Networks, given: PredictConfig, sources: Mapping[str, Source]) -> ImageBatch:
    """What the overlay and the report show of the images, from their files."""
    with Progress(len(sources), unit="images") as bar:
        batch = ImageBatch(
            networks,
            found.folder,
            found.journal,
            bar,
            maps=given.save_probability,
            pixel_size_um=given.pixel_size_um,
            frame_interval_s=given.frame_interval_s,
        )
        for name in found.journal.done:
            batch.show(sources[name], found.file(results.result_file(name, results.LABELS)))
            bar.done(name)
    return batch


if __name__ == "__main__":
    main()
