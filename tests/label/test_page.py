"""The page in a real browser: by keys alone, on every screen, with hostile names."""

import re
import shutil

import pytest
from tests.chromium import SWITCHES, missing_browser
from tests.label.serving import link_images, serving, write_images

from lll.labels.store import open_store

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(SWITCHES)
        )
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Opens a page that fails the test if it logs an error or asks for anything from outside.

    That the server cannot be reached any more, when a test is over, is no error.
    """
    trouble, contexts = [], []

    def heard(message):
        if message.type == "error" and "net::ERR_" not in message.text:
            trouble.append(message.text)

    def open_page(served, **how):
        context = chromium.new_context(viewport={"width": 1100, "height": 800}, **how)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        own = served.address.split("?")[0]
        page.on("request", lambda r: None if r.url.startswith(own) else trouble.append(r.url))
        page.goto(served.address)
        page.wait_for_selector("figcaption")
        assert "token" not in page.url
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not trouble


def keys(page, *names):
    for name in names:
        page.keyboard.press(name)


def caption(page):
    return page.locator("figcaption").inner_text()


def wait_for_other(page, before):
    page.wait_for_function("t => document.querySelector('figcaption')?.innerText !== t", arg=before)


def label_by_keys(page, count, kind):
    """Answer ``count`` questions with the classes that ``kind`` gives by the file's name."""
    known = [one.inner_text() for one in page.locator(".chip .name").all()]
    for _ in range(count):
        before = caption(page)
        name = kind(before)
        if name in known:
            keys(page, str(known.index(name) + 1))
        else:
            if page.evaluate("document.activeElement.id") != "new-class":
                keys(page, "n")
            page.keyboard.insert_text(name)
            keys(page, "Enter")
            known.append(name)
        wait_for_other(page, before)
        page.wait_for_function(
            "n => document.querySelectorAll('.chip').length === n", arg=len(known)
        )


@pytest.mark.parametrize("count", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_labelled_by_keys_alone_to_the_csv(tmp_path, opened, count):
    folder = write_images(tmp_path / "photos", 45)
    kind = lambda name: ["red", "blue"][int(name[:5]) % 2]  # noqa: E731
    with serving(folder, tmp_path / "cache") as served:
        page = opened(served)
        label_by_keys(page, count, kind)
        keys(page, "Control+z")
        page.wait_for_function(
            "() => document.querySelector('#said').innerText.startsWith('Undone')"
        )
        keys(page, "Control+Shift+z")
        page.wait_for_function(
            "() => document.querySelector('#said').innerText.startsWith('Redone')"
        )
        keys(page, "p")
        page.wait_for_selector("text=Labels as CSV")
        for _ in range(30):
            if page.evaluate("document.activeElement.innerText").startswith("Labels as CSV"):
                break
            keys(page, "Tab")
        with page.expect_download() as download:
            keys(page, "Enter")
        rows = download.value.path().read_text().splitlines()
        assert rows[0] == "file,label,origin"
        assert len(rows) == count + 1
        assert all(row.split(",")[1] == kind(row) for row in rows[1:])


def test_suggestions_grid_and_map_by_keys(tmp_path, opened):
    folder = write_images(tmp_path / "photos", 30)
    with serving(folder, tmp_path / "cache") as served:
        for at in range(4):
            served.act("label", [at], name=["red", "blue"][at % 2])
        page = opened(served)
        page.wait_for_selector(".suggestion", timeout=60_000)
        keys(page, "g")
        page.wait_for_selector("#bar button.main:has-text('Accept all')", timeout=30_000)
        shown = page.locator("#group").input_value()
        many = page.locator(".tile").count()
        assert shown.startswith("guess/")
        assert many > 3
        keys(page, "ArrowRight", "Shift+ArrowRight", "Enter")
        page.wait_for_function("() => document.querySelector('#said').innerText.includes('Ctrl+Z')")
        with open_store(folder, write=False) as store:
            event = store.history()[-1]
        assert (event.origin, len(event.images)) == ("suggestion", many - 2)
        keys(page, "m")
        page.wait_for_selector("#map")
        page.wait_for_function("() => document.querySelector('#legend').children.length === 2")
        keys(page, "l", *["Shift+ArrowRight"] * 30, *["ArrowLeft"] * 20, *["ArrowUp"] * 20)
        keys(page, *["Shift+ArrowDown"] * 40, "Enter")
        page.wait_for_function("() => location.hash === '#grid/lasso'")
        page.wait_for_selector(".tile")


def test_names_are_text_and_the_screens_are_accessible(tmp_path, opened):
    from axe_playwright_python.sync_playwright import Axe

    folder = write_images(tmp_path / "photos", 6)
    (folder / "00005.png").rename(folder / "<img src=x onerror=alert(1)>.png")
    with serving(folder, tmp_path / "cache") as served:
        served.act("label", [0], name=EVIL)
        served.act("label", [1], name="=1+1")
        page = opened(served)
        assert any(line.split(",")[1] == "'=1+1" for line in served.csv())
        for screen in ("ask", "grid", "map", "classes", "progress"):
            page.evaluate("screen => location.hash = screen", screen)
            page.wait_for_selector(f"[data-screen={screen}] *")
            page.wait_for_timeout(300)
            found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
            assert not found, [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found]
        assert page.locator(f"text={EVIL}").count() == 0 or page.locator("img[src=x]").count() == 0
        keys(page, "?")
        page.wait_for_selector("dialog[open]")
        assert not Axe().run(page).response["violations"]


def test_narrow_and_enlarged_nothing_is_cut_off(tmp_path, opened):
    with serving(write_images(tmp_path / "photos", 4), tmp_path / "cache") as served:
        served.act("label", [0], name="a class with a rather long name that goes on")
        page = opened(served)
        for width in (360, 550):  # a telephone; 1,100 pixels at 200 %
            page.set_viewport_size({"width": width, "height": 740})
            for screen in ("ask", "grid", "map", "classes", "progress"):
                page.evaluate("screen => location.hash = screen", screen)
                page.wait_for_selector(f"[data-screen={screen}] *")
                assert page.evaluate("document.documentElement.scrollWidth") <= width, screen


def test_answers_wait_for_a_server_that_is_away(tmp_path, opened):
    folder = write_images(tmp_path / "photos", 12)
    with serving(folder, tmp_path / "cache") as served:
        page = opened(served)
        label_by_keys(page, 1, lambda name: "red")
        served.kill()
        keys(page, "1")
        page.wait_for_selector("#banner:not([hidden])")
    with serving(folder, tmp_path / "cache", "--port", str(served.port)) as again:
        page.wait_for_selector("#banner", state="hidden", timeout=30_000)
        assert len(again.csv()) == 3


def test_two_tabs_see_one_history(tmp_path, opened):
    with serving(write_images(tmp_path / "photos", 12), tmp_path / "cache") as served:
        one, other = opened(served), opened(served)
        label_by_keys(one, 2, lambda name: "red")
        other.wait_for_function(
            "() => document.querySelector('#status').innerText.startsWith('2 of')"
        )
        keys(other, "Escape", "Control+z")
        one.wait_for_function(
            "() => document.querySelector('#status').innerText.startsWith('1 of')"
        )


@pytest.mark.slow
def test_fifty_thousand_images(tmp_path, opened):
    folder = link_images(tmp_path / "photos", 50_000)
    with serving(folder, tmp_path / "cache") as served:
        page = opened(served)
        page.set_viewport_size({"width": 2560, "height": 1400})
        served.act("label", range(2000), name="a")
        keys(page, "Escape", "g")
        page.wait_for_selector(".tile")
        for _ in range(5):
            keys(page, "PageDown", "End", "Home")
            page.wait_for_timeout(100)
            assert 10 < page.locator("img").count() <= 200
        assert re.match("2,000 of 50,000", page.locator("#status").inner_text())
