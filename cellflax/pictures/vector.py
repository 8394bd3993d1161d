"""Figures as part of a page: SVG that takes the page's colours, light or dark."""

import io
import re

import matplotlib
from matplotlib.figure import Figure

_MOST_SVG_BYTES = 400_000  # a figure of more parts is smaller, and drawn sooner, as PNG
_PNG_DPI = 110
# Written by matplotlib in every figure; in a page they follow its style.
_INK = re.compile(r"(fill|stroke): #000000")
_PRIVATE = re.compile(r'<style type="text/css">.*?</style>', re.DOTALL)  # it would hold for the whole page
_PAPER = re.compile(r"(fill|stroke): #ffffff")


def vector_of(figure: Figure, salt: str) -> tuple[str, bytes]:
    """A figure as an `<svg>` element and no PNG; or, where that would be large, no SVG and a PNG.

    Black and white become the page's ink and paper. Text stays text.

    Args:
        figure: the figure; its background becomes transparent.
        salt: differs between the figures of a page, so that their parts have different ids.
    """
    figure.patch.set_alpha(0)
    for ax in figure.axes:
        ax.patch.set_alpha(0)
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    if len(svg) > _MOST_SVG_BYTES:
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=_PNG_DPI, facecolor="white")
        return "", picture.getvalue()
    svg = _PRIVATE.sub("", svg[svg.index("<svg") :]).replace('<g id="', '<g data-part="')
    svg = _PAPER.sub(r"\1: var(--page)", _INK.sub(r"\1: currentColor", svg))
    return re.sub(r'<svg ([^>]*?)width="[\d.]+pt" height="[\d.]+pt"', r"<svg \1", svg, count=1), b""
