"""The widget "Correct and retrain"."""

from pathlib import Path
from typing import Any

import numpy as np

from cellflax.errors import UserError
from cellflax.io.corrections import CorrectionFolder, read_correction, save_correction
from cellflax.napari_plugin.gui import add_layers, attempt, in_background, napari_part
from cellflax.napari_plugin.layers import FOLDER, NAME
from cellflax.napari_plugin.reader import correction_layers
from cellflax.napari_plugin.retraining import follow, new_run, retrain_command


def correct_widget(napari_viewer: Any) -> Any:
    """Open the images of `cellflax correct`, edit their labels, save them where training finds them, and train."""
    widgets = napari_part("magicgui.widgets")
    folder = widgets.FileEdit(label="corrections", name="folder", mode="d", value="")
    images: list[tuple[str, str]] = []  # napari asks for them whenever a layer is added
    image = widgets.ComboBox(label="image", name="image", choices=lambda _: images)
    show = widgets.PushButton(text="Open", name="show")
    save = widgets.PushButton(text="Save as corrected", name="save")
    later = widgets.PushButton(text="Save, not finished", name="later")
    old = widgets.FileEdit(label="old images", name="old", mode="d", value="", nullable=True)
    start = widgets.FileEdit(label="start from", name="start", mode="d", value="", nullable=True)
    minutes = widgets.FloatSpinBox(label="minutes", name="minutes", value=15, min=0.1, max=10_000)
    train = widgets.PushButton(text="Retrain", name="train")
    status = widgets.Label(value="", name="status")
    panel = widgets.Container(widgets=[folder, image, show, save, later, old, start, minutes, train, status])

    def found() -> CorrectionFolder:
        correction = read_correction(Path(folder.value))
        if correction is None:
            raise UserError(f"{folder.value}: not a folder that cellflax correct wrote")
        return correction

    def list_images() -> None:
        correction, chosen = found(), image.value
        images[:] = [(f"{name} ✓" if correction.state(name) else name, name) for name in correction.contents]
        image.reset_choices()
        if chosen in correction.contents:
            image.value = chosen
        done = sum(correction.state(name) for name in correction.contents)
        status.value = f"{done} of {len(correction.contents)} images are corrected"

    def choose_folder() -> None:
        list_images()
        training = found().training
        old.value, start.value = (training.get(key, "") for key in ("data.root", "start_from"))

    def open_image() -> None:
        list_images()
        if image.value is not None:
            add_layers(napari_viewer, correction_layers(Path(folder.value), image.value))

    def save_image(done: bool) -> None:
        found()
        layer = labels_of(napari_viewer, Path(folder.value), image.value)
        save_correction(Path(folder.value), image.value, np.asarray(layer.data), done=done)
        list_images()

    def trained(run: str) -> None:
        start.value = run
        status.value = f"trained: {run}"

    def retrain() -> None:
        target = Path(folder.value)
        known, source = (str(edit.value) if edit.value not in (None, Path()) else "" for edit in (old, start))
        command = retrain_command(target, known, source, minutes.value, new_run(target))
        panel.worker = in_background(follow, (command,), status, train, trained, lambda line: status_of(status, line))

    folder.changed.connect(lambda _: attempt(status, choose_folder))
    show.changed.connect(lambda: attempt(status, open_image))
    save.changed.connect(lambda: attempt(status, lambda: save_image(True)))
    later.changed.connect(lambda: attempt(status, lambda: save_image(False)))
    train.changed.connect(lambda: attempt(status, retrain))
    return panel


def status_of(status: Any, line: str) -> None:
    """Show a line of progress, cut to the width of a panel."""
    status.value = line[:120]


def labels_of(viewer: Any, folder: Path, name: str | None) -> Any:
    """The layer with the labels of an image that was opened for correction.

    Raises:
        UserError: if there is none.
    """
    for layer in viewer.layers:
        if layer.metadata.get(NAME) == name and layer.metadata.get(FOLDER) == str(folder):
            return layer
    raise UserError(f"{name}: its labels are not open; press Open first")
