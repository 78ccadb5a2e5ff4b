"""The page in a real browser: by keys alone, on every screen, with hostile names."""

import shutil
import signal

import pytest
from tests.chromium import missing_browser
from tests.label.serving import serving, write_images

from lll.labels.store import open_store

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))

EVIL = "<img src=x onerror=alert(1)>"


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
        served.child.kill(signal.SIGINT)
        assert served.child.wait().code == 0


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


def whole_tiles(page):
    """How many images of the Grid are in sight as a whole."""
    return page.evaluate(
        """() => {
            const sight = document.querySelector('.tiles').getBoundingClientRect();
            return [...document.querySelectorAll('.tile')].filter((tile) => {
                const box = tile.getBoundingClientRect();
                return box.top >= sight.top && box.bottom <= Math.min(sight.bottom, innerHeight);
            }).length;
        }"""
    )


def test_suggestions_grid_and_map_by_keys(tmp_path, opened):
    folder = write_images(tmp_path / "photos", 30)
    with serving(folder, tmp_path / "cache") as served:
        for at in range(4):
            served.act("label", [at], name=["red", "blue"][at % 2])
        page = opened(served)
        page.wait_for_selector(".suggestion", timeout=180_000)
        keys(page, "g")
        page.wait_for_selector("#bar button.main:has-text('Accept all')", timeout=90_000)
        shown = page.locator("#group").input_value()
        many = page.locator(".tile").count()
        assert shown.startswith("guess/")
        assert many > 9
        page.set_viewport_size({"width": 360, "height": 740})
        page.wait_for_timeout(300)
        assert whole_tiles(page) >= 9, "on a telephone too"
        page.set_viewport_size({"width": 1100, "height": 800})
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


def test_an_image_whose_answer_is_on_its_way_is_not_asked_again(shared, opened):
    """The server is told of it: it may make a new list of questions before the answer comes."""
    page = opened(shared)
    page.wait_for_selector(".chip")
    page.route("**/api/act", lambda route: None)  # on its way for ever
    held = []
    page.on("request", lambda one: "/api/ask?" in one.url and held.append(one.url))
    for _ in range(3):
        before = caption(page)
        keys(page, "1")
        wait_for_other(page, before)
    page.wait_for_timeout(100)
    assert len(set(held[-1].partition("held=")[2].split(","))) == 4  # and the one on the screen


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
        served.act("label", [2], name="z" * 200)
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


def test_a_name_without_a_space_pushes_nothing_out_of_sight(shared, opened):
    page = opened(shared)
    for screen, parts in {
        "ask": ".answers button",
        "grid": "#bar > *",
        "map": "#legend li",
        "classes": "table button",
        "progress": "table button",
    }.items():
        show(page, screen)
        page.wait_for_selector(parts)
        right = page.eval_on_selector_all(
            parts, "all => Math.max(...all.map((one) => one.getBoundingClientRect().right))"
        )
        assert right <= 1100, screen


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
        before = caption(page)
        page.evaluate("document.querySelector('figure img').src = '/image/0/full?away'")
        page.wait_for_timeout(500)
        assert caption(page) == before, "an image that does not come is not one that is unreadable"
        keys(page, "1")
        page.wait_for_selector("#banner:not([hidden])")
    with serving(folder, tmp_path / "cache", "--port", str(served.port)) as again:
        page.wait_for_selector("#banner", state="hidden", timeout=30_000)
        assert len(again.csv()) == 3


def test_the_grid_waits_for_a_server_that_is_away(tmp_path, opened):
    folder = write_images(tmp_path / "photos", 6)
    with serving(folder, tmp_path / "cache") as served:
        served.act("label", [0], name="red")
        page = opened(served)
        show(page, "grid")
        page.wait_for_selector(".tile")
        served.kill()
        show(page, "ask")
        show(page, "grid")  # nothing is thrown, which `opened` checks
    with serving(folder, tmp_path / "cache", "--port", str(served.port)) as again:
        again.act("label", [1], name="blue")
        page.wait_for_selector("#group option:has-text('Labelled blue')", state="attached")


def test_a_key_is_given_to_something_else(shared, opened):
    page = opened(shared)
    keys(page, "?")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.activeElement.innerText") == "Keys"
    assert page.input_value("#key-x") == "X", "what opened the help is not written into it"
    page.fill("#key-u", "k")
    keys(page, "Tab")
    page.fill("#key-m", "K")  # taken
    keys(page, "Tab")
    page.wait_for_function("() => document.querySelector('#said').innerText.includes('taken')")
    assert page.input_value("#key-m") == "M"
    keys(page, "Escape")
    assert page.locator(".answers kbd:text-is('K')").count() == 1
    before, marked = caption(page), shared.summary()["marked"]
    keys(page, "u")
    page.wait_for_timeout(200)
    assert (caption(page), shared.summary()["marked"]) == (before, marked)
    keys(page, "k")
    wait_for_other(page, before)
    keys(page, "Control+z")
    page.reload()
    page.wait_for_selector(".answers kbd:text-is('K')")


def test_any_batch_is_undone_from_the_history(tmp_path, opened):
    with serving(write_images(tmp_path / "photos", 6), tmp_path / "cache") as served:
        for at, name in enumerate(["red", "blue", "red"]):
            served.act("label", [at], name=name)
        page = opened(served)
        show(page, "progress")
        page.click("button[aria-label*=\"label 'blue'\"]")
        page.wait_for_selector("tr.undone button:text-is('Redo')")
        assert [row.split(",")[1] for row in served.csv()[1:]] == ["red", "red"]
        page.click("tr.undone button")
        page.wait_for_selector("tr.undone", state="detached")
        assert len(served.csv()) == 4


def test_a_new_photo_is_asked_about_without_a_restart(tmp_path, opened):
    folder = write_images(tmp_path / "photos", 2)
    with serving(folder, tmp_path / "cache") as served:
        served.act("label", [0, 1], name="red")
        page = opened(served, wait="main p")
        shutil.copy(folder / "00000.png", folder / "later.png")
        show(page, "progress")
        page.click("text=Look for new photos")
        page.wait_for_selector("text=2 of 3 images labelled")
        show(page, "ask")
        page.wait_for_selector("figcaption:text-is('later.png')")
