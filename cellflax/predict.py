"""Segment images with a trained network.

    cellflax predict checkpoint=RUN input='new/*.tif' output=DIR
    cellflax predict checkpoint=RUN input=FOLDER 'channels=[phase,nuclear]' refine=watershed refine.interior=0.3

Writes `<name>_labels.tif` for every image, `cells.csv` with a row per cell, `overlay.png`, `report.html` and
`provenance.json`. A TIFF with a time axis gives one label movie, and `cells.csv` then has a row per cell and frame.
Normalisation, channels and refinement are those of the checkpoint. The networks of an ensemble are averaged, and their
disagreement is the uncertainty of each cell. `streamed=true` segments one image that is larger than memory.
"""

from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from cellflax.checks import above, at_least, check
from cellflax.config import entry
from cellflax.device import set_up_jax
from cellflax.errors import UserError
from cellflax.exporting.formats import ExportOptions, check_formats, require_packages
from cellflax.exporting.predictions import export_predictions
from cellflax.io import results
from cellflax.io.failures import failure
from cellflax.io.pairs import PairBy
from cellflax.io.reading import ReadingOptions
from cellflax.io.result_set import ResultSet, result_set
from cellflax.io.resuming import RESUME
from cellflax.io.table_parts import join_tables
from cellflax.io.tiff_output import writing
from cellflax.pictures.overlay import save_overlay
from cellflax.prediction.batch import ImageBatch, Source
from cellflax.prediction.files import provenance
from cellflax.prediction.inputs import warn_of_simulation
from cellflax.prediction.listing import all_files, all_sources, run_of
from cellflax.prediction.networks import Networks, PredictionSettings, load_networks
from cellflax.prediction.report import prediction_report
from cellflax.prediction.shards import SHARD, check_shard, chosen_shard, refuse_other_sets
from cellflax.prediction.streamed import StreamOptions, predict_streamed
from cellflax.progress import Progress, say
from cellflax.report.page import save_report

NOT_SEGMENTED = "images or frames were not segmented"


@dataclass
class PredictConfig(StreamOptions, ReadingOptions, ExportOptions, PredictionSettings):
    """Options of `cellflax.predict`.

    Attributes:
        checkpoint: run directory of a training, its `checkpoints` folder, one numbered checkpoint, or the name of a
            network that comes with cellflax; a path that exists comes first.
        input: images, FILE | DIR | GLOB; TIFFs with several frames along T (or an unnamed axis too long for channels)
            are movies.
        output: directory for the results.
        channels: if each channel has its own file, the part of the file names that identifies the channel, in the
            order of the checkpoint's channels (the checkpoint's own names may come in any order). If no file name has
            such a part, names or indices of channels within each file. Empty takes a file's channels by their names.
        nuclei: nucleus masks or labels that seed the cells, FILE | DIR | GLOB, paired with the images by name; a
            movie needs a movie.
        pair: names pairs `nuclei` with the images by their names, order in the order of their names.
        pixel_size_um: pixel size of all images; overrides the files. If the network was trained at a fixed pixel size
            (scale.pixel_size_um), the images are resampled to it; the results are on the images' own grid.
        frame_interval_s: time between the frames of all movies; overrides the files.
        overwrite: whether to replace the results of an earlier run in `output`, which is refused otherwise; other
            files there stay.
        resume: whether to continue what an earlier run with the same settings and checkpoint finished in `output`,
            however it was ended; without such a run, begin anew. Images whose files were changed are segmented again.
        shard: segment only this part of the images, from 0 to `shards` - 1. Each part is a set of its own within
            `output`, and `cellflax gather` makes one of all.
        shards: number of parts; auto takes it and the part from Slurm (`prediction.shards.chosen_shard`).
        save_probability: also write `<name>_probability.tif` (CYX, float32) and, if there are any,
            `<name>_uncertainty.tif` (YX, float32) and the nuclei as `<name>_seeds.tif`. In movies, T comes first.
    """

    checkpoint: str = ""
    input: str = ""
    output: str = "predictions"
    channels: list[str] = field(default_factory=list)
    nuclei: str | None = None
    pair: PairBy = PairBy.names
    pixel_size_um: float | None = None
    frame_interval_s: float | None = None
    overwrite: bool = False
    resume: bool = False
    shard: int | None = None
    shards: str | None = None
    save_probability: bool = False

    def __post_init__(self):
        super().__post_init__()
        check(self, "", above(0), "pixel_size_um", "frame_interval_s")
        check(self, "", at_least(0), "shard")
        check_formats("export", self.export, ("images", "tables"), self.ome_zarr_version)
        check_shard(self.shard, self.shards)
        if self.nuclei is not None and self.nuclei_checkpoint is not None:
            raise UserError(f"nuclei={self.nuclei} and nuclei_checkpoint={self.nuclei_checkpoint}: give one of them")


@entry("predict", PredictConfig)
def main(config: PredictConfig) -> None:
    """Segment all images of `input`."""
    predict(config)


def predict(config: PredictConfig) -> None:
    """Segment images and write the results.

    Raises:
        UserError: if the checkpoint cannot be used, or nothing can be written: the results of the images before
            stay, and the table of their cells is called `cells.partial.csv`; if they would replace an earlier set, they
            stay hidden until `resume`. Also if images cannot be used: at the end, when the others are done.
    """
    for key in ("checkpoint", "input"):
        if not getattr(config, key):
            raise UserError(f"{key} is not given; add {key}=...")
    require_packages("export", config.export)
    networks = load_networks(config.checkpoint, config)
    if config.nuclei is not None:
        networks = networks.with_given_nuclei(f"nuclei={config.nuclei}")
    model = networks.model
    device = set_up_jax(model.config.trainer.precision.name)
    _announce(networks, device)
    if config.streamed:
        predict_streamed(config, networks)
        return
    sources = everything = all_sources(config, networks)
    shard, origin = chosen_shard(config.shard, config.shards), dict[str, Any]()
    if shard is not None:
        refuse_other_sets(config.output)
        config = replace(config, output=str(shard.folder(config.output)))
        sources = shard.part_of(everything, f"input={config.input}")
        origin[SHARD] = shard.record(everything, sources, device)
        say(f"{shard}: {len(sources)} of {len(everything)} images")
    expected = all_files(config, networks, sources, exports=shard is None)
    run = run_of(config, networks)
    with result_set(config.output, config.overwrite, expected, run=run, resume=config.resume) as found:
        finished = _finished(sources, found, config, everything)
        with Progress(len(sources), len(finished), unit="images") as bar:
            batch = ImageBatch(
                networks,
                found.folder,
                found.journal,
                bar,
                maps=config.save_probability,
                pixel_size_um=config.pixel_size_um,
                frame_interval_s=config.frame_interval_s,
            )
            try:
                for name, source in sources.items():
                    if name in finished:
                        batch.show(source, found.file(results.result_file(name, results.LABELS)))
                    else:
                        batch.segment(source)
                        bar.done(name)
            except BaseException:  # a full disk, an interruption: no other image can be segmented
                if found.journal.done and not found.replaces:  # an earlier set stays whole
                    with suppress(OSError, UserError):  # the disk may be full; what is reported is why it ended
                        publish(found, networks, config, sources, batch, device, origin, ended=False)
                        say(f"results so far: {config.output}; the same command with resume=true completes them")
                raise
            finally:
                batch.unlike.say()
        if not found.journal.done and shard is None:
            raise failure(batch.unusable, None, NOT_SEGMENTED)
        publish(found, networks, config, sources, batch, device, origin, ended=True)
    say(f"results: {config.output}")
    if batch.unusable:
        raise failure(batch.unusable, config.output, NOT_SEGMENTED)


def _finished(
    sources: dict[str, Source], found: ResultSet, config: PredictConfig, everything: Container[str]
) -> set[str]:
    """Images that need not be segmented again; those whose files changed are taken off the journal.

    So are those that belong to another shard, because there are more images than before.

    Raises:
        UserError: if images of the run that is resumed are not in the input any more.
    """
    journal = found.journal
    for name in [name for name in journal.done if name not in sources and name in everything]:
        say(f"{name}: belongs to another shard now, because the input has other images than before")
        journal.forget(name)
    gone = [name for name in journal.done if name not in sources]
    if gone:
        raise UserError(
            f"input={config.input}: lacks {gone[0]}{f' and {len(gone) - 1} more' if len(gone) > 1 else ''}, which the "
            f"run in {config.output} has segmented; resume=true needs the same images, and others besides"
        )
    for name, done in list(journal.done.items()):
        if done.inputs != sources[name].states():
            say(f"{name}: its file was changed since, so that it is segmented again")
            journal.forget(name)
    finished = {name for name, done in journal.done.items() if not done.failed}
    if config.resume:
        say(f"resume: {len(finished)} of {len(sources)} images are finished already")
    return finished


def publish(
    found: ResultSet,
    networks: Networks,
    config: PredictConfig,
    sources: dict[str, Source],
    batch: ImageBatch,
    device: str,
    origin: Mapping[str, Any],
    ended: bool,
    command: str = "predict",
) -> None:
    """Complete the set with the table, the overlay, the report and the provenance.

    Args:
        found: the set, which holds the images.
        networks: what segmented them.
        config: options of the command.
        sources: all images of the input, in order.
        batch: what was wrong with some, and what is shown of them.
        device: hardware and precision.
        origin: what else `provenance.json` says: which shard this is, or which were gathered.
        ended: whether all images were tried.
        command: the command that runs.
    """
    journal = found.journal
    journal.done = {name: journal.done[name] for name in sources if name in journal.done}
    journal.free_room()
    table = found.folder / (results.CELLS if ended else results.PARTIAL_CELLS)
    with writing(table):
        join_tables(table, [journal.cells(name) for name in journal.done])
    if ended and batch.panels:  # not of a shard whose images are all unusable
        save_overlay(found.folder / results.OVERLAY, batch.panels)
    wrong: dict[str, str] = {}
    for done in journal.done.values():
        wrong |= done.blank | done.failed
    wrong |= batch.unusable
    complete = ended and not batch.unusable
    record = provenance(networks.model, networks.used_nuclei_model, config, list(journal.done), wrong, complete)
    if ended and config.export and SHARD not in origin:  # made when the shards are gathered
        pixels = {name: partial(batch.open, sources[name]) for name in journal.done}
        labels = {name: found.file(results.result_file(name, results.LABELS)) for name in journal.done}
        export_predictions(found.folder, labels, table, pixels, config.export, config.ome_zarr_version, record)
    if ended:
        shown = (batch.sights, batch.panels, device, command)
        save_report(found.report(), lambda: prediction_report(record, journal, *shown))
    found.publish({**record, **origin, RESUME: journal.recorded(table)})


def _announce(networks: Networks, device: str) -> None:
    model = networks.model
    say(device)
    several = f"{model.members} networks" if model.members > 1 else "one network"
    say(f"checkpoint: {model.path}, {several}; {model.record['data']['source']}")
    for remark in networks.sureness.remarks:
        say(remark)
    warn_of_simulation(model)


if __name__ == "__main__":
    main()
