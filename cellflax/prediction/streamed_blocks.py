"""One block of an image that is larger than memory: its cells, and what is needed to join them to those of others."""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cellflax.data.normalize import IntensityScale, box_px, rescale
from cellflax.inference.blocks import Window, inside
from cellflax.inference.fixed_tiles import FixedTiles
from cellflax.inference.joining import AlignedBlock, fingerprints, first_pixels, kept_cells, seen_strips
from cellflax.io import results
from cellflax.io.zarr_windows import WindowedImage
from cellflax.measure.cells import cell_table
from cellflax.measure.sureness import sureness_table
from cellflax.measure.uncertainty import structural_uncertainty
from cellflax.prediction.networks import Networks
from cellflax.refine import find_seeds, refine


@dataclass(frozen=True)
class StreamedSource:
    """The image that is segmented, as the network takes it.

    Attributes:
        image: the image.
        channels: numbers of its channels, in the network's order.
        scale: how its intensities are brought to the network's scale.
        pixel_size_um: edge of a pixel, if known.
    """

    image: WindowedImage
    channels: tuple[int, ...]
    scale: IntensityScale
    pixel_size_um: float | None

    def read(self, window: Window) -> np.ndarray:
        """Raw pixels of a window, (h, w, C)."""
        return self.image.read(window, self.channels)


@dataclass(frozen=True)
class BlockFacts:
    """What is kept of a block's n cells besides their labels 1...n in its core.

    Attributes:
        first: (n,) number, in the image, of the first pixel that each has in the core.
        fingerprint: (n,) `joining.fingerprints` of its pixels in the core.
        area: (n,) pixels in the core.
        box: (n, 4) their bounds: first row, first column, end of the rows, end of the columns.
        probability: (n, K) sums of the classes' probabilities over them.
        strips: how the block sees the strips beside its core (`joining.seen_strips`).
        cells: a row of `cells.csv` for each cell that begins in the core, as the block's window shows it.
        whole: fingerprint of each of these cells in the whole window.
    """

    first: np.ndarray
    fingerprint: np.ndarray
    area: np.ndarray
    box: np.ndarray
    probability: np.ndarray
    strips: dict[str, np.ndarray]
    cells: pd.DataFrame
    whole: np.ndarray

    def to_bytes(self) -> bytes:
        """All arrays as one compressed file (`numpy.savez_compressed`)."""
        columns = {
            f"cells/{name}": np.asarray(column, str) if column.dtype == object else column.to_numpy()
            for name, column in self.cells.items()
        }
        strips = {f"strips/{side}": strip for side, strip in self.strips.items()}
        arrays = {name: getattr(self, name) for name in ("first", "fingerprint", "area", "box", "probability", "whole")}
        file = io.BytesIO()
        np.savez_compressed(file, **arrays, **strips, **columns)  # pyright: ignore[reportArgumentType]
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "BlockFacts":
        """The inverse of `to_bytes`.

        Raises:
            ValueError: if it is another file.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            strips = {k.removeprefix("strips/"): v for k, v in arrays.items() if k.startswith("strips/")}
            cells = pd.DataFrame({k.removeprefix("cells/"): v for k, v in arrays.items() if k.startswith("cells/")})
            plain = {name: arrays[name] for name in arrays if "/" not in name}
            return cls(**plain, strips=strips, cells=cells)
        except Exception as error:  # a damaged archive can make NumPy raise anything
            raise ValueError(f"no facts of a block ({error!s:.80})") from error


class BlockSegmenter:
    """Segments blocks of one image.

    What is found at a pixel depends on the block's window alone where the refinement is local (`docs/howto/
    large_images.md` says how far): the network's tiles lie where they would for any other block.

    Args:
        networks: what segments the image.
        source: the image.
    """

    def __init__(self, networks: Networks, source: StreamedSource):
        model, inference = networks.model, networks.inference
        self._networks, self._source = networks, source
        self._box = box_px(model.config.normalize, model.geometry.receptive_field)
        self._tiles = FixedTiles(
            model.probabilities,
            model.geometry,
            source.image.shape,
            tile=inference.tile_px(model.geometry),
            transforms=inference.transforms,
        )

    def segment(self, block: AlignedBlock) -> tuple[np.ndarray, BlockFacts]:
        """The labels of a block's core, (h, w) int32, and the facts of its cells."""
        networks, model, source = self._networks, self._networks.model, self._source
        predictions = self._predict(block.window)
        probability = sum(predictions[1:], predictions[0]) / len(predictions)
        names, size = model.outputs.names, source.pixel_size_um
        seeds = find_seeds(networks.how, probability, names, size)
        labels = refine(networks.how, probability, names, seeds, pixel_size_um=size)
        kept, numbers = kept_cells(labels, block)
        width = source.image.shape[1]
        classes = model.outputs.classes(probability)

        begins = first_pixels(kept, width, _origin(block.window))
        rows, columns = np.divmod(begins, width)
        own = _within(rows, block.core[0]) & _within(columns, block.core[1])
        mine = np.where(np.concatenate([[False], own])[kept], kept, 0)
        cells = cell_table(
            mine,
            image=source.read(block.window),
            channels=model.channels,
            probability=classes,
            class_names=model.class_names,
            pixel_size_um=size,
            origin=_origin(block.window),
            field=source.image.shape,
        )
        sure = None
        if len(predictions) > 1:
            others = [refine(networks.how, each, names, seeds, pixel_size_um=size) for each in predictions]
            sure = structural_uncertainty(labels, others)
            cells[results.UNCERTAINTY] = sure[numbers[own] - 1]
        if (calibration := networks.sureness.calibration) is not None:
            at_border = (
                block.window[0].start == 0,
                block.window[1].start == 0,
                block.window[0].stop == source.image.shape[0],
                block.window[1].stop == width,
            )
            measured = sureness_table(labels, classes, model.class_names, sure, at_border=at_border)
            probabilities = calibration.probabilities(measured.iloc[numbers[own] - 1], size)
            cells[list(probabilities)] = probabilities.to_numpy()

        part = inside(block.core, block.window)
        core = kept[part]
        facts = BlockFacts(
            first=first_pixels(core, width, _origin(block.core)),
            fingerprint=fingerprints(core, width, _origin(block.core)),
            area=np.bincount(core.ravel(), minlength=len(numbers) + 1)[1:],
            box=_boxes(core, len(numbers), _origin(block.core)),
            probability=_sums(core, classes[part], len(numbers)),
            strips=seen_strips(kept, block, networks.inference.largest_cell_px),
            cells=cells,
            whole=fingerprints(mine, width, _origin(block.window))[own[: int(mine.max(initial=0))]],
        )
        return core, facts

    def _predict(self, window: Window) -> list[np.ndarray]:
        """(h, w, K) outputs of each network averaged over the transforms; of one network, for each transform."""
        source, members = self._source, self._networks.model.members
        seen = self._tiles.seen(window)
        reach = 0 if self._box is None else self._box // 2
        around = tuple(
            slice(max(span.start - reach, 0), min(span.stop + reach, size))
            for span, size in zip(seen, source.image.shape, strict=True)
        )
        outer: Window = around[0], around[1]
        raw = source.read(outer)

        def read(part: Window) -> np.ndarray:
            spans = zip(part, source.image.shape, strict=True)
            rows, columns = (slice(max(span.start - reach, 0), min(span.stop + reach, size)) for span, size in spans)
            pixels = rescale(raw[inside((rows, columns), outer)], source.scale, self._box)
            return pixels[inside(part, (rows, columns))]

        predictions = self._tiles.predict(window, read)
        if members == 1:
            return predictions
        mean = sum(predictions[1:], predictions[0]) / len(predictions)
        return np.split(mean, members, axis=-1)


def _origin(window: Window) -> tuple[int, int]:
    return window[0].start, window[1].start


def _within(places: np.ndarray, span: slice) -> np.ndarray:
    return (places >= span.start) & (places < span.stop)


def _boxes(labels: np.ndarray, n: int, origin: tuple[int, int]) -> np.ndarray:
    """(n, 4) bounds of each of the labels 1...n: first row, first column, end of the rows, end of the columns."""
    y, x = np.nonzero(labels)
    of = labels[y, x] - 1
    box = np.empty((n, 4), np.int64)
    box[:, :2], box[:, 2:] = np.iinfo(np.int64).max, 0
    for axis, places in enumerate((y + origin[0], x + origin[1])):
        np.minimum.at(box[:, axis], of, places)
        np.maximum.at(box[:, axis + 2], of, places + 1)
    return box


def _sums(labels: np.ndarray, classes: np.ndarray, n: int) -> np.ndarray:
    """(n, K) sums of (h, w, K) values over each of the labels 1...n."""
    flat = labels.ravel()
    planes = np.moveaxis(classes, -1, 0)
    return np.stack([np.bincount(flat, plane.ravel(), n + 1)[1:] for plane in planes], axis=-1)
