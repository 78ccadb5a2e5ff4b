"""The page in a real browser: by keys alone, on every screen, with hostile names."""

import re
import shutil
import signal

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
        assert rows[0] == "path,label,origin,time"
        assert len(rows) == count + 1
        assert all(row.split(",")[1] == kind(row) for row in rows[1:])
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(timeout=60) == 0


def test_the_keyboard_keeps_its_place_when_the_screen_is_drawn_anew(tmp_path, opened):
    with serving(write_images(tmp_path / "photos", 6), tmp_path / "cache") as served:
        served.act("label", [0], name="red")
        page = opened(served)
        keys(page, "p")
        page.wait_for_selector("text=Labels as CSV (1)")
        page.focus("a:has-text('Labels as CSV')")
        served.act("label", [1], name="blue")
        page.wait_for_selector("text=Labels as CSV (2)")
        assert page.evaluate("document.activeElement.innerText") == "Labels as CSV (2)"


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


SCREENS = ("ask", "grid", "map", "classes", "progress")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A server of a few images, with names that are hostile or long."""
    place = tmp_path_factory.mktemp("shared")
    folder = write_images(place / "photos", 12)
    (folder / "00005.png").rename(folder / f"{EVIL}.png")
    with serving(folder, place / "cache") as served:
        served.act("label", [0], name=EVIL)
        served.act("label", [1], name="=1+1 which is a name that goes on and on")
        yield served


def show(page, screen):
    page.evaluate("screen => location.hash = screen", screen)
    page.wait_for_selector(f"[data-screen={screen}] *")
    page.wait_for_timeout(200)


def test_names_are_text_and_the_screens_are_accessible(shared, opened):
    from axe_playwright_python.sync_playwright import Axe

    assert any(",'=1+1" in line for line in shared.csv())
    page = opened(shared)
    for screen in SCREENS:
        show(page, screen)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        assert not found, [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found]
        assert page.locator("img[src=x]").count() == 0
    keys(page, "?")
    page.wait_for_selector("dialog[open]")
    assert not Axe().run(page).response["violations"]


def test_narrow_and_enlarged_nothing_is_cut_off(shared, opened):
    page = opened(shared)
    for width in (360, 550):  # a telephone; 1,100 pixels at 200 %
        page.set_viewport_size({"width": width, "height": 740})
        for screen in SCREENS:
            show(page, screen)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, screen


def test_two_tabs_see_one_history(shared, opened):
    one, other = opened(shared), opened(shared)
    one.wait_for_selector(".chip")
    before = len(shared.csv())
    keys(one, "1")
    other.wait_for_function(
        f"() => document.querySelector('#status').innerText.startsWith('{before} of')"
    )
    keys(other, "Control+z")
    one.wait_for_function(
        f"() => document.querySelector('#status').innerText.startsWith('{before - 1} of')"
    )


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
