"""The widget "Segment with a checkpoint"."""

from typing import Any

import numpy as np

from cellflax.napari_plugin.gui import add_layers, in_background, napari_part
from cellflax.napari_plugin.layers import NAME, LayerData
from cellflax.napari_plugin.segmenting import segment_planes


def segment_widget(napari_viewer: Any) -> Any:
    """Choose the image layers of the network's channels and a checkpoint; the cells become a layer of labels."""
    widgets = napari_part("magicgui.widgets")
    channels = widgets.Select(label="channels", name="channels", choices=lambda _: _image_names(napari_viewer))
    checkpoint = widgets.FileEdit(label="checkpoint", name="checkpoint", mode="d", value="")
    views = widgets.ComboBox(
        label="averaged views", name="views", choices=[("as trained", None), ("1", 1), ("4", 4), ("8", 8)], value=None
    )
    button = widgets.PushButton(text="Segment", name="segment")
    status = widgets.Label(value="", name="status")
    panel = widgets.Container(widgets=[channels, checkpoint, views, button, status])

    def done(layers: list[LayerData]) -> None:
        add_layers(napari_viewer, layers)
        status.value = f"{len(np.unique(layers[0][0])) - 1} cells"

    def run() -> Any:
        chosen = [napari_viewer.layers[name] for name in channels.value]
        names = [str(layer.metadata.get("channel", layer.name)) for layer in chosen]
        title = str(chosen[0].metadata.get(NAME, chosen[0].name)) if chosen else ""
        planes = [np.asarray(layer.data) for layer in chosen]
        size = pixel_size_of_layer(chosen[0]) if chosen else None
        arguments = (str(checkpoint.value), planes, names, size, views.value, title)
        panel.worker = in_background(segment_planes, arguments, status, button, done)

    button.changed.connect(run)
    for event in (napari_viewer.layers.events.inserted, napari_viewer.layers.events.removed):
        event.connect(lambda _: channels.reset_choices())
    return panel


def pixel_size_of_layer(layer: Any) -> float | None:
    """Edge of a pixel in micrometres: what the file said, or the scale of a layer that has this unit."""
    if "pixel_size_um" in layer.metadata:
        return layer.metadata["pixel_size_um"]
    return float(layer.scale[-1]) if str(layer.units[-1]) in ("micrometer", "um", "µm") else None


def _image_names(viewer: Any) -> list[str]:
    image = napari_part("napari.layers").Image
    return [layer.name for layer in viewer.layers if isinstance(layer, image) and not layer.rgb]
