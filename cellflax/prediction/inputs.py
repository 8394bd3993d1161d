"""The inputs of `cellflax.predict`: images, movies and given nuclei, checked against the network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from cellflax.errors import UserError
from cellflax.io.frames import Frames, open_frames, open_labels
from cellflax.io.images import Image, ImageFiles, as_grey, channels_of, grey_hint, read_labels
from cellflax.io.notices import warn
from cellflax.io.outlines import has_outlines
from cellflax.io.stack import default_channel_names
from cellflax.labels import cells_of, whole_numbers
from cellflax.prediction.trained import TrainedModel
from cellflax.progress import say
from cellflax.training.starting import learned_from_simulation


def channel_parts(given: list[str], channels: tuple[str, ...]) -> list[str]:
    """Parts of the file names in the order of the checkpoint's channels."""
    return list(channels) if sorted(given) == sorted(channels) else given


@contextmanager
def open_images(
    files: ImageFiles, model: TrainedModel, pixel_size_um: float | None, frame_interval_s: float | None
) -> Iterator[Frames]:
    """Open an image or a movie whose frames come with the model's channels.

    Args:
        files: files of the image or movie.
        model: model that will segment it.
        pixel_size_um: overrides the pixel size in the files.
        frame_interval_s: overrides the frame interval in the files.

    Raises:
        UserError: if the files cannot be read or do not fit the network; reading a frame can raise it too.
    """
    with open_frames(files, frame_interval_s) as frames:

        def read(t: int) -> Image:
            return fitting(frames.read(t), model, pixel_size_um)

        yield replace(frames, read=read)


@contextmanager
def open_nuclei(path: Path | None, frames: Frames) -> Iterator[Callable[[int, Image], np.ndarray | None]]:
    """Open the nuclei of an image or a movie.

    Args:
        path: labels or masks, None where there are none.
        frames: image or movie that they belong to.

    Yields:
        Function from the number of a frame and its image to (H, W) int32 nuclei, or None.

    Raises:
        UserError: if the file cannot be read, or does not fit the images.
    """
    if path is None:
        yield lambda t, image: None
        return
    if has_outlines(path):
        if frames.time is not None:
            raise UserError(f"{path}: outlines belong to one image, {frames.name} is a movie; give a label movie")
        yield lambda t, image: nuclei_of(read_labels(path, image.pixels.shape[:2]), image, str(path))
        return
    with open_labels(path, frames.time) as read:

        def nuclei(t: int, image: Image) -> np.ndarray:
            return nuclei_of(read(t), image, str(path))

        yield nuclei


def nuclei_of(labels: np.ndarray, image: Image, name: str) -> np.ndarray:
    """The nuclei of an image, (H, W) int32, from labels or a mask.

    Args:
        labels: (H, W) labels or mask.
        image: image that they belong to.
        name: name of the labels, for errors.

    Raises:
        UserError: if they are not labels, or their shape differs from the image's.
    """
    if labels.shape != image.pixels.shape[:2]:
        raise UserError(f"{name}: {labels.shape} nuclei for an image of {image.pixels.shape[:2]}")
    return cells_of(whole_numbers(labels, name))


def fitting(image: Image, model: TrainedModel, pixel_size_um: float | None) -> Image:
    """The image with the model's channel names, checked against what the network was trained on.

    Args:
        image: (H, W, C) raw intensities.
        model: model that will segment it.
        pixel_size_um: overrides the pixel size of the image.

    Raises:
        UserError: if its channels are not those that the network needs.
    """
    wanted, names = model.channels, image.channels
    if image.origin != "user":
        known = {name.lower() for name in names} & {name.lower() for name in wanted}
        if len(known) == len(wanted):
            image = channels_of(image, wanted)
        elif len(wanted) == 1 and image.origin != "file":
            image = as_grey(image)
            if hint := grey_hint(image):
                raise UserError(f"{image.path}: has 3 channels, the checkpoint needs one ({wanted[0]}){hint}")
        elif image.pixels.shape[-1] == len(wanted):
            _require_order(image, wanted, sorted(known))
    if image.pixels.shape[-1] != len(wanted):
        start = f"{image.path}: has {len(names)} channels, the checkpoint needs {len(wanted)} ({', '.join(wanted)}); "
        if len(names) > len(wanted):
            raise UserError(
                f"{start}name those in this order: channels=[{','.join(names[: len(wanted)])}] takes the first of "
                f"{', '.join(names)}"
            )
        raise UserError(
            f"{start}for one file per channel give channels=[{','.join(wanted)}], and save the time of a movie as the "
            "axis T"
        )
    return Image(image.pixels, wanted, pixel_size_um or image.pixel_size_um, image.path)


def _require_order(image: Image, wanted: tuple[str, ...], known: list[str]) -> None:
    """Check that an image whose names are not the network's can be taken in its own order.

    Names that a file gives are used in order with a word, and only if none of them is the network's. Colours and focal
    planes are no channels of a network that was trained on others.
    """
    unnamed = wanted == default_channel_names(len(wanted))
    if len(wanted) == 1 and image.origin == "planes":
        return
    if image.origin in ("colours", "planes") or (image.origin == "file" and known):
        what = {"colours": "colours", "planes": "focal planes"}.get(image.origin, "channels")
        raise UserError(
            f"{image.path}: its {what} {', '.join(image.channels)} are not the channels that the checkpoint needs "
            f"({', '.join(wanted)}); name {len(wanted)} of them in this order: channels=[{','.join(image.channels)}]"
        )
    if image.origin == "file" and not unnamed:
        pairs = ", ".join(f"{name} as {ours}" for name, ours in zip(image.channels, wanted, strict=True))
        warn(f"{image.path}: its channels are taken in order, {pairs}; for another order give channels=[...]")


def warn_of_simulation(model: TrainedModel) -> None:
    """Say that a network learned from simulated images, if it did."""
    part = model.record["data"].get("simulated_images")
    if model.simulated and part is not None:
        say(f"PARTLY SIMULATED DATA: {part} of the images that this network was trained on are simulated")
    elif model.simulated:
        say("SIMULATED DATA: this network was trained on simulated images; do not publish what it measures")
    elif learned_from_simulation(model.started_from):
        say("SIMULATED DATA: the training of this network started from weights learned from simulated images")
