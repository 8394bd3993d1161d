"""Segment one image that is larger than memory, by one process or several, into one OME-Zarr of labels.

Each process segments its blocks and leaves, beside the results, their labels and facts (`streamed_blocks`). Blocks that
are there already are not made again. The process that is given no share of the blocks then joins them
(`streamed_merge`) and publishes the results.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import cellflax
from cellflax.checks import at_least, check
from cellflax.data.measured_scale import measured_scale
from cellflax.data.normalize import IntensityScale
from cellflax.errors import UserError
from cellflax.inference.joining import AlignedBlock, aligned_blocks
from cellflax.inference.settings import Tiling
from cellflax.io import results
from cellflax.io.images import Image, channels_of
from cellflax.io.ome_zarr_output import CHUNK_PX
from cellflax.io.records import earlier_files
from cellflax.io.result_set import result_set
from cellflax.io.table_parts import join_tables
from cellflax.io.tiff_output import writing
from cellflax.io.zarr_labels import LabelArray, LabelPyramid, require_free, shared_array
from cellflax.io.zarr_place import Place
from cellflax.io.zarr_windows import WindowedImage, open_windows
from cellflax.jsonfile import differences
from cellflax.prediction.files import provenance
from cellflax.prediction.inputs import fitting
from cellflax.prediction.networks import Networks
from cellflax.prediction.streamed_blocks import BlockFacts, BlockSegmenter, StreamedSource
from cellflax.prediction.streamed_merge import CellRows, join_blocks, write_joined, write_parts
from cellflax.progress import Progress, say
from cellflax.schemas import kind_of, to_json

_LEAST_CHUNK_PX = 256
_PLAN, _FACTS = "plan.json", "facts"
# Settings that the labels do not depend on.
_PLACES = {"checkpoint", "input", "output", "labels_at", "overwrite", "resume", "block_shard", "block_shards"}


@dataclass(kw_only=True)
class StreamOptions:
    """Options of the segmentation of one image that is larger than memory.

    Attributes:
        streamed: segment one image in OME-Zarr that need not fit in memory: its chunks are read, and its labels become
            chunks of one OME-Zarr. `input` is its folder, or its place in object storage (s3://, gs://).
        labels_at: place of the labels, a folder or a place in object storage; null for `<name>_labels.zarr` in
            `output`.
        block_shard: number of this process's share of the blocks, from 0. Null does all that are missing, joins them
            and publishes the results.
        block_shards: number of shares.
    """

    streamed: bool = False
    labels_at: str | None = None
    block_shard: int | None = None
    block_shards: int = 1

    def __post_init__(self) -> None:
        check(self, "", at_least(1), "block_shards")
        check(self, "", at_least(0), "block_shard")
        if self.block_shard is not None and self.block_shard >= self.block_shards:
            raise UserError(
                f"block_shard={self.block_shard}: shares are numbered from 0, block_shards={self.block_shards} is "
                "their number"
            )
        if self.block_shard is None and self.block_shards > 1:
            raise UserError(f"block_shards={self.block_shards}: add block_shard=0 or another, or leave both out")
        for key in ("labels_at", "block_shard"):
            if getattr(self, key) is not None and not self.streamed:
                raise UserError(f"{key}={getattr(self, key)}: has no meaning without streamed=true")
        if (others := getattr(super(), "__post_init__", None)) is not None:  # of the other classes of a configuration
            others()


def predict_streamed(config: Any, networks: Networks) -> None:
    """Segment the image of `config.input`, or this process's share of it.

    Args:
        config: configuration of `predict`, with `StreamOptions`.
        networks: what segments it.

    Raises:
        UserError: for options, images and refinements that need the whole image at once, and for blocks that another
            run left there.
        OutputError: if something cannot be written.
    """
    _refuse_options(config)
    image = open_windows(Place(config.input), None if config.z is None else int(config.z))
    pixel_size_um = config.pixel_size_um or image.pixel_size_um
    _refuse_networks(networks, image, pixel_size_um)
    chunk_px = math.gcd(config.block, CHUNK_PX)
    stem = Place(config.input).stem
    name = f"{stem}_{results.LABELS_ZARR}"
    labels_at = None if config.labels_at is None else Place(config.labels_at)
    earlier_files(Path(config.output), config.overwrite, "output", "predict")  # refused now, not after all blocks
    if labels_at is not None:
        require_free("labels_at", labels_at, config.overwrite)
    work = Place(Path(config.output) / f".blocks.{stem}") if labels_at is None else Place(f"{labels_at.name}.blocks")
    channels = _channels(image, networks, config.channels)
    plan = _plan(work, config, networks, image, channels)
    source = StreamedSource(image, channels, plan, pixel_size_um)
    blocks = aligned_blocks(image.shape, config.block, networks.inference.largest_cell_px)
    found = shared_array(work.child("labels"), image.shape, chunk_px)
    _segment_missing(config, work, blocks, BlockSegmenter(networks, source), found)
    if config.block_shard is not None:
        return

    def load(block: AlignedBlock) -> BlockFacts:
        content = work.read(_key(block))
        try:
            if content is None:
                raise ValueError("it is missing")
            return BlockFacts.from_bytes(content)
        except ValueError as error:
            raise _damaged(work, block, str(error)) from error

    def check_block(block: AlignedBlock, labels: np.ndarray) -> None:
        if not np.array_equal(np.bincount(labels.ravel())[1:], load(block).area):
            raise _damaged(work, block, "its labels are not those that it counts")

    expected = [results.CELLS, *([name] if labels_at is None else [])]
    with result_set(config.output, config.overwrite, expected) as published:
        if labels_at is not None:
            require_free("labels_at", labels_at, config.overwrite)
        joined = join_blocks(blocks, load, found)
        target = LabelPyramid(labels_at or Place(published.folder / name), image.shape, pixel_size_um, chunk_px)
        write_joined(blocks, joined, found, target.full, check_block)
        rows = CellRows(
            source,
            target.full,
            (networks.model.channels, networks.model.class_names),
            (config.block + 2 * config.largest_cell_px) ** 2,
        )
        table = published.folder / results.CELLS
        with writing(table), tempfile.TemporaryDirectory(dir=published.folder.parent) as folder:
            join_tables(table, write_parts(Path(folder), rows.tables(blocks, joined, load), stem))
        if rows.unmeasured:
            say(
                f"warning: {rows.unmeasured} cells are larger than a block with its surroundings: cells.csv has only "
                "their area and probabilities; a larger block measures them"
            )
        target.finish()
        published.publish(provenance(networks.model, None, config, [stem], {}, True))
    work.remove()
    say(f"results: {config.output}; {joined.count} cells in {labels_at.name if labels_at else name}")


def _segment_missing(
    config: Any, work: Place, blocks: Sequence[AlignedBlock], segmenter: BlockSegmenter, found: LabelArray
) -> None:
    """Segment those blocks of this process's share that are not there yet."""
    shard, shards = config.block_shard or 0, config.block_shards
    share = [block for i, block in enumerate(blocks) if i % shards == shard]
    there = work.child(_FACTS).keys()
    missing = [block for block in share if _file(block) not in there]
    if len(missing) < len(share):
        say(f"{len(share) - len(missing)} of {len(share)} blocks are there already")
    with Progress(len(share), len(share) - len(missing), unit="blocks") as bar:
        for block in missing:
            labels, facts = segmenter.segment(block)
            found.write(block.core, labels)
            work.write(_key(block), facts.to_bytes())  # last: it says that the block is complete
            bar.done(f"block {block.row}, {block.column}: {len(facts.first)} cells")


def _damaged(work: Place, block: AlignedBlock, reason: str) -> UserError:
    return UserError(f"{work.name}/{_key(block)}: damaged ({reason}); remove this file, and run the command again")


def _key(block: AlignedBlock) -> str:
    return f"{_FACTS}/{_file(block)}"


def _file(block: AlignedBlock) -> str:
    return f"{block.row}_{block.column}.npz"


def _plan(
    work: Place, config: Any, networks: Networks, image: WindowedImage, channels: tuple[int, ...]
) -> IntensityScale:
    """How the intensities are brought to scale: measured by the first process, and the same for all others.

    Raises:
        UserError: if the blocks that are there are of another run.
    """
    settings = {key: value for key, value in to_json(config).items() if key not in _PLACES}
    how = {"kind": kind_of("refine", networks.how), **to_json(networks.how)}
    run = {
        "cellflax": cellflax.__version__,
        **networks.identity(),
        "settings": settings,
        "refine": how,
        "image": {"place": Place(image.name).address, "metadata": image.metadata},
        "channels": list(channels),
    }
    run = json.loads(json.dumps(run))
    content = work.read(_PLAN)
    if content is not None:
        try:
            plan = json.loads(content)
            offset, divisor = (np.array(plan[key], np.float64) for key in ("offset", "divisor"))
            others = differences(plan["run"], run)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{work.name}/{_PLAN}: damaged; remove {work.name}, and run the command again") from error
        if others:
            raise UserError(
                f"{work.name}: holds blocks of another run ({', '.join(map(str, others))[:200]}); finish that run, or "
                "remove this folder"
            )
        return IntensityScale(offset, divisor)
    say("measuring the intensities of the image")
    scale = measured_scale(
        lambda window: image.read(window, channels),
        image.shape,
        image.dtype,
        networks.model.config.normalize,
        max(config.block, *image.chunk),
        image.name,
        "give raw (not background-subtracted) intensities, as the network's training had",
    )
    plan = {"run": run, "offset": scale.offset.tolist(), "divisor": scale.divisor.tolist()}
    work.write(_PLAN, json.dumps(plan, indent=1).encode())
    return scale


def _channels(image: WindowedImage, networks: Networks, wanted: Sequence[str]) -> tuple[int, ...]:
    """Numbers of the image's channels in the network's order, by the rules for images in memory."""
    numbers = np.arange(len(image.channels)).reshape(1, 1, -1)  # an image whose pixels are the numbers of its channels
    probe = Image(numbers, image.channels, image.pixel_size_um, Path(image.name), image.origin)
    if wanted:
        chosen = channels_of(probe, wanted)
        probe = Image(chosen.pixels, chosen.channels, image.pixel_size_um, Path(image.name), "user")
    return tuple(fitting(probe, networks.model, None).pixels[0, 0].tolist())


def _refuse_options(config: Any) -> None:
    """Refuse options that need the whole image, or several."""
    if config.tiling is Tiling.gaussian:
        raise UserError("tiling=gaussian: tiles that do not see each other show in the cells; leave it out")
    if math.gcd(config.block, CHUNK_PX) < _LEAST_CHUNK_PX:
        raise UserError(
            f"block={config.block}: with streamed=true blocks are whole chunks; give a multiple of {_LEAST_CHUNK_PX}"
        )
    if config.z is not None and not config.z.isdecimal():
        raise UserError(f"z={config.z}: streamed=true takes one focal plane; give its number")
    for key in ("scene", "nuclei", "nuclei_checkpoint"):
        if getattr(config, key) is not None:
            raise UserError(f"{key}={getattr(config, key)}: is not supported with streamed=true; leave it out")
    for key in ("shard", "shards"):
        if getattr(config, key) is not None:
            raise UserError(f"{key}={getattr(config, key)} divides many images; with streamed=true give block_{key}")
    for key in ("save_probability", "resume", "export"):
        if getattr(config, key):
            raise UserError(f"{key}: has no meaning with streamed=true (blocks are always resumed); leave it out")


def _refuse_networks(networks: Networks, image: WindowedImage, pixel_size_um: float | None) -> None:
    """Refuse what takes more than a part of the image.

    Raises:
        UserError: naming it.
    """
    how, config = networks.how, networks.model.config
    if how.takes_levels:
        raise UserError(
            f"refine={kind_of('refine', how)} takes levels from its whole input, so that a part of an image gives "
            "other cells; with streamed=true take refine=watershed, threshold or distances"
        )
    if how.takes_seeds and config.seed_channel is not None:
        raise UserError(
            f"the checkpoint's cells start from nuclei in the channel {config.seed_channel}, which are found in the "
            "whole image; with streamed=true take refine=threshold, or a checkpoint without seed_channel"
        )
    target = config.scale.pixel_size_after(pixel_size_um)
    size = image.shape
    same = config.scale.tophat_um is None and config.scale.factor in (None, 1)
    if same and config.scale.pixel_size_um is not None:
        same = pixel_size_um is not None and all(
            round(n * pixel_size_um / config.scale.pixel_size_um) == n for n in size
        )
    if not same:
        raise UserError(
            f"the network resamples its images (to {target} um), which takes the whole image; with streamed=true give "
            "an image of that pixel size"
        )
