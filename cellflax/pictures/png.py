"""Figures as PNG."""

from pathlib import Path

from matplotlib.figure import Figure

_COMPRESSION = {"compress_level": 1}  # outlines on a photograph take a third of the time, and a quarter more bytes


def save_png(figure: Figure, path: Path, trim: bool = False) -> None:
    """Write a figure as a PNG, whatever the file's name.

    Args:
        figure: the figure.
        path: where it is written.
        trim: whether the picture ends where its contents do, not where the figure does.
    """
    figure.savefig(path, format="png", bbox_inches="tight" if trim else None, pil_kwargs=_COMPRESSION)
