"""The page: escaped, self-contained, bounded, whole or absent; read back by Python's own HTML parser."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import imagecodecs
import numpy as np
import pandas as pd
import pytest

from cellflax.pictures.layers import Layers
from cellflax.pictures.vector import Figure, vector_of
from cellflax.report.cells import picture_of
from cellflax.report.model import MOST_ROWS, Drawing, Gallery, Report, Table
from cellflax.report.page import MOST_BYTES, is_finished, render, save_report
from tests.report.pages import NASTY, QUOTED, nasty_report


class Page(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(nasty_report()))


def test_names_are_text_everywhere(page):
    assert len(page.all("script")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert page.words.count(NASTY) >= 6
    assert page.words.count(QUOTED) >= 4
    assert QUOTED in [image["alt"] for image in page.all("img")]


def test_nothing_is_asked_for(page):
    places = [attributes[key] or "" for _, attributes in page.elements for key in ("src", "href") if key in attributes]
    assert places
    assert all(place.startswith(("data:", "#")) for place in places)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    text = render(nasty_report())
    script = re.search(r"<script>(.*?)</script>\n</body>", text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


def test_the_table_keeps_all_digits(page):
    values = [cell.get("data-v") for cell in page.all("td") if "data-v" in cell]
    assert values == ["10.0", "2", "9.123456789", "10", "", "1"]
    assert "9.123" in page.words


def test_long_tables_are_cut_and_say_so():
    frame = pd.DataFrame({"x": np.arange(1000)})
    table = Table.of("x", frame, "x.csv", whole="per_cell.csv")
    assert len(table.rows) == MOST_ROWS == 300
    assert table.note == "The first 300 of 1000 rows; per_cell.csv has all."


def test_an_unfinished_page_loads_itself_again(tmp_path):
    running = Page(render(nasty_report(refresh_s=20)))
    assert [m["content"] for m in running.all("meta") if m.get("http-equiv") == "refresh"] == ["20"]
    path = tmp_path / "report.html"
    assert not is_finished(path)
    for seconds, finished in ((20, False), (None, True)):
        assert save_report(path, lambda seconds=seconds: nasty_report(refresh_s=seconds))
        assert is_finished(path) == finished


def test_a_page_stays_below_five_megabytes():
    noise = np.random.default_rng(0).integers(0, 255, (500, 500), dtype=np.uint8)
    layers = Layers(imagecodecs.png_encode(noise), None, (500, 500))
    pictures = tuple(picture_of(f"picture {i}", "noise", layers) for i in range(30))
    text = render(Report("predict", "many", galleries=(Gallery("first", pictures[:2]), Gallery("many", pictures))))
    assert MOST_BYTES - 400_000 < len(text) < MOST_BYTES < 5_000_000
    found = Page(text)
    shown = len(found.all("figure"))
    assert f"{32 - shown} pictures are left out, so that this page stays below 5 MB." in "".join(found.words)
    assert "picture 1" in found.words  # the small gallery is whole


def test_what_goes_wrong_is_a_note(tmp_path, capsys):
    path = tmp_path / "report.html"

    def build() -> Report:
        raise RuntimeError("no pictures today")

    assert not save_report(path, build)
    assert not save_report(None, nasty_report)
    assert not save_report(tmp_path / "absent" / "report.html", nasty_report)
    assert list(tmp_path.iterdir()) == []
    assert "report.html is not written (no pictures today)" in capsys.readouterr().err
    path.write_text("<p>mine</p>")
    assert not save_report(path, nasty_report)
    assert path.read_text() == "<p>mine</p>"


def test_a_page_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "report.html"
    save_report(path, nasty_report)
    before = path.read_text()
    assert not save_report(path, lambda: replace(nasty_report(), tables=(None,)))  # fails while it is filled
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_drawings_take_the_colours_of_the_page():
    figure = Figure()
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color="black", label=NASTY)
    ax.set_title("a & b")
    ax.legend()
    svg, png = vector_of(figure, "one")
    assert not png
    assert "currentColor" in svg
    assert "#000000" not in svg
    assert "#ffffff" not in svg
    found = Page(render(nasty_report(curves=(Drawing("drawn", "words", svg),))))
    assert len(found.all("script")) == 1
    assert all(image["src"].startswith("data:image/") for image in found.all("img"))
    assert NASTY in found.words


def test_a_drawing_of_many_parts_is_a_picture():
    figure = Figure()
    figure.subplots().plot(*np.random.default_rng(0).random((2, 8_000)), "o")
    svg, png = vector_of(figure, "one")
    assert not svg
    assert imagecodecs.png_decode(png).shape[2] == 4
    page = Page(render(nasty_report(curves=(Drawing("drawn", "words", svg, png),))))
    assert "words" in [image["alt"] for image in page.all("img")]
