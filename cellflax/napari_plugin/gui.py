"""What the widgets share: magicgui and napari, imported when a widget is opened, and work in the background."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from cellflax.errors import UserError
from cellflax.napari_plugin.layers import LayerData


def napari_part(name: str) -> Any:
    """A module of napari or magicgui, which are not dependencies of cellflax.

    Raises:
        UserError: if they are not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"{name} is needed: pip install 'cellflax[napari]' ({error})") from error


def add_layers(viewer: Any, layers: list[LayerData]) -> None:
    """Show layers, each in place of one of the same name that came from cellflax before."""
    create = napari_part("napari.layers").Layer.create
    for data, options, kind in layers:
        if options["name"] in viewer.layers:
            viewer.layers.remove(options["name"])
        viewer.add_layer(create(data, options, kind))


def in_background(
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    status: Any,
    button: Any,
    done: Callable[[Any], None],
    line: Callable[[str], None] | None = None,
) -> Any:
    """Run something that takes long while napari stays responsive.

    Args:
        work: what to run; a generator yields lines of progress.
        arguments: its arguments.
        status: label that says how it ended; a user's mistake is its one line.
        button: cannot be pressed meanwhile.
        done: what to do with the result.
        line: what to do with a line of progress.

    Returns:
        The worker, whose signals say how it ends.
    """
    worker = napari_part("napari.qt.threading").create_worker(work, *arguments)

    def failed(error: BaseException) -> None:
        status.value = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"

    worker.returned.connect(done)
    worker.errored.connect(failed)
    worker.finished.connect(lambda: setattr(button, "enabled", True))
    if line is not None:
        worker.yielded.connect(line)
    button.enabled = False
    status.value = "working ..."
    worker.start()
    return worker


def attempt(status: Any, work: Callable[[], None]) -> None:
    """Do something at once; a user's mistake is shown as its one line."""
    try:
        work()
    except UserError as error:
        status.value = str(error)
