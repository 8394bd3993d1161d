"""The page in a real browser: headless Chromium, where there is one."""

import io
import time
from pathlib import Path

import pandas as pd
import pytest

from cellflax.report.page import save_report
from tests.browser import CHROMIUM, Browser, browsing, downloaded
from tests.report.pages import NASTY, nasty_report

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser(folder):
    with browsing(folder) as found:
        yield found


@pytest.fixture
def opened(browser, folder) -> Browser:
    page = folder / "<b>report #1.html"
    save_report(page, nasty_report)
    browser.open(page)
    return browser


def _column(number: int) -> str:
    return f"[...document.querySelectorAll('table.data tbody tr')].map(row => row.cells[{number}].textContent)"


def _click(selector: str, number: int = 0) -> str:
    return f"document.querySelectorAll({selector!r})[{number}].click()"


def _complaints_of(browser: Browser, words: str) -> list[str]:
    texts = [complaint["entry"]["text"] for complaint in browser.complaints() if "entry" in complaint]
    return [text for text in texts if words in text]


def test_it_opens_quietly_and_asks_for_nothing(opened, folder):
    assert opened.complaints() == []
    asked = [url for url in opened.requests() if not url.startswith("data:")]
    assert asked == [(folder / "<b>report #1.html").as_uri()]
    assert opened.run("document.querySelector('h1').textContent") == NASTY
    assert opened.run("document.querySelectorAll('script').length") == 1
    assert opened.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_a_foreign_script_does_not_run(opened):
    opened.run("document.body.insertAdjacentHTML('beforeend', '<img src=data:x onerror=\"window.hit=1\">')")
    deadline = time.monotonic() + 10
    while not (texts := _complaints_of(opened, "inline event handler")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(texts) == 1  # which comes late, and is waited for so that it is not the next test's
    assert opened.run("window.hit") is None


def test_tables_sort(opened):
    assert opened.run(_column(1)) == ["10", "9.123", ""]
    opened.run(_click("table.data th button", 1))
    assert opened.run(_column(1)) == ["9.123", "10", ""]  # as numbers; what is undefined stays last
    opened.run(_click("table.data th button", 1))
    assert opened.run(_column(1)) == ["10", "9.123", ""]
    assert opened.run("document.querySelectorAll('th')[1].getAttribute('aria-sort')") == "descending"
    opened.run(_click("table.data th button", 2))
    assert opened.run(_column(2)) == ["1", "2", "10"]
    assert opened.complaints() == []


def test_a_table_is_saved_as_csv(opened, folder):
    opened.run(_click("a.csv"))
    saved = pd.read_csv(io.BytesIO(downloaded(folder / "cells.csv")))
    assert saved["name"].tolist() == [NASTY, "b, c", '\'=HYPERLINK("x")']  # no formula
    assert saved["value"].tolist()[:2] == [10.0, 9.123456789]
    assert saved["value"].isna().tolist() == [False, False, True]
    assert opened.complaints() == []


def test_pictures_are_enlarged_without_their_outlines_if_wanted(opened):
    layer = "getComputedStyle(document.querySelector('.stack img + img')).visibility"
    assert opened.run(layer) == "visible"
    opened.run(_click("input.outlines"))
    assert opened.run(layer) == "hidden"
    opened.run(_click(".zoom"))
    assert opened.run("document.querySelector('dialog').open")
    width = "document.querySelector('dialog .stack').getBoundingClientRect().width"
    before = opened.run(width)
    opened.run(_click("dialog .in"))
    assert opened.run(width) == pytest.approx(1.5 * before)
    opened.run(_click("dialog .close"))
    assert not opened.run("document.querySelector('dialog').open")


def test_a_chart_has_two_axes_to_choose_from(opened):
    shown = "[...document.querySelectorAll('.view')].map(view => getComputedStyle(view).display)"
    assert opened.run(shown) == ["block", "none"]
    opened.run(_click(".views input", 1))
    assert opened.run(shown) == ["none", "block"]


def test_light_dark_and_print(opened):
    colours = []
    for media, scheme in (("screen", "light"), ("screen", "dark"), ("print", "dark")):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.call("Emulation.setEmulatedMedia", media=media, features=features)
        colours.append(opened.run("getComputedStyle(document.body).backgroundColor"))
    opened.call("Emulation.setEmulatedMedia", media="", features=[])
    assert colours == ["rgb(255, 255, 255)", "rgb(20, 23, 27)", "rgb(255, 255, 255)"]
