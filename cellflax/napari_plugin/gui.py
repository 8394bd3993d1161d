"""What the widgets share: magicgui and napari, imported when a widget is opened, and work in the background."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
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
        work: what to run; with `line`, a generator that yields lines of progress.
        arguments: its arguments.
        status: label that says how it ended; a user's mistake is its one line.
        button: cannot be pressed meanwhile.
        done: what to do with the result.
        line: what to do with a line of progress.

    Returns:
        The worker, whose signals say how it ends.
    """
    worker = napari_part("napari.qt.threading").create_worker(
        _followed if line else _mistake_or_result, work, arguments
    )

    def ended(result: Any) -> None:
        if isinstance(result, Mistake):
            status.value = result.line
        else:
            done(result)

    worker.returned.connect(ended)
    worker.finished.connect(lambda: setattr(button, "enabled", True))
    if line is not None:
        worker.yielded.connect(line)
    button.enabled = False
    status.value = "working ..."
    worker.start()
    return worker


@dataclass(frozen=True)
class Mistake:
    """A user's mistake in one line, as a result: a worker shows an exception as an error of the program."""

    line: str


def _mistake_or_result(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """The result, or the user's mistake."""
    try:
        return work(*arguments)
    except UserError as error:
        return Mistake(str(error))


def _followed(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Generator[Any, None, Any]:
    """The same of a generator."""
    try:
        return (yield from work(*arguments))
    except UserError as error:
        return Mistake(str(error))


def attempt(status: Any, work: Callable[[], None]) -> None:
    """Do something at once; a user's mistake is shown as its one line."""
    try:
        work()
    except UserError as error:
        status.value = str(error)
